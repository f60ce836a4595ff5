//! Tests of what is fetched, from whom, and when.

use super::*;
use crate::known::own::{JobStatus, JobsView, ScoringView};
use crate::testing::{
    A, B, C, ME, Scene, batch_blob, branch_job, by_chapter, chain, change, chapter_lease,
    checkpoint, heartbeat, job, merged, shard_lease, with_feedback,
};
use crate::{Change, Checkpoint, Config, Heartbeat, Plan};

const MIB: u64 = 1 << 20;

fn scene(plan: Plan) -> (Scene, Fetching) {
    let mut scene = Scene::new(plan);
    scene.meet_all(&[A]);
    let now = scene.known.now();
    (scene, Fetching::new(now))
}

/// A has announced the batches of shard 0 for these steps, which a job will read.
fn announce(scene: &mut Scene, steps: impl Iterator<Item = u64>) {
    let announced = steps.map(|step| (step, batch_blob(0, step), A)).collect();
    scene.known.publish_jobs(JobsView { announced, ..JobsView::default() });
}

/// The blobs that are asked for now, and of whom.
fn asked(scene: &mut Scene, fetching: &mut Fetching) -> Vec<(BlobRef, NodeId)> {
    scene.look();
    fetching.settle(&scene.known, &mut scene.out);
    let fetch = |output: Output| {
        if let Output::Fetch { blob, from } = output { Some((blob, from)) } else { None }
    };
    scene.outputs().into_iter().filter_map(fetch).collect()
}

fn large(shard: u16, step: u64) -> Checkpoint {
    let it = checkpoint(shard, step);
    Checkpoint { blob: BlobRef { size: 10 * MIB, ..it.blob }, ..it }
}

#[test]
fn batches_are_asked_for_step_by_step_and_so_many_at_once() {
    let (mut scene, mut fetching) = scene(chain(2, 100, 10));
    announce(&mut scene, (0..20).rev());
    let first: Vec<_> = (0..16).map(|step| (batch_blob(0, step), A)).collect();
    assert_eq!(asked(&mut scene, &mut fetching), first);
    assert_eq!(asked(&mut scene, &mut fetching), []);
    assert_eq!(fetching.len(), MAX_FETCHES);
    fetching.fetched(batch_blob(0, 3).hash, Time(0));
    announce(&mut scene, 16..20);
    assert_eq!(asked(&mut scene, &mut fetching), [(batch_blob(0, 16), A)]);
}

#[test]
fn a_failure_counts_only_from_the_peer_that_was_asked() {
    let (mut scene, mut fetching) = scene(chain(2, 100, 10));
    announce(&mut scene, 0..1);
    asked(&mut scene, &mut fetching);
    let hash = batch_blob(0, 0).hash;
    assert_eq!((fetching.asked_of(A), fetching.asked_of(B)), (vec![hash], Vec::new()));
    fetching.failed(hash, B, Time(0));
    assert_eq!(asked(&mut scene, &mut fetching), []);
    fetching.failed(hash, A, Time(0));
    assert_eq!(asked(&mut scene, &mut fetching), [(batch_blob(0, 0), A)]);
}

#[test]
fn an_onlooker_fetches_nothing() {
    for (role, fetches) in [(Role::Observer, 1), (Role::Onlooker, 0)] {
        let mut scene = Scene::with(role, chain(1, 100, 10), Config::default());
        scene.meet_all(&[A]);
        scene.learn(A, [checkpoint(0, 100)]);
        let mut fetching = Fetching::new(Time(0));
        assert_eq!(asked(&mut scene, &mut fetching).len(), fetches, "{role:?}");
    }
}

#[test]
fn what_is_here_under_another_name_is_not_asked_for() {
    let (mut scene, mut fetching) = scene(chain(2, 100, 10));
    announce(&mut scene, 0..1);
    scene.out.hold(batch_blob(0, 0).hash);
    fetching.settle(&scene.known, &mut scene.out);
    assert_eq!(scene.drain(), (Vec::new(), vec![Fact::Here(batch_blob(0, 0).hash)]));
    assert_eq!(fetching.len(), 0);
}

#[test]
fn what_a_shard_waits_for_comes_before_the_model_and_is_not_held_up_by_bytes() {
    let (mut scene, mut fetching) = scene(Plan::example(&[4], 100, 10));
    scene.learn(A, (0..4).map(|shard| large(shard, 100)));
    let model = [0, 1].map(|shard| (large(shard, 100).blob, A));
    assert_eq!(asked(&mut scene, &mut fetching), model, "two of them are enough at once");
    announce(&mut scene, 0..1);
    assert_eq!(asked(&mut scene, &mut fetching), [(batch_blob(0, 0), A)]);
    fetching.fetched(model[0].0.hash, Time(0));
    scene.hold([large(0, 100)]);
    assert_eq!(asked(&mut scene, &mut fetching), [(large(2, 100).blob, A)]);
}

#[test]
fn a_size_that_somebody_claims_does_not_hold_up_what_a_shard_waits_for() {
    let (mut scene, mut fetching) = scene(Plan::example(&[3], 100, 10));
    let claims = |shard| {
        let it = checkpoint(shard, 100);
        Checkpoint { blob: BlobRef { size: u64::MAX, ..it.blob }, ..it }
    };
    scene.learn(A, (0..3).map(claims));
    assert_eq!(asked(&mut scene, &mut fetching).len(), 1);
    announce(&mut scene, 0..2);
    assert_eq!(asked(&mut scene, &mut fetching).len(), 2);
    assert_eq!(asked(&mut scene, &mut fetching).len(), 0);
}

#[test]
fn a_job_waits_for_the_checkpoint_that_it_starts_from() {
    let (mut scene, mut fetching) = scene(chain(1, 100, 10));
    scene.learn(A, [checkpoint(0, 10), checkpoint(0, 20)]);
    scene.lease(&[shard_lease(0, 1, ME, 0)]);
    let waits = JobStatus { phase: Phase::NeedsCheckpoint, ..job(0, 0) };
    scene.work([waits]);
    assert_eq!(asked(&mut scene, &mut fetching), [(checkpoint(0, 20).blob, A)]);
    fetching.fetched(checkpoint(0, 20).blob.hash, Time(0));
    scene.hold([checkpoint(0, 20)]);
    scene.work([job(0, 20)]);
    assert_eq!(asked(&mut scene, &mut fetching), []);
}

#[test]
fn a_lowest_shard_has_the_tables_fetched_that_it_will_read() {
    let (mut scene, mut fetching) = scene(with_feedback(chain(3, 100, 10)));
    scene.lease(&[shard_lease(0, 1, ME, 0), shard_lease(2, 1, A, 0)]);
    scene.learn(A, [10, 20, 30].map(|step| checkpoint(2, step)));
    scene.work([job(0, 35)]);
    scene.known.set_first_table(20);
    let tables = [20, 30].map(|step| (checkpoint(2, step).blob, A));
    assert_eq!(asked(&mut scene, &mut fetching), tables, "chapter 3 reads the second");
}

#[test]
fn the_owner_of_a_chapter_has_all_fetched_that_it_begins_with() {
    let plan = by_chapter(chain(2, 40, 10));
    let (mut scene, mut fetching) = scene(plan.clone());
    scene.lease(&[chapter_lease(&plan, 1, 1, ME)]);
    scene.learn(A, [checkpoint(0, 10), checkpoint(1, 10)]);
    scene.work([branch_job(1, 0, 10)]);
    let begins = [0, 1].map(|shard| (checkpoint(shard, 10).blob, A));
    assert_eq!(asked(&mut scene, &mut fetching), begins);
}

#[test]
fn copies_come_one_by_one_with_pauses_unless_somebody_leaves() {
    let (mut scene, mut fetching) = scene(Plan::example(&[4], 100, 10));
    scene.meet_all(&[B]);
    scene.learn(A, (0..4).map(|shard| checkpoint(shard, 10)));
    let first = asked(&mut scene, &mut fetching);
    assert_eq!((first.len(), asked(&mut scene, &mut fetching).len()), (1, 0));
    scene.wait(100);
    fetching.fetched(first[0].0.hash, scene.known.now());
    scene.hold([checkpoint(0, 10)]);
    assert_eq!(asked(&mut scene, &mut fetching).len(), 0, "a pause");
    scene.wait(1_800);
    assert_eq!(asked(&mut scene, &mut fetching).len(), 1);
    assert_eq!(asked(&mut scene, &mut fetching).len(), 0);
    scene.hear(B, Heartbeat { leaving: true, ..heartbeat() });
    assert_eq!(asked(&mut scene, &mut fetching).len(), 1);
}

#[test]
fn what_an_epoch_is_scored_with_is_fetched_while_the_scorer_waits_for_it() {
    let plan = Plan { epoch_steps: 20, ..chain(1, 100, 10) };
    for (under_way, fetches) in [(false, true), (true, false)] {
        let (mut scene, mut fetching) = scene(plan.clone());
        scene.learn(A, [checkpoint(0, 20), checkpoint(0, 30)]);
        scene.known.learn_score(crate::testing::score(1), &mut scene.out);
        let scoring = ScoringView { evaluating: Some(1), under_way, waiting: 0 };
        scene.known.publish_scoring(scoring);
        let asked = asked(&mut scene, &mut fetching);
        assert_eq!(asked.contains(&(checkpoint(0, 20).blob, A)), fetches, "{asked:?}");
    }
}

#[test]
fn scores_that_fall_behind_are_not_paced() {
    let (mut scene, mut fetching) = scene(Plan::example(&[4], 100, 10));
    scene.learn(A, (0..4).map(|shard| checkpoint(shard, 10)));
    assert_eq!(asked(&mut scene, &mut fetching).len(), 1);
    let waiting = |waiting| ScoringView { evaluating: None, under_way: false, waiting };
    scene.known.publish_scoring(waiting(1));
    assert_eq!(asked(&mut scene, &mut fetching).len(), 0);
    scene.known.publish_scoring(waiting(2));
    assert_eq!(asked(&mut scene, &mut fetching).len(), 1);
}

/// A has the checkpoints of the one shard after each chapter, and the means that they were made of; this
/// peer has the first branch of the third chapter, or looks on.
fn after_two_chapters(role: Role) -> (Scene, Fetching) {
    let plan = merged(chain(1, 40, 10), 2);
    let mut scene = Scene::with(role, plan.clone(), Config::default());
    scene.meet_all(&[A]);
    scene.learn(A, [large(0, 10), large(0, 20)]);
    scene.learn_changes(A, [0, 1].map(|chapter| change(chapter, 0, None)));
    if role == Role::Worker {
        scene.lease(&[chapter_lease(&plan, 2, 1, ME)]);
        scene.work([JobStatus { phase: Phase::NeedsCheckpoint, ..branch_job(2, 0, 20) }]);
    }
    (scene, Fetching::new(Time(0)))
}

/// This peer has fetched a mean.
fn fetch_mean(scene: &mut Scene, fetching: &mut Fetching, mean: &Change) {
    scene.known.fetched_change(mean.blob.hash, &mut scene.out);
    fetching.fetched(mean.blob.hash, Time(0));
}

#[test]
fn the_mean_is_fetched_in_place_of_a_checkpoint_where_the_start_is_held() {
    let (first, mean) = ((large(0, 20).blob, A), change(1, 0, None));
    let (mut scene, mut fetching) = after_two_chapters(Role::Worker);
    scene.known.lose_change(change(0, 0, None).blob.hash, A, &mut scene.out);
    let all = asked(&mut scene, &mut fetching);
    assert!(all.contains(&first) && !all.contains(&(mean.blob, A)), "{all:?}");
    let (mut scene, mut fetching) = after_two_chapters(Role::Worker);
    scene.hold([large(0, 10)]);
    assert_eq!(asked(&mut scene, &mut fetching), [(mean.blob, A)]);
    assert!(fetching.routes().is_empty(), "it is not here");
    fetch_mean(&mut scene, &mut fetching, &mean);
    assert_eq!(asked(&mut scene, &mut fetching), [], "it is about to be merged");
    assert_eq!(fetching.routes(), BTreeSet::from([(ShardId(0), 20)]));
    scene.known.refuse_change(mean.blob.hash, &mut scene.out);
    assert_eq!(asked(&mut scene, &mut fetching), [first], "nothing could be made of it");
    assert!(fetching.routes().is_empty());
}

#[test]
fn the_means_of_two_chapters_are_fetched_where_the_start_is_that_far_back() {
    let (mut scene, mut fetching) = after_two_chapters(Role::Worker);
    let means = [0, 1].map(|chapter| change(chapter, 0, None));
    assert_eq!(asked(&mut scene, &mut fetching), means.map(|it| (it.blob, A)));
    fetch_mean(&mut scene, &mut fetching, &means[1]);
    assert_eq!(asked(&mut scene, &mut fetching), []);
    assert!(!fetching.routes().contains(&(ShardId(0), 20)), "one of them is not here");
    fetch_mean(&mut scene, &mut fetching, &means[0]);
    assert_eq!(asked(&mut scene, &mut fetching), []);
    assert!(fetching.routes().contains(&(ShardId(0), 20)));
    scene.hold([large(0, 20)]);
    asked(&mut scene, &mut fetching);
    assert!(!fetching.routes().contains(&(ShardId(0), 20)), "it is made");
}

#[test]
fn means_that_are_as_long_as_the_checkpoint_are_not_fetched() {
    for (size, is_route) in [(2, false), (3, true)] {
        let (mut scene, mut fetching) = scene(merged(chain(1, 40, 10), 2));
        let it = checkpoint(0, 20);
        let it = Checkpoint { blob: BlobRef { size, ..it.blob }, ..it };
        scene.learn(A, [it]);
        let means = [0, 1].map(|chapter| change(chapter, 0, None));
        scene.learn_changes(A, means);
        scene.work([JobStatus { phase: Phase::NeedsCheckpoint, ..branch_job(2, 0, 20) }]);
        let all = asked(&mut scene, &mut fetching);
        let by_means = means.map(|mean| (mean.blob, A)).to_vec();
        assert_eq!(all, if is_route { by_means } else { vec![(it.blob, A)] });
        means.iter().for_each(|mean| fetch_mean(&mut scene, &mut fetching, mean));
        asked(&mut scene, &mut fetching);
        assert_eq!(fetching.routes().contains(&(ShardId(0), 20)), is_route);
    }
}

#[test]
fn the_first_chapter_needs_no_start() {
    let (mut scene, mut fetching) = scene(merged(chain(1, 40, 10), 2));
    scene.learn(A, [large(0, 10)]);
    scene.learn_changes(A, [change(0, 0, None)]);
    scene.work([JobStatus { phase: Phase::NeedsCheckpoint, ..branch_job(1, 0, 10) }]);
    assert_eq!(asked(&mut scene, &mut fetching), [(change(0, 0, None).blob, A)]);
}

#[test]
fn observers_fetch_checkpoints_and_no_means() {
    let (mut scene, mut fetching) = after_two_chapters(Role::Observer);
    let mean = change(3, 0, None);
    scene.learn(A, [large(0, 30), large(0, 40)]);
    scene.learn_changes(A, [mean]);
    scene.hold([large(0, 30)]);
    let all = asked(&mut scene, &mut fetching);
    assert!(all.contains(&(large(0, 40).blob, A)), "{all:?}");
    assert!(!all.contains(&(mean.blob, A)), "{all:?}");
    fetch_mean(&mut scene, &mut fetching, &mean);
    asked(&mut scene, &mut fetching);
    assert!(fetching.routes().is_empty());
}

#[test]
fn a_mean_is_fetched_from_different_holders_by_different_peers() {
    let mean = change(0, 0, None);
    let source = |me: u8, holders: &[NodeId]| {
        let (plan, mut out) = (merged(chain(1, 40, 10), 2), Outbox::new(NodeId([me; 32])));
        let mut known =
            Known::new(NodeId([me; 32]), Role::Worker, plan, Config::default(), Time(0));
        holders.iter().for_each(|&holder| known.learn_change(mean, holder, &mut out));
        mean_source(&known, known.changes().at(0, ShardId(0), None)?)
    };
    let asked: BTreeSet<NodeId> =
        (4..12).filter_map(|me| Some(source(me, &[A, B, C])?.1)).collect();
    assert_eq!(asked, BTreeSet::from([A, B, C]));
    assert!((4..12).all(|me| source(me, &[A, B, C]) == source(me, &[C, A, B])), "always the same");
    assert!((4..12).all(|me| source(me, &[B]) == Some((mean.blob, B))), "there is no other");
}

#[test]
fn changes_to_merge_are_waited_for() {
    let (mut scene, mut fetching) = scene(merged(chain(1, 40, 10), 2));
    let large = |branch| {
        let it = change(0, 0, Some(branch)).blob;
        (BlobRef { size: u64::MAX, ..it }, A)
    };
    let changes = vec![large(0), large(1)];
    scene.known.publish_jobs(JobsView { changes: changes.clone(), ..JobsView::default() });
    assert_eq!(asked(&mut scene, &mut fetching), changes, "however large they are");
    assert_eq!(asked(&mut scene, &mut fetching), []);
}
