//! Tables: the checkpoints of the feedback shard, which the lowest shards read some chapters later.
//!
//! Rule: a table is held from when it is made until no lowest shard could need it, wherever it were
//! taken up. If one is lost that the feedback shard has left behind, that shard goes back and makes it
//! again, as shards do for batches.

use crate::{
    Hash, NodeId, ShardId, Time,
    archive::Fact,
    flow::{LONG_PATIENCE, MAX_DOUBTS, PATIENCE},
    state::State,
    work::{Owned, Phase},
};

impl State {
    /// What is known of the table of the feedback shard's first `step` steps, and can be believed and
    /// had by its readers.
    fn table(&self, step: u64) -> Option<&Fact> {
        let shard = self.plan.feedback_shard()?;
        let cut = self.avoided_by_readers(shard);
        let is_good = |id: &NodeId| !self.doubts.contains(&(shard, *id)) && !cut.contains(id);
        let believed = |fact: &&Fact| fact.holders.iter().any(is_good);
        self.archive.at(shard, step).filter(believed)
    }

    /// The feedback steps whose tables the lowest shards will need, each from where it stands, or
    /// would start.
    fn tables_needed(&self, starts: &[u64]) -> impl Iterator<Item = u64> + '_ {
        let lowest = self.plan.shards_of(0).into_iter().map(|shard| self.need(shard, starts));
        self.plan.tables_from(lowest.min().unwrap_or(0))
    }

    /// The first table that a lowest shard will need and that nobody holds.
    pub(crate) fn missing_table(&self, starts: &[u64]) -> Option<u64> {
        self.tables_needed(starts).find(|step| self.table(*step).is_none())
    }

    /// The step of the feedback shard before which no batches are needed: it has gone beyond it, and
    /// enough peers hold all its tables until then that will be read.
    pub(crate) fn needed_tables(&self, copies: usize) -> u64 {
        let is_stable = |step: &u64| self.table(*step).is_some_and(|it| it.holders.len() >= copies);
        let Some(shard) = self.plan.feedback_shard() else { return self.plan.steps };
        match self.tables_needed(&self.starts).find(|step| !is_stable(step)) {
            None => self.plan.steps,
            Some(step) => {
                let start = self.starts[usize::from(shard.0)];
                step.saturating_sub(self.plan.chapter_steps)
                    .min(start)
                    .min(self.need(shard, &self.starts))
            }
        }
    }

    /// Whether `shard` lacks no table for `step`.
    pub(crate) fn has_table(&self, shard: ShardId, owned: &Owned, step: u64) -> bool {
        let Some(table) = self.plan.table_of(shard, step) else { return true };
        let in_use = owned.table.is_some_and(|(step, _)| step == table);
        in_use || self.plan.feedback_shard().is_some_and(|shard| self.holds(shard, table))
    }

    /// The table that `shard` reads for `step`, held from now on until another one takes its place:
    /// a chapter is trained and handed on with one table, whatever becomes of it meanwhile.
    pub(crate) fn use_table(&mut self, shard: ShardId, step: u64) -> Option<Hash> {
        let table = self.plan.table_of(shard, step)?;
        let in_use = self.owned.get(&shard)?.table;
        if let Some((_, hash)) = in_use.filter(|(step, _)| *step == table) {
            return Some(hash);
        }
        // It is here, whether or not others could have it.
        let hash = self.archive.at(self.plan.feedback_shard()?, table)?.checkpoint.blob.hash;
        self.blobs.hold(hash);
        self.owned.get_mut(&shard)?.table = Some((table, hash));
        if let Some((_, old)) = in_use {
            self.release(old);
        }
        Some(hash)
    }

    /// The trainer could not read the table of `step`.
    pub(crate) fn refuse_table(&mut self, shard: ShardId, step: u64) {
        let table = self.owned.get_mut(&shard).and_then(|owned| owned.table.take());
        if let Some((_, hash)) = table {
            self.release(hash);
        }
        if let (Some(table), Some(shard)) =
            (self.plan.table_of(shard, step), self.plan.feedback_shard())
        {
            self.distrust(shard, table);
        }
    }

    /// Whether nobody holds the table that `shard` needs for `step`.
    pub(crate) fn lacks_table(&self, shard: ShardId, step: u64) -> bool {
        self.plan.table_of(shard, step).is_some_and(|table| self.table(table).is_none())
    }

    /// The tables that this peer's shards will read, and those that it answers for as the owner of
    /// the feedback shard: known, and not here.
    pub(crate) fn wanted_tables(&self) -> Vec<(ShardId, u64)> {
        let Some(feedback) = self.plan.feedback_shard() else { return Vec::new() };
        let from = if self.leases.owner(feedback) == Some(self.me) {
            self.tables_needed(&self.starts).next()
        } else {
            let lowest =
                self.plan.shards_of(0).into_iter().filter(|shard| self.owned.contains_key(shard));
            let lowest = lowest.map(|shard| self.need(shard, &self.starts)).min();
            lowest.and_then(|step| self.plan.tables_from(step).next())
        };
        self.tables_at_least(from.unwrap_or(u64::MAX))
            .map(|fact| fact.checkpoint.step)
            .map(|step| (feedback, step))
            .collect()
    }

    /// The shards that read what `shard` makes as the feedback shard, or whose tables it reads.
    pub(crate) fn table_mates(&self, shard: ShardId) -> Vec<ShardId> {
        match self.plan.feedback_shard() {
            Some(feedback) if feedback == shard => self.plan.shards_of(0),
            Some(feedback) if self.plan.layer(shard) == 0 => vec![feedback],
            _ => Vec::new(),
        }
    }

    /// The known tables from feedback step `from` on.
    pub(crate) fn tables_at_least(&self, from: u64) -> impl Iterator<Item = &Fact> {
        let facts = self.plan.feedback_shard().into_iter().flat_map(|shard| self.archive.of(shard));
        facts.filter(move |fact| fact.checkpoint.step >= from)
    }

    /// Notes, as the owner of the feedback shard, since when a lowest shard has lacked a table that is
    /// not here and that the feedback shard has left behind; and doubts whoever says that it holds it
    /// when that is long.
    pub(crate) fn note_lost_tables(&mut self, now: Time) {
        let Some(feedback) = self.plan.feedback_shard() else { return };
        self.retry_tables(feedback, now);
        let key = (feedback, ShardId(0));
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
    fn retry_tables(&mut self, feedback: ShardId, now: Time) {
        let patience = PATIENCE * self.config.retry_ms;
        let lacks = |shard: ShardId, owned: &Owned| {
            owned.phase == Phase::Ready
                && self.lacks_table(shard, owned.next)
                && owned.lacks.is_some_and(|(since, _)| now.since(since) >= patience)
        };
        if self.owned.iter().any(|(&shard, owned)| lacks(shard, owned)) {
            self.archive.forgive(feedback);
        }
    }

    /// What holders say of a table is not believed until they are met again.
    fn doubt_holders(&mut self, shard: ShardId, step: u64) {
        let fact = self.archive.at(shard, step);
        for &id in fact.into_iter().flat_map(|fact| &fact.holders) {
            if self.doubts.len() < MAX_DOUBTS && id != self.me {
                self.doubts.insert((shard, id));
            }
        }
    }
}
