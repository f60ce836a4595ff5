//! Giving shards away: for balance, when this peer goes, when it is sidelined.
//!
//! Rule: a shard is only given away between two chapters, in one message with what is held of it. For
//! balance that is worth it only if nothing else is about to change; what was begun is finished.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::assignment::{Assigned, time};
use super::claiming::vacant;
use crate::known::Known;
use crate::known::own::{JobStatus, Phase};
use crate::outbox::{Fact, Outbox};
use crate::{Lease, MAX_MEMBERS, NodeId, ShardId, Task, Time};

/// Losses of owners remembered, at most: the longest wait is the settling time, doubled as often
/// as there are more than two.
const MAX_LOSSES: usize = 6;

/// The settling time is doubled at most this often.
const MAX_DOUBLINGS: u32 = 5;

/// A loss longer ago than this counts no more, ms.
const LOSS_MEMORY_MS: u64 = 120_000;

/// Retries after which a shard of a sidelined peer that cannot go on is given up.
const STUCK_RETRIES: u64 = 3;

/// A shard, and the peer that may get it.
pub(crate) type Move = (ShardId, NodeId);

/// The tasks given away, and the peers lost.
#[derive(Debug, Default)]
pub(crate) struct HandOver {
    /// When this peer last gave a shard away for balance alone, and at which step that shard stood.
    last: Option<(Time, u64)>,
    /// When shards were last given to a peer for balance, and how often.
    given: BTreeMap<NodeId, (Time, u32)>,
    /// When the last owners fell silent.
    losses: VecDeque<Time>,
}

impl HandOver {
    /// Gives away the shards that the assignment wants elsewhere and that stand between two
    /// chapters. Returns whether there are any.
    pub(crate) fn settle(&mut self, known: &Known, assigned: &Assigned, out: &mut Outbox) -> bool {
        let jobs = || known.own().jobs().filter(|job| job.task.shard().is_some());
        let may_give = jobs().filter(|job| may_give(known, assigned, job));
        let mut given: Vec<Lease> = may_give
            .filter_map(|job| {
                let owner = assigned.owner(job.shard)?;
                let between = job.is_ready() && is_between(known, job);
                let from = if between { job.done } else { known.start(job.shard) };
                let term = known.leases().next_term(job.task);
                let lease = Lease { task: job.task, term, owner, from };
                self.should_give(known, assigned, (job.shard, owner), from).then_some(lease)
            })
            .collect();
        if given.is_empty() {
            return false;
        }
        if !known.is_leaving() && !assigned.is_sidelined() {
            given.truncate(jobs().count().max(2) - 1);
        }
        let owners: BTreeSet<NodeId> = given.iter().map(|lease| lease.owner).collect();
        if !known.is_leaving() {
            self.last = given.last().map(|lease| (known.now(), lease.from));
            owners.iter().for_each(|owner| self.note_given(*owner, known.now()));
        }
        out.fact(Fact::Leases(given));
        // In one message with what this peer holds: whoever takes a shard and does not know that goes
        // back as far as its readers seem to lack batches.
        out.heartbeat(owners.into_iter().collect());
        true
    }

    /// Whether this peer gives shards away for balance at a chapter's end that others of its shards have
    /// yet to reach or stand at. What was begun is finished, however little the rest of it gains: each
    /// shard that moves leaves less to gain, and those behind it would stay.
    pub(crate) fn is_balancing(&self, known: &Known) -> bool {
        let Some((_, end)) = self.last else { return false };
        known.own().jobs().any(|job| job.done <= end)
    }

    /// Whether giving a shard that stands at `step` to a peer is worth it now: always when leaving or
    /// sidelined; never while a shard is vacant, because then the assignment is about to change; to an
    /// idle peer at once, to others no oftener than the settling time, but then all shards at that
    /// step's end: many stops of one shard each cost more than one of many. The last shard is only given
    /// to a faster peer, so that two peers without other work do not pass one shard to and fro.
    pub(crate) fn should_give(
        &self,
        known: &Known,
        assigned: &Assigned,
        (shard, target): Move,
        step: u64,
    ) -> bool {
        let (me, now) = (known.me(), known.now());
        if target == me || known.is_leaving() || assigned.is_sidelined() {
            return target != me;
        }
        if !vacant(known).is_empty() {
            return false;
        }
        let Some(member) = known.members().get(target) else { return false };
        if now.since(member.since) < self.caution_ms(known) {
            return false;
        }
        let is_faster = member.speed > known.own().speed;
        let is_idle = known.leases().of(target).next().is_none();
        let is_idle = is_idle && !self.given_lately(target, known);
        // Not one that came here at this step: peers that disagree would pass it to and fro.
        let came = known.leases().get(Task::Shard(shard)).map_or(0, |lease| lease.from);
        let is_same_end = |end| end == step && came < step;
        let settle_ms = known.config().settle_ms;
        let settled =
            self.last.is_none_or(|(at, end)| is_same_end(end) || now.since(at) >= settle_ms);
        (known.own().jobs().count() > 1 || is_faster)
            && (is_idle || settled)
            && !overloads(known, (shard, target), member.speed)
    }

    /// Whether `target` was given a shard not long ago and is idle again: it has no use for shards.
    fn given_lately(&self, target: NodeId, known: &Known) -> bool {
        let Some(&(at, times)) = self.given.get(&target) else { return false };
        known.now().since(at) < known.config().settle_ms << times.min(MAX_DOUBLINGS)
    }

    /// Shards were given to `target` for balance.
    fn note_given(&mut self, target: NodeId, now: Time) {
        if self.given.len() < MAX_MEMBERS || self.given.contains_key(&target) {
            let (at, times) = self.given.entry(target).or_insert((now, 0));
            (*at, *times) = (now, *times + 1);
        }
    }

    /// An owner fell silent, or somebody who was none.
    pub(crate) fn lost(&mut self, peer: NodeId, known: &Known) {
        if known.leases().of(peer).next().is_some() {
            if self.losses.len() >= MAX_LOSSES {
                self.losses.pop_front();
            }
            self.losses.push_back(known.now());
        }
    }

    /// How long a peer must be here before it is given a shard for balance, ms: until it has heard of
    /// all others, because it goes back for readers that it does not know to be further; and longer
    /// and longer while owners keep falling silent, so that a node that comes and goes costs less each
    /// time.
    fn caution_ms(&self, known: &Known) -> u64 {
        let recent = |at: &&Time| known.now().since(**at) < LOSS_MEMORY_MS;
        let (listen_ms, settle_ms) = (known.config().listen_ms, known.config().settle_ms);
        match self.losses.iter().filter(recent).count().checked_sub(2) {
            None => listen_ms,
            Some(doublings) => listen_ms.max(settle_ms << doublings),
        }
    }
}

/// Whether a job is between two chapters, with everything a new owner needs in hand.
fn may_give(known: &Known, assigned: &Assigned, job: &JobStatus) -> bool {
    let stuck = assigned.is_sidelined() && is_stuck(known, job);
    match job.phase {
        Phase::NeedsCheckpoint => true,
        Phase::Loading(_) => false,
        Phase::Ready => job.is_idle() && (stuck || is_between(known, job)),
    }
}

/// Whether a job is at a chapter's end whose checkpoint is here, and has handed on all of it.
fn is_between(known: &Known, job: &JobStatus) -> bool {
    job.handed == job.done
        && known.plan().is_boundary(job.done)
        && (job.done == 0 || known.holds(job.shard, job.done))
}

/// Whether a shard has nothing to read, or nobody who reads what it makes: what it did since its last
/// checkpoint is given up.
fn is_stuck(known: &Known, job: &JobStatus) -> bool {
    let patience = STUCK_RETRIES * known.config().retry_ms;
    let lacking = known.own().lacking.get(&job.shard);
    lacking.is_some_and(|since| known.now().since(*since) >= patience)
}

/// Whether a peer of this speed would be busier with the shard than the busiest is now. Where all
/// shards shift along the line, whoever shall get some has to give some away first, and may come to
/// a chapter's end later.
fn overloads(known: &Known, (shard, target): Move, speed: u64) -> bool {
    let open = known.open_chapters();
    let others = known.members().workers().map(|(id, member)| (id, member.speed));
    let times = others
        .chain([(known.me(), known.own().speed)])
        .map(|(id, speed)| time(known.work_of(id, &open), speed));
    let with_it = known.work_of(target, &open).saturating_add(known.plan().cost(shard));
    speed > 0 && times.max().is_some_and(|busiest| time(with_it, speed) > busiest)
}

#[cfg(test)]
#[path = "hand_over_tests.rs"]
mod tests;
