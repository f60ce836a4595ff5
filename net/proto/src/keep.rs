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
        // Somebody may have announced another one, of which a copy was taken.
        let held = self.archive.at(row, step).filter(|fact| fact.holders.contains(&self.me));
        let before = held.map(|fact| fact.checkpoint.blob.hash);
        let learned = self.archive.learn_own(checkpoint, self.me);
        self.on_learned(learned, checkpoint, self.me);
        let stands = self.holds(row, step);
        if let Some(before) = before {
            self.release(before);
        }
        if !stands {
            self.release(blob.hash);
        } else if before != Some(blob.hash) {
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
            self.lacks_model(step);
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
        // Whoever will score the epoch fetches all of this anyhow, and comes first.
        let scorer = self.scorer_at(fact.checkpoint.step);
        let place = |id: NodeId| (scorer != Some(id), rank(row, id));
        // A rank is a hash, and there may be many others: most often few of them tell enough.
        let mine = place(self.me);
        let before = others.iter().filter(|id| lacks(id) && place(**id) < mine);
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
#[path = "keep_tests.rs"]
mod tests;
