//! The owner of each task.
//!
//! Rule: for each task the lease with the higher term stands, at equal terms the one of the
//! smaller peer. Merging is therefore independent of order, and a fenced owner stays fenced.

use std::collections::BTreeMap;

use crate::{Lease, NodeId, Task, Term};

/// A term further ahead than this is no honest one: terms must never run out.
const MAX_TERM_STEP: u64 = 1 << 20;

/// Chapters beyond the first open one whose owner is remembered, at most: no honest peer is further
/// ahead of what others have heard.
const MAX_AHEAD: u64 = 128;

/// The standing lease of each task that is not long over.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    map: BTreeMap<Task, Lease>,
    /// Chapters before this one are over.
    first: u64,
    version: u64,
}

impl Leases {
    /// Takes in a lease. Returns whether it stands now and did not before.
    pub(crate) fn merge(&mut self, lease: Lease) -> bool {
        let known = self.map.get(&lease.task);
        let term = known.map_or(Term(0), |old| old.term);
        let is_over = matches!(lease.task, Task::Branch { chapter, .. }
            if chapter < self.first || chapter >= self.first.saturating_add(MAX_AHEAD));
        if is_over || lease.term.0 > term.0.saturating_add(MAX_TERM_STEP) {
            return false;
        }
        let stands = known.is_none_or(|old| {
            lease.term > old.term || (lease.term == old.term && lease.owner < old.owner)
        });
        if stands {
            self.map.insert(lease.task, lease);
            self.version += 1;
        }
        stands
    }

    /// The chapters before `first` are over; the one just before it stays known, because the next
    /// lease may follow from it.
    pub(crate) fn close(&mut self, first: u64) {
        self.first = first.saturating_sub(1);
        let first = self.first;
        self.map
            .retain(|task, _| !matches!(task, Task::Branch { chapter, .. } if *chapter < first));
    }

    pub(crate) fn get(&self, task: Task) -> Option<&Lease> {
        self.map.get(&task)
    }

    pub(crate) fn owner(&self, task: Task) -> Option<NodeId> {
        self.get(task).map(|lease| lease.owner)
    }

    /// The term that a new lease on `task` must have.
    pub(crate) fn next_term(&self, task: Task) -> Term {
        self.get(task).map_or(Term(1), |lease| lease.term.next())
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Lease> {
        self.map.values()
    }

    /// The leases of `owner`, by task.
    pub(crate) fn of(&self, owner: NodeId) -> impl DoubleEndedIterator<Item = &Lease> {
        self.iter().filter(move |lease| lease.owner == owner)
    }

    /// Grows with every lease that comes to stand.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShardId;

    fn lease(task: Task, term: u64, owner: u8) -> Lease {
        Lease { task, term: Term(term), owner: NodeId([owner; 32]), from: 0 }
    }

    const TASKS: [Task; 2] = [Task::Shard(ShardId(0)), Task::chapter(3)];

    #[test]
    fn merging_does_not_depend_on_the_order() {
        for task in TASKS {
            let all = [(1, 2), (1, 1), (2, 9), (2, 8), (1, 0)];
            let all = all.map(|(term, owner)| lease(task, term, owner));
            for start in 0..all.len() {
                let mut leases = Leases::default();
                for i in 0..all.len() {
                    leases.merge(all[(start + i) % all.len()]);
                }
                assert_eq!(leases.get(task), Some(&lease(task, 2, 8)));
                assert_eq!(leases.next_term(task), Term(3));
            }
        }
    }

    #[test]
    fn nobody_can_use_up_the_terms() {
        for task in TASKS {
            let mut leases = Leases::default();
            assert!(!leases.merge(lease(task, u64::MAX, 1)));
            assert!(leases.merge(lease(task, 7, 1)));
            assert!(!leases.merge(lease(task, 7 + MAX_TERM_STEP + 1, 2)));
            assert_eq!(leases.version(), 1);
        }
    }

    #[test]
    fn chapters_that_are_over_are_forgotten_and_far_ones_refused() {
        let mut leases = Leases::default();
        let shard = lease(Task::Shard(ShardId(1)), 1, 1);
        assert!(leases.merge(shard));
        (0..5).for_each(|it| assert!(leases.merge(lease(Task::chapter(it), 1, 1))));
        leases.close(4);
        let left: Vec<Task> = leases.iter().map(|lease| lease.task).collect();
        assert_eq!(left, [shard.task, Task::chapter(3), Task::chapter(4)]);
        assert!(!leases.merge(lease(Task::chapter(2), 9, 1)));
        assert!(!leases.merge(lease(Task::chapter(3 + MAX_AHEAD), 1, 1)));
        leases.close(0);
        assert!(leases.merge(lease(Task::chapter(0), 1, 2)), "chapters can open again");
    }
}
