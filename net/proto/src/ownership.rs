//! Who shall own which shard, and how a shard changes hands.
//!
//! Rule: a shard without a living owner is claimed by the peer that the assignment names, with the
//! next term; a shard with one is only ever given away by that owner, between two chapters. An
//! owner that sees a standing lease of somebody else lets go at once.

use std::collections::BTreeSet;

use crate::{
    Lease, MAX_MEMBERS, Message, NodeId, Notice, Placement, Role, ShardId, Time,
    assign::{Candidate, assign, time},
    keep::rank,
    state::State,
    work::{Owned, Phase},
};

/// After listening, a peer waits at most this long for all to know how fast they are, ms.
const SPEEDS_MS: u64 = 4_000;

/// Losses of owners remembered, at most: the longest wait is the settling time, doubled as often
/// as there are more than two.
const MAX_LOSSES: usize = 6;

/// The settling time is doubled at most this often.
const MAX_DOUBLINGS: u32 = 5;

/// A loss longer ago than this counts no more, ms.
const LOSS_MEMORY_MS: u64 = 120_000;

impl State {
    /// Takes in leases that somebody told of.
    pub(crate) fn merge_leases(&mut self, leases: &[Lease], now: Time) {
        if self.plan.is_by_chapter() {
            return;
        }
        for &lease in leases {
            if self.plan.has(lease.shard) && self.leases.merge(lease) {
                self.on_lease(lease, now);
            }
        }
    }

    /// A lease has just come to stand.
    fn on_lease(&mut self, lease: Lease, now: Time) {
        self.targets = None;
        self.begun.get_or_insert(now);
        self.progress.insert(lease.shard, lease.from.min(self.plan.steps));
        if self.plan.feedback_shard() != Some(lease.shard) {
            self.notify(Notice::Owner(lease));
        }
        if lease.owner == self.me {
            self.owned.entry(lease.shard).or_insert_with(Owned::new);
        } else {
            self.members.told_of(lease.owner, now, &self.config);
            self.let_go(lease.shard);
        }
    }

    /// Notes the shards that nobody living owns though they still need training: to their end, or
    /// again, because a reader lacks batches that nobody holds.
    pub(crate) fn find_vacant(&mut self) {
        let is_vacant = |shard: &ShardId| match self.leases.owner(*shard) {
            Some(owner) if owner == self.me => {
                // The feedback shard ends without a last checkpoint, and is reopened by hunger alone.
                let is_model = self.plan.feedback_shard() != Some(*shard);
                let lacks_end = self.archive.at(*shard, self.plan.steps).is_none();
                is_model && lacks_end && !self.owned.contains_key(shard)
            }
            Some(owner) if self.members.contains(owner) && !self.is_lost(*shard, owner) => false,
            _ => self.starts[usize::from(shard.0)] < self.plan.steps,
        };
        self.vacant = self.plan.shards().filter(is_vacant).collect();
        let (vacant, now) = (&self.vacant, self.now);
        self.vacant_since.retain(|shard, _| vacant.contains(shard));
        for &shard in vacant {
            self.vacant_since.entry(shard).or_insert(now);
        }
    }

    /// Whether `owner` is here for others, but what is needed of `shard` cannot be had from it: its
    /// batches do not come, or it has finished and cannot hear that they are gone.
    fn is_lost(&self, shard: ShardId, owner: NodeId) -> bool {
        let ended = self.position(shard) >= self.plan.steps;
        (ended || self.doubts.contains(&(shard, owner))) && self.is_avoided(owner)
    }

    /// Whether nobody took `shard` for so long that it is this peer's turn, whoever was meant to:
    /// peers may differ in whom they take for being here.
    fn is_overdue(&self, shard: ShardId, now: Time) -> bool {
        let Some(&since) = self.vacant_since.get(&shard).filter(|_| !self.rests) else {
            return false;
        };
        let before =
            self.members.workers().filter(|(id, _)| rank(shard, *id) < rank(shard, self.me));
        let turn = 1 + before.count() as u64;
        now.since(since) >= turn.saturating_mul(self.config.silent_ms)
    }

    /// Claims the vacant shards that the assignment gives to this peer.
    pub(crate) fn claim(&mut self, now: Time) {
        self.find_vacant();
        let listens = now < self.started.after(self.config.listen_ms) || self.awaits_speeds(now);
        if listens {
            // Nobody is to take them yet, so nobody is late.
            self.vacant_since.clear();
        }
        if self.vacant.is_empty() || listens || self.role != Role::Worker || self.leaving.is_some()
        {
            return;
        }
        let targets = self.targets();
        let mine: Vec<_> = self
            .plan
            .shards()
            .zip(&targets)
            .filter(|(shard, _)| self.vacant.contains(shard))
            .filter(|(shard, target)| **target == self.me || self.is_overdue(*shard, now))
            .map(|(shard, _)| Lease {
                shard,
                term: self.leases.next_term(shard),
                owner: self.me,
                from: self.starts[usize::from(shard.0)],
            })
            .collect();
        if !mine.is_empty() {
            self.merge_leases(&mine, now);
            self.find_vacant();
            self.say(Message::Leases(mine));
        }
    }

    /// Whether nobody has owned anything for long, and somebody here does not know how fast it is. What
    /// the slowest says of its speed may come after the shards that it then took.
    fn awaits_speeds(&self, now: Time) -> bool {
        let mut speeds = self.members.workers().map(|(_, member)| member.speed).chain([self.speed]);
        let begun = self.begun.is_some_and(|at| now.since(at) >= self.beat_ms());
        let patience = self.config.listen_ms.saturating_add(SPEEDS_MS);
        !begun && speeds.any(|speed| speed == 0) && now < self.started.after(patience)
    }

    /// Gives away the shards that the assignment wants elsewhere and that stand between two
    /// chapters.
    pub(crate) fn hand_over(&mut self, now: Time) {
        if self.owned.is_empty() {
            return;
        }
        let targets = self.targets();
        let mut given: Vec<_> = self
            .owned
            .iter()
            .filter(|(shard, owned)| self.may_give(**shard, owned))
            .filter_map(|(&shard, owned)| {
                let owner = *targets.get(usize::from(shard.0))?;
                let between = self.is_between(shard, owned);
                let from = if between { owned.done } else { self.starts[usize::from(shard.0)] };
                let lease = Lease { shard, term: self.leases.next_term(shard), owner, from };
                self.should_give(shard, owner, from).then_some(lease)
            })
            .collect();
        if given.is_empty() {
            return;
        }
        let spare = if self.leaving.is_some() || self.rests {
            usize::MAX
        } else {
            self.owned.len().max(2) - 1
        };
        given.truncate(spare);
        let owners: BTreeSet<NodeId> = given.iter().map(|lease| lease.owner).collect();
        if self.leaving.is_none() {
            self.balanced = given.last().map(|lease| (now, lease.from));
            owners.iter().for_each(|owner| self.note_given(*owner, now));
        }
        self.merge_leases(&given, now);
        // In one message with what this peer holds: whoever takes a shard and does not know that goes
        // back as far as its readers seem to lack batches.
        let beat = self.beat_now();
        for owner in owners {
            self.send(owner, beat.clone());
        }
        self.say(beat);
    }

    /// Whether `shard` is between two chapters, with everything a new owner needs in hand.
    fn may_give(&self, shard: ShardId, owned: &Owned) -> bool {
        let idle = owned.is_idle();
        match owned.phase {
            Phase::Seeking => true,
            Phase::Loading(_) => false,
            Phase::Ready => idle && (self.is_stuck(owned) || self.is_between(shard, owned)),
        }
    }

    /// Whether `shard` is at a chapter's end whose checkpoint is here, and has handed on all of it.
    fn is_between(&self, shard: ShardId, owned: &Owned) -> bool {
        owned.handed == owned.done
            && self.plan.is_boundary(owned.done)
            && (owned.done == 0 || self.holds(shard, owned.done))
    }

    /// Whether a shard of a peer that must rest has nothing to read, or nobody who reads what it
    /// makes: what it did since its last checkpoint is given up.
    fn is_stuck(&self, owned: &Owned) -> bool {
        let patience = 3 * self.config.retry_ms;
        self.rests && owned.lacks.is_some_and(|(since, _)| self.now.since(since) >= patience)
    }

    /// Whether giving a shard that stands at `step` to `target` is worth it now: always when leaving or
    /// resting; never while a shard is vacant, because then the assignment is about to change; to an
    /// idle peer at once, to others no oftener than the settling time, but then all shards at that
    /// step's end: many stops of one shard each cost more than one of many. The last shard is only given
    /// to a faster peer, so that two peers without other work do not pass one shard to and fro.
    pub(crate) fn should_give(&self, shard: ShardId, target: NodeId, step: u64) -> bool {
        let now = self.now;
        if target == self.me || self.leaving.is_some() || self.rests {
            return target != self.me;
        }
        if !self.vacant.is_empty() {
            return false;
        }
        let Some((_, member)) = self.members.iter().find(|(id, _)| *id == target) else {
            return false;
        };
        if now.since(member.since) < self.caution(now) {
            return false;
        }
        let is_faster = member.speed > self.speed;
        let is_idle = !self.leases.iter().any(|lease| lease.owner == target);
        let is_idle = is_idle && !self.given_lately(target, now);
        // Not one that came here at this step: peers that disagree would pass it to and fro.
        let came = self.leases.get(shard).map_or(0, |lease| lease.from);
        let is_same_end = |end| end == step && came < step;
        let settled = self
            .balanced
            .is_none_or(|(at, end)| is_same_end(end) || now.since(at) >= self.config.settle_ms);
        (self.owned.len() > 1 || is_faster)
            && (is_idle || settled)
            && !self.overloads(shard, target, member.speed)
    }

    /// Whether `target`, of this speed, would be busier with `shard` than the busiest is now. Where all
    /// shards shift along the line, whoever shall get some has to give some away first, and may come to
    /// a chapter's end later.
    fn overloads(&self, shard: ShardId, target: NodeId, speed: u64) -> bool {
        let open = self.open_chapters();
        let others = self.members.workers().map(|(id, member)| (id, member.speed));
        let times = others
            .chain([(self.me, self.speed)])
            .map(|(id, speed)| time(self.work_of(id, &open), speed));
        let with_it = self.work_of(target, &open).saturating_add(self.plan.cost(shard));
        speed > 0 && times.max().is_some_and(|busiest| time(with_it, speed) > busiest)
    }

    /// Whether `target` was given a shard not long ago and is idle again: it has no use for shards.
    fn given_lately(&self, target: NodeId, now: Time) -> bool {
        let Some(&(at, times)) = self.given.get(&target) else { return false };
        now.since(at) < self.config.settle_ms << times.min(MAX_DOUBLINGS)
    }

    /// Shards were given to `target` for balance.
    fn note_given(&mut self, target: NodeId, now: Time) {
        if self.given.len() < MAX_MEMBERS || self.given.contains_key(&target) {
            let (at, times) = self.given.entry(target).or_insert((now, 0));
            (*at, *times) = (now, *times + 1);
        }
    }

    /// An owner fell silent, or somebody who was none.
    pub(crate) fn note_loss(&mut self, peer: NodeId) {
        let owned = self.leases.iter().any(|lease| lease.owner == peer);
        if owned || self.turns.iter().any(|turn| turn.owner == peer) {
            if self.losses.len() >= MAX_LOSSES {
                self.losses.pop_front();
            }
            self.losses.push_back(self.now);
        }
    }

    /// How long a peer must be here before it is given a shard for balance, ms: until it has heard of
    /// all others, because it goes back for readers that it does not know to be further; and longer
    /// and longer while owners keep falling silent, so that a node that comes and goes costs less each
    /// time.
    fn caution(&self, now: Time) -> u64 {
        let recent = self.losses.iter().filter(|at| now.since(**at) < LOSS_MEMORY_MS).count();
        match recent.checked_sub(2) {
            None => self.config.listen_ms,
            Some(doublings) => self.config.listen_ms.max(self.config.settle_ms << doublings),
        }
    }

    /// The assignment by what is known now; empty when nobody can be given work.
    pub(crate) fn targets(&mut self) -> Vec<NodeId> {
        let margin = if self.is_balancing() { 0 } else { self.config.margin_percent };
        if let Some((for_margin, targets)) = &self.targets
            && *for_margin == margin
        {
            return targets.clone();
        }
        let mut candidates = self.candidates();
        if self.plan.placement == Placement::Sequential {
            self.leave_one(&mut candidates);
        }
        let costs: Vec<_> = self.plan.shards().map(|shard| self.plan.cost(shard)).collect();
        let owners: Vec<_> = self.plan.shards().map(|shard| self.leases.owner(shard)).collect();
        let targets = assign(&costs, &owners, &candidates, margin);
        self.targets = Some((margin, targets.clone()));
        targets
    }

    /// Whether this peer gives shards away for balance at a chapter's end that others of its shards have
    /// yet to reach or stand at. What was begun is finished, however little the rest of it gains: each
    /// shard that moves leaves less to gain, and those behind it would stay.
    fn is_balancing(&self) -> bool {
        let Some((_, end)) = self.balanced else { return false };
        self.owned.values().any(|owned| owned.done <= end)
    }

    /// The peers that can be given work, this one perhaps among them, by their keys.
    pub(crate) fn candidates(&mut self) -> Vec<Candidate> {
        let mut candidates: Vec<_> = self
            .members
            .workers()
            .map(|(id, member)| Candidate { id, speed: member.speed })
            .collect();
        if self.role == Role::Worker && self.leaving.is_none() {
            candidates.push(Candidate { id: self.me, speed: self.speed });
        }
        let known: Vec<u64> = candidates.iter().map(|c| c.speed).filter(|&s| s > 0).collect();
        let usual = known.iter().sum::<u64>().checked_div(known.len() as u64).unwrap_or(1).max(1);
        for candidate in &mut candidates {
            candidate.speed = if candidate.speed == 0 { usual } else { candidate.speed };
        }
        candidates.sort_by_key(|candidate| candidate.id);
        if self.plan.is_by_chapter() {
            // Copies bridge what is cut, so nobody has to rest.
            return candidates;
        }
        let here = candidates.len();
        let candidates = self.able(candidates);
        let works = |candidate: &Candidate| candidate.id == self.me;
        self.rests = candidates.len() < here && !candidates.iter().any(works);
        candidates
    }

    /// Where one peer trains everything: who has most of it stays, else the fastest is taken.
    fn leave_one(&self, candidates: &mut Vec<Candidate>) {
        let owns = |id: NodeId| self.leases.iter().filter(|lease| lease.owner == id).count();
        let best = candidates.iter().max_by_key(|it| (owns(it.id), it.speed, it.id)).copied();
        candidates.retain(|it| Some(it.id) == best.map(|best| best.id));
    }

    /// The trainer's speed changed enough to tell.
    pub(crate) fn on_speed(&mut self, speed: u64) {
        let (low, high) = (self.speed.saturating_mul(9) / 10, self.speed.saturating_mul(11) / 10);
        if speed < low || speed > high || self.speed == 0 {
            if self.speed == 0 {
                // Others may wait for it.
                self.next_beat = self.now;
            }
            self.speed = speed;
            self.targets = None;
        }
    }
}

#[cfg(test)]
#[path = "ownership_tests.rs"]
mod tests;
