//! Fetching: what is needed, from whom, and how much at once.
//!
//! Rule: at most [`MAX_FETCHES`] blobs are on their way at once; batches and what a shard waits for come
//! first, and nothing else is asked for while [`MAX_FETCH_BYTES`] are on their way.

use std::collections::BTreeMap;

use super::copies::{bridges, copy_duties};
use super::pacing::Pacing;
use crate::known::Known;
use crate::known::own::Phase;
use crate::outbox::{Fact, Outbox};
use crate::{BlobRef, Hash, MAX_FETCH_BYTES, MAX_FETCHES, NodeId, Output, Role, ShardId, Time};

/// A blob, and a peer that has it.
type Source = (BlobRef, NodeId);

/// The duty to fetch what is needed.
#[derive(Debug)]
pub(crate) struct Fetching {
    /// Blobs asked for and not answered, with the peer that was asked and their bytes.
    in_flight: BTreeMap<Hash, (NodeId, u64)>,
    pacing: Pacing,
}

impl Fetching {
    pub(crate) fn new(now: Time) -> Self {
        Self { in_flight: BTreeMap::new(), pacing: Pacing::new(now) }
    }

    /// Asks for the blobs that are needed and not on their way, as far as the bounds allow.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        self.pacing.look(known);
        if known.role() == Role::Onlooker || self.in_flight.len() >= MAX_FETCHES {
            return;
        }
        // A shard that waits for a checkpoint does not wait for copies, too.
        for source in announced(known).into_iter().chain(needed_checkpoints(known)) {
            self.ask(source, None, out);
        }
        for source in wanted_checkpoints(known) {
            self.ask(source, Some(MAX_FETCH_BYTES), out);
        }
        if self.pacing.may_ask(known) {
            let mut due = unhurried(known);
            due.retain(|(blob, _)| !self.in_flight.contains_key(&blob.hash));
            self.pacing.due(due.len());
            if let Some(&source) = due.first()
                && self.ask(source, Some(MAX_FETCH_BYTES), out)
            {
                self.pacing.asked(source.0.hash, known.now());
            }
        }
    }

    /// Asks for a blob unless it is here or on its way, or so much else is, as far as that matters.
    /// Returns whether it did.
    fn ask(&mut self, (blob, from): Source, most_bytes: Option<u64>, out: &mut Outbox) -> bool {
        // Sizes are what others claim: none holds up what is waited for.
        let bytes = self.in_flight.values().map(|(_, size)| *size).fold(0, u64::saturating_add);
        let is_full = self.in_flight.len() >= MAX_FETCHES
            || most_bytes.is_some_and(|most_bytes| bytes >= most_bytes);
        if is_full || self.in_flight.contains_key(&blob.hash) {
            return false;
        }
        if out.holds(blob.hash) {
            out.fact(Fact::Here(blob.hash));
            return false;
        }
        self.in_flight.insert(blob.hash, (from, blob.size));
        out.push(Output::Fetch { blob, from });
        true
    }

    /// A blob is here.
    pub(crate) fn fetched(&mut self, hash: Hash, now: Time) {
        self.in_flight.remove(&hash);
        self.pacing.ended(hash, now);
    }

    /// `from` did not deliver a blob.
    pub(crate) fn failed(&mut self, hash: Hash, from: NodeId, now: Time) {
        if self.in_flight.get(&hash).is_some_and(|(asked, _)| *asked == from) {
            self.fetched(hash, now);
        }
    }

    /// The blobs that `peer` was asked for and did not deliver yet.
    pub(crate) fn asked_of(&self, peer: NodeId) -> Vec<Hash> {
        let asked = self.in_flight.iter().filter(|(_, (from, _))| *from == peer);
        asked.map(|(hash, _)| *hash).collect()
    }

    /// Blobs on their way.
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }
}

/// Batches announced and not here, the earliest step first.
fn announced(known: &Known) -> Vec<Source> {
    let mut all = known.own().jobs.announced.clone();
    all.sort_by_key(|(step, blob, _)| (*step, blob.hash));
    all.into_iter().map(|(_, blob, from)| (blob, from)).collect()
}

/// Checkpoints and tables that this peer's jobs wait for.
fn needed_checkpoints(known: &Known) -> Vec<Source> {
    let jobs = known.own().jobs().filter(|job| job.phase == Phase::NeedsCheckpoint);
    let shards = jobs.filter_map(|job| job.task.shard());
    let mut cells: Vec<(ShardId, u64)> = shards.map(|shard| (shard, known.start(shard))).collect();
    cells.extend(known.branch_needs());
    cells.extend(known.wanted_tables());
    elsewhere(known, cells)
}

/// Checkpoints that this peer will need, those of the whole model, and those that somebody cannot
/// reach.
fn wanted_checkpoints(known: &Known) -> Vec<Source> {
    let (plan, mut cells) = (known.plan(), known.needs_ahead());
    let at_end = |shard| known.checkpoints().at(shard, plan.steps).is_some();
    if plan.model_shards().all(at_end) {
        cells.extend(plan.model_shards().map(|shard| (shard, plan.steps)));
    }
    cells.extend(bridges(known));
    elsewhere(known, cells)
}

/// Fetches that nobody waits for: what an epoch is scored with, and what this peer has the duty to hold.
fn unhurried(known: &Known) -> Vec<Source> {
    let scoring = known.own().scoring;
    let scored = scoring.evaluating.filter(|_| !scoring.under_way);
    let scored = scored.map(|epoch| known.plan().epoch_end(epoch)).into_iter();
    let scored = scored.flat_map(|end| known.plan().model_shards().map(move |shard| (shard, end)));
    elsewhere(known, scored.chain(copy_duties(known)))
}

/// Those of these checkpoints that others hold and this peer does not, and who does.
fn elsewhere(known: &Known, cells: impl IntoIterator<Item = (ShardId, u64)>) -> Vec<Source> {
    cells
        .into_iter()
        .filter_map(|(shard, step)| known.checkpoints().at(shard, step))
        .filter(|entry| !entry.holders.contains(&known.me()))
        .filter_map(|entry| Some((entry.checkpoint.blob, *entry.holders.first()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::own::{JobStatus, JobsView, ScoringView};
    use crate::testing::{
        A, B, ME, Scene, batch_blob, by_chapter, chain, chapter_lease, checkpoint, heartbeat, job,
        shard_lease, with_feedback,
    };
    use crate::{Checkpoint, Config, Heartbeat, Plan};

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
        scene.work([crate::testing::branch_job(1, 0, 10)]);
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
}
