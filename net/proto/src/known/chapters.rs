//! Chapters, where peers own branches of them: which are open, taken, and can be begun.
//!
//! Rule: what a branch has made within its chapter is lost with its owner, and done again from the
//! same checkpoints: those before it are needed until all shards are beyond it. A shard that is
//! refreshed is not trained again, only handed on, from the checkpoint that it left.

use std::ops::Range;

use super::Known;
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
            Task::Branch { chapter, .. } => open.contains(&chapter) && self.is_taken(lease.task),
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

    /// The chapters that nobody living owns and that can be begun.
    pub(crate) fn takeable(&self) -> Vec<u64> {
        let open = self.open_chapters();
        // More than one chapter a shard cannot be in work at once.
        let span = self.plan.shard_count() as u64;
        let end = open.end.min(open.start.saturating_add(span));
        let is_free = |chapter: &u64| !self.is_taken(Task::chapter(*chapter));
        (open.start..end).filter(|it| is_free(it) && self.can_begin(*it)).collect()
    }

    /// Whether the checkpoint exists from which the first shard begins `chapter`, and its table; the
    /// other shards' can come meanwhile.
    fn can_begin(&self, chapter: u64) -> bool {
        let (start, first) = (self.plan.chapter_start(chapter), ShardId(0));
        let is_beyond = self.starts.first().is_some_and(|&at| at > start);
        let table = self.plan.feedback_step(chapter).zip(self.plan.feedback_shard());
        if table.is_some_and(|(step, shard)| self.checkpoints.at(shard, step).is_none()) {
            return false;
        }
        start == 0 || is_beyond || self.checkpoints.at(first, start).is_some()
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
        let is_trained = self.plan.is_refreshed(shard) && self.checkpoints.at(shard, end).is_some();
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

    /// The checkpoints that the next chapter's first layer begins with, once this peer is at the last layer of
    /// its own: it need not wait for it then, if it is free next.
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
        let is_free = |chapter: &u64| !self.is_taken(Task::chapter(*chapter));
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
        let task = Task::chapter(chapter);
        self.leases.owner(task).filter(|_| by_chapter && self.is_taken(task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use crate::{Heartbeat, Plan, Role};

    /// Four chapters of three shards.
    fn plan() -> Plan {
        by_chapter(chain(3, 40, 10))
    }

    /// A peer that knows the checkpoints of all shards at these steps.
    fn at(plan: Plan, steps: &[u64]) -> Scene {
        let mut scene = Scene::new(plan);
        let shards: Vec<u16> = scene.known.plan().shards().map(|shard| shard.0).collect();
        let cells = steps.iter().flat_map(|&at| shards.iter().map(move |&shard| (shard, at)));
        scene.learn(A, cells.map(|(shard, step)| checkpoint(shard, step)));
        scene.look();
        scene
    }

    #[test]
    fn a_chapter_is_open_until_it_is_over_in_every_shard() {
        assert_eq!(at(plan(), &[]).known.open_chapters(), 0..4);
        let mut scene = at(plan(), &[10]);
        scene.learn(A, [checkpoint(0, 20), checkpoint(1, 20)]);
        scene.look();
        assert_eq!(scene.known.open_chapters(), 1..4);
        scene.learn(A, [checkpoint(2, 20)]);
        scene.look();
        assert_eq!(scene.known.open_chapters(), 2..4);
        assert_eq!(at(plan(), &[40]).known.open_chapters(), 4..4);
    }

    #[test]
    fn a_chapter_is_taken_while_its_owner_is_here_to_do_it() {
        let mut scene = at(plan(), &[]);
        let (mine, other) = (Task::chapter(0), Task::chapter(1));
        scene.lease(&[chapter_lease(&plan(), 0, 1, ME), chapter_lease(&plan(), 1, 1, A)]);
        assert!(!scene.known.is_taken(mine), "it has no job there");
        scene.work([branch_job(0, 0, 0)]);
        assert!(scene.known.is_taken(mine) && scene.known.is_taken(other));
        assert!(!scene.known.is_taken(Task::chapter(2)));
        scene.meet(A, Heartbeat { leaving: true, ..heartbeat() });
        assert!(!scene.known.is_taken(other), "what it has begun is lost");
        scene.meet(A, heartbeat());
        assert!(scene.known.is_taken(other));
        scene.known.depart(A);
        assert!(!scene.known.is_taken(other));
    }

    #[test]
    fn a_peer_is_busy_with_a_chapter_that_is_open() {
        let mut scene = at(plan(), &[10]);
        scene.meet(A, heartbeat());
        scene.lease(&[chapter_lease(&plan(), 0, 1, A)]);
        let open = scene.known.open_chapters();
        assert!(!scene.known.has_branch(A, &open), "that one is over");
        scene.lease(&[chapter_lease(&plan(), 2, 1, A)]);
        assert!(scene.known.has_branch(A, &open) && !scene.known.has_branch(B, &open));
        assert_eq!([A, B].map(|peer| scene.known.work_of(peer, &open)), [1, 0]);
    }

    #[test]
    fn where_peers_own_shards_their_work_is_what_these_cost() {
        let mut scene = Scene::new(chain(3, 40, 10));
        scene.lease(&[shard_lease(0, 1, A, 0), shard_lease(2, 1, A, 0), shard_lease(1, 1, B, 0)]);
        let open = scene.known.open_chapters();
        assert_eq!([A, B, C].map(|peer| scene.known.work_of(peer, &open)), [20, 10, 0]);
        assert!(!scene.known.has_branch(A, &open));
    }

    #[test]
    fn a_chapter_can_be_taken_when_its_first_checkpoint_exists_and_nobody_has_it() {
        assert_eq!(at(plan(), &[]).known.takeable(), [0]);
        let mut scene = at(plan(), &[]);
        scene.meet(A, heartbeat());
        scene.learn(A, [checkpoint(0, 10), checkpoint(0, 20), checkpoint(0, 30)]);
        scene.look();
        assert_eq!(scene.known.takeable(), [0, 1, 2], "no more than there are shards");
        scene.lease(&[chapter_lease(&plan(), 1, 1, A)]);
        assert_eq!(scene.known.takeable(), [0, 2]);
        assert!(at(plan(), &[40]).known.takeable().is_empty());
    }

    #[test]
    fn a_chapter_that_its_first_shard_is_beyond_can_be_begun() {
        let mut scene = at(by_chapter(Plan::example(&[2, 1], 40, 10)), &[]);
        scene.learn(A, [checkpoint(0, 20), checkpoint(1, 10), checkpoint(2, 20)]);
        scene.look();
        assert_eq!((scene.known.start(ShardId(0)), scene.known.open_chapters().start), (20, 1));
        assert_eq!(scene.known.takeable(), [1, 2]);
    }

    #[test]
    fn a_chapter_waits_for_the_table_that_it_reads() {
        let plan = with_feedback(plan());
        let mut scene = at(plan, &[]);
        scene.learn(A, [checkpoint(0, 10), checkpoint(0, 20), checkpoint(0, 30)]);
        scene.look();
        assert_eq!(scene.known.takeable(), [0, 1], "chapter 2 reads the table of step 10");
        scene.learn(A, [checkpoint(2, 10)]);
        assert_eq!(scene.known.takeable(), [0, 1, 2]);
    }

    #[test]
    fn a_chapter_that_could_not_be_read_is_done_again_by_whoever_waits_for_it() {
        let mut scene = at(plan(), &[]);
        scene.learn(A, [checkpoint(0, 10)]);
        scene.known.unreadable(ShardId(0), 10, &mut scene.out);
        scene.look();
        assert_eq!(scene.known.done_again(), None, "nothing here waits for it");
        scene.work([branch_job(0, 0, 0)]);
        assert_eq!(scene.known.done_again(), None);
        scene.work([branch_job(1, 0, 10)]);
        assert_eq!(scene.known.done_again(), Some(0));
        scene.known.retry(ShardId(0));
        assert_eq!(scene.known.done_again(), None);
    }

    #[test]
    fn a_shard_that_was_trained_and_not_handed_on_is_taken_up_at_the_chapters_end() {
        let refreshed = Plan { refreshed: true, ..plan() };
        let shards = [ShardId(0), ShardId(1), ShardId(2)];
        for (plan, entries) in [(plan(), [10, 10, 10]), (refreshed, [20, 10, 10])] {
            let mut scene = at(plan, &[10]);
            scene.learn(A, [checkpoint(0, 20), checkpoint(2, 20)]);
            assert_eq!(
                shards.map(|it| scene.known.entry_step(it, 1)),
                entries,
                "the top has no reader"
            );
        }
    }

    #[test]
    fn a_branch_needs_a_table_and_the_checkpoints_from_its_shard_up() {
        let mut scene = at(with_feedback(plan()), &[]);
        scene.work([branch_job(0, 0, 0)]);
        assert!(scene.known.branch_needs().is_empty(), "nothing is before the first chapter");
        scene.work([branch_job(2, 0, 20), branch_job(3, 1, 30)]);
        let needs: Vec<_> = scene.known.branch_needs().iter().map(|it| (it.0.0, it.1)).collect();
        assert_eq!(needs, [(2, 10), (0, 20), (1, 20), (2, 20), (1, 30), (2, 30)]);
        scene.work([job(1, 20)]);
        assert!(scene.known.branch_needs().is_empty());
    }

    #[test]
    fn who_is_at_the_top_of_its_chapter_looks_ahead_to_the_next_free_one() {
        let needs = |scene: &Scene| -> Vec<_> {
            scene.known.needs_ahead().iter().map(|it| (it.0.0, it.1)).collect()
        };
        let mut scene = at(by_chapter(Plan::example(&[2, 1], 40, 10)), &[]);
        assert!(needs(&scene).is_empty());
        let lease = |chapter, owner| chapter_lease(&plan(), chapter, 1, owner);
        scene.lease(&[lease(0, ME), lease(1, A)]);
        scene.work([branch_job(0, 1, 5)]);
        assert!(needs(&scene).is_empty(), "it is at a lower layer");
        scene.work([branch_job(0, 2, 5)]);
        assert_eq!(needs(&scene), [(0, 20), (1, 20)]);
        scene.lease(&[lease(2, A), lease(3, A)]);
        assert!(needs(&scene).is_empty(), "none is free");
    }

    #[test]
    fn on_private_data_nobody_looks_ahead() {
        let mut scene = at(private(chain(2, 40, 10)), &[]);
        scene.lease(&[chapter_lease(&plan(), 0, 1, ME)]);
        scene.work([branch_job(0, 1, 5)]);
        assert!(scene.known.needs_ahead().is_empty());
    }

    #[test]
    fn whoever_has_the_chapter_that_begins_at_a_step_takes_the_shards_up_there() {
        let mut scene = at(plan(), &[]);
        scene.lease(&[chapter_lease(&plan(), 1, 1, A)]);
        assert_eq!([10, 15, 20].map(|step| scene.known.taker_at(step)), [Some(A), None, None]);
        scene.known.depart(A);
        assert_eq!(scene.known.taker_at(10), None);
        let mut shards = Scene::with(Role::Worker, chain(2, 40, 10), crate::Config::default());
        shards.lease(&[shard_lease(0, 1, A, 0)]);
        assert_eq!(shards.known.taker_at(0), None);
    }
}
