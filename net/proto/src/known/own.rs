//! This peer's own state, as its duties last published it.
//!
//! Rule: a copy. A duty publishes its part after every change, and everybody else reads it here, as
//! they read what other peers say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{BlobRef, NodeId, ShardId, Task, Time};

/// A job's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It waits for the checkpoint to start from.
    NeedsCheckpoint,
    /// The trainer reads the checkpoint of this step, or begins without one.
    Loading(Option<u64>),
    /// The trainer has it.
    Ready,
}

/// A task of this peer, and where it stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobStatus {
    pub(crate) task: Task,
    /// The shard that it trains now.
    pub(crate) shard: ShardId,
    pub(crate) phase: Phase,
    /// Names the load that the trainer answers to.
    pub(crate) load: u64,
    /// Steps done.
    pub(crate) done: u64,
    /// The next step to hand to the trainer; more than `done` while steps are in flight.
    pub(crate) next: u64,
    /// Steps whose batches were handed on; fewer than `done` when they are refreshed.
    pub(crate) handed: u64,
    /// The next step to hand to the trainer for refreshing; more than `handed` while steps are in
    /// flight.
    pub(crate) handing: u64,
}

impl JobStatus {
    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether the trainer has none of its steps.
    pub(crate) fn is_idle(&self) -> bool {
        self.next == self.done && self.handing == self.handed
    }
}

/// The published part of the jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobsView {
    /// By task.
    pub(crate) jobs: BTreeMap<Task, JobStatus>,
    /// The shards whose batches of its next step were not announced to a job, by job.
    pub(crate) missing: BTreeMap<ShardId, Vec<ShardId>>,
    /// Batches that jobs will read, announced and not here: the step, the batch, and who has it.
    pub(crate) announced: Vec<(u64, BlobRef, NodeId)>,
    /// Changes to fetch for merging, and peers that have them.
    pub(crate) changes: Vec<(BlobRef, NodeId)>,
    /// Load and step of what the trainer has.
    pub(crate) in_trainer: BTreeSet<(u64, u64)>,
    /// Activation batches that branches have still to read, bytes.
    pub(crate) bytes: u64,
}

/// The published part of the batches that this peer made.
#[derive(Clone, Debug, Default)]
pub(crate) struct BatchesView {
    /// Unbroken runs of batches that this peer made and still holds, by shard.
    pub(crate) runs: BTreeMap<ShardId, Vec<Range<u64>>>,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// The published part of scoring.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScoringView {
    /// The epoch that this peer scores, from the moment its turn comes.
    pub(crate) evaluating: Option<u64>,
    /// Whether the scorer has its checkpoints.
    pub(crate) under_way: bool,
    /// Epochs that could be scored and that nobody scores.
    pub(crate) waiting: usize,
}

/// All of it, and what was decided for this peer.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// In millions of multiply-accumulates a second; 0 when unknown.
    pub(crate) speed: u64,
    /// Since when it is to go.
    pub(crate) leaving: Option<Time>,
    /// Since when it holds the whole model.
    pub(crate) complete: Option<Time>,
    pub(crate) jobs: JobsView,
    pub(crate) batches: BatchesView,
    /// Since when each own shard has lacked what it reads next, or room for what it makes of it.
    pub(crate) lacking: BTreeMap<ShardId, Time>,
    /// Own shards, and the steps at which each will be given away instead of trained.
    pub(crate) moves: BTreeSet<(ShardId, u64)>,
    /// Checkpoints that it will make of means.
    pub(crate) routes: BTreeSet<(ShardId, u64)>,
    /// Shards whose readers have lacked batches for so long that they are to be made again.
    pub(crate) starving: BTreeSet<ShardId>,
    pub(crate) scoring: ScoringView,
}

impl Own {
    /// Its job on a shard, where peers own shards.
    pub(crate) fn job(&self, shard: ShardId) -> Option<&JobStatus> {
        self.jobs.jobs.get(&Task::Shard(shard))
    }

    pub(crate) fn jobs(&self) -> impl DoubleEndedIterator<Item = &JobStatus> {
        self.jobs.jobs.values()
    }

    /// Whether it still holds the batch of `shard` for `step`.
    pub(crate) fn has_batch(&self, shard: ShardId, step: u64) -> bool {
        self.batches.runs.get(&shard).is_some_and(|runs| runs.iter().any(|run| run.contains(&step)))
    }

    /// Batches of `shard` before `step` that it still holds.
    pub(crate) fn batches_before(&self, shard: ShardId, step: u64) -> u64 {
        let runs = self.batches.runs.get(&shard).into_iter().flatten();
        runs.map(|run| run.end.min(step).saturating_sub(run.start)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counted_in_their_runs() {
        let mut own = Own::default();
        own.batches.runs.insert(ShardId(1), vec![2..4, 6..9]);
        let held: Vec<u64> = (0..10).filter(|step| own.has_batch(ShardId(1), *step)).collect();
        assert_eq!(held, [2, 3, 6, 7, 8]);
        assert_eq!([0, 3, 5, 7, 20].map(|it| own.batches_before(ShardId(1), it)), [0, 1, 2, 3, 5]);
        assert!(!own.has_batch(ShardId(0), 2) && own.batches_before(ShardId(0), 9) == 0);
    }
}
