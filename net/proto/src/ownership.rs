//! Who shall own which row, and how a row changes hands.
//!
//! Rule: a row without a living owner is claimed by the peer that the assignment names, with the
//! next term; a row with one is only ever given away by that owner, between two chapters. An
//! owner that sees a standing lease of somebody else lets go at once.

use crate::{
    Lease, Message, NodeId, Notice, Role, RowId, Time,
    assign::{Candidate, assign},
    state::State,
    work::{Owned, Phase},
};

impl State {
    /// Takes in leases that somebody told of.
    pub(crate) fn merge_leases(&mut self, leases: &[Lease], now: Time) {
        for &lease in leases {
            if usize::from(lease.row.0) < self.plan.row_count() && self.leases.merge(lease) {
                self.on_lease(lease, now);
            }
        }
    }

    /// A lease has just come to stand.
    fn on_lease(&mut self, lease: Lease, now: Time) {
        self.targets = None;
        self.progress.insert(lease.row, lease.from.min(self.plan.steps));
        self.notify(Notice::Owner(lease));
        if lease.owner == self.me {
            self.owned.entry(lease.row).or_insert_with(Owned::new);
        } else {
            self.members.told_of(lease.owner, now, &self.config);
            self.let_go(lease.row);
        }
    }

    /// Notes the rows that nobody living owns though they still need training: to their end, or
    /// again, because a reader lacks batches that nobody holds.
    pub(crate) fn find_vacant(&mut self) {
        let is_vacant = |row: &RowId| match self.leases.owner(*row) {
            Some(owner) if owner == self.me => {
                !self.owned.contains_key(row) && self.archive.at(*row, self.plan.steps).is_none()
            }
            Some(owner) if self.members.contains(owner) => false,
            _ => self.starts[usize::from(row.0)] < self.plan.steps,
        };
        self.vacant = self.plan.rows().filter(is_vacant).collect();
    }

    /// Claims the vacant rows that the assignment gives to this peer.
    pub(crate) fn claim(&mut self, now: Time) {
        self.find_vacant();
        let listens = now < self.started.after(self.config.listen_ms);
        if self.vacant.is_empty() || listens || self.role != Role::Worker || self.leaving.is_some()
        {
            return;
        }
        let targets = self.targets();
        let mine: Vec<_> = self
            .plan
            .rows()
            .zip(&targets)
            .filter(|(row, target)| **target == self.me && self.vacant.contains(row))
            .map(|(row, _)| Lease {
                row,
                term: self.leases.next_term(row),
                owner: self.me,
                from: self.starts[usize::from(row.0)],
            })
            .collect();
        if !mine.is_empty() {
            self.merge_leases(&mine, now);
            self.find_vacant();
            self.say(Message::Leases(mine));
        }
    }

    /// Gives away the rows that the assignment wants elsewhere and that stand between two
    /// chapters.
    pub(crate) fn hand_over(&mut self, now: Time) {
        if self.owned.is_empty() {
            return;
        }
        let targets = self.targets();
        let mut given: Vec<_> = self
            .owned
            .iter()
            .filter(|(row, owned)| self.may_give(**row, owned))
            .filter_map(|(&row, owned)| {
                let owner = *targets.get(usize::from(row.0))?;
                let from = owned.done;
                let lease = Lease { row, term: self.leases.next_term(row), owner, from };
                self.should_give(owner, now).then_some(lease)
            })
            .collect();
        if given.is_empty() {
            return;
        }
        let spare = if self.leaving.is_some() { usize::MAX } else { self.owned.len().max(2) - 1 };
        given.truncate(spare);
        if self.leaving.is_none() {
            self.balanced = Some(now);
        }
        self.merge_leases(&given, now);
        for lease in &given {
            self.send(lease.owner, Message::Leases(vec![*lease]));
        }
        self.say(Message::Leases(given));
    }

    /// Whether `row` is between two chapters, with everything a new owner needs in hand.
    fn may_give(&self, row: RowId, owned: &Owned) -> bool {
        let idle = owned.next == owned.done;
        let kept = owned.done == 0 || self.holds(row, owned.done);
        match owned.phase {
            Phase::Seeking => true,
            Phase::Loading(_) => false,
            Phase::Ready => idle && kept && self.plan.is_boundary(owned.done),
        }
    }

    /// Whether giving a row to `target` is worth it now: always when leaving; never while a row
    /// is vacant, because then the assignment is about to change; to an idle peer at once, to
    /// others no oftener than the settling time. The last row is only given to a faster peer, so
    /// that two peers without other work do not pass one row to and fro.
    pub(crate) fn should_give(&self, target: NodeId, now: Time) -> bool {
        if target == self.me || self.leaving.is_some() {
            return target != self.me;
        }
        if !self.vacant.is_empty() {
            return false;
        }
        let is_faster = self.members.iter().any(|(id, it)| id == target && it.speed > self.speed);
        let is_idle = !self.leases.iter().any(|lease| lease.owner == target);
        let settled = self.balanced.is_none_or(|at| now.since(at) >= self.config.settle_ms);
        (self.owned.len() > 1 || is_faster) && (is_idle || settled)
    }

    /// The assignment by what is known now; empty when nobody can be given work.
    pub(crate) fn targets(&mut self) -> Vec<NodeId> {
        if let Some(targets) = &self.targets {
            return targets.clone();
        }
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
        let costs: Vec<_> = self.plan.rows().map(|row| self.plan.cost(row)).collect();
        let owners: Vec<_> = self.plan.rows().map(|row| self.leases.owner(row)).collect();
        let targets = assign(&costs, &owners, &candidates, self.config.margin_percent);
        self.targets = Some(targets.clone());
        targets
    }

    /// The trainer's speed changed enough to tell.
    pub(crate) fn on_speed(&mut self, speed: u64) {
        let (low, high) = (self.speed.saturating_mul(4) / 5, self.speed.saturating_mul(5) / 4);
        if speed < low || speed > high || self.speed == 0 {
            self.speed = speed;
            self.targets = None;
        }
    }
}
