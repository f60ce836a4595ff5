//! Which activation batches and tables can be had.
//!
//! Rule: a batch can be had from a peer that says it holds it, unless it did not deliver or its
//! readers cannot reach it. A table is a checkpoint of the feedback shard, which the lowest shards
//! read some chapters later; the same holds for it.

use std::ops::Range;

use super::Known;
use super::checkpoints::Entry;
use crate::{NodeId, ShardId};

/// The end of the unbroken cover by `runs`, in order, that begins at `from`.
pub(crate) fn end_of_cover(runs: &[Range<u64>], from: u64) -> u64 {
    runs.iter().fold(from, |end, run| if run.start <= end { end.max(run.end) } else { end })
}

impl Known {
    /// Whether what `peer` says it holds of `shard` is not believed.
    pub(crate) fn is_suspect(&self, shard: ShardId, peer: NodeId) -> bool {
        self.trust.is_suspect(shard, peer)
    }

    /// The runs of batches of `shard` that can be had, by their first step.
    pub(crate) fn runs(&self, shard: ShardId) -> Vec<Range<u64>> {
        let cut = self.avoided_by_readers(shard);
        let believed = self
            .members
            .iter()
            .filter(|(id, _)| !self.trust.is_suspect(shard, *id) && !cut.contains(id));
        let held = believed.flat_map(|(_, member)| &member.batches);
        let held = held.filter(|run| run.shard == shard);
        let mut runs: Vec<Range<u64>> = held.map(|run| run.from..run.until).collect();
        runs.extend(self.own.batches.runs.get(&shard).into_iter().flatten().cloned());
        runs.sort_by_key(|run| run.start);
        runs
    }

    /// The furthest step up to which the batches of `shard` from `from` on can be had.
    pub(crate) fn covered(&self, shard: ShardId, from: u64) -> u64 {
        end_of_cover(&self.runs(shard), from)
    }

    /// The table of the feedback shard's first `step` steps, if its readers can have it.
    pub(crate) fn table(&self, step: u64) -> Option<&Entry> {
        let shard = self.plan.feedback_shard()?;
        let cut = self.avoided_by_readers(shard);
        let is_good = |id: &NodeId| !self.trust.is_suspect(shard, *id) && !cut.contains(id);
        let believed = |entry: &&Entry| entry.holders.iter().any(is_good);
        self.checkpoints.at(shard, step).filter(believed)
    }

    /// Whether nobody has the table that `shard` needs for `step`.
    pub(crate) fn lacks_table(&self, shard: ShardId, step: u64) -> bool {
        self.plan.table_of(shard, step).is_some_and(|table| self.table(table).is_none())
    }

    /// Whether `shard` cannot do step `next` because nobody holds what it would read.
    pub(crate) fn is_unfed(&self, shard: ShardId, next: u64) -> bool {
        let inputs = self.plan.inputs(shard);
        inputs.into_iter().any(|input| self.covered(input, next) <= next)
            || self.lacks_table(shard, next)
    }

    /// The known tables from feedback step `from` on.
    pub(crate) fn tables_at_least(&self, from: u64) -> impl Iterator<Item = &Entry> {
        let feedback = self.plan.feedback_shard().into_iter();
        let tables = feedback.flat_map(|shard| self.checkpoints.of(shard));
        tables.filter(move |entry| entry.checkpoint.step >= from)
    }

    /// The peers that say they hold the batch, or the table, of `shard` for `step` do not deliver it:
    /// from now on it is as if they did not say so.
    pub(crate) fn suspect_holders(&mut self, shard: ShardId, step: u64) {
        let entry = self.checkpoints.at(shard, step);
        let is_table = self.plan.feedback_shard() == Some(shard);
        let holders = entry.filter(|_| is_table).into_iter().flat_map(|entry| &entry.holders);
        let mut suspects: Vec<NodeId> = holders.copied().filter(|id| *id != self.me).collect();
        if !is_table {
            let holders = self.members.iter().filter(|(_, it)| it.holds_batch(shard, step));
            suspects.extend(holders.map(|(id, _)| id));
        }
        suspects.into_iter().for_each(|id| self.trust.suspect(shard, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Heartbeat;
    use crate::testing::*;

    const S0: ShardId = ShardId(0);

    #[test]
    fn a_cover_ends_at_the_first_gap() {
        let runs = [0..4, 2..6, 8..9];
        assert_eq!([0, 3, 6, 7, 8].map(|from| end_of_cover(&runs, from)), [6, 6, 6, 7, 9]);
    }

    #[test]
    fn what_others_hold_and_what_this_peer_holds_count_together() {
        let mut scene = Scene::new(chain(2, 40, 10));
        let runs = vec![run_of(0, 4, 9), run_of(1, 0, 30)];
        scene.meet(A, Heartbeat { batches: runs, ..heartbeat() });
        assert_eq!((scene.known.covered(S0, 0), scene.known.covered(S0, 4)), (0, 9));
        scene.keep(&[run_of(0, 0, 4), run_of(0, 9, 12)]);
        assert_eq!(scene.known.runs(S0), [0..4, 4..9, 9..12]);
        assert_eq!(scene.known.covered(S0, 2), 12);
    }

    #[test]
    fn who_does_not_deliver_is_not_counted_on_until_it_announces_or_is_met_again() {
        let mut scene = Scene::new(chain(2, 40, 10));
        let says = Heartbeat { batches: vec![run_of(0, 0, 9)], ..heartbeat() };
        scene.meet(A, says.clone());
        scene.meet(B, Heartbeat { batches: vec![run_of(0, 0, 3)], ..heartbeat() });
        scene.known.suspect_holders(S0, 5);
        assert!(scene.known.is_suspect(S0, A) && !scene.known.is_suspect(S0, B));
        assert_eq!(scene.known.covered(S0, 0), 3);
        scene.hear(A, says);
        assert_eq!(scene.known.covered(S0, 0), 3, "it only says it again");
        scene.known.announces(A, |shard| shard == S0);
        assert_eq!(scene.known.covered(S0, 0), 9);
        scene.known.suspect_holders(S0, 5);
        scene.known.connected(A);
        assert_eq!(scene.known.covered(S0, 0), 9);
        scene.known.suspect_holders(S0, 5);
        scene.known.forget_peer(A);
        assert!(!scene.known.is_suspect(S0, A));
    }

    #[test]
    fn a_table_can_be_had_while_somebody_who_delivers_holds_it() {
        let mut scene = Scene::new(with_feedback(chain(3, 60, 10)));
        let feedback = ShardId(2);
        scene.learn(A, [checkpoint(2, 10), checkpoint(2, 20)]);
        scene.hold([checkpoint(2, 20)]);
        assert!(scene.known.table(10).is_some() && scene.known.table(30).is_none());
        scene.known.suspect_holders(feedback, 20);
        assert!(scene.known.is_suspect(feedback, A) && !scene.known.is_suspect(feedback, ME));
        assert!(scene.known.table(10).is_none() && scene.known.table(20).is_some());
        let known = scene.known.tables_at_least(11).map(|entry| entry.checkpoint.step);
        assert_eq!(known.collect::<Vec<_>>(), [20]);
    }

    #[test]
    fn a_shard_is_unfed_without_a_batch_of_each_input_or_without_its_table() {
        let mut scene = Scene::new(with_feedback(crate::Plan::example(&[2, 1, 1], 60, 10)));
        let reader = ShardId(2);
        scene.keep(&[run_of(0, 0, 9)]);
        assert!(scene.known.is_unfed(reader, 3));
        scene.keep(&[run_of(0, 0, 9), run_of(1, 0, 4)]);
        assert!(!scene.known.is_unfed(reader, 3) && scene.known.is_unfed(reader, 4));
        assert!(!scene.known.is_unfed(S0, 9), "the first chapters read no table");
        assert!(scene.known.is_unfed(S0, 20) && scene.known.lacks_table(S0, 20));
        scene.learn(A, [checkpoint(3, 10)]);
        assert!(!scene.known.is_unfed(S0, 20) && scene.known.is_unfed(S0, 30));
    }

    #[test]
    fn a_run_without_feedback_has_no_tables() {
        let mut scene = Scene::new(chain(3, 60, 10));
        scene.learn(A, [checkpoint(2, 10)]);
        assert!(scene.known.table(10).is_none() && !scene.known.lacks_table(S0, 40));
        assert_eq!(scene.known.tables_at_least(0).count(), 0);
    }
}
