//! The peer that takes the next branch, where peers own branches of chapters.
//!
//! Rule: a branch is taken when its first cell can be computed, by a peer that has none, the
//! fastest first: so a slow peer takes fewer, and one that would only hold up those behind it takes
//! none. One whose branches all wait for what others merge takes another meanwhile. Where nothing is
//! merged, if all have one and the lowest is nobody's, the one that is furthest ahead does it, because
//! it waits for it. Where each trains on data of its own, the chapters go round instead, so that all
//! data counts alike. All who know the same name the same peer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use super::assignment::time;
use super::branch_pace;
use super::candidates::{Candidate, Candidates};
use crate::known::Known;
use crate::outbox::{Fact, Outbox};
use crate::{Lease, Message, NodeId, Task, Time};

/// Since when each branch could be taken and was not.
#[derive(Debug, Default)]
pub(crate) struct ChapterOrder {
    untaken: BTreeMap<Task, Time>,
}

impl ChapterOrder {
    /// Takes the branches that are this peer's to take.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        let takeable = known.takeable();
        let named = || takeable.iter().copied().zip(takers_of(known, &takeable));
        let named: Vec<(Task, NodeId)> =
            named().filter_map(|(task, taker)| Some((task, taker?))).collect();
        self.untaken.retain(|task, _| named.iter().any(|(it, _)| it == task));
        for &(task, _) in &named {
            self.untaken.entry(task).or_insert(known.now());
        }
        if known.only_listens() || !known.takes_work() {
            return;
        }
        let is_mine = |task: Task, taker: NodeId| taker == known.me() || self.is_late(task, known);
        let mine = named.iter().filter(|(task, taker)| is_mine(*task, *taker));
        let mut mine: Vec<Lease> = mine.map(|(task, _)| lease(known, *task)).collect();
        if mine.is_empty() {
            mine.extend(branch_pace::meanwhile(known, &takeable).map(|task| lease(known, task)));
        }
        if !mine.is_empty() {
            out.fact(Fact::Leases(mine.clone()));
            out.say(Message::Leases(mine));
        }
    }

    /// Whether nobody took `task` for so long that it is this peer's turn, whoever was meant
    /// to: peers may differ in whom they consider to be here.
    fn is_late(&self, task: Task, known: &Known) -> bool {
        let Some(&since) = self.untaken.get(&task) else { return false };
        let before = known.members().workers().filter(|(id, _)| *id < known.me()).count() as u64;
        known.now().since(since) >= (1 + before).saturating_mul(known.config().silent_ms)
    }
}

/// The lease by which this peer takes a branch.
fn lease(known: &Known, task: Task) -> Lease {
    let Task::Branch { chapter, .. } = task else {
        return Lease { task, term: known.leases().next_term(task), owner: known.me(), from: 0 };
    };
    let from = known.plan().chapter_start(chapter);
    Lease { task, term: known.leases().next_term(task), owner: known.me(), from }
}

/// The peer that shall take each of the branches.
fn takers_of(known: &Known, takeable: &[Task]) -> Vec<Option<NodeId>> {
    if takeable.is_empty() {
        return Vec::new();
    }
    let mut candidates = Candidates::of(known).list;
    if known.plan().is_private() {
        let roster: BTreeSet<NodeId> = candidates.iter().map(|it| it.id).collect();
        return takeable.iter().map(|&task| next_of(known, &roster, task)).collect();
    }
    candidates.sort_by_key(|it| (Reverse(it.speed), it.id));
    candidates.truncate(worthwhile(known, &candidates));
    let open = known.open_chapters();
    let (busy, free): (Vec<Candidate>, Vec<Candidate>) =
        candidates.into_iter().partition(|it| known.has_branch(it.id, &open));
    let mut free = free.into_iter().map(|it| it.id);
    let last = |id: NodeId| known.leases().of(id).next_back().map(|lease| lease.task);
    let furthest = busy.iter().max_by_key(|it| last(it.id));
    let is_lowest =
        |task: Task| matches!(task, Task::Branch { chapter, .. } if chapter == open.start);
    let stuck =
        |task: Task| furthest.filter(|_| is_lowest(task) && !known.plan().merged).map(|it| it.id);
    takeable.iter().map(|&task| free.next().or_else(|| stuck(task))).collect()
}

/// The peer whose turn a chapter is in a round: of those who are here, the one after the owner of the
/// chapter before.
fn next_of(known: &Known, roster: &BTreeSet<NodeId>, task: Task) -> Option<NodeId> {
    let Task::Branch { chapter, .. } = task else { return None };
    let before = chapter.checked_sub(1);
    let last = before.and_then(|before| known.leases().owner(Task::chapter(before)));
    let after = last.and_then(|last| roster.range((Excluded(last), Unbounded)).next());
    after.or_else(|| roster.first()).copied()
}

/// How many of the `candidates`, the fastest first, should take branches.
fn worthwhile(known: &Known, candidates: &[Candidate]) -> usize {
    if known.plan().merged {
        return branch_pace::worthwhile(known, candidates);
    }
    let plan = known.plan();
    let costs: Vec<u64> = plan.shards().map(|shard| plan.cost(shard)).collect();
    in_turn(&costs, candidates)
}

/// Those who take whole chapters one after the other. Nobody overtakes anybody, so all go at the pace
/// of the slowest, and one more is worth having only if what it does is more than what the others do
/// less. Where equally many chapters come of it, fewer do them.
fn in_turn(costs: &[u64], candidates: &[Candidate]) -> usize {
    let Some(fastest) = candidates.first() else { return 0 };
    let (all, largest) = (costs.iter().sum::<u64>(), costs.iter().copied().max().unwrap_or(0));
    let rest = time(all.saturating_sub(largest), fastest.speed);
    let (mut begin, mut best) = (0u64, (0, u64::MAX));
    for (candidate, count) in candidates.iter().zip(1u64..) {
        // It begins when those before it are through with the first shard; the fastest begins again
        // so that its last shard follows on this one's.
        let alone = time(all, candidate.speed);
        let round = alone.max(begin.saturating_add(alone).saturating_sub(rest));
        // Chapters a round: counted crosswise, because rounds are integers.
        if u128::from(count) * u128::from(best.1) > u128::from(best.0) * u128::from(round) {
            best = (count, round);
        }
        begin = begin.saturating_add(time(largest, candidate.speed));
    }
    best.0 as usize
}

#[cfg(test)]
#[path = "tests/chapter_order.rs"]
mod tests;
