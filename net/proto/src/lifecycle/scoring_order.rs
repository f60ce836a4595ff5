//! The order in which peers score epochs.
//!
//! Rule: the one with least to do, because the others wait for whoever has most; all who know the same
//! name the same peer.

use std::cmp::Reverse;

use crate::known::Known;
use crate::placement::assignment::time;
use crate::{Hash, NodeId, ShardId, Task};

/// A place in the order of those that could score an epoch; the smallest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// 0 for a peer that scores it already, 1 for one that scores nothing, 2 for one with another.
    readiness: u8,
    /// Whether it has to fetch what it scores.
    fetches: bool,
    /// How long its share of a step takes.
    busy: u64,
    speed: Reverse<u64>,
    rank: Hash,
}

/// The number of workers that shall score `epoch` before this peer.
pub(crate) fn turn_to_score(known: &Known, epoch: u64) -> u64 {
    let place = places(known, epoch);
    let mine = place(known.me(), known.own().speed, 0);
    let others = known.members().workers();
    let others = others.map(|(id, it)| place(id, it.speed, it.evaluating));
    others.filter(|other| *other < mine).count() as u64
}

/// The peer that shall score the epoch that ends at `step` and has no score yet, as things stand.
pub(crate) fn scorer_at(known: &Known, step: u64) -> Option<NodeId> {
    let mut epochs = known.plan().epochs_ending(step);
    let epoch = epochs.find(|epoch| !known.scores().contains_key(epoch))?;
    let place = places(known, epoch);
    let own = known.own();
    let scores = own.scoring.evaluating.unwrap_or(0);
    let mine = (place(known.me(), own.speed, scores), known.me());
    let others = known.members().workers();
    let others = others.map(|(id, it)| (place(id, it.speed, it.evaluating), id));
    others.chain([mine]).min().map(|(_, id)| id)
}

/// The place of a peer of some speed, which scores an epoch (0: none) now, among those that could
/// score `epoch`. A peer that scores another one comes last. One that has made all of it need fetch
/// nothing; then those with less to do. After the last epoch, for which nobody trains, the faster ones.
fn places(known: &Known, epoch: u64) -> impl Fn(NodeId, u64, u64) -> Place {
    let plan = known.plan();
    let is_last = epoch == plan.epochs();
    let open = known.open_chapters();
    let chapter = plan.chapter_of(plan.epoch_end(epoch).saturating_sub(1));
    let maker = known.leases().owner(Task::chapter(chapter));
    move |id, speed, scores| {
        let readiness = match scores {
            at if at == epoch => 0,
            0 => 1,
            _ => 2,
        };
        let busy = if is_last { 0 } else { time(known.work_of(id, &open), speed) };
        let rank = ShardId(epoch as u16).rank_of(id);
        Place { readiness, fetches: maker != Some(id), busy, speed: Reverse(speed), rank }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::own::ScoringView;
    use crate::testing::{
        A, B, ME, SPEED, Scene, by_chapter, chain, chapter_lease, heartbeat, job, score,
        shard_lease,
    };
    use crate::{Heartbeat, Plan};

    fn plan() -> Plan {
        Plan { epoch_steps: 10, ..Plan::example(&[4], 100, 10) }
    }

    /// ME, A and B own so many of four shards.
    fn owners(me: u16, a: u16) -> Scene {
        let mut scene = Scene::new(plan());
        scene.meet_all(&[A, B]);
        let owner = |shard| match shard {
            _ if shard < me => ME,
            _ if shard < me + a => A,
            _ => B,
        };
        (0..4).for_each(|shard| scene.lease(&[shard_lease(shard, 1, owner(shard), 0)]));
        scene.work((0..me).map(|shard| job(shard, 0)));
        scene
    }

    /// How many come before this peer, and who comes first.
    fn order(scene: &Scene, epoch: u64) -> (u64, Option<NodeId>) {
        let end = scene.known.plan().epoch_end(epoch);
        (turn_to_score(&scene.known, epoch), scorer_at(&scene.known, end))
    }

    #[test]
    fn the_peer_with_least_to_do_scores() {
        assert_eq!(order(&owners(2, 1), 1), (2, Some(B)), "A and B have one shard each");
        assert_eq!(order(&owners(0, 2), 1), (0, Some(ME)));
        let mut scene = owners(2, 1);
        scene.hear(B, Heartbeat { speed: SPEED / 4, ..heartbeat() });
        assert_eq!(order(&scene, 1), (1, Some(A)), "B is so slow that its shard takes longer");
    }

    #[test]
    fn the_last_epoch_is_scored_by_the_fastest() {
        let mut scene = owners(2, 1);
        scene.hear(A, Heartbeat { speed: SPEED + 1, ..heartbeat() });
        assert_eq!(order(&scene, 10).1, Some(A));
        scene.known.set_speed(3 * SPEED);
        assert_eq!(order(&scene, 10), (0, Some(ME)));
    }

    #[test]
    fn a_peer_that_scores_it_already_is_first_and_one_that_scores_another_is_last() {
        let mut scene = owners(0, 2);
        scene.hear(B, Heartbeat { evaluating: 1, ..heartbeat() });
        assert_eq!(order(&scene, 1), (1, Some(B)));
        let scoring = ScoringView { evaluating: Some(2), under_way: false, waiting: 0 };
        scene.known.publish_scoring(scoring);
        scene.hear(B, heartbeat());
        assert!(matches!(order(&scene, 1).1, Some(A | B)), "this peer scores the second");
        assert_eq!(order(&scene, 2).1, Some(ME));
    }

    #[test]
    fn the_peer_that_trained_the_chapter_has_nothing_to_fetch() {
        let plan = by_chapter(Plan { epoch_steps: 10, ..chain(2, 100, 10) });
        let mut scene = Scene::new(plan.clone());
        scene.meet_all(&[A, B]);
        let chapters = [chapter_lease(&plan, 0, 1, B), chapter_lease(&plan, 1, 1, B)];
        scene.lease(&chapters);
        assert_eq!(order(&scene, 1).1, Some(B), "though it has another chapter to do");
        scene.lease(&[chapter_lease(&plan, 0, 2, A)]);
        assert_eq!(order(&scene, 1).1, Some(A));
    }

    #[test]
    fn who_has_scored_an_epoch_can_score_the_next_at_once() {
        let plan = by_chapter(Plan { epoch_steps: 10, ..chain(2, 100, 10) });
        let mut scene = Scene::new(plan.clone());
        scene.meet_all(&[A]);
        scene.lease(&[chapter_lease(&plan, 1, 1, B)]);
        scene.hear(B, Heartbeat { evaluating: 1, ..heartbeat() });
        assert_ne!(order(&scene, 2).1, Some(B));
        scene.known.learn_score(score(1), &mut scene.out);
        assert_eq!(order(&scene, 2).1, Some(B), "its next heartbeat is still to come");
    }

    #[test]
    fn of_peers_alike_each_epoch_has_another_first() {
        let mut scene = Scene::new(plan());
        scene.meet_all(&[A, B]);
        let first: Vec<_> = (1..10).map(|epoch| order(&scene, epoch).1).collect();
        assert!([ME, A, B].iter().all(|id| first.contains(&Some(*id))), "{first:?}");
    }

    #[test]
    fn nobody_scores_where_no_epoch_ends_or_the_score_is_here() {
        let mut scene = owners(0, 2);
        assert_eq!(scorer_at(&scene.known, 15), None);
        assert_eq!(scorer_at(&scene.known, 10), Some(ME));
        scene.known.learn_score(score(1), &mut scene.out);
        assert_eq!(scorer_at(&scene.known, 10), None);
    }
}
