//! The position of each shard, and the step from which it would start if it had to be taken up now.
//!
//! Rule: a shard starts from the furthest checkpoint at hand that leaves none of its readers without
//! batches. If a reader needs batches that nobody holds any more, the shard goes back and makes them
//! again; if others got further meanwhile, it adopts their checkpoint. Both give the same bytes.

use super::Known;
use super::supply::end_of_cover;
use crate::{Checkpoint, ShardId};

impl Known {
    /// Steps done of `shard`, as far as known.
    pub(crate) fn position(&self, shard: ShardId) -> u64 {
        match self.own.job(shard).filter(|job| job.is_ready()) {
            Some(job) => job.done,
            None => {
                let told = self.progress.get(&shard).copied().unwrap_or(0);
                let here = self.own.jobs().filter(|job| job.task.shard().is_none());
                let here = here.filter(|job| job.shard == shard).map(|job| job.done);
                here.fold(told, u64::max)
            }
        }
    }

    /// Steps done of each shard this peer owns, of those it owned to the end, and of those that its
    /// branches are at.
    pub(crate) fn own_progress(&self) -> Vec<(ShardId, u64)> {
        let own = self.leases.of(self.me).filter_map(|lease| lease.task.shard());
        let shards = own.map(|shard| (shard, self.position(shard)));
        let branches = self.own.jobs().filter(|job| job.task.shard().is_none());
        shards.chain(branches.map(|job| (job.shard, job.done))).collect()
    }

    /// Whether this peer holds that checkpoint.
    pub(crate) fn holds(&self, shard: ShardId, step: u64) -> bool {
        self.checkpoints.at(shard, step).is_some_and(|it| it.holders.contains(&self.me))
    }

    /// The checkpoint of every shard of the model after `step` steps, when this peer holds them all.
    pub(crate) fn held_at(&self, step: u64) -> Option<Vec<Checkpoint>> {
        let held = |shard| {
            let entry = self.checkpoints.at(shard, step)?;
            entry.holders.contains(&self.me).then_some(entry.checkpoint)
        };
        self.plan.model_shards().map(held).collect()
    }

    /// The first step whose batches `reader` needs. An owner that is alive says where it is; if
    /// it knows a checkpoint beyond that and is not fed, it goes there by itself. Once this peer
    /// holds the whole model, nobody needs a batch: whatever is lacked is taken from checkpoints.
    pub(crate) fn need(&self, reader: ShardId) -> u64 {
        self.need_from(reader, &self.starts)
    }

    fn need_from(&self, reader: ShardId, starts: &[u64]) -> u64 {
        if self.own.complete.is_some() {
            return self.plan.steps;
        }
        let start = starts.get(usize::from(reader.0)).copied().unwrap_or(0);
        match self.owner(reader) {
            Some(owner) if owner == self.me => match self.own.job(reader) {
                Some(job) if job.is_ready() => job.done,
                Some(_) => start,
                None => self.plan.steps,
            },
            Some(owner) if self.members.contains(owner) => self.position(reader),
            _ => start,
        }
    }

    /// The furthest step at which `shard` may start without leaving a reader short of batches.
    fn limit(&self, shard: ShardId, starts: &[u64]) -> u64 {
        let readers = self.plan.readers(shard);
        if readers.is_empty() {
            return u64::MAX;
        }
        let runs = self.runs(shard);
        let limits = readers.into_iter();
        let limits = limits.map(|reader| end_of_cover(&runs, self.need_from(reader, starts)));
        limits.min().unwrap_or(u64::MAX)
    }

    /// For each shard, the step at which it would be taken up now.
    ///
    /// Computed from the top, because a shard may not start beyond what its readers need; a reader
    /// without a living owner needs what it would itself start from. The feedback shard is read by
    /// the lowest: where none is missing to the end, there is nothing left for it to do; where one
    /// is that they will need, it goes back, and all is computed again.
    pub(super) fn start_points(&self) -> Vec<u64> {
        let Some(feedback) = self.plan.feedback_shard() else {
            return self.starts_with(0);
        };
        let over = self.starts_with(self.plan.steps);
        if self.missing_table_from(&over).is_none() {
            return over;
        }
        let best =
            |limit| self.checkpoints.best(feedback, limit).map_or(0, |it| it.checkpoint.step);
        let mut at = best(u64::MAX);
        loop {
            let starts = self.starts_with(at);
            match self.missing_table_from(&starts) {
                Some(step) if step <= at => at = best(step - 1),
                _ => return starts,
            }
        }
    }

    /// For each shard, the step at which it would be taken up if the feedback shard, in a run that has
    /// one, were at step `feedback`.
    fn starts_with(&self, feedback: u64) -> Vec<u64> {
        let mut starts = vec![0; self.plan.shard_count()];
        for shard in self.plan.shards().rev() {
            starts[usize::from(shard.0)] = if self.plan.feedback_shard() == Some(shard) {
                feedback
            } else {
                let limit = self.limit(shard, &starts);
                self.checkpoints.best(shard, limit).map_or(0, |entry| entry.checkpoint.step)
            };
        }
        starts
    }

    /// The feedback steps whose tables the lowest shards will need, each from where it stands, or
    /// would start.
    pub(crate) fn tables_needed(&self) -> impl Iterator<Item = u64> + '_ {
        self.tables_needed_from(&self.starts)
    }

    fn tables_needed_from(&self, starts: &[u64]) -> impl Iterator<Item = u64> + '_ {
        let lowest = self.plan.shards_of(0).into_iter();
        let lowest = lowest.map(|shard| self.need_from(shard, starts));
        self.plan.tables_from(lowest.min().unwrap_or(0))
    }

    /// The first table that a lowest shard will need and that nobody holds.
    fn missing_table_from(&self, starts: &[u64]) -> Option<u64> {
        self.tables_needed_from(starts).find(|step| self.table(*step).is_none())
    }

    /// Whether every reader of `shard` finds its batches with somebody, up to those from `done` on;
    /// or its tables.
    pub(crate) fn feeds_from(&self, shard: ShardId, done: u64) -> bool {
        if self.plan.feedback_shard() == Some(shard) {
            return self.missing_table_from(&self.starts).is_none_or(|step| step > done);
        }
        self.limit(shard, &self.starts) >= done
    }

    /// The first step whose batches a reader of `shard` needs.
    pub(crate) fn slowest_reader(&self, shard: ShardId) -> Option<u64> {
        self.plan.readers(shard).into_iter().map(|reader| self.need(reader)).min()
    }

    /// Whether the slowest reader of `shard` is within the window of step `next`.
    pub(crate) fn has_room(&self, shard: ShardId, next: u64) -> bool {
        let window = self.config.window;
        self.slowest_reader(shard).is_none_or(|it| next < it.saturating_add(window))
    }

    /// Whether `shard` may make the batch of step `next`: not while what its readers still need
    /// fills the bound by itself.
    pub(crate) fn has_room_to_keep(&self, shard: ShardId, next: u64) -> bool {
        let slowest = self.slowest_reader(shard).unwrap_or(next);
        let most = self.config.window + 4 * self.plan.chapter_steps;
        let kept = self.own.batches.bytes.saturating_add(self.own.jobs.bytes);
        self.own.batches_before(shard, next) < most
            && (next <= slowest || kept < self.config.batch_bytes)
    }

    /// The tables that this peer's shards will read, and those that it answers for as the owner of
    /// the feedback shard: known, and perhaps not here.
    pub(crate) fn wanted_tables(&self) -> Vec<(ShardId, u64)> {
        let Some(feedback) = self.plan.feedback_shard() else { return Vec::new() };
        let from = if self.owner(feedback) == Some(self.me) {
            self.tables_needed().next()
        } else {
            let lowest = self.plan.shards_of(0).into_iter();
            let lowest = lowest.filter(|shard| self.own.job(*shard).is_some());
            let lowest = lowest.map(|shard| self.need(shard)).min();
            lowest.and_then(|step| self.plan.tables_from(step).next())
        };
        let tables = self.tables_at_least(from.unwrap_or(u64::MAX));
        tables.map(|entry| (feedback, entry.checkpoint.step)).collect()
    }
}

#[cfg(test)]
#[path = "tests/standing.rs"]
mod tests;
