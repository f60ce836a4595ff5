//! Leaving: when a peer may stop.
//!
//! Rule: a peer stops by itself only when nothing is lost by it: its shards have new owners, its
//! readers have their batches, and every checkpoint it holds has another holder; or when it waited
//! long enough.

use crate::Role;
use crate::known::Known;

/// Whether a peer that was asked to go, or that has told the whole model, may stop now.
pub(crate) fn may_stop(known: &Known, is_told: bool) -> bool {
    let own = known.own();
    let lingered = |since| known.now().since(since) >= known.config().linger_ms;
    match (own.leaving, own.complete) {
        (Some(since), _) => lingered(since) || may_leave(known),
        (None, Some(since)) if known.config().exit_when_done && is_told => {
            lingered(since) || nobody_waits(known)
        }
        _ => false,
    }
}

/// Whether all who want the model hold it, or go.
fn nobody_waits(known: &Known) -> bool {
    let mut others = known.members().iter().filter(|(_, member)| member.role != Role::Onlooker);
    others.all(|(_, member)| member.complete || member.leaving)
}

/// Whether leaving now loses nothing that somebody here would miss.
fn may_leave(known: &Known) -> bool {
    if known.members().workers().next().is_none() {
        return true;
    }
    let own = known.own();
    let shards = own.jobs().filter(|job| job.task.shard().is_some());
    let handed_over = shards.count() == 0 && own.jobs.in_trainer.is_empty();
    let drained = own.batches.runs.iter().all(|(shard, runs)| {
        let end = runs.last().map_or(0, |run| run.end);
        known.plan().readers(*shard).into_iter().all(|reader| known.position(reader) >= end)
    });
    let latest = known.plan().shards().filter_map(|shard| known.checkpoints().latest(shard));
    let mut missed = latest.chain(known.tables_at_least(known.first_table()));
    let copied = missed.all(|entry| entry.holders.iter().any(|holder| *holder != known.me()));
    handed_over && drained && copied
}
