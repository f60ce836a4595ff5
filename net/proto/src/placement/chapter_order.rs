//! Who takes the next chapter, where peers own branches of chapters.
//!
//! Rule: a chapter is taken when its first cell can be computed, by a peer that has none, the
//! fastest first: so a slow peer takes fewer, and one that would only hold up those behind it takes
//! none. If all have one and the lowest is nobody's, the one that is furthest ahead does it, because it
//! waits for it. Where each trains on data of its own, the chapters go round instead, so that all data
//! counts alike. All who know the same name the same peer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use super::assignment::time;
use super::candidates::{Candidate, Candidates};
use crate::known::Known;
use crate::outbox::{Fact, Outbox};
use crate::{Lease, Message, NodeId, Task, Time};

/// Since when each chapter could be taken and was not.
#[derive(Debug, Default)]
pub(crate) struct ChapterOrder {
    untaken: BTreeMap<u64, Time>,
}

impl ChapterOrder {
    /// Takes the chapters that are this peer's to take.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        let takeable = known.takeable();
        let named = || takeable.iter().copied().zip(takers_of(known, &takeable));
        let named: Vec<(u64, NodeId)> =
            named().filter_map(|(chapter, taker)| Some((chapter, taker?))).collect();
        self.untaken.retain(|chapter, _| named.iter().any(|(it, _)| it == chapter));
        for &(chapter, _) in &named {
            self.untaken.entry(chapter).or_insert(known.now());
        }
        if known.only_listens() || !known.takes_work() {
            return;
        }
        let is_mine =
            |chapter: u64, taker: NodeId| taker == known.me() || self.is_late(chapter, known);
        let lease = |chapter| {
            let (task, from) = (Task::chapter(chapter), known.plan().chapter_start(chapter));
            Lease { task, term: known.leases().next_term(task), owner: known.me(), from }
        };
        let mine = named.iter().filter(|(chapter, taker)| is_mine(*chapter, *taker));
        let mine: Vec<Lease> = mine.map(|(chapter, _)| lease(*chapter)).collect();
        if !mine.is_empty() {
            out.fact(Fact::Leases(mine.clone()));
            out.say(Message::Leases(mine));
        }
    }

    /// Whether nobody took `chapter` for so long that it is this peer's turn, whoever was meant
    /// to: peers may differ in whom they consider to be here.
    fn is_late(&self, chapter: u64, known: &Known) -> bool {
        let Some(&since) = self.untaken.get(&chapter) else { return false };
        let before = known.members().workers().filter(|(id, _)| *id < known.me()).count() as u64;
        known.now().since(since) >= (1 + before).saturating_mul(known.config().silent_ms)
    }
}

/// The peer that shall take each of the chapters.
fn takers_of(known: &Known, takeable: &[u64]) -> Vec<Option<NodeId>> {
    if takeable.is_empty() {
        return Vec::new();
    }
    let mut candidates = Candidates::of(known).list;
    if known.plan().is_private() {
        let roster: BTreeSet<NodeId> = candidates.iter().map(|it| it.id).collect();
        return takeable.iter().map(|&chapter| next_of(known, &roster, chapter)).collect();
    }
    candidates.sort_by_key(|it| (Reverse(it.speed), it.id));
    let costs: Vec<u64> = known.plan().shards().map(|shard| known.plan().cost(shard)).collect();
    candidates.truncate(worthwhile(&costs, &candidates));
    let open = known.open_chapters();
    let (busy, free): (Vec<Candidate>, Vec<Candidate>) =
        candidates.into_iter().partition(|it| known.has_branch(it.id, &open));
    let mut free = free.into_iter().map(|it| it.id);
    let last = |id: NodeId| known.leases().of(id).next_back().map(|lease| lease.task);
    let furthest = busy.iter().max_by_key(|it| last(it.id));
    let stuck = |chapter: u64| furthest.filter(|_| chapter == open.start).map(|it| it.id);
    takeable.iter().map(|&chapter| free.next().or_else(|| stuck(chapter))).collect()
}

/// The peer whose turn `chapter` is in a round: of those who are here, the one after the owner of the
/// chapter before.
fn next_of(known: &Known, roster: &BTreeSet<NodeId>, chapter: u64) -> Option<NodeId> {
    let before = chapter.checked_sub(1);
    let last = before.and_then(|before| known.leases().owner(Task::chapter(before)));
    let after = last.and_then(|last| roster.range((Excluded(last), Unbounded)).next());
    after.or_else(|| roster.first()).copied()
}

/// How many of the `candidates`, the fastest first, should take chapters. Nobody overtakes anybody,
/// so all go at the pace of the slowest, and one more is worth having only if what it does is more
/// than what the others do less. Where equally many chapters come of it, fewer do them.
fn worthwhile(costs: &[u64], candidates: &[Candidate]) -> usize {
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
mod tests {
    use super::*;

    fn worth(speeds: &[u64], shards: usize) -> usize {
        let candidate = |(n, &speed)| Candidate { id: NodeId([n as u8; 32]), speed };
        let candidates: Vec<Candidate> = speeds.iter().enumerate().map(candidate).collect();
        worthwhile(&vec![10; shards], &candidates)
    }

    #[test]
    fn who_only_holds_others_up_takes_no_chapter() {
        assert_eq!(worth(&[], 8), 0);
        assert_eq!(worth(&[1], 8), 1);
        assert_eq!(worth(&[100, 100, 100, 100], 8), 4);
        assert_eq!(worth(&[100, 95, 85, 80], 8), 4);
        assert_eq!(worth(&[100, 60, 60, 60], 8), 4);
        assert_eq!(worth(&[100, 100, 50, 25], 8), 2);
        assert_eq!(worth(&[100, 100, 100, 25], 4), 3);
        assert_eq!(worth(&[0, 0], 4), 2);
    }

    #[test]
    fn there_are_no_more_than_shards() {
        assert_eq!(worth(&[100; 6], 4), 4);
    }
}
