//! Copying what must not be lost, forgetting the rest.
//!
//! Rule: a checkpoint is forgotten only when no row above could need it, an activation batch only
//! when a checkpoint of every reader beyond it is held by enough peers.

use std::collections::BTreeSet;

use crate::{
    Checkpoint, Hash, MAX_CHECKPOINTS_PER_ROW, MAX_ROWS, NodeId, Output, Role, RowId,
    archive::Fact, state::State,
};

/// Epochs without a score whose checkpoints are kept for scoring: short epochs are several
/// between the lowest row and the highest.
const MAX_UNSCORED: usize = 8;

/// Tables that others hold and that a lowest row could need, remembered at most: one for each layer
/// and some for what is under way.
const MAX_TABLES: usize = 2 * MAX_ROWS;

impl State {
    /// This peer has just made `checkpoint`; the store has it. Returns whether it stands.
    pub(crate) fn archive_own(&mut self, checkpoint: Checkpoint) -> bool {
        let Checkpoint { row, step, blob, .. } = checkpoint;
        self.settle_conflict(&checkpoint);
        let other = self.archive.at(row, step).is_some_and(|fact| fact.checkpoint.blob != blob);
        if other && self.plan.is_private() {
            self.release(blob.hash);
            return false;
        }
        let before = self.holds(row, step);
        let learned = self.archive.learn_own(checkpoint, self.me);
        self.on_learned(learned, checkpoint, self.me);
        let stands = self.holds(row, step);
        if before || !stands {
            self.release(blob.hash);
        } else {
            self.push(Output::Keep(checkpoint));
        }
        stands
    }

    /// Makes room for a checkpoint that stands against the known one of its cell, where each
    /// trains on data of its own.
    pub(crate) fn settle_conflict(&mut self, checkpoint: &Checkpoint) {
        let step = checkpoint.step;
        if !self.plan.is_private() {
            return;
        }
        if let Some(fallen) = self.archive.unseat(checkpoint) {
            if step == self.plan.steps {
                self.complete = None;
                self.is_told = false;
            }
            if fallen.holders.contains(&self.me) {
                self.release(fallen.checkpoint.blob.hash);
            }
        }
    }

    /// Whether this peer holds that checkpoint.
    pub(crate) fn holds(&self, row: RowId, step: u64) -> bool {
        self.archive.at(row, step).is_some_and(|fact| fact.holders.contains(&self.me))
    }

    /// The checkpoint of every row of the model after `step` steps, when this peer holds them all.
    pub(crate) fn held_at(&self, step: u64) -> Option<Vec<Checkpoint>> {
        let held = |row| {
            let fact = self.archive.at(row, step)?;
            fact.holders.contains(&self.me).then_some(fact.checkpoint)
        };
        self.plan.model_rows().map(held).collect()
    }

    /// The bytes of a checkpoint have their hash and could not be read: they are not taken again.
    /// Whose fault it is cannot be told from here.
    pub(crate) fn distrust(&mut self, row: RowId, step: u64) {
        let Some(fact) = self.archive.at(row, step).cloned() else { return };
        self.archive.distrust(row, step);
        if fact.holders.contains(&self.me) {
            self.release(fact.checkpoint.blob.hash);
        }
    }

    /// A copy of a checkpoint turned out not to be there, or not to be usable.
    pub(crate) fn lose_copy(&mut self, row: RowId, step: u64, holder: NodeId) {
        let hash = self.archive.at(row, step).map(|fact| fact.checkpoint.blob.hash);
        let held = self.holds(row, step);
        self.archive.forget_copy(row, step, holder);
        if let (true, true, Some(hash)) = (holder == self.me, held, hash) {
            self.release(hash);
        }
    }

    /// The checkpoints of which this peer should hold copies: the latest of each row, and tables,
    /// that have too few holders and have this peer among the first in the order that row and peers
    /// fix. Rows that could lose most come first.
    pub(crate) fn copy_duties(&self) -> Vec<(RowId, u64)> {
        if self.role != Role::Worker {
            return Vec::new();
        }
        let (wanted, takers) = (self.wanted_holders(), self.takers().collect::<Vec<NodeId>>());
        let anyone_cut = self.anyone_is_cut();
        let mine = self.worth_copies().filter(|fact| {
            // Whoever goes on from it gets it without being told to.
            let taker = self.taker_at(fact.checkpoint.step).filter(|id| !fact.holders.contains(id));
            let holders = fact.holders.len() + usize::from(taker.is_some());
            !(anyone_cut && self.is_cut_off(&fact.holders))
                && self.is_among_first(fact, wanted.saturating_sub(holders), &takers, taker)
        });
        let mut mine: Vec<_> = mine.map(|it| (it.checkpoint.row, it.checkpoint.step)).collect();
        mine.sort_by_cached_key(|&(row, step)| (self.archive.stable(row, wanted), step, row));
        mine
    }

    /// The checkpoints of which this peer should hold copies so that those who cannot reach their
    /// makers reach them; for that, there is always room.
    pub(crate) fn bridges(&self) -> Vec<(RowId, u64)> {
        if self.role != Role::Worker || !self.anyone_is_cut() {
            return Vec::new();
        }
        let facts = self.worth_copies().chain(self.at_open_chapters());
        let mine = facts.filter(|fact| self.is_cut_off(&fact.holders)).filter(|fact| {
            let workers = self.members.workers().map(|(id, _)| id).chain([self.me]);
            let able = workers.filter(|id| !self.is_cut_from(*id, &fact.holders));
            self.is_among_first(fact, 1, &able.collect::<Vec<_>>(), None)
        });
        mine.map(|it| (it.checkpoint.row, it.checkpoint.step)).collect()
    }

    /// The latest checkpoint of each row, and the tables that could be needed.
    fn worth_copies(&self) -> impl Iterator<Item = &Fact> {
        let latest = self.plan.model_rows().filter_map(|row| self.archive.latest(row));
        latest.chain(self.tables_at_least(self.tables_from))
    }

    /// Whether there may be checkpoints that somebody cannot reach and waits for: where peers own
    /// chapters, nobody rests for that.
    fn anyone_is_cut(&self) -> bool {
        self.plan.is_by_chapter() && self.anyone_avoids()
    }

    /// Whether this peer is among the first `missing` of these that do not hold it; `taker` will.
    fn is_among_first(
        &self,
        fact: &Fact,
        missing: usize,
        others: &[NodeId],
        taker: Option<NodeId>,
    ) -> bool {
        let row = fact.checkpoint.row;
        let lacks = |id: &NodeId| !fact.holders.contains(id) && taker != Some(*id);
        if missing == 0 || !lacks(&self.me) || !others.contains(&self.me) {
            return false;
        }
        // A rank is a hash, and there may be many others: most often few of them tell enough.
        let mine = rank(row, self.me);
        let before = others.iter().filter(|id| lacks(id) && rank(row, **id) < mine);
        before.take(missing).count() < missing
    }

    /// The checkpoints that an open chapter begins with, where peers own chapters.
    fn at_open_chapters(&self) -> impl Iterator<Item = &Fact> {
        self.plan.model_rows().flat_map(|row| {
            let start = self.starts[usize::from(row.0)];
            self.archive.of(row).filter(move |fact| fact.checkpoint.step >= start)
        })
    }

    /// Forgets the batches and checkpoints that nobody can need any more.
    pub(crate) fn forget(&mut self) {
        let wanted = self.wanted_holders();
        let needed = self.needed_steps(wanted);
        self.forget_batches(&needed);
        let floors = self.floors(&needed, wanted);
        if let Some(row) = self.plan.feedback_row() {
            self.tables_from = floors[usize::from(row.0)];
        }
        for (row, step) in self.stale_checkpoints(&floors) {
            self.lose_copy(row, step, self.me);
        }
    }

    /// For each row, the step before which nothing that concerns it is needed: it has gone beyond
    /// it, enough peers hold a checkpoint at or beyond it, and its batches until there were handed
    /// on. A row that went back lowers it.
    fn needed_steps(&self, copies: usize) -> Vec<u64> {
        let needed = |row: RowId| {
            if self.plan.feedback_row() == Some(row) {
                return self.needed_tables(copies);
            }
            let start = self.starts[usize::from(row.0)];
            self.archive.stable(row, copies).min(self.need(row, &self.starts)).min(start)
        };
        self.plan.rows().map(needed).collect()
    }

    /// Whether an epoch that ends at `step` has no score yet.
    fn is_unscored(&self, step: u64) -> bool {
        self.plan.epochs_ending(step).any(|epoch| !self.scores.contains_key(&epoch))
    }

    /// Forgets some of what others hold.
    pub(crate) fn trim(&mut self) {
        let Self { archive, plan, scores, tables_from, starts, .. } = self;
        let feedback = plan.feedback_row();
        let is_unscored = |step| plan.epochs_ending(step).any(|it| !scores.contains_key(&it));
        // As many chapters as rows can be open, and each begins with a checkpoint of every row.
        let begins = |row: RowId, step| {
            plan.is_by_chapter() && starts.get(usize::from(row.0)).is_some_and(|&it| it <= step)
        };
        let is_wanted = |row, step| {
            let is_table = feedback == Some(row);
            if is_table { step >= *tables_from } else { is_unscored(step) || begins(row, step) }
        };
        let open = if plan.is_by_chapter() { plan.row_count() + 1 } else { 0 };
        let most = |row| {
            let usual = open.max(MAX_CHECKPOINTS_PER_ROW);
            if feedback == Some(row) { MAX_TABLES } else { usual }
        };
        archive.trim(self.me, is_wanted, most);
    }

    /// For each row, the checkpoint that it could be taken up from, whoever is lost, so one with all
    /// its holders; for the feedback row, the first that a lowest row could then read, if that is lower.
    fn floors(&self, needed: &[u64], copies: usize) -> Vec<u64> {
        let mut floor = vec![0; self.plan.row_count()];
        for row in self.plan.rows().rev() {
            let above = self.plan.readers(row).into_iter().map(|r| floor[usize::from(r.0)]).min();
            let limit = above.unwrap_or(u64::MAX).min(needed[usize::from(row.0)]);
            let is_over = self.plan.feedback_row() == Some(row) && limit == self.plan.steps;
            let stable = || self.archive.stable_until(row, copies, limit);
            floor[usize::from(row.0)] = if is_over { limit } else { stable() };
        }
        if let Some(row) = self.plan.feedback_row() {
            let lowest = self.plan.rows_of(0).into_iter().map(|row| floor[usize::from(row.0)]);
            let first = lowest.min().and_then(|step| self.plan.tables_from(step).next());
            let own = floor[usize::from(row.0)];
            floor[usize::from(row.0)] = first.map_or(own, |first| first.min(own));
        }
        floor
    }

    /// This peer's checkpoints below these floors, scoring aside.
    fn stale_checkpoints(&self, floor: &[u64]) -> Vec<(RowId, u64)> {
        // News of a checkpoint may come after that of the steps behind it.
        let comes = |row, step: u64| {
            let done = self.need(row, &self.starts);
            done < self.plan.steps && done <= step.saturating_add(self.config.window)
        };
        let can_be_scored = |step: &u64| {
            let mut rows = self.plan.model_rows();
            rows.all(|row| self.archive.at(row, *step).is_some() || comes(row, *step))
        };
        let steps: BTreeSet<u64> = self.archive.held_by(self.me).map(|c| c.step).collect();
        let unscored =
            steps.into_iter().filter(|step| self.is_unscored(*step)).filter(can_be_scored);
        let pinned: Vec<u64> = unscored.take(MAX_UNSCORED).collect();
        self.archive
            .held_by(self.me)
            .map(|checkpoint| (checkpoint.row, checkpoint.step))
            .filter(|(row, step)| {
                let is_table = self.plan.feedback_row() == Some(*row);
                *step < floor[usize::from(row.0)] && (is_table || !pinned.contains(step))
            })
            .collect()
    }
}

/// A peer's place in the order that `row` fixes: every row has its own, and it does not change
/// when other peers come or go (rendezvous hashing, Thaler and Ravishankar 1998).
pub(crate) fn rank(row: RowId, peer: NodeId) -> Hash {
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&row.0.to_le_bytes());
    bytes[2..].copy_from_slice(&peer.0);
    Hash::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlobRef, Config, Input, LayerPlan, Message, Placement, Plan, Time};

    const ME: NodeId = NodeId([1; 32]);
    const A: NodeId = NodeId([2; 32]);
    const B: NodeId = NodeId([3; 32]);

    fn plan(shards: u16, layers: usize, placement: Placement) -> Plan {
        let layer = LayerPlan { shards, step_cost: 1 };
        Plan {
            run: Hash([0; 32]),
            layers: vec![layer; layers],
            steps: 100,
            epoch_steps: 100,
            chapter_steps: 10,
            placement,
            feedback: false,
            refreshed: false,
        }
    }

    fn peer(me: NodeId, plan: &Plan) -> State {
        State::new(me, Role::Worker, plan.clone(), Config::default(), Time(0))
    }

    fn checkpoint(row: u16, step: u64) -> Checkpoint {
        let blob =
            BlobRef { hash: Hash::of(&[row.to_le_bytes(), [step as u8, 0]].concat()), size: 9 };
        Checkpoint { row: RowId(row), step, blob, by: A, loss_micro: 0 }
    }

    /// What is asked for after this peer heard another one.
    fn hear(state: &mut State, from: &mut State, now: u64) -> Vec<Hash> {
        let message = Message::Heartbeat(from.heartbeat());
        asked(state.handle(Input::Received { from: from.me, message }, Time(now)))
    }

    fn asked(outputs: Vec<Output>) -> Vec<Hash> {
        let blob =
            |it: Output| if let Output::Fetch { blob, .. } = it { Some(blob.hash) } else { None };
        outputs.into_iter().filter_map(blob).collect()
    }

    #[test]
    fn copies_are_taken_one_after_the_other_unless_somebody_leaves() {
        let plan = plan(4, 1, Placement::SingleLayer);
        let (mut me, mut a, mut b) = (peer(ME, &plan), peer(A, &plan), peer(B, &plan));
        hear(&mut me, &mut b, 90);
        (0..4).for_each(|row| a.learn(checkpoint(row, 10), A));
        let first = hear(&mut me, &mut a, 100);
        assert_eq!(first.len(), 1);
        assert!(asked(me.handle(Input::Wakeup, Time(150))).is_empty());
        assert!(asked(me.handle(Input::Fetched { hash: first[0] }, Time(200))).is_empty());
        assert!(asked(me.handle(Input::Wakeup, Time(1_999))).is_empty());
        assert_eq!(asked(me.handle(Input::Wakeup, Time(2_000))).len(), 1);
        assert!(asked(me.handle(Input::Wakeup, Time(2_010))).is_empty());
        b.handle(Input::Leave, Time(2_020));
        assert_eq!(hear(&mut me, &mut b, 2_020).len(), 1);
    }

    #[test]
    fn a_fetch_that_fails_gives_way() {
        let plan = plan(4, 1, Placement::SingleLayer);
        let (mut me, mut a) = (peer(ME, &plan), peer(A, &plan));
        (0..4).for_each(|row| a.learn(checkpoint(row, 10), A));
        let first = hear(&mut me, &mut a, 100)[0];
        let failed = Input::FetchFailed { hash: first, from: A, lied: false };
        let next = asked(me.handle(failed, Time(100)));
        assert!(next.len() == 1 && next[0] != first, "{next:?}");
    }

    #[test]
    fn what_a_row_falls_back_to_has_all_its_holders() {
        let plan = plan(1, 2, Placement::AllLayers);
        let (mut me, mut a, mut b) = (peer(ME, &plan), peer(A, &plan), peer(B, &plan));
        for (other, step) in [(A, 10), (A, 20), (A, 30), (B, 10), (B, 20), (B, 30)] {
            let state = if other == A { &mut a } else { &mut b };
            state.learn(checkpoint(0, step), other);
            if step == 20 {
                state.learn(checkpoint(1, step), other);
            }
        }
        for (row, step) in [(0, 10), (0, 30), (1, 20)] {
            me.handle(Input::Restored(checkpoint(row, step)), Time(0));
        }
        hear(&mut me, &mut a, 10);
        hear(&mut me, &mut b, 20);
        assert!(me.holds(RowId(0), 10), "only two peers hold the one after it");
        me.learn(checkpoint(0, 20), ME);
        me.handle(Input::Wakeup, Time(30));
        assert!(!me.holds(RowId(0), 10) && me.holds(RowId(0), 20));
    }
}
