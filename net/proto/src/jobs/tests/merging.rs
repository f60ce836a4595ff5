//! Tests of merging: who does it, of what, and what becomes of it.

use super::*;
use crate::testing::{
    A, B, ME, Scene, all_changes, blob, by_chapter, chain, change, checkpoint, heartbeat, merged,
    other_checkpoint,
};
use crate::{Config, Plan};

#[path = "means.rs"]
mod means;

const S0: ShardId = ShardId(0);

/// The duty, and what is known. What it finds out is taken in at once.
struct Bench {
    scene: Scene,
    merging: Merging,
}

impl Bench {
    fn new(plan: Plan) -> Self {
        Self::with(Role::Worker, plan)
    }

    /// A is here.
    fn with(role: Role, plan: Plan) -> Self {
        let mut scene = Scene::with(role, plan, Config::default());
        scene.meet_all(&[A, B]);
        scene.drain();
        Self { scene, merging: Merging::default() }
    }

    /// Lets the duty look at what is known; returns what it wants the trainer to do.
    fn settle(&mut self) -> Vec<Output> {
        self.scene.look();
        self.scene.outputs();
        self.merging.settle(&self.scene.known, &mut self.scene.out);
        self.merging.follow(&self.scene.known, &mut self.scene.out);
        self.scene.outputs()
    }

    /// All means that lead to these checkpoints are said to be here.
    fn routes(&mut self, routes: &[(u16, u64)]) {
        let routes = routes.iter().map(|&(shard, step)| (ShardId(shard), step)).collect();
        self.scene.known.publish_routes(routes);
    }

    /// A has these means, and this peer has fetched them.
    fn fetch_means(&mut self, means: &[Change]) {
        self.scene.learn_changes(A, means.iter().copied());
        for mean in means {
            self.scene.known.fetched_change(mean.blob.hash, &mut self.scene.out);
        }
    }

    /// The blobs that are wanted, with the peers that have them.
    fn wanted(&mut self) -> Vec<(BlobRef, NodeId)> {
        self.settle();
        self.merging.wanted(&self.scene.known)
    }

    /// The trainer answers the merge of this cell; returns what the duty finds out.
    fn answer(&mut self, (shard, step): (u16, u64), outcome: Merge) -> Vec<Fact> {
        let Self { scene: Scene { known, out, .. }, merging } = self;
        merging.merged((ShardId(shard), step), outcome, known, out);
        let (_, facts) = out.drain();
        for fact in &facts {
            if let Fact::Merged(checkpoint, mean) = *fact {
                known.made_change(mean, out);
                known.made(checkpoint, out);
            } else if let Fact::FalseChange(hash) = *fact {
                known.refuse_change(hash, out);
            } else if let Fact::Unreadable(shard, step) = *fact {
                known.unreadable(shard, step, out);
            }
        }
        facts
    }

    /// Whether these blobs are held.
    fn holds<const N: usize>(&self, blobs: [BlobRef; N]) -> [bool; N] {
        blobs.map(|blob| self.scene.out.holds(blob.hash))
    }

    /// This peer gives up all that it holds of changes and of these checkpoints.
    fn give_up(&mut self, checkpoints: &[(u16, u64)]) {
        let Scene { known, out, .. } = &mut self.scene;
        let held: Vec<Change> = known.changes().held_by(ME).collect();
        held.iter().for_each(|change| known.settle_change(change, out));
        for &(shard, step) in checkpoints {
            known.lose_own_copy(ShardId(shard), step, out);
        }
    }
}

/// Four chapters of two shards, each cut into two branches.
fn plan() -> Plan {
    merged(chain(2, 40, 10), 2)
}

fn own(chapter: u64, shard: u16, branch: u16) -> Change {
    Change { by: ME, ..change(chapter, shard, Some(branch)) }
}

/// The output that asks for that.
fn merge(shard: u16, step: u64, start: Option<Checkpoint>, changes: &[Change]) -> Output {
    let parts = Parts::Branches(changes.iter().map(|it| it.blob.hash).collect());
    let (from, start) = (start.map_or(0, |it| it.step), start.map(|it| it.blob.hash));
    Output::Merge { shard: ShardId(shard), step, from, start, parts }
}

/// The one honest outcome.
fn outcome(shard: u16, step: u64) -> Merge {
    let mean = change(plan().chapter_ending(step), shard, None).blob;
    Merge::Made { checkpoint: checkpoint(shard, step).blob, mean }
}

#[test]
fn the_maker_of_the_named_branch_merges() {
    let mut bench = Bench::new(plan());
    bench.scene.make_changes([own(0, 0, 0), own(0, 1, 0)]);
    assert_eq!(bench.wanted(), [], "the others are not made");
    bench.scene.learn_changes(A, [0, 1].map(|shard| change(0, shard, Some(1))));
    let other = change(0, 0, Some(1));
    assert_eq!(bench.wanted(), [(other.blob, A)], "of shard 1, A merges");
    assert_eq!(bench.settle(), []);
    bench.scene.known.fetched_change(other.blob.hash, &mut bench.scene.out);
    assert_eq!(bench.settle(), [merge(0, 10, None, &all_changes(0, 0, 2))]);
    assert_eq!((bench.settle(), bench.wanted()), (vec![], vec![]), "once");
}

#[test]
fn what_nobody_merges_for_long_all_may_merge() {
    let mut bench = Bench::new(plan());
    bench.scene.learn_changes(A, all_changes(0, 0, 2));
    assert_eq!(bench.wanted(), []);
    bench.scene.wait(bench.scene.known.config().silent_ms - 1);
    assert_eq!(bench.wanted(), []);
    bench.scene.wait(1);
    let all = all_changes(0, 0, 2).into_iter().map(|it| (it.blob, A));
    assert_eq!(bench.wanted(), all.collect::<Vec<_>>());
    bench.scene.learn(A, [checkpoint(0, 10)]);
    assert_eq!(bench.wanted(), [], "somebody did");
}

#[test]
fn what_those_do_not_merge_who_hold_the_start_the_others_merge() {
    let mut bench = Bench::new(plan());
    bench.scene.learn(A, [checkpoint(0, 10)]);
    bench.scene.learn_changes(A, [change(1, 0, Some(0))]);
    bench.scene.learn_changes(B, [change(1, 0, Some(1))]);
    assert_eq!(bench.wanted(), []);
    bench.scene.wait(2 * bench.scene.known.config().silent_ms - 1);
    assert_eq!(bench.wanted(), [], "A could be about to");
    bench.scene.wait(1);
    let parts = [(change(1, 0, Some(0)).blob, A), (change(1, 0, Some(1)).blob, B)];
    assert_eq!(bench.wanted(), [&[(checkpoint(0, 10).blob, A)][..], &parts].concat());
    bench.scene.hold([checkpoint(0, 10)]);
    assert_eq!(bench.wanted(), parts);
}

#[test]
fn the_time_counts_from_when_all_is_changed() {
    let mut bench = Bench::new(plan());
    bench.scene.learn_changes(A, [change(0, 0, Some(0))]);
    bench.scene.learn_changes(B, [change(0, 0, Some(1))]);
    bench.settle();
    bench.scene.known.forget_peer(B);
    bench.settle();
    bench.scene.wait(bench.scene.known.config().silent_ms);
    bench.scene.learn_changes(A, [change(0, 0, Some(1))]);
    assert_eq!(bench.wanted(), []);
}

#[test]
fn what_a_peer_that_is_gone_should_merge_all_may_merge() {
    let mut bench = Bench::new(plan());
    bench.scene.learn_changes(B, all_changes(0, 0, 2));
    assert_eq!(bench.wanted(), []);
    bench.scene.known.depart(A);
    assert_eq!(bench.wanted().len(), 2);
    bench.scene.known.leave();
    assert_eq!(bench.wanted(), [], "nobody waits for one that leaves");
}

#[test]
fn whoever_has_all_changes_merges_them_whoever_is_named() {
    let mut bench = Bench::new(plan());
    bench.scene.make_changes(all_changes(0, 0, 2));
    assert_eq!(bench.settle(), [merge(0, 10, None, &all_changes(0, 0, 2))]);
}

#[test]
fn a_chapter_is_merged_into_the_checkpoint_that_it_began_with() {
    let mut bench = Bench::new(plan());
    bench.scene.make_changes(all_changes(1, 0, 2));
    assert_eq!(bench.settle(), [], "that does not exist");
    bench.scene.learn(A, [checkpoint(0, 10)]);
    assert_eq!(bench.settle(), [], "it is not here");
    bench.scene.hold([checkpoint(0, 10)]);
    let start = Some(checkpoint(0, 10));
    assert_eq!(bench.settle(), [merge(0, 20, start, &all_changes(1, 0, 2))]);
}

#[test]
fn chapters_far_ahead_are_not_merged_yet() {
    let mut bench = Bench::new(merged(chain(2, 60, 10), 2));
    bench.scene.hold([10, 30].map(|step| checkpoint(0, step)));
    bench.scene.make_changes(all_changes(3, 0, 2));
    assert_eq!(bench.settle(), [], "the first chapter is open");
    bench.scene.hold([checkpoint(1, 10)]);
    let start = Some(checkpoint(0, 30));
    assert_eq!(bench.settle(), [merge(0, 40, start, &all_changes(3, 0, 2))]);
}

#[test]
fn the_checkpoint_and_the_mean_are_told_of_with_the_mean_loss() {
    let mut bench = Bench::new(plan());
    let losses = [10, 21].into_iter().zip(all_changes(0, 0, 2));
    bench.scene.make_changes(losses.map(|(loss_micro, it)| Change { loss_micro, ..it }));
    bench.settle();
    let (by, loss_micro) = (ME, 15);
    let mean = Change { by, loss_micro, ..change(0, 0, None) };
    let made = Checkpoint { by, loss_micro, ..checkpoint(0, 10) };
    let facts = bench.answer((0, 10), outcome(0, 10));
    assert_eq!(facts, [Fact::Merged(made, mean)]);
    assert!(bench.scene.known.holds(S0, 10) && bench.scene.known.has_change(0, S0, None));
    assert_eq!(bench.settle(), []);
}

#[test]
fn losses_that_somebody_claims_are_never_too_large_to_add() {
    let mut bench = Bench::new(plan());
    let claims = |it| Change { loss_micro: u64::MAX, ..it };
    bench.scene.make_changes(all_changes(0, 0, 2).into_iter().map(claims));
    bench.settle();
    let facts = bench.answer((0, 10), outcome(0, 10));
    let loss_micro = u64::MAX / 2;
    let made = Checkpoint { by: ME, loss_micro, ..checkpoint(0, 10) };
    assert!(matches!(facts[..], [Fact::Merged(it, _)] if it == made));
}

#[test]
fn what_is_merged_is_held_until_the_answer_and_what_is_made_from_then_on() {
    let mut bench = Bench::new(plan());
    bench.scene.hold([checkpoint(0, 10)]);
    bench.scene.make_changes(all_changes(1, 0, 2));
    bench.settle();
    bench.give_up(&[(0, 10)]);
    let [a, b] = [0, 1].map(|branch| change(1, 0, Some(branch)).blob);
    let reads = [checkpoint(0, 10).blob, a, b];
    let made = [checkpoint(0, 20).blob, change(1, 0, None).blob];
    assert_eq!((bench.holds(reads), bench.holds(made)), ([true; 3], [false; 2]));
    bench.answer((0, 20), outcome(0, 20));
    assert_eq!((bench.holds(reads), bench.holds(made)), ([false; 3], [true; 2]));
    bench.give_up(&[(0, 20)]);
    assert_eq!(bench.holds(made), [false; 2]);
}

#[test]
fn what_this_peer_merged_of_all_changes_stands_against_a_claimed_checkpoint() {
    let mut bench = Bench::new(plan());
    bench.scene.make_changes(all_changes(0, 0, 2));
    bench.settle();
    bench.scene.learn(B, [other_checkpoint(0, 10, B)]);
    bench.answer((0, 10), outcome(0, 10));
    let stands = bench.scene.known.checkpoints().at(S0, 10).map(|it| it.checkpoint);
    assert_eq!(stands, Some(Checkpoint { by: ME, ..checkpoint(0, 10) }));
    let facts = bench.answer((0, 10), outcome(0, 10));
    assert_eq!(facts, [], "it was not asked again");
}

#[test]
fn a_change_that_is_none_is_made_again() {
    let mut bench = Bench::new(plan());
    bench.scene.make_changes(all_changes(0, 0, 2));
    bench.settle();
    let bad = change(0, 0, Some(1)).blob;
    let facts = bench.answer((0, 10), Merge::Refused(Some(bad.hash)));
    assert_eq!(facts, [Fact::FalseChange(bad.hash)]);
    assert_eq!(bench.holds([change(0, 0, Some(0)).blob, bad]), [true, false]);
    assert!(!bench.scene.known.is_all_changed(0, S0) && bench.settle().is_empty());
}

#[test]
fn a_start_that_is_no_checkpoint_is_not_believed() {
    let mut bench = Bench::new(plan());
    bench.scene.hold([checkpoint(0, 10)]);
    bench.scene.make_changes(all_changes(1, 0, 2));
    bench.settle();
    let start = checkpoint(0, 10).blob;
    let facts = bench.answer((0, 20), Merge::Refused(Some(start.hash)));
    assert_eq!(facts, [Fact::Unreadable(S0, 10)]);
    assert_eq!(bench.holds([start, change(1, 0, Some(0)).blob]), [false, true]);
    assert_eq!(bench.settle(), []);
}

#[test]
fn a_merge_that_lost_a_blob_is_done_when_that_is_here_again() {
    let mut bench = Bench::new(plan());
    bench.scene.hold([checkpoint(0, 10)]);
    bench.scene.make_changes(all_changes(1, 0, 2));
    bench.scene.learn_changes(A, all_changes(1, 0, 2));
    bench.settle();
    let lost = change(1, 0, Some(1)).blob;
    let Bench { scene: Scene { known, out, .. }, merging } = &mut bench;
    merging.lost(lost.hash, out);
    known.lose_change(lost.hash, ME, out);
    assert_eq!(bench.holds([lost]), [false]);
    assert_eq!(bench.answer((0, 20), Merge::Refused(None)), []);
    assert_eq!(bench.settle(), []);
    bench.scene.known.fetched_change(lost.hash, &mut bench.scene.out);
    assert_eq!(bench.settle().len(), 1);
    bench.answer((0, 20), outcome(0, 20));
    bench.give_up(&[(0, 10), (0, 20)]);
    let others = [checkpoint(0, 10).blob, change(1, 0, Some(0)).blob];
    assert_eq!((bench.holds([lost]), bench.holds(others)), ([false], [false; 2]));
}

#[test]
fn a_lost_blob_that_is_not_read_changes_nothing() {
    let mut bench = Bench::new(plan());
    bench.scene.make_changes(all_changes(0, 0, 2));
    bench.settle();
    bench.merging.lost(blob("nothing").hash, &mut bench.scene.out);
    bench.give_up(&[]);
    assert_eq!(bench.holds([0, 1].map(|branch| change(0, 0, Some(branch)).blob)), [true; 2]);
}

#[test]
fn observers_do_not_merge() {
    for (role, merges) in [(Role::Worker, 1), (Role::Observer, 0), (Role::Onlooker, 0)] {
        let mut bench = Bench::with(role, plan());
        bench.scene.learn_changes(A, all_changes(0, 0, 2));
        bench.scene.learn_changes(A, all_changes(0, 1, 2));
        for change in all_changes(0, 0, 2) {
            bench.scene.known.fetched_change(change.blob.hash, &mut bench.scene.out);
        }
        assert_eq!(bench.settle().len(), merges, "{role:?}");
        bench.scene.wait(bench.scene.known.config().silent_ms);
        assert_eq!(bench.wanted().len(), 2 * merges, "{role:?}");
    }
}

#[test]
fn where_checkpoints_are_trained_nothing_is_merged() {
    let mut bench = Bench::new(by_chapter(chain(2, 40, 10)));
    bench.scene.meet(A, heartbeat());
    bench.scene.make_changes([change(0, 0, Some(0)), change(0, 0, None)]);
    assert_eq!((bench.settle(), bench.wanted()), (vec![], vec![]));
}
