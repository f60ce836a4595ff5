//! Jobs whose task is a branch of a chapter: the all-layers placement (the paper, section 4.2).
//!
//! The owner of a branch trains each shard in turn, from the checkpoints that the chapter before
//! left. Checkpoints travel, activations stay. Rule: what a branch has handed on is lost with it, and
//! it is done again from the same checkpoints. A shard that is refreshed is not trained again, only
//! handed on, from the checkpoint that it left: where each trains on data of its own, what another
//! has done is not lost and not done twice.

use std::collections::BTreeMap;

use super::job::{Job, Work};
use super::trainer::InTrainer;
use crate::known::Known;
use crate::known::own::{JobStatus, Phase};
use crate::outbox::{Fact, Outbox};
use crate::{BlobRef, Change, Hash, Output, ShardId, Task};

/// The chapter of a branch.
pub(super) fn chapter(task: Task) -> u64 {
    match task {
        Task::Branch { chapter, .. } => chapter,
        Task::Shard(_) => 0,
    }
}

/// The number of a branch within its chapter.
fn number(task: Task) -> u16 {
    match task {
        Task::Branch { branch, .. } => branch,
        Task::Shard(_) => 0,
    }
}

/// The order in which branches are trained: the lowest chapter first, and of its branches the one that is
/// at the lowest shard, because the next chapter waits for what all of them changed there.
pub(super) fn urgency(job: Option<&Job>) -> Option<(u64, ShardId)> {
    job.map(|job| (chapter(job.status.task), job.status.shard))
}

/// A branch from its first shard on.
pub(super) fn new(task: Task, known: &Known) -> Job {
    let start = known.plan().branch_steps(chapter(task), number(task)).start;
    Job::new(task, ShardId(0), start, Work::Branch(BTreeMap::new()))
}

/// The first and the end step of a branch.
fn steps(job: &Job, known: &Known) -> (u64, u64) {
    let task = job.status.task;
    let steps = known.plan().branch_steps(chapter(task), number(task));
    (steps.start, steps.end)
}

/// Passes by the shards that are beyond the chapter and whose batches nobody lacks: parts of a
/// chapter that is done again. Returns whether a shard is left.
pub(super) fn skip(job: &mut Job, known: &Known) -> bool {
    let start = known.plan().chapter_start(chapter(job.status.task));
    let beyond = |shard: &ShardId| start >= known.plan().end(*shard) || known.start(*shard) > start;
    let from = usize::from(job.status.shard.0);
    let next = known.plan().shards().skip(from).find(|shard| !beyond(shard));
    job.status.shard = next.unwrap_or(job.status.shard);
    next.is_some()
}

/// The step at which it takes up its shard, once the checkpoint is here.
pub(super) fn can_load(job: &Job, known: &Known) -> bool {
    let at = known.entry_step(job.status.shard, chapter(job.status.task));
    !job.is_loaded() && (at == 0 || known.holds(job.status.shard, at))
}

/// Brings its shard into the trainer.
pub(super) fn load(job: &mut Job, known: &Known, trainer: &mut InTrainer, out: &mut Outbox) {
    let at = known.entry_step(job.status.shard, chapter(job.status.task));
    let (start, _) = steps(job, known);
    job.load((at, at.max(start), start), known, trainer, out);
}

/// Whether it can do nothing before its table is here.
pub(super) fn lacks_table(job: &Job, known: &Known) -> bool {
    !job.has_table(steps(job, known).0, known)
}

/// The step that the trainer can do now: one to hand on, or the next to train.
pub(super) fn due(job: &Job, known: &Known) -> Option<u64> {
    let JobStatus { shard, done, next, handing, .. } = job.status;
    let (_, end) = steps(job, known);
    if !job.status.is_ready() || lacks_table(job, known) {
        return None;
    }
    if next < end {
        return Some(next);
    }
    let hands_on = known.plan().is_refreshed(shard) && done == end && handing < end;
    hands_on.then_some(handing)
}

/// The inputs of `step`, which the branch has made itself; `None` when some are not here any more.
pub(super) fn reads(job: &Job, step: u64, known: &Known) -> Option<Vec<Hash>> {
    let Work::Branch(made) = &job.work else { return None };
    let sources = known.plan().inputs(job.status.shard).into_iter();
    sources.map(|source| Some(made.get(&(source, step))?.hash)).collect()
}

/// The trainer has done a step. Returns whether the branch can go on: somebody else's checkpoint may
/// stand, and is what the shards above have to read.
pub(super) fn trained(
    job: &mut Job,
    step: u64,
    batch: Option<BlobRef>,
    checkpoint: Option<(BlobRef, u64)>,
    known: &Known,
    out: &mut Outbox,
) -> bool {
    job.status.done = step + 1;
    if let Some(blob) = batch {
        put(job, step, blob, out);
    }
    if let (Some(made), true) = (checkpoint, known.plan().merges(job.status.shard)) {
        changed(job, made, known, out);
    } else if let Some(made) = checkpoint
        && !job.made(step, made, known, out)
    {
        return false;
    }
    if !known.plan().is_refreshed(job.status.shard) {
        handed_on(job, step, known, out);
    }
    true
}

/// The trainer has told what the branch changed in its shard.
fn changed(job: &Job, (blob, loss_micro): (BlobRef, u64), known: &Known, out: &mut Outbox) {
    let (shard, task, by) = (job.status.shard, job.status.task, known.me());
    let (chapter, branch) = (chapter(task), Some(number(task)));
    out.fact(Fact::MadeChange(Change { shard, chapter, branch, blob, by, loss_micro }));
}

/// The trainer has handed on a step.
pub(super) fn refreshed(job: &mut Job, step: u64, batch: BlobRef, known: &Known, out: &mut Outbox) {
    put(job, step, batch, out);
    handed_on(job, step, known, out);
}

fn put(job: &mut Job, step: u64, batch: BlobRef, out: &mut Outbox) {
    let shard = job.status.shard;
    let Work::Branch(made) = &mut job.work else { return };
    if let Some(old) = made.insert((shard, step), batch) {
        out.release(old.hash);
    }
}

/// Nothing of `step` is left to do in its shard.
fn handed_on(job: &mut Job, step: u64, known: &Known, out: &mut Outbox) {
    job.status.handed = step + 1;
    discard_read(job, step, known, out);
    if step + 1 == steps(job, known).1 {
        next_shard(job, known, out);
    }
}

/// The last reader of a layer's batches has read those of `step`.
fn discard_read(job: &mut Job, step: u64, known: &Known, out: &mut Outbox) {
    let shard = job.status.shard;
    let sources = known.plan().inputs(shard);
    let readers = sources.first().map(|source| known.plan().readers(*source));
    if readers.and_then(|readers| readers.last().copied()) != Some(shard) {
        return;
    }
    let Work::Branch(made) = &mut job.work else { return };
    let read = sources.iter().filter_map(|source| made.remove(&(*source, step)));
    read.for_each(|blob| out.release(blob.hash));
}

/// It is through with its shard.
fn next_shard(job: &mut Job, known: &Known, out: &mut Outbox) {
    let shard = job.status.shard;
    job.status.shard = ShardId(shard.0 + 1);
    job.status.phase = Phase::NeedsCheckpoint;
    if known.plan().layer(job.status.shard) > 0 {
        job.drop_table(out);
    }
    out.push(Output::Unload { shard });
}

/// The trainer could not do a step because of `bad`. What the branch made itself can be read; a table
/// need not be one.
pub(super) fn refused(job: &Job, bad: Option<Hash>, known: &Known, out: &mut Outbox) {
    let table = job.table.filter(|(_, table)| bad == Some(*table));
    if let (Some(feedback), Some((step, _))) = (known.plan().feedback_shard(), table) {
        out.fact(Fact::Unreadable(feedback, step));
    }
}

/// Whether it has still to read a blob.
pub(super) fn needs(job: &Job, hash: Hash) -> bool {
    let Work::Branch(made) = &job.work else { return false };
    job.table.is_some_and(|(_, table)| table == hash) || made.values().any(|blob| blob.hash == hash)
}

/// The activation batches that it has still to read, bytes.
pub(super) fn bytes(job: &Job) -> u64 {
    let Work::Branch(made) = &job.work else { return 0 };
    made.values().fold(0, |sum, blob| sum.saturating_add(blob.size))
}

/// Gives up what was made of a branch.
pub(super) fn close(mut job: Job, out: &mut Outbox) {
    if let Work::Branch(made) = &job.work {
        made.values().for_each(|blob| out.release(blob.hash));
    }
    job.drop_table(out);
    if job.is_loaded() {
        out.push(Output::Unload { shard: job.status.shard });
    }
}
