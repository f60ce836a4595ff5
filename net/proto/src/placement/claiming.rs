//! Claiming shards that nobody owns.
//!
//! Rule: a shard without a living owner is claimed by the peer that the assignment names, and by the
//! next in order if that one does not.

use std::collections::{BTreeMap, BTreeSet};

use super::assignment::Assigned;
use crate::known::Known;
use crate::outbox::{Fact, Outbox};
use crate::{Lease, Message, NodeId, ShardId, Task, Time};

/// After listening, a peer waits at most this long for all to know how fast they are, ms.
const SPEEDS_MS: u64 = 4_000;

/// The shards that nobody living owns though they still need training: to their end, or again,
/// because a reader lacks batches that nobody holds.
pub(crate) fn vacant(known: &Known) -> BTreeSet<ShardId> {
    let plan = known.plan();
    let is_vacant = |shard: &ShardId| match known.owner(*shard) {
        Some(owner) if owner == known.me() => {
            // The feedback shard ends without a last checkpoint, and is reopened by starvation alone.
            let is_model = plan.feedback_shard() != Some(*shard);
            let lacks_end = known.checkpoints().at(*shard, plan.steps).is_none();
            is_model && lacks_end && known.own().job(*shard).is_none()
        }
        Some(owner) if known.members().contains(owner) && !is_lost(known, *shard, owner) => false,
        _ => known.start(*shard) < plan.steps,
    };
    plan.shards().filter(is_vacant).collect()
}

/// Whether `owner` is here for others, but what is needed of `shard` cannot be had from it: its
/// batches do not come, or it has finished and cannot hear that they are gone.
fn is_lost(known: &Known, shard: ShardId, owner: NodeId) -> bool {
    let ended = known.position(shard) >= known.plan().steps;
    (ended || known.is_suspect(shard, owner)) && known.is_avoided(owner)
}

/// Since when shards could be claimed.
#[derive(Debug, Default)]
pub(crate) struct Claiming {
    vacant_since: BTreeMap<ShardId, Time>,
    /// When the first lease was known.
    begun: Option<Time>,
}

impl Claiming {
    /// Claims the vacant shards that the assignment gives to this peer. Returns whether there are any.
    pub(crate) fn settle<'a>(
        &mut self,
        known: &Known,
        assigned: impl FnOnce() -> &'a Assigned,
        out: &mut Outbox,
    ) -> bool {
        let now = known.now();
        if self.begun.is_none() && known.leases().iter().next().is_some() {
            self.begun = Some(now);
        }
        let vacant = vacant(known);
        self.vacant_since.retain(|shard, _| vacant.contains(shard));
        for &shard in &vacant {
            self.vacant_since.entry(shard).or_insert(now);
        }
        let listens = known.only_listens() || self.awaits_speeds(known);
        if listens {
            // Nobody is to take them yet, so nobody is late.
            self.vacant_since.clear();
        }
        if vacant.is_empty() || listens || !known.takes_work() {
            return false;
        }
        let assigned = assigned();
        let is_mine = |shard: &ShardId| {
            let named = assigned.owner(*shard);
            let overdue = !assigned.is_sidelined() && self.is_overdue(*shard, known);
            named == Some(known.me()) || (named.is_some() && overdue)
        };
        let lease = |shard: ShardId| {
            let task = Task::Shard(shard);
            let (term, from) = (known.leases().next_term(task), known.start(shard));
            Lease { task, term, owner: known.me(), from }
        };
        let mine: Vec<Lease> = vacant.into_iter().filter(is_mine).map(lease).collect();
        let claims = !mine.is_empty();
        if claims {
            out.fact(Fact::Leases(mine.clone()));
            out.say(Message::Leases(mine));
        }
        claims
    }

    /// Whether nobody took `shard` for so long that it is this peer's turn, whoever was meant to:
    /// peers may differ in whom they consider to be here.
    fn is_overdue(&self, shard: ShardId, known: &Known) -> bool {
        let Some(&since) = self.vacant_since.get(&shard) else { return false };
        let mine = shard.rank_of(known.me());
        let before = known.members().workers().filter(|(id, _)| shard.rank_of(*id) < mine);
        let turn = 1 + before.count() as u64;
        known.now().since(since) >= turn.saturating_mul(known.config().silent_ms)
    }

    /// Whether nobody has owned anything for long, and somebody here does not know how fast it is. What
    /// the slowest says of its speed may come after the shards that it then took.
    fn awaits_speeds(&self, known: &Known) -> bool {
        let others = known.members().workers().map(|(_, member)| member.speed);
        let mut speeds = others.chain([known.own().speed]);
        let begun = self.begun.is_some_and(|at| known.now().since(at) >= known.beat_ms());
        let patience = known.config().listen_ms.saturating_add(SPEEDS_MS);
        !begun && speeds.any(|speed| speed == 0) && known.age_ms() < patience
    }
}
