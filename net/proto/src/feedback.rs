//! Tables: the checkpoints of the feedback row, which the lowest rows read some chapters later.
//!
//! Rule: a table is held from when it is made until no lowest row could need it, wherever it were
//! taken up. If one is lost that the feedback row has left behind, that row goes back and makes it
//! again, as rows do for batches.

use crate::{
    Hash, NodeId, RowId, Time,
    archive::Fact,
    flow::{LONG_PATIENCE, MAX_DOUBTS, PATIENCE},
    state::State,
    work::{Owned, Phase},
};

impl State {
    /// What is known of the table of the feedback row's first `step` steps, and can be believed and
    /// had by its readers.
    fn table(&self, step: u64) -> Option<&Fact> {
        let row = self.plan.feedback_row()?;
        let cut = self.avoided_by_readers(row);
        let is_good = |id: &NodeId| !self.doubts.contains(&(row, *id)) && !cut.contains(id);
        let believed = |fact: &&Fact| fact.holders.iter().any(is_good);
        self.archive.at(row, step).filter(believed)
    }

    /// The feedback steps whose tables the lowest rows will need, each from where it stands, or
    /// would start.
    fn tables_needed(&self, starts: &[u64]) -> impl Iterator<Item = u64> + '_ {
        let lowest = self.plan.rows_of(0).into_iter().map(|row| self.need(row, starts));
        self.plan.tables_from(lowest.min().unwrap_or(0))
    }

    /// The first table that a lowest row will need and that nobody holds.
    pub(crate) fn missing_table(&self, starts: &[u64]) -> Option<u64> {
        self.tables_needed(starts).find(|step| self.table(*step).is_none())
    }

    /// The step of the feedback row before which no batches are needed: it has gone beyond it, and
    /// enough peers hold all its tables until then that will be read.
    pub(crate) fn needed_tables(&self, copies: usize) -> u64 {
        let is_stable = |step: &u64| self.table(*step).is_some_and(|it| it.holders.len() >= copies);
        let Some(row) = self.plan.feedback_row() else { return self.plan.steps };
        match self.tables_needed(&self.starts).find(|step| !is_stable(step)) {
            None => self.plan.steps,
            Some(step) => {
                let start = self.starts[usize::from(row.0)];
                step.saturating_sub(self.plan.chapter_steps)
                    .min(start)
                    .min(self.need(row, &self.starts))
            }
        }
    }

    /// Whether `row` lacks no table for `step`.
    pub(crate) fn has_table(&self, row: RowId, owned: &Owned, step: u64) -> bool {
        let Some(table) = self.plan.table_of(row, step) else { return true };
        let in_use = owned.table.is_some_and(|(step, _)| step == table);
        in_use || self.plan.feedback_row().is_some_and(|row| self.holds(row, table))
    }

    /// The table that `row` reads for `step`, held from now on until another one takes its place:
    /// a chapter is trained and handed on with one table, whatever becomes of it meanwhile.
    pub(crate) fn use_table(&mut self, row: RowId, step: u64) -> Option<Hash> {
        let table = self.plan.table_of(row, step)?;
        let in_use = self.owned.get(&row)?.table;
        if let Some((_, hash)) = in_use.filter(|(step, _)| *step == table) {
            return Some(hash);
        }
        // It is here, whether or not others could have it.
        let hash = self.archive.at(self.plan.feedback_row()?, table)?.checkpoint.blob.hash;
        self.blobs.hold(hash);
        self.owned.get_mut(&row)?.table = Some((table, hash));
        if let Some((_, old)) = in_use {
            self.release(old);
        }
        Some(hash)
    }

    /// The trainer could not read the table of `step`.
    pub(crate) fn refuse_table(&mut self, row: RowId, step: u64) {
        let table = self.owned.get_mut(&row).and_then(|owned| owned.table.take());
        if let Some((_, hash)) = table {
            self.release(hash);
        }
        if let (Some(table), Some(row)) = (self.plan.table_of(row, step), self.plan.feedback_row())
        {
            self.distrust(row, table);
        }
    }

    /// Whether nobody holds the table that `row` needs for `step`.
    pub(crate) fn lacks_table(&self, row: RowId, step: u64) -> bool {
        self.plan.table_of(row, step).is_some_and(|table| self.table(table).is_none())
    }

    /// The tables that this peer's rows will read, and those that it answers for as the owner of
    /// the feedback row: known, and not here.
    pub(crate) fn wanted_tables(&self) -> Vec<(RowId, u64)> {
        let Some(feedback) = self.plan.feedback_row() else { return Vec::new() };
        let from = if self.leases.owner(feedback) == Some(self.me) {
            self.tables_needed(&self.starts).next()
        } else {
            let lowest =
                self.plan.rows_of(0).into_iter().filter(|row| self.owned.contains_key(row));
            let lowest = lowest.map(|row| self.need(row, &self.starts)).min();
            lowest.and_then(|step| self.plan.tables_from(step).next())
        };
        self.tables_at_least(from.unwrap_or(u64::MAX))
            .map(|fact| fact.checkpoint.step)
            .map(|step| (feedback, step))
            .collect()
    }

    /// The rows that read what `row` makes as the feedback row, or whose tables it reads.
    pub(crate) fn table_mates(&self, row: RowId) -> Vec<RowId> {
        match self.plan.feedback_row() {
            Some(feedback) if feedback == row => self.plan.rows_of(0),
            Some(feedback) if self.plan.layer(row) == 0 => vec![feedback],
            _ => Vec::new(),
        }
    }

    /// The known tables from feedback step `from` on.
    pub(crate) fn tables_at_least(&self, from: u64) -> impl Iterator<Item = &Fact> {
        let facts = self.plan.feedback_row().into_iter().flat_map(|row| self.archive.of(row));
        facts.filter(move |fact| fact.checkpoint.step >= from)
    }

    /// Notes, as the owner of the feedback row, since when a lowest row has lacked a table that is
    /// not here and that the feedback row has left behind; and doubts whoever says that it holds it
    /// when that is long.
    pub(crate) fn note_lost_tables(&mut self, now: Time) {
        let Some(feedback) = self.plan.feedback_row() else { return };
        self.retry_tables(feedback, now);
        let key = (feedback, RowId(0));
        let done = match self.owned.get(&feedback) {
            Some(owned) if owned.phase == Phase::Ready => owned.done,
            None if self.leases.owner(feedback) == Some(self.me) => self.plan.steps,
            _ => 0,
        };
        let lost = self.tables_needed(&self.starts).find(|step| !self.holds(feedback, *step));
        let Some(step) = lost.filter(|step| *step <= done) else {
            self.hunger.remove(&key);
            return;
        };
        let (since, of) = *self.hunger.entry(key).or_insert((now, step));
        if of != step {
            self.hunger.insert(key, (now, step));
        } else if now.since(since) >= LONG_PATIENCE * self.config.retry_ms {
            self.doubt_holders(feedback, step);
        }
    }

    /// A table that was refused here while others have no fault to find with it is tried again.
    fn retry_tables(&mut self, feedback: RowId, now: Time) {
        let patience = PATIENCE * self.config.retry_ms;
        let lacks = |row: RowId, owned: &Owned| {
            owned.phase == Phase::Ready
                && self.lacks_table(row, owned.next)
                && owned.lacks.is_some_and(|(since, _)| now.since(since) >= patience)
        };
        if self.owned.iter().any(|(&row, owned)| lacks(row, owned)) {
            self.archive.forgive(feedback);
        }
    }

    /// What holders say of a table is not believed until they are met again.
    fn doubt_holders(&mut self, row: RowId, step: u64) {
        let fact = self.archive.at(row, step);
        for &id in fact.into_iter().flat_map(|fact| &fact.holders) {
            if self.doubts.len() < MAX_DOUBTS && id != self.me {
                self.doubts.insert((row, id));
            }
        }
    }
}
