//! Chapters, where peers own branches of them: which are open, taken, and can be begun.
//!
//! Rule: what a branch has made within its chapter is lost with its owner, and done again from the
//! same checkpoints: those before it are needed until all shards are beyond it. A shard that is
//! refreshed is not trained again, only handed on, from the checkpoint that it left.

use std::ops::Range;

use super::Known;
use super::own::{JobStatus, Phase};
use crate::{NodeId, ShardId, Task};

impl Known {
    /// The chapters that are not over in every shard.
    pub(crate) fn open_chapters(&self) -> Range<u64> {
        let lowest = self.plan.shards().filter(|shard| self.plan.inputs(*shard).is_empty());
        let start = lowest.map(|shard| self.start(shard)).min().unwrap_or(0);
        let end = self.plan.chapters();
        let first = if start >= self.plan.steps { end } else { self.plan.chapter_of(start) };
        first..end
    }

    /// The open chapters in which something may have been done: one a shard, and the one that follows.
    pub(crate) fn near_chapters(&self) -> Range<u64> {
        let (open, span) = (self.open_chapters(), self.plan.shard_count() as u64 + 1);
        open.start..open.end.min(open.start.saturating_add(span))
    }

    /// Whether somebody who is here owns `task`.
    pub(crate) fn is_taken(&self, task: Task) -> bool {
        match self.leases.owner(task) {
            Some(owner) if owner == self.me => self.own.jobs.jobs.contains_key(&task),
            Some(owner) => self.members.get(owner).is_some_and(|member| !member.leaving),
            None => false,
        }
    }

    /// Whether `id` owns one of the `open` chapters.
    pub(crate) fn has_branch(&self, id: NodeId, open: &Range<u64>) -> bool {
        self.leases.of(id).any(|lease| match lease.task {
            Task::Branch { chapter, .. } => {
                open.contains(&chapter) && self.is_taken(lease.task) && !self.is_done(lease.task)
            }
            Task::Shard(_) => false,
        })
    }

    /// The work of a peer in a step of all shards; where peers own chapters, whether it has one
    /// of the `open` ones.
    pub(crate) fn work_of(&self, id: NodeId, open: &Range<u64>) -> u64 {
        if self.plan.is_by_chapter() {
            return u64::from(self.has_branch(id, open));
        }
        let shards = self.leases.of(id).filter_map(|lease| lease.task.shard());
        shards.map(|shard| self.plan.cost(shard)).sum()
    }

    /// The branches that nobody living owns and that can be begun, the lowest chapters first.
    pub(crate) fn takeable(&self) -> Vec<Task> {
        let open = self.open_chapters();
        // More than one chapter a shard cannot be in work at once.
        let span = self.plan.shard_count() as u64;
        let end = open.end.min(open.start.saturating_add(span));
        let chapters = (open.start..end).filter(|chapter| self.can_begin(*chapter));
        chapters.flat_map(|chapter| self.free_branches(chapter)).collect()
    }

    /// The branches of a chapter that nobody living owns and that are not done.
    fn free_branches(&self, chapter: u64) -> impl Iterator<Item = Task> + '_ {
        let tasks =
            (0..self.plan.branches_of(chapter)).map(move |branch| Task::Branch { chapter, branch });
        tasks.filter(|task| !self.is_taken(*task) && !self.is_done(*task))
    }

    /// Whether all that this peer has to do waits for checkpoints or tables that do not exist (yet).
    pub(crate) fn is_blocked(&self) -> bool {
        let waits = |job: &JobStatus| match job.task {
            Task::Branch { chapter, branch } => {
                let step = self.entry_step(job.shard, chapter);
                let lacks_start = job.phase == Phase::NeedsCheckpoint
                    && step > 0
                    && self.checkpoints.at(job.shard, step).is_none();
                // A branch that has begun with its shard has its table.
                let begins = job.done == self.plan.branch_steps(chapter, branch).start;
                let reads_table = begins && job.is_idle() && self.plan.layer(job.shard) == 0;
                lacks_start || (reads_table && self.is_without_table(chapter))
            }
            Task::Shard(_) => false,
        };
        self.plan.merged && self.own.jobs().all(waits)
    }

    /// Whether the checkpoint exists from which the first shard begins `chapter`, and its table; the
    /// other shards' can come meanwhile.
    fn can_begin(&self, chapter: u64) -> bool {
        let (start, first) = (self.plan.chapter_start(chapter), ShardId(0));
        let is_beyond = self.starts.first().is_some_and(|&at| at > start);
        let is_there = start == 0 || is_beyond || self.checkpoints.at(first, start).is_some();
        is_there && !self.is_without_table(chapter)
    }

    /// Whether `chapter` reads a table that does not exist (any more).
    fn is_without_table(&self, chapter: u64) -> bool {
        let table = self.plan.feedback_step(chapter).zip(self.plan.feedback_shard());
        table.is_some_and(|(step, shard)| self.checkpoints.at(shard, step).is_none())
    }

    /// A chapter that is over for others, but not for this peer, which could not read what they
    /// made of it and needs it. It does it for itself, whoever owns it: another one may have to as
    /// well, and must not be kept from it.
    pub(crate) fn done_again(&self) -> Option<u64> {
        let first = self.open_chapters().start;
        let is_later =
            |task: &Task| matches!(task, Task::Branch { chapter, .. } if *chapter > first);
        let waits = self.own.jobs.jobs.keys().any(is_later);
        let end = self.plan.chapter_start(first + 1);
        (waits && self.checkpoints.has_unreadable_from(end)).then_some(first)
    }

    /// The step at which a branch of `chapter` takes `shard` up: the chapter's begin, or its end, if it
    /// was trained already and only what it hands on is missing.
    pub(crate) fn entry_step(&self, shard: ShardId, chapter: u64) -> u64 {
        let end = self.plan.chapter_start(chapter + 1);
        let is_trained = !self.plan.merged
            && self.plan.is_refreshed(shard)
            && self.checkpoints.at(shard, end).is_some();
        if is_trained { end } else { self.plan.chapter_start(chapter) }
    }

    /// The checkpoints that this peer's branches need or will need, those needed first in front.
    pub(crate) fn branch_needs(&self) -> Vec<(ShardId, u64)> {
        let branches = || {
            self.own.jobs().filter_map(|job| match job.task {
                Task::Branch { chapter, .. } => Some((chapter, job.shard)),
                Task::Shard(_) => None,
            })
        };
        let needs = branches().flat_map(|(chapter, shard)| {
            let shards = self.plan.shards().skip(usize::from(shard.0));
            shards.map(move |shard| (shard, self.entry_step(shard, chapter)))
        });
        let lowest = branches().filter(|(_, shard)| self.plan.layer(*shard) == 0);
        let tables = lowest.filter_map(|(chapter, _)| {
            Some((self.plan.feedback_shard()?, self.plan.feedback_step(chapter)?))
        });
        tables.chain(needs.filter(|(_, step)| *step > 0)).collect()
    }

    /// The checkpoints that the next chapter's first layer begins with, once this peer is at the
    /// last layer of its own: it need not wait for it then, if it is free next.
    pub(crate) fn needs_ahead(&self) -> Vec<(ShardId, u64)> {
        let top = self.plan.layers.len().saturating_sub(1);
        let branches = || self.own.jobs().filter(|job| job.task.shard().is_none());
        if self.plan.is_private() || !branches().all(|job| self.plan.layer(job.shard) == top) {
            return Vec::new();
        }
        let last = branches().next_back().and_then(|job| match job.task {
            Task::Branch { chapter, .. } => Some(chapter),
            Task::Shard(_) => None,
        });
        let is_free = |chapter: &u64| self.free_branches(*chapter).next().is_some();
        let next = last.and_then(|last| (last..self.plan.chapters()).find(is_free));
        let start = next.map(|chapter| self.plan.chapter_start(chapter));
        start.map_or_else(Vec::new, |start| {
            self.plan.shards_of(0).into_iter().map(|shard| (shard, start)).collect()
        })
    }

    /// The peer that takes up the shards at `step` next, and so will hold what they begin with.
    pub(crate) fn taker_at(&self, step: u64) -> Option<NodeId> {
        let chapter = self.plan.chapter_of(step);
        let by_chapter = self.plan.is_by_chapter() && self.plan.chapter_start(chapter) == step;
        let tasks =
            (0..self.plan.branches_of(chapter)).map(|branch| Task::Branch { chapter, branch });
        let mut taken = tasks.filter(|task| by_chapter && self.is_taken(*task));
        taken.find_map(|task| self.leases.owner(task))
    }
}

#[cfg(test)]
#[path = "tests/chapters.rs"]
mod tests;
