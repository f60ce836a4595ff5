//! Which checkpoints and activation batches are still needed.
//!
//! Rule: a checkpoint is forgotten only when no shard above could need it, an activation batch only
//! when a checkpoint of every reader beyond it is held by enough peers, a table only when no lowest
//! shard could need it, wherever that were taken up.

use std::collections::BTreeSet;

use crate::known::Known;
use crate::outbox::{Fact, Outbox};
use crate::{Change, Role, ShardId};

/// Epochs without a score whose checkpoints are kept for scoring: short epochs are several
/// between the lowest shard and the highest.
const MAX_UNSCORED: usize = 8;

/// Forgets the checkpoints that nobody can need any more.
pub(crate) fn settle(known: &Known, out: &mut Outbox) {
    let copies = known.wanted_holders();
    let floors = floors(known, &needed_steps(known, copies), copies);
    if let Some(feedback) = known.plan().feedback_shard() {
        out.fact(Fact::FirstTable(floors[usize::from(feedback.0)]));
    }
    for change in settled_changes(known, copies) {
        out.fact(Fact::Settled(change));
    }
    for (shard, step) in stale_checkpoints(known, &floors) {
        out.fact(Fact::Forgettable(shard, step));
    }
}

/// For each shard, the step before which nothing that concerns it is needed: it has gone beyond
/// it, enough peers hold a checkpoint at or beyond it, and its batches until there were handed
/// on. A shard that went back lowers it.
pub(crate) fn needed_steps(known: &Known, copies: usize) -> Vec<u64> {
    let needed = |shard: ShardId| {
        if known.plan().feedback_shard() == Some(shard) {
            return needed_tables(known, shard, copies);
        }
        let stable = known.checkpoints().stable(shard, copies);
        stable.min(known.need(shard)).min(known.start(shard))
    };
    known.plan().shards().map(needed).collect()
}

/// The step of the feedback shard before which no batches are needed: it has gone beyond it, and
/// enough peers hold all its tables until then that will be read.
fn needed_tables(known: &Known, feedback: ShardId, copies: usize) -> u64 {
    let is_stable = |step: &u64| known.table(*step).is_some_and(|it| it.holders.len() >= copies);
    match known.tables_needed().find(|step| !is_stable(step)) {
        None => known.plan().steps,
        Some(step) => step
            .saturating_sub(known.plan().chapter_steps)
            .min(known.start(feedback))
            .min(known.need(feedback)),
    }
}

/// For each shard, the checkpoint that it could be taken up from, whoever is lost, so one with all
/// its holders; for the feedback shard, the first that a lowest shard could then read, if that is
/// lower.
fn floors(known: &Known, needed: &[u64], copies: usize) -> Vec<u64> {
    let plan = known.plan();
    let mut floor = vec![0; plan.shard_count()];
    for shard in plan.shards().rev() {
        let above = plan.readers(shard).into_iter().map(|r| floor[usize::from(r.0)]).min();
        let limit = above.unwrap_or(u64::MAX).min(needed[usize::from(shard.0)]);
        let is_over = plan.feedback_shard() == Some(shard) && limit == plan.steps;
        let stable = || known.checkpoints().stable_until(shard, copies, limit);
        floor[usize::from(shard.0)] = if is_over { limit } else { stable() };
    }
    if let Some(feedback) = plan.feedback_shard() {
        let lowest = plan.shards_of(0).into_iter().map(|shard| floor[usize::from(shard.0)]);
        let first = lowest.min().and_then(|step| plan.tables_from(step).next());
        let own = floor[usize::from(feedback.0)];
        floor[usize::from(feedback.0)] = first.map_or(own, |first| first.min(own));
    }
    floor
}

/// This peer's changes of which enough peers hold what was made; the mean serves those that make it for
/// themselves for some chapters more.
fn settled_changes(known: &Known, copies: usize) -> Vec<Change> {
    let (plan, open) = (known.plan(), known.open_chapters());
    let is_settled = |change: &Change| {
        let Change { shard, chapter, branch, .. } = *change;
        let (end, kept) = (plan.chapter_start(chapter + 1), chapter + 1 + known.means_kept());
        let until = if branch.is_some() { end } else { plan.chapter_start(kept).max(end + 1) };
        // Where what was made could not be read, it is made again.
        let is_made = known.checkpoints().at(shard, end).is_some() || chapter < open.start;
        is_made && known.checkpoints().stable(shard, copies) >= until
    };
    known.changes().held_by(known.me()).filter(is_settled).collect()
}

/// This peer's checkpoints below these floors, those aside that an epoch will be scored with.
fn stale_checkpoints(known: &Known, floor: &[u64]) -> Vec<(ShardId, u64)> {
    let (plan, me) = (known.plan(), known.me());
    // News of a checkpoint may come after that of the steps behind it.
    let comes = |shard, step: u64| {
        let done = known.need(shard);
        done < plan.steps && done <= step.saturating_add(known.config().window)
    };
    let can_be_scored = |step: &u64| {
        let mut shards = plan.model_shards();
        shards.all(|shard| known.checkpoints().at(shard, *step).is_some() || comes(shard, *step))
    };
    let is_unscored =
        |step: &u64| plan.epochs_ending(*step).any(|epoch| !known.scores().contains_key(&epoch));
    let steps: BTreeSet<u64> = known.checkpoints().held_by(me).map(|c| c.step).collect();
    let unscored = steps.into_iter().filter(is_unscored).filter(can_be_scored);
    let pinned: Vec<u64> = unscored.take(MAX_UNSCORED).collect();
    // From its newest one a worker makes those to come.
    let makes = plan.merged && known.role() == Role::Worker;
    let newest = |shard| {
        let mut held = known.checkpoints().of(shard).rev().filter(|it| it.holders.contains(&me));
        held.next().map(|entry| entry.checkpoint.step).filter(|_| makes)
    };
    let held = known.checkpoints().held_by(me).map(|it| (it.shard, it.step));
    let is_stale = |(shard, step): &(ShardId, u64)| {
        let is_table = plan.feedback_shard() == Some(*shard);
        *step < floor[usize::from(shard.0)]
            && newest(*shard) != Some(*step)
            && (is_table || !pinned.contains(step))
    };
    held.filter(is_stale).collect()
}

#[cfg(test)]
#[path = "tests/retention.rs"]
mod tests;
