//! Giving each task an owner: claims of what nobody owns, hand-overs for balance, the order of chapters.
//!
//! Rule: a task without a living owner is taken, with the next term, by the peer that all who know
//! the same name; a task with one is only ever given away by that owner. What an assignment rests on
//! has a version, and it is computed again when that changes.

pub(crate) mod assignment;
mod branch_pace;
pub(crate) mod candidates;
pub(crate) mod chapter_order;
pub(crate) mod claiming;
pub(crate) mod hand_over;
pub(crate) mod leases;

use std::collections::BTreeSet;

use crate::known::Known;
use crate::outbox::Outbox;
use crate::{MAX_TRAIN_IN_FLIGHT, NodeId, ShardId};
use assignment::Assignment;
use chapter_order::ChapterOrder;
use claiming::Claiming;
use hand_over::HandOver;

/// The duty to take and give away tasks.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    assignment: Assignment,
    claiming: Claiming,
    hand_over: HandOver,
    chapters: ChapterOrder,
    moves: BTreeSet<(ShardId, u64)>,
}

impl Placement {
    /// Takes what is this peer's to take, or gives away what is better elsewhere.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        if known.plan().is_by_chapter() {
            return self.chapters.settle(known, out);
        }
        let margin = match self.hand_over.is_balancing(known) {
            true => 0,
            false => known.config().margin_percent,
        };
        let assigned = &mut self.assignment;
        let claims = self.claiming.settle(known, || assigned.look(known, margin), out);
        let gives =
            !claims && self.hand_over.settle(known, self.assignment.look(known, margin), out);
        // After a hand-over, who shall have what is looked at again before anything waits for it.
        self.moves = if gives { BTreeSet::new() } else { self.moves_soon(known, margin) };
    }

    /// Own shards and the next steps at which they would be given away.
    fn moves_soon(&mut self, known: &Known, margin: u64) -> BTreeSet<(ShardId, u64)> {
        let plan = known.plan();
        let assigned = self.assignment.look(known, margin);
        let mut moves = BTreeSet::new();
        for job in known.own().jobs() {
            let Some(target) = assigned.owner(job.shard) else { continue };
            let soon = job.next..=job.next.saturating_add(MAX_TRAIN_IN_FLIGHT as u64);
            let ends = soon.filter(|step| plan.is_boundary(*step));
            let gives = ends.filter(|step| {
                self.hand_over.should_give(known, assigned, (job.shard, target), *step)
            });
            moves.extend(gives.map(|step| (job.shard, step)));
        }
        moves
    }

    /// An owner fell silent, or somebody who was none.
    pub(crate) fn lost(&mut self, peer: NodeId, known: &Known) {
        self.hand_over.lost(peer, known);
    }

    /// Own shards, and the steps at which each will be given away instead of trained.
    pub(crate) fn view(&self) -> BTreeSet<(ShardId, u64)> {
        self.moves.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Fact;
    use crate::testing::*;
    use crate::{Lease, Task};

    fn settle(placement: &mut Placement, scene: &mut Scene) -> Vec<Lease> {
        scene.look();
        placement.settle(&scene.known, &mut scene.out);
        let leases = scene
            .facts()
            .into_iter()
            .filter_map(|fact| if let Fact::Leases(leases) = fact { Some(leases) } else { None });
        leases.flatten().collect()
    }

    /// ME has three of four shards, and A is here that could have two of them.
    fn scene() -> Scene {
        let mut scene = Scene::new(chain(4, 80, 4));
        scene.lease(&[0, 1, 2].map(|shard| shard_lease(shard, 1, ME, 0)));
        scene.work([job(0, 3), job(1, 4), job(2, 4)]);
        scene.hold([checkpoint(0, 4), checkpoint(1, 4), checkpoint(2, 4)]);
        scene.meet(A, heartbeat());
        scene.wait(scene.known.config().listen_ms);
        scene
    }

    #[test]
    fn what_nobody_owns_is_claimed_before_anything_is_given_away() {
        let (mut scene, mut placement) = (scene(), Placement::default());
        scene.known.depart(A);
        assert_eq!(settle(&mut placement, &mut scene), [shard_lease(3, 1, ME, 0)]);
        let mut other = self::scene();
        assert!(settle(&mut placement, &mut other).is_empty(), "the assignment names A");
        other.lease(&[shard_lease(3, 1, A, 0)]);
        assert_eq!(settle(&mut placement, &mut other), [shard_lease(2, 2, A, 4)]);
    }

    #[test]
    fn a_shard_that_shall_move_is_known_before_it_comes_to_the_chapters_end() {
        let (mut scene, mut placement) = (scene(), Placement::default());
        scene.lease(&[shard_lease(3, 1, A, 0)]);
        scene.work([job(0, 1), job(1, 1), job(2, 1)]);
        assert!(settle(&mut placement, &mut scene).is_empty());
        assert!(placement.view().is_empty(), "the end is too far ahead");
        scene.work([job(0, 2), job(1, 2), job(2, 2)]);
        settle(&mut placement, &mut scene);
        assert_eq!(placement.view(), BTreeSet::from([(ShardId(2), 4)]));
        scene.work([job(0, 4), job(1, 4), job(2, 4)]);
        assert_eq!(settle(&mut placement, &mut scene).len(), 1);
        assert!(placement.view().is_empty(), "after a hand-over nothing waits for one");
    }

    #[test]
    fn owners_that_fall_silent_make_newcomers_wait() {
        let (mut scene, mut placement) = (scene(), Placement::default());
        scene.lease(&[shard_lease(3, 1, A, 0)]);
        (0..3).for_each(|_| placement.lost(A, &scene.known));
        assert!(settle(&mut placement, &mut scene).is_empty());
    }

    #[test]
    fn where_peers_own_chapters_chapters_are_taken_and_no_shards() {
        let mut scene = Scene::new(by_chapter(chain(4, 80, 4)));
        let taken = settle(&mut Placement::default(), &mut scene);
        assert_eq!(taken.iter().map(|lease| lease.task).collect::<Vec<_>>(), [Task::chapter(0)]);
    }
}
