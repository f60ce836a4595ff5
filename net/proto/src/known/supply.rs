//! Which activation batches and tables can be had.
//!
//! Rule: a batch can be had from a peer that says it holds it, unless it did not deliver or its
//! readers cannot reach it. A table is a checkpoint of the feedback shard, which the lowest shards
//! read some chapters later; the same holds for it.

use std::ops::Range;

use super::Known;
use super::checkpoints::Entry;
use crate::{NodeId, ShardId};

/// Where an unbroken cover by `runs`, in order, ends that begins at `from`.
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

    #[test]
    fn a_cover_ends_at_the_first_gap() {
        let runs = [0..4, 2..6, 8..9];
        assert_eq!([0, 3, 6, 7, 8].map(|from| end_of_cover(&runs, from)), [6, 6, 6, 7, 9]);
    }
}
