//! One job: a task that this peer owns, and where it stands in it.
//!
//! Rule: a shard is loaded at a step, trained step by step from there, and handed on; the trainer
//! answers by the load's number. What differs between a shard's job and a branch's is where they read
//! from ([`Work`]), and stands in the files of the two.

use std::collections::BTreeMap;

use super::inputs::Inputs;
use super::trainer::InTrainer;
use crate::known::Known;
use crate::known::own::{JobStatus, Phase};
use crate::outbox::{Fact, Outbox};
use crate::{BlobRef, Checkpoint, Hash, Output, ShardId, Task};

/// A task of this peer.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) status: JobStatus,
    /// The feedback step whose table the chapter in hand reads, and the table, which is held.
    pub(super) table: Option<(u64, Hash)>,
    pub(super) work: Work,
}

/// The source of a job's batches.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// A shard reads what the owners of the layer below announce.
    Shard(Inputs),
    /// A branch reads what it has made itself, by shard and step, and keeps it until it was read.
    Branch(BTreeMap<(ShardId, u64), BlobRef>),
}

impl Job {
    /// A job that has still to find the checkpoint to start from.
    pub(super) fn new(task: Task, shard: ShardId, start: u64, work: Work) -> Self {
        let (done, next, handed, handing) = (start, start, start, start);
        let phase = Phase::NeedsCheckpoint;
        let status = JobStatus { task, shard, phase, load: 0, done, next, handed, handing };
        Self { status, table: None, work }
    }

    /// Whether the trainer has its shard, or is about to.
    pub(super) fn is_loaded(&self) -> bool {
        self.status.phase != Phase::NeedsCheckpoint
    }

    /// Gives up what the trainer has of it: a checkpoint is looked for.
    pub(super) fn take_up_again(&mut self) {
        self.status.next = self.status.done;
        self.status.handing = self.status.handed;
        self.status.phase = Phase::NeedsCheckpoint;
    }

    /// Brings its shard into the trainer as it is after `at` steps, to be trained from `begin`; `handed` of
    /// its steps were handed on.
    pub(super) fn load(
        &mut self,
        (at, begin, handed): (u64, u64, u64),
        known: &Known,
        trainer: &mut InTrainer,
        out: &mut Outbox,
    ) {
        let shard = self.status.shard;
        let entry = known.checkpoints().at(shard, at).filter(|_| at > 0);
        let checkpoint = entry.map(|entry| entry.checkpoint.blob.hash);
        let load = trainer.load(checkpoint, out);
        let phase = Phase::Loading((at > 0).then_some(at));
        let (done, next, handing) = (begin, begin, handed);
        self.status = JobStatus { phase, load, done, next, handed, handing, ..self.status };
        if let Work::Shard(inputs) = &mut self.work {
            inputs.discard(begin, out);
        }
        out.push(Output::Load { shard, load, step: at, begin, checkpoint });
    }

    /// The trainer has read its checkpoint, or could not.
    pub(super) fn loaded(&mut self, ok: bool, out: &mut Outbox) {
        let Phase::Loading(step) = self.status.phase else { return };
        self.status.phase = if ok { Phase::Ready } else { Phase::NeedsCheckpoint };
        if let (false, Some(step)) = (ok, step) {
            out.fact(Fact::Unreadable(self.status.shard, step));
        }
    }

    /// Gives `step` to the trainer, which reads `inputs`: to train it, or to hand it on.
    pub(super) fn begin(
        &mut self,
        (step, inputs): (u64, Vec<Hash>),
        known: &Known,
        trainer: &mut InTrainer,
        out: &mut Outbox,
    ) {
        let feedback = self.use_table(step, known, out);
        let (plan, JobStatus { shard, load, next, .. }) = (known.plan(), self.status);
        let reads = inputs.iter().copied().chain(feedback).collect();
        trainer.begin(load, step, reads, out);
        out.push(if step == next {
            self.status.next = step + 1;
            let emit = !plan.is_refreshed(shard) && !plan.readers(shard).is_empty();
            let checkpoint = plan.ends_branch(step + 1);
            Output::Train { shard, load, step, inputs, feedback, emit, checkpoint }
        } else {
            self.status.handing = step + 1;
            Output::Refresh { shard, load, step, inputs, feedback }
        });
    }

    /// Whether it lacks no table for `step`.
    pub(super) fn has_table(&self, step: u64, known: &Known) -> bool {
        let Some(table) = known.plan().table_of(self.status.shard, step) else { return true };
        let in_use = self.table.is_some_and(|(step, _)| step == table);
        in_use || known.plan().feedback_shard().is_some_and(|it| known.holds(it, table))
    }

    /// The table that it reads for `step`, held from now on until another one takes its place:
    /// a chapter is trained and handed on with one table, whatever becomes of it meanwhile.
    fn use_table(&mut self, step: u64, known: &Known, out: &mut Outbox) -> Option<Hash> {
        let table = known.plan().table_of(self.status.shard, step)?;
        if let Some((_, hash)) = self.table.filter(|(step, _)| *step == table) {
            return Some(hash);
        }
        // It is here, whether or not others could have it.
        let feedback = known.plan().feedback_shard()?;
        let hash = known.checkpoints().at(feedback, table)?.checkpoint.blob.hash;
        out.hold(hash);
        self.drop_table(out);
        self.table = Some((table, hash));
        Some(hash)
    }

    /// Its table is not needed any more.
    pub(super) fn drop_table(&mut self, out: &mut Outbox) {
        if let Some((_, hash)) = self.table.take() {
            out.release(hash);
        }
    }

    /// The trainer has made a chapter's checkpoint. Returns whether it stands.
    pub(super) fn made(
        &self,
        step: u64,
        (blob, loss_micro): (BlobRef, u64),
        known: &Known,
        out: &mut Outbox,
    ) -> bool {
        let (shard, by) = (self.status.shard, known.me());
        let checkpoint = Checkpoint { shard, step: step + 1, blob, by, loss_micro };
        if known.gives_way(&checkpoint) {
            out.release(blob.hash);
            return false;
        }
        out.fact(Fact::Made(checkpoint));
        true
    }
}
