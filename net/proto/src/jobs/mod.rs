//! This peer's training: one job for each task that it owns and has not finished.
//!
//! Rule: a job is in the hands of its lease; its steps go to the trainer in order, and what comes
//! back under another load than the present one is of no use.

mod branch;
mod inputs;
mod job;
mod merging;
mod shard;
mod trainer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::known::Known;
use crate::known::own::{JobsView, Phase};
use crate::outbox::{Fact, Outbox};
use crate::{Batch, BlobRef, Hash, Lease, Merge, NodeId, ShardId, Task};
use job::{Job, Work};
use merging::Merging;
use trainer::InTrainer;

/// A step that the trainer has answered, and the load under which it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) load: u64,
    pub(crate) step: u64,
}

/// The duty to train what this peer owns.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: BTreeMap<Task, Job>,
    trainer: InTrainer,
    merging: Merging,
    /// The changes to fetch, and peers that have them.
    wanted: Vec<(BlobRef, NodeId)>,
    /// Whether anything has changed since it was last published.
    changed: bool,
}

impl Jobs {
    /// Opens and closes jobs as the leases say, and brings each towards where it should be.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        if known.plan().is_by_chapter() {
            self.follow(known, out);
            self.merge(known, out);
            return self.walk(known, out);
        }
        for shard in known.plan().shards() {
            let task = Task::Shard(shard);
            if !self.jobs.contains_key(&task) && shard::must_reopen(shard, known) {
                self.jobs.insert(task, shard::new(shard, known));
                self.changed = true;
            }
        }
        let tasks: Vec<Task> = self.jobs.keys().copied().collect();
        for task in tasks {
            let Some(job) = self.jobs.get_mut(&task) else { continue };
            let before = job.status;
            let ends = shard::place(job, known, &mut self.trainer, out);
            self.changed |= job.status != before;
            if ends {
                self.end(task, out);
            }
        }
    }

    /// A lease has come to stand: a shard's is followed at once.
    pub(crate) fn on_lease(&mut self, lease: Lease, known: &Known, out: &mut Outbox) {
        let Task::Shard(shard) = lease.task else { return };
        self.changed = true;
        if lease.owner == known.me() {
            self.jobs.entry(lease.task).or_insert_with(|| shard::new(shard, known));
        } else if let Some(job) = self.jobs.remove(&lease.task) {
            shard::close(job, out);
        }
    }

    /// Opens a job for each branch that is this peer's, and closes the others.
    pub(crate) fn follow(&mut self, known: &Known, out: &mut Outbox) {
        let open = known.open_chapters();
        let again = known.done_again().into_iter().flat_map(|chapter| {
            let branches = 0..known.plan().branches_of(chapter);
            branches.map(move |branch| Task::Branch { chapter, branch })
        });
        let own = known.leases().of(known.me()).map(|lease| lease.task).chain(again);
        let stays = |task: &Task| {
            !known.is_leaving() && open.contains(&branch::chapter(*task)) && !known.is_done(*task)
        };
        let due: Vec<Task> = own.filter(stays).collect();
        let over: Vec<Task> = self.jobs.keys().copied().filter(|it| !due.contains(it)).collect();
        over.into_iter().for_each(|task| self.close(task, out));
        for task in due {
            let before = self.jobs.len();
            self.jobs.entry(task).or_insert_with(|| branch::new(task, known));
            self.changed |= self.jobs.len() > before;
        }
    }

    /// Merges what can be merged.
    fn merge(&mut self, known: &Known, out: &mut Outbox) {
        self.merging.settle(known, out);
        let wanted = self.merging.wanted(known);
        self.changed |= wanted != self.wanted;
        self.wanted = wanted;
    }

    /// Makes the checkpoints of means that are all here.
    pub(crate) fn follow_means(&mut self, known: &Known, out: &mut Outbox) {
        self.merging.follow(known, out);
    }

    /// The trainer has merged, or has not.
    pub(crate) fn merged(
        &mut self,
        cell: (ShardId, u64),
        outcome: Merge,
        known: &Known,
        out: &mut Outbox,
    ) {
        self.merging.merged(cell, outcome, known, out);
    }

    /// Brings the shard that each branch is at into the trainer, once its checkpoint is here.
    fn walk(&mut self, known: &Known, out: &mut Outbox) {
        let tasks: Vec<Task> = self.jobs.keys().copied().collect();
        for task in tasks {
            let Some(job) = self.jobs.get_mut(&task) else { continue };
            let before = job.status.shard;
            if !job.is_loaded() && !branch::skip(job, known) {
                self.close(task, out);
                continue;
            }
            self.changed |= job.status.shard != before;
            if !branch::can_load(job, known) {
                continue;
            }
            let shard = job.status.shard;
            let mut loaded = self.jobs.iter();
            let loaded = loaded.find(|(_, it)| it.status.shard == shard && it.is_loaded());
            if let Some((&other, job)) = loaded {
                // The trainer has each shard once, and the lower chapter goes first; of branches that
                // are merged, the one that has begun, unless it waits for what the other is to make.
                let goes_on = known.plan().merged && !branch::lacks_table(job, known);
                if other < task || goes_on {
                    continue;
                }
                self.restart(other, known, out);
            }
            if let Some(job) = self.jobs.get_mut(&task) {
                branch::load(job, known, &mut self.trainer, out);
                self.changed = true;
            }
        }
    }

    /// Hands steps to the trainer: of the shard that is furthest behind, the lower one of two; or of
    /// the lowest chapter that can go on.
    pub(crate) fn hand_out(&mut self, known: &Known, out: &mut Outbox) {
        while self.trainer.has_room() {
            if known.plan().is_by_chapter() {
                let ready = |(&task, job): (&Task, &Job)| Some((task, branch::due(job, known)?));
                let ready = self.jobs.iter().filter_map(ready);
                let next = ready.min_by_key(|(task, _)| branch::urgency(self.jobs.get(task)));
                let Some((task, step)) = next else { return };
                let reads = self.jobs.get(&task).and_then(|job| branch::reads(job, step, known));
                let Some(reads) = reads else {
                    self.restart(task, known, out);
                    continue;
                };
                self.begin(task, (step, reads), known, out);
            } else {
                let due = |(&task, job): (&Task, &Job)| {
                    shard::due(job, known, &self.trainer).map(|(step, reads)| (step, task, reads))
                };
                let next = self.jobs.iter().filter_map(due).min_by_key(|it| (it.0, it.1));
                let Some((step, task, reads)) = next else { return };
                self.begin(task, (step, reads), known, out);
            }
        }
    }

    fn begin(&mut self, task: Task, step: (u64, Vec<Hash>), known: &Known, out: &mut Outbox) {
        if let Some(job) = self.jobs.get_mut(&task) {
            job.begin(step, known, &mut self.trainer, out);
            self.changed = true;
        }
    }

    /// The trainer has answered a load.
    pub(crate) fn loaded(&mut self, load: u64, ok: bool, out: &mut Outbox) {
        self.trainer.loaded(load, out);
        self.changed = true;
        if let Some(job) = self.jobs.values_mut().find(|job| job.status.load == load) {
            job.loaded(ok, out);
        }
    }

    /// The trainer has done a step.
    pub(crate) fn trained(
        &mut self,
        step: Answered,
        batch: Option<BlobRef>,
        checkpoint: Option<(BlobRef, u64)>,
        known: &Known,
        out: &mut Outbox,
    ) {
        let fresh = batch.into_iter().chain(checkpoint.map(|(blob, _)| blob));
        let Some(task) = self.take_in(step, fresh, out) else { return };
        let Some(job) = self.jobs.get_mut(&task) else { return };
        if matches!(job.work, Work::Shard(_)) {
            if shard::trained(job, step.step, batch, checkpoint, known, out) {
                self.end(task, out);
            }
        } else if !branch::trained(job, step.step, batch, checkpoint, known, out) {
            self.restart(task, known, out);
        }
    }

    /// The trainer has handed on a step.
    pub(crate) fn refreshed(
        &mut self,
        step: Answered,
        batch: BlobRef,
        known: &Known,
        out: &mut Outbox,
    ) {
        let Some(task) = self.take_in(step, [batch].into_iter(), out) else { return };
        let Some(job) = self.jobs.get_mut(&task) else { return };
        if matches!(job.work, Work::Branch(_)) {
            branch::refreshed(job, step.step, batch, known, out);
        } else if shard::refreshed(job, step.step, batch, known, out) {
            self.end(task, out);
        }
    }

    /// The trainer has made `fresh` of a step. Returns the job that it is of; nothing when the shard
    /// has been loaded again since, or is somebody else's.
    fn take_in(
        &mut self,
        step: Answered,
        fresh: impl Iterator<Item = BlobRef> + Clone,
        out: &mut Outbox,
    ) -> Option<Task> {
        self.changed = true;
        fresh.clone().for_each(|blob| out.hold(blob.hash));
        self.trainer.end(step.load, step.step, out);
        let mut jobs = self.jobs.values().map(|job| job.status);
        let found = jobs.find(|job| job.load == step.load && job.is_ready());
        if found.is_none() {
            fresh.for_each(|blob| out.release(blob.hash));
        }
        found.map(|job| job.task)
    }

    /// The trainer has not done a step, perhaps because of what it reads.
    pub(crate) fn refused(
        &mut self,
        step: Answered,
        bad: Option<Hash>,
        known: &Known,
        out: &mut Outbox,
    ) {
        self.changed = true;
        self.trainer.end(step.load, step.step, out);
        let found = self.jobs.values_mut().find(|job| job.status.load == step.load);
        let Some(job) = found else { return };
        if matches!(job.work, Work::Shard(_)) {
            return shard::refused(job, step.step, bad, known, out);
        }
        branch::refused(job, bad, known, out);
        let task = job.status.task;
        self.restart(task, known, out);
    }

    /// `sender` announces batches. Those that a job will soon read are taken in.
    pub(crate) fn announced(
        &mut self,
        sender: NodeId,
        batches: &[Batch],
        known: &Known,
        out: &mut Outbox,
    ) {
        self.changed = true;
        let (window, steps) = (known.config().window, known.plan().steps);
        for job in self.jobs.values_mut().filter(|job| job.status.is_ready()) {
            let room = job.status.next..job.status.next.saturating_add(window).min(steps);
            if let Some(inputs) = shard::inputs(job) {
                inputs.announce((sender, known.me()), batches, &room, out);
            }
        }
    }

    /// A blob is here.
    pub(crate) fn fetched(&mut self, hash: Hash, out: &mut Outbox) {
        self.changed = true;
        let ready = self.jobs.values_mut().filter(|job| job.status.is_ready());
        ready.filter_map(shard::inputs).for_each(|inputs| inputs.fetched(hash, out));
    }

    /// `from` does not deliver a blob.
    pub(crate) fn not_delivered(&mut self, hash: Hash, from: NodeId) {
        self.changed = true;
        let inputs = self.jobs.values_mut().filter_map(shard::inputs);
        inputs.for_each(|inputs| inputs.not_delivered(hash, from));
    }

    /// The batches that `peer` announced and that jobs will read.
    pub(crate) fn announced_by(&self, peer: NodeId) -> Vec<Hash> {
        let inputs = self.jobs.values().filter_map(|job| match &job.work {
            Work::Shard(inputs) => Some(inputs),
            Work::Branch(_) => None,
        });
        inputs.flat_map(|inputs| inputs.announced_by(peer)).collect()
    }

    /// The store lost a blob.
    pub(crate) fn lost(&mut self, hash: Hash, known: &Known, out: &mut Outbox) {
        self.changed = true;
        let loads = self.trainer.lost(hash, out);
        self.merging.lost(hash, out);
        for job in self.jobs.values_mut() {
            if loads.contains(&job.status.load) {
                job.status.phase = Phase::NeedsCheckpoint;
            }
            if matches!(job.work, Work::Shard(_)) {
                shard::lost(job, hash, known, out);
            }
        }
        let needs = |(&task, job): (&Task, &Job)| branch::needs(job, hash).then_some(task);
        let spoiled: Vec<Task> = self.jobs.iter().filter_map(needs).collect();
        spoiled.into_iter().for_each(|task| self.restart(task, known, out));
    }

    /// A shard has come to its end.
    fn end(&mut self, task: Task, out: &mut Outbox) {
        if let Some(job) = self.jobs.remove(&task) {
            let shard = job.status.shard;
            shard::close(job, out);
            self.changed = true;
            out.fact(Fact::Ended(shard));
        }
    }

    /// A branch begins again.
    fn restart(&mut self, task: Task, known: &Known, out: &mut Outbox) {
        self.close(task, out);
        self.jobs.insert(task, branch::new(task, known));
    }

    /// Gives up what was made of a branch.
    fn close(&mut self, task: Task, out: &mut Outbox) {
        if let Some(job) = self.jobs.remove(&task) {
            branch::close(job, out);
            self.changed = true;
        }
    }

    /// The part that others may read, if that has changed since the last time.
    pub(crate) fn view(&mut self) -> Option<JobsView> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let jobs = self.jobs.iter().map(|(&task, job)| (task, job.status)).collect();
        let mut view = JobsView { jobs, in_trainer: self.trainer.steps(), ..JobsView::default() };
        view.changes.clone_from(&self.wanted);
        for job in self.jobs.values() {
            view.bytes = view.bytes.saturating_add(branch::bytes(job));
            let Work::Shard(inputs) = &job.work else { continue };
            view.missing.insert(job.status.shard, inputs.missing(job.status.next));
            if job.status.is_ready() {
                view.announced.extend(inputs.announced());
            }
        }
        Some(view)
    }
}
