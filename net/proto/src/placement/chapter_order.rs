//! The peer that takes the next chapter, where peers own branches of chapters.
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
    use crate::testing::*;
    use crate::{Config, Heartbeat, Output, Plan, Role};

    /// Four chapters of two shards; the first shard is trained to the end of the second chapter.
    fn plan() -> Plan {
        by_chapter(chain(2, 40, 10))
    }

    fn scene(plan: Plan) -> Scene {
        let mut scene = Scene::new(plan);
        scene.hold([checkpoint(0, 10), checkpoint(0, 20)]);
        scene
    }

    fn of_speed(speed: u64) -> Heartbeat {
        Heartbeat { speed, ..heartbeat() }
    }

    /// The chapters that this peer takes now.
    fn takes(order: &mut ChapterOrder, scene: &mut Scene) -> Vec<Lease> {
        scene.look();
        scene.outputs();
        order.settle(&scene.known, &mut scene.out);
        let (outputs, facts) = scene.drain();
        let Some(Fact::Leases(leases)) = facts.into_iter().next() else {
            assert!(outputs.is_empty());
            return Vec::new();
        };
        assert_eq!(outputs, [Output::Broadcast(Message::Leases(leases.clone()))]);
        leases
    }

    fn taken(scene: &mut Scene) -> Vec<Task> {
        takes(&mut ChapterOrder::default(), scene).iter().map(|lease| lease.task).collect()
    }

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

    #[test]
    fn the_fastest_free_peer_takes_the_lowest_free_chapter() {
        let mut scene = scene(plan());
        assert_eq!(taken(&mut scene), [Task::chapter(0)]);
        scene.meet(A, of_speed(SPEED - 1));
        assert_eq!(taken(&mut scene), [Task::chapter(0)]);
        scene.meet(A, of_speed(SPEED + 1));
        assert_eq!(taken(&mut scene), [Task::chapter(1)], "A is named for the first");
        scene.lease(&[chapter_lease(&plan(), 0, 1, A)]);
        let taken = takes(&mut ChapterOrder::default(), &mut scene);
        assert_eq!(taken, [chapter_lease(&plan(), 1, 1, ME)]);
    }

    #[test]
    fn a_chapter_whose_owner_is_gone_is_taken_with_the_next_term() {
        let mut scene = scene(plan());
        scene.meet(A, heartbeat());
        scene.lease(&[chapter_lease(&plan(), 0, 5, A), chapter_lease(&plan(), 1, 1, ME)]);
        scene.work([branch_job(1, 0, 12)]);
        assert!(taken(&mut scene).is_empty());
        scene.known.depart(A);
        let taken = takes(&mut ChapterOrder::default(), &mut scene);
        assert_eq!(taken, [chapter_lease(&plan(), 0, 6, ME)], "it is ahead, and waits for it");
    }

    #[test]
    fn only_the_one_that_is_furthest_ahead_takes_a_second_chapter() {
        let mut scene = scene(plan());
        scene.meet(A, heartbeat());
        scene.hold([checkpoint(0, 30)]);
        scene.lease(&[chapter_lease(&plan(), 2, 1, A), chapter_lease(&plan(), 1, 1, ME)]);
        scene.work([branch_job(1, 0, 12)]);
        assert!(taken(&mut scene).is_empty(), "A does it");
        scene.known.depart(A);
        scene.meet(B, heartbeat());
        assert!(taken(&mut scene).is_empty(), "B is free");
    }

    #[test]
    fn whoever_listens_looks_or_leaves_takes_no_chapter() {
        let mut listener = scene(plan());
        listener.at(listener.known.config().listen_ms - 1);
        assert!(taken(&mut listener).is_empty());
        let mut leaver = scene(plan());
        leaver.known.leave();
        assert!(taken(&mut leaver).is_empty());
        let mut observer = Scene::with(Role::Observer, plan(), Config::default());
        assert!(taken(&mut observer).is_empty());
    }

    #[test]
    fn a_chapter_that_the_named_peer_does_not_take_falls_to_the_next_in_order() {
        let mut scene = scene(plan());
        let (mut order, silent_ms) = (ChapterOrder::default(), scene.known.config().silent_ms);
        scene.lease(&[chapter_lease(&plan(), 1, 1, ME)]);
        scene.work([branch_job(1, 0, 12)]);
        scene.meet(NodeId([0; 32]), heartbeat());
        assert!(takes(&mut order, &mut scene).is_empty(), "the other one is free");
        for (ms, takes_it) in [(silent_ms, false), (silent_ms - 1, false), (1, true)] {
            scene.wait(ms);
            scene.hear(NodeId([0; 32]), heartbeat());
            let taken = takes(&mut order, &mut scene);
            assert_eq!(!taken.is_empty(), takes_it, "the other one stands before it");
        }
    }

    #[test]
    fn on_private_data_the_chapters_go_round_whoever_is_fast() {
        let private = || private(plan());
        let mut scene = scene(private());
        scene.meet(A, of_speed(100 * SPEED));
        scene.meet(B, heartbeat());
        assert_eq!(taken(&mut scene), [Task::chapter(0), Task::chapter(1)], "the smallest begins");
        scene.lease(&[chapter_lease(&private(), 0, 1, B)]);
        assert_eq!(taken(&mut scene), [Task::chapter(1)], "after the last comes the first");
        scene.lease(&[chapter_lease(&private(), 0, 2, ME)]);
        scene.work([branch_job(0, 0, 4)]);
        assert!(taken(&mut scene).is_empty(), "A comes after this peer");
    }

    #[test]
    fn on_private_data_a_peer_that_left_is_passed_over() {
        let private = || private(plan());
        let mut scene = scene(private());
        scene.meet_all(&[A, B]);
        scene.lease(&[chapter_lease(&private(), 0, 1, A)]);
        assert!(taken(&mut scene).is_empty(), "B comes after A");
        scene.known.depart(B);
        assert_eq!(taken(&mut scene), [Task::chapter(1)]);
    }

    #[test]
    fn where_nobody_can_be_given_work_nobody_is_named() {
        let mut scene = scene(plan());
        scene.known.leave();
        scene.look();
        let takeable = scene.known.takeable();
        assert_eq!((takeable.len(), takers_of(&scene.known, &takeable)), (2, vec![None, None]));
        assert!(takers_of(&scene.known, &[]).is_empty());
    }
}
