//! Readers that lack batches, or tables, which the owner of their shard has left behind.
//!
//! Rule: a shard goes back and makes batches again only when a reader has lacked them for a while and
//! nobody holds them. A peer that says it holds them and does not deliver them for long is not
//! believed; the same holds for the tables that the feedback shard has left behind.

use std::collections::{BTreeMap, BTreeSet};

use super::flow_control::LONG_PATIENCE;
use crate::known::Known;
use crate::known::own::JobStatus;
use crate::outbox::{Fact, Outbox};
use crate::{ShardId, Time};

/// Retries after which a shard goes back for a reader whose batches nobody holds.
const PATIENCE: u64 = 3;

/// A shard, and a reader of it.
type Edge = (ShardId, ShardId);

/// The duty to notice readers that starve.
#[derive(Debug, Default)]
pub(crate) struct Starvation {
    /// Since when a reader (second) has lacked batches of a shard (first) that the shard's owner does
    /// not hold, and from which step on.
    lacking: BTreeMap<Edge, (Time, u64)>,
}

impl Starvation {
    /// Notes, as the owner of the feedback shard, since when a lowest shard has lacked a table that is
    /// not here and that the feedback shard has left behind.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        let Some(feedback) = known.plan().feedback_shard() else { return };
        if lacks_a_table(known) {
            // One that was refused here while others have no fault to find with it is tried again.
            out.fact(Fact::Retry(feedback));
        }
        let edge = (feedback, ShardId(0));
        let done = match known.own().job(feedback) {
            Some(job) if job.is_ready() => job.done,
            None if known.owner(feedback) == Some(known.me()) => known.plan().steps,
            _ => 0,
        };
        let lost = known.tables_needed().find(|step| !known.holds(feedback, *step));
        let Some(step) = lost.filter(|step| *step <= done) else {
            self.lacking.remove(&edge);
            return;
        };
        let now = known.now();
        let (since, of) = *self.lacking.entry(edge).or_insert((now, step));
        if of != step {
            self.lacking.insert(edge, (now, step));
        } else if now.since(since) >= LONG_PATIENCE * known.config().retry_ms {
            out.fact(Fact::Undelivered(feedback, step));
        }
    }

    /// The owner of a reader of `shard` asks from step `from` on.
    pub(crate) fn on_request(
        &mut self,
        (shard, reader): Edge,
        from: u64,
        known: &Known,
        out: &mut Outbox,
    ) {
        let edge = (shard, reader);
        let handed = match known.own().job(shard) {
            Some(job) => job.handed,
            None if known.owner(shard) == Some(known.me()) => known.plan().steps,
            None => 0,
        };
        let is_covered = known.covered(shard, from) >= handed;
        if from >= handed || (known.own().has_batch(shard, from) && is_covered) {
            self.lacking.remove(&edge);
            return;
        }
        let now = known.now();
        let (since, lacked) = *self.lacking.entry(edge).or_insert((now, from));
        if is_covered && lacked != from {
            self.lacking.insert(edge, (now, from));
        } else if now.since(since) >= LONG_PATIENCE * known.config().retry_ms {
            out.fact(Fact::Undelivered(shard, from));
        }
    }

    /// The readers of `shard` will be fed again.
    pub(crate) fn forget(&mut self, shard: ShardId) {
        self.lacking.retain(|(starved, _), _| *starved != shard);
    }

    /// The shards whose readers have gone without for so long that they must go back.
    pub(crate) fn view(&self, known: &Known) -> BTreeSet<ShardId> {
        let patience = PATIENCE * known.config().retry_ms;
        let starving = self.lacking.iter();
        let starving = starving.filter(|(_, (since, _))| known.now().since(*since) >= patience);
        starving.map(|((shard, _), _)| *shard).collect()
    }
}

/// Whether an own shard has lacked a table for a while that nobody has.
fn lacks_a_table(known: &Known) -> bool {
    let patience = PATIENCE * known.config().retry_ms;
    let own = known.own();
    let is_long = |job: &&JobStatus| {
        let since = own.lacking.get(&job.shard);
        since.is_some_and(|since| known.now().since(*since) >= patience)
    };
    let shards = own.jobs().filter(|job| job.task.shard().is_some() && job.is_ready());
    shards.filter(is_long).any(|job| known.lacks_table(job.shard, job.next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::own::Phase;
    use crate::testing::{
        A, B, ME, Scene, chain, checkpoint, heartbeat, job, run_of, shard_lease, with_feedback,
    };
    use crate::{Config, Heartbeat, Role};

    const RETRY_MS: u64 = 500;
    const EDGE: Edge = (ShardId(0), ShardId(1));

    /// ME owns a shard, of which it has handed on 20 steps; A owns the one that reads it. B is here.
    fn read_by_a() -> (Scene, Starvation) {
        let config = Config { retry_ms: RETRY_MS, ..Config::default() };
        let mut scene = Scene::with(Role::Worker, chain(2, 100, 10), config);
        scene.meet_all(&[A, B]);
        scene.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, A, 0)]);
        scene.work([job(0, 20)]);
        scene.drain();
        (scene, Starvation::default())
    }

    /// A asks from that step on. Returns what is found out.
    fn asks(scene: &mut Scene, starvation: &mut Starvation, from: u64) -> Vec<Fact> {
        starvation.on_request(EDGE, from, &scene.known, &mut scene.out);
        scene.facts()
    }

    #[test]
    fn a_reader_starves_when_it_has_asked_for_a_while_for_what_nobody_holds() {
        let (mut scene, mut starvation) = read_by_a();
        scene.keep(&[run_of(0, 15, 20)]);
        assert_eq!(asks(&mut scene, &mut starvation, 12), []);
        scene.wait(PATIENCE * RETRY_MS - 1);
        assert!(starvation.view(&scene.known).is_empty());
        asks(&mut scene, &mut starvation, 13);
        scene.wait(1);
        assert_eq!(starvation.view(&scene.known), BTreeSet::from([ShardId(0)]));
        asks(&mut scene, &mut starvation, 15);
        assert!(starvation.view(&scene.known).is_empty(), "it is fed again");
    }

    #[test]
    fn a_reader_that_waits_for_what_is_still_to_be_made_does_not_starve() {
        let (mut scene, mut starvation) = read_by_a();
        asks(&mut scene, &mut starvation, 20);
        scene.wait(60_000);
        assert!(starvation.view(&scene.known).is_empty());
    }

    #[test]
    fn a_hole_further_on_starves_a_reader_as_well() {
        let (mut scene, mut starvation) = read_by_a();
        scene.keep(&[run_of(0, 10, 12), run_of(0, 14, 20)]);
        asks(&mut scene, &mut starvation, 10);
        scene.wait(PATIENCE * RETRY_MS);
        assert!(starvation.view(&scene.known).contains(&ShardId(0)));
    }

    #[test]
    fn a_shard_that_was_finished_or_taken_up_again_feeds_its_readers() {
        let (mut scene, mut starvation) = read_by_a();
        scene.work([]);
        asks(&mut scene, &mut starvation, 99);
        scene.wait(PATIENCE * RETRY_MS);
        assert!(starvation.view(&scene.known).contains(&ShardId(0)), "it was finished here");
        starvation.forget(ShardId(1));
        assert!(!starvation.view(&scene.known).is_empty());
        starvation.forget(ShardId(0));
        assert!(starvation.view(&scene.known).is_empty());
        scene.lease(&[shard_lease(0, 2, B, 0)]);
        asks(&mut scene, &mut starvation, 0);
        scene.wait(PATIENCE * RETRY_MS);
        assert!(starvation.view(&scene.known).is_empty(), "it is B's to feed them");
    }

    #[test]
    fn a_peer_that_says_it_holds_what_a_reader_lacks_is_not_believed_for_ever() {
        let (mut scene, mut starvation) = read_by_a();
        scene.hear(B, Heartbeat { batches: vec![run_of(0, 0, 20)], ..heartbeat() });
        assert_eq!(asks(&mut scene, &mut starvation, 5), []);
        scene.wait(LONG_PATIENCE * RETRY_MS - 1);
        assert_eq!(asks(&mut scene, &mut starvation, 6), [], "it goes on: B delivers");
        scene.wait(LONG_PATIENCE * RETRY_MS - 1);
        assert_eq!(asks(&mut scene, &mut starvation, 6), []);
        scene.wait(1);
        assert_eq!(asks(&mut scene, &mut starvation, 6), [Fact::Undelivered(ShardId(0), 6)]);
    }

    /// ME owns the feedback shard and has done 20 steps of it; A owns the lowest, is at step 35 and
    /// says that it holds these tables.
    fn feeds_a(tables: &[u64]) -> (Scene, Starvation) {
        let config = Config { retry_ms: RETRY_MS, ..Config::default() };
        let mut scene = Scene::with(Role::Worker, with_feedback(chain(3, 100, 10)), config);
        scene.meet_all(&[A]);
        scene.lease(&[shard_lease(0, 1, A, 0), shard_lease(2, 1, ME, 0)]);
        let held = tables.iter().map(|step| checkpoint(2, *step)).collect();
        let progress = vec![(ShardId(0), 35)];
        scene.hear(A, Heartbeat { progress, held, ..heartbeat() });
        scene.work([job(2, 20)]);
        scene.look();
        scene.drain();
        (scene, Starvation::default())
    }

    fn settles(scene: &mut Scene, starvation: &mut Starvation) -> Vec<Fact> {
        starvation.settle(&scene.known, &mut scene.out);
        scene.facts()
    }

    #[test]
    fn a_table_that_was_left_behind_and_is_gone_is_made_again() {
        let (mut scene, mut starvation) = feeds_a(&[]);
        assert_eq!(settles(&mut scene, &mut starvation), []);
        scene.wait(PATIENCE * RETRY_MS);
        assert_eq!(starvation.view(&scene.known), BTreeSet::from([ShardId(2)]));
        scene.hold([checkpoint(2, 20)]);
        scene.look();
        assert_eq!(settles(&mut scene, &mut starvation), []);
        assert!(starvation.view(&scene.known).is_empty(), "it is here again");
    }

    #[test]
    fn a_table_that_somebody_says_it_holds_and_that_does_not_come_is_not_believed_in() {
        let (mut scene, mut starvation) = feeds_a(&[20, 30]);
        assert_eq!(settles(&mut scene, &mut starvation), []);
        scene.wait(LONG_PATIENCE * RETRY_MS);
        assert_eq!(settles(&mut scene, &mut starvation), [Fact::Undelivered(ShardId(2), 20)]);
        scene.hold([checkpoint(2, 20)]);
        scene.work([job(2, 30)]);
        scene.look();
        assert_eq!(settles(&mut scene, &mut starvation), [], "the next one has its own time");
        scene.work([]);
        scene.wait(LONG_PATIENCE * RETRY_MS);
        let undelivered = [Fact::Undelivered(ShardId(2), 30)];
        assert_eq!(settles(&mut scene, &mut starvation), undelivered, "the shard has ended");
    }

    #[test]
    fn a_table_that_was_refused_is_tried_again_when_a_shard_has_waited_for_it() {
        let (mut scene, mut starvation) = feeds_a(&[]);
        scene.lease(&[shard_lease(0, 2, ME, 0), shard_lease(2, 2, A, 0)]);
        scene.work([job(0, 30)]);
        scene.look();
        assert_eq!(settles(&mut scene, &mut starvation), [], "it has only just begun to wait");
        let lacking = [(ShardId(0), scene.known.now())];
        scene.known.publish_lacking(lacking.into_iter().collect());
        scene.wait(PATIENCE * RETRY_MS - 1);
        assert_eq!(settles(&mut scene, &mut starvation), []);
        scene.wait(1);
        assert_eq!(settles(&mut scene, &mut starvation), [Fact::Retry(ShardId(2))]);
        scene.work([JobStatus { phase: Phase::Loading(None), ..job(0, 30) }]);
        assert_eq!(settles(&mut scene, &mut starvation), [], "it does not train");
        scene.work([job(0, 30)]);
        scene.learn(A, [checkpoint(2, 20)]);
        assert_eq!(settles(&mut scene, &mut starvation), [], "A has it");
    }

    #[test]
    fn a_run_without_a_feedback_shard_lacks_no_table() {
        let (mut scene, mut starvation) = read_by_a();
        let lacking = [(ShardId(0), scene.known.now())];
        scene.known.publish_lacking(lacking.into_iter().collect());
        scene.wait(60_000);
        assert_eq!(settles(&mut scene, &mut starvation), []);
        assert!(starvation.view(&scene.known).is_empty());
    }
}
