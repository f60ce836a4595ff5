//! Jobs whose task is a shard.
//!
//! Rule: a shard that is refreshed trains a chapter to its end, then hands it on, computed with the
//! weights it then has, and only then begins the next. So the trainer hears, for each load, a
//! chapter's steps and then its refreshing, in order; and what a chapter reads stays until then.

use super::inputs::Inputs;
use super::job::{Job, Work};
use super::trainer::InTrainer;
use crate::known::Known;
use crate::known::own::{JobStatus, Phase};
use crate::outbox::{Fact, Outbox};
use crate::{Batch, BlobRef, Hash, Output, ShardId, Task};

/// A job on `shard`.
pub(super) fn new(shard: ShardId, known: &Known) -> Job {
    let inputs = Inputs::new(known.plan().inputs(shard));
    Job::new(Task::Shard(shard), shard, 0, Work::Shard(inputs))
}

/// The inputs of a shard's job.
pub(super) fn inputs(job: &mut Job) -> Option<&mut Inputs> {
    if let Work::Shard(inputs) = &mut job.work { Some(inputs) } else { None }
}

/// Whether a shard that this peer has finished must be taken up again, because a reader lacks
/// batches that nobody holds.
pub(super) fn must_reopen(shard: ShardId, known: &Known) -> bool {
    known.owner(shard) == Some(known.me())
        && known.start(shard) < known.plan().steps
        && known.own().starving.contains(&shard)
}

/// Moves a job towards where it should be. Returns whether it has come to its end.
pub(super) fn place(
    job: &mut Job,
    known: &Known,
    trainer: &mut InTrainer,
    out: &mut Outbox,
) -> bool {
    let (plan, JobStatus { shard, done, handed, .. }) = (known.plan(), job.status);
    let start = known.start(shard);
    let starving = known.own().starving.contains(&shard);
    let over = start == plan.steps && plan.feedback_shard() == Some(shard);
    let behind = start >= done.saturating_add(plan.chapter_steps)
        || (start > done && (over || known.is_unfed(shard, done)));
    let ahead = starving && start < handed && !known.feeds_from(shard, handed);
    if job.status.is_ready() && job.status.is_idle() && (behind || ahead) {
        out.fact(Fact::TakenUp(shard));
        job.status.phase = Phase::NeedsCheckpoint;
    }
    if job.is_loaded() {
        return false;
    }
    if start == plan.steps {
        // Others have finished it, and nobody needs its batches.
        return true;
    }
    // Fetching sees to it that the checkpoint comes.
    if start == 0 || known.holds(shard, start) {
        job.load((start, start, start), known, trainer, out);
    }
    false
}

/// The step that the trainer can do now: one to refresh, or the next one to train. One behind a step
/// that was refused waits until its own refusal is here.
pub(super) fn due(job: &Job, known: &Known, trainer: &InTrainer) -> Option<(u64, Vec<Hash>)> {
    let Work::Shard(inputs) = &job.work else { return None };
    if !job.status.is_ready() {
        return None;
    }
    let step = if can_refresh(&job.status, known) { job.status.handing } else { job.status.next };
    if step == job.status.next && !can_train(job, inputs, known) {
        return None;
    }
    (!trainer.has(job.status.load, step)).then(|| (step, inputs.here(step).unwrap_or_default()))
}

/// Whether its next step has what it reads, room for its outputs, and no reason to wait.
fn can_train(job: &Job, inputs: &Inputs, known: &Known) -> bool {
    let (plan, JobStatus { shard, next, handed, .. }) = (known.plan(), job.status);
    if next >= plan.end(shard) || !job.has_table(next, known) {
        return false;
    }
    let (begins, refreshed) = (plan.is_boundary(next), plan.is_refreshed(shard));
    if refreshed && begins && handed < next {
        return false;
    }
    let fed = inputs.here(next).is_some();
    let room = known.has_room(shard, next) && (refreshed || known.has_room_to_keep(shard, next));
    // Between two chapters a shard that shall move waits for the steps in flight, then moves.
    let moves = begins && known.own().moves.contains(&(shard, next));
    fed && room && !moves
}

/// Whether it has ended a chapter and can hand on its next step.
fn can_refresh(status: &JobStatus, known: &Known) -> bool {
    let JobStatus { shard, done, next, handing, .. } = *status;
    known.plan().is_refreshed(shard)
        && next == done
        && handing < done
        && known.plan().is_boundary(done)
        && known.has_room_to_keep(shard, handing)
}

/// The trainer has done a step. Returns whether the shard has come to its end.
pub(super) fn trained(
    job: &mut Job,
    step: u64,
    batch: Option<BlobRef>,
    checkpoint: Option<(BlobRef, u64)>,
    known: &Known,
    out: &mut Outbox,
) -> bool {
    job.status.done = step + 1;
    let shard = job.status.shard;
    if let Some(blob) = batch {
        out.fact(Fact::MadeBatch(Batch { shard, step, blob }));
    }
    if let Some(made) = checkpoint {
        job.made(step, made, known, out);
    }
    if known.plan().is_refreshed(shard) {
        return false;
    }
    job.status.handing = step + 1;
    handed_on(job, step, known, out)
}

/// The trainer has handed on a step. Returns whether the shard has come to its end.
pub(super) fn refreshed(
    job: &mut Job,
    step: u64,
    blob: BlobRef,
    known: &Known,
    out: &mut Outbox,
) -> bool {
    out.fact(Fact::MadeBatch(Batch { shard: job.status.shard, step, blob }));
    handed_on(job, step, known, out)
}

/// Nothing of `step` is left to do: what it read is not needed any more.
fn handed_on(job: &mut Job, step: u64, known: &Known, out: &mut Outbox) -> bool {
    job.status.handed = step + 1;
    if let Some(inputs) = inputs(job) {
        inputs.discard(step + 1, out);
    }
    step + 1 == known.plan().steps
}

/// The trainer has not done a step. Those in flight behind it are refused because of it, whatever
/// they read. One that was trained and cannot be refreshed has been trained with what is bad: the
/// shard is taken up again from a checkpoint.
pub(super) fn refused(
    job: &mut Job,
    step: u64,
    bad: Option<Hash>,
    known: &Known,
    out: &mut Outbox,
) {
    if step < job.status.done {
        return job.take_up_again();
    }
    job.status.next = job.status.next.min(step);
    if let Some(bad) = bad.filter(|_| step == job.status.done) {
        refuse_input(job, step, bad, known, out);
    }
}

/// Refuses an input of `step`: the peers that announced it are to blame, and it is asked for
/// again, after a while: it may be announced again at once. What this peer made itself is made again.
fn refuse_input(job: &mut Job, step: u64, bad: Hash, known: &Known, out: &mut Outbox) {
    let shard = job.status.shard;
    if job.table.is_some_and(|(_, table)| table == bad) {
        job.drop_table(out);
        let plan = known.plan();
        if let (Some(table), Some(feedback)) = (plan.table_of(shard, step), plan.feedback_shard()) {
            out.fact(Fact::Unreadable(feedback, table));
        }
        return;
    }
    out.fact(Fact::AskLater(shard, step));
    let Some(inputs) = inputs(job) else { return };
    let refusal = inputs.refuse(step, bad, out);
    if refusal.is_own {
        out.fact(Fact::Spoiled(bad));
    }
    refusal.senders.into_iter().for_each(|sender| out.fact(Fact::FalseBatch(sender)));
}

/// The store lost a blob. A shard that was trained with it and has not handed that on yet is taken up
/// again from a checkpoint.
pub(super) fn lost(job: &mut Job, hash: Hash, known: &Known, out: &mut Outbox) {
    let JobStatus { shard, done, handed, .. } = job.status;
    let hands_on = known.plan().is_refreshed(shard);
    let steps = inputs(job).map(|inputs| inputs.lost(hash, out)).unwrap_or_default();
    if !steps.is_empty() {
        out.fact(Fact::AskAgain(shard));
    }
    let mut again = hands_on && steps.into_iter().any(|step| step < done);
    if job.table.is_some_and(|(_, table)| table == hash) {
        job.drop_table(out);
        again |= hands_on && handed < done;
    }
    if again && job.status.is_ready() {
        job.take_up_again();
    }
}

/// Stops working on a shard: it is finished, or somebody else's.
pub(super) fn close(mut job: Job, out: &mut Outbox) {
    if let Some(inputs) = inputs(&mut job) {
        inputs.discard(u64::MAX, out);
    }
    job.drop_table(out);
    out.fact(Fact::TakenUp(job.status.shard));
    out.push(Output::Unload { shard: job.status.shard });
}
