//! Claiming shards that nobody owns.
//!
//! Rule: a shard without a living owner is claimed by the peer that the assignment names, and by the
//! next in order if that one does not.

use std::collections::{BTreeMap, BTreeSet};

use super::assignment::Assigned;
use crate::known::Known;
use crate::outbox::{Fact, Outbox};
use crate::{Lease, Message, NodeId, ShardId, Task, Time};

/// After listening, a peer waits at most this long for all to know how fast they are, ms.
const SPEEDS_MS: u64 = 4_000;

/// The shards that nobody living owns though they still need training: to their end, or again,
/// because a reader lacks batches that nobody holds.
pub(crate) fn vacant(known: &Known) -> BTreeSet<ShardId> {
    let plan = known.plan();
    let is_vacant = |shard: &ShardId| match known.owner(*shard) {
        Some(owner) if owner == known.me() => {
            // The feedback shard ends without a last checkpoint, and is reopened by starvation alone.
            let is_model = plan.feedback_shard() != Some(*shard);
            let lacks_end = known.checkpoints().at(*shard, plan.steps).is_none();
            is_model && lacks_end && known.own().job(*shard).is_none()
        }
        Some(owner) if known.members().contains(owner) && !is_lost(known, *shard, owner) => false,
        _ => known.start(*shard) < plan.steps,
    };
    plan.shards().filter(is_vacant).collect()
}

/// Whether `owner` is here for others, but what is needed of `shard` cannot be had from it: its
/// batches do not come, or it has finished and cannot hear that they are gone.
fn is_lost(known: &Known, shard: ShardId, owner: NodeId) -> bool {
    let ended = known.position(shard) >= known.plan().steps;
    (ended || known.is_suspect(shard, owner)) && known.is_avoided(owner)
}

/// Since when shards could be claimed.
#[derive(Debug, Default)]
pub(crate) struct Claiming {
    vacant_since: BTreeMap<ShardId, Time>,
    /// When the first lease was known.
    begun: Option<Time>,
}

impl Claiming {
    /// Claims the vacant shards that the assignment gives to this peer. Returns whether there are any.
    pub(crate) fn settle<'a>(
        &mut self,
        known: &Known,
        assigned: impl FnOnce() -> &'a Assigned,
        out: &mut Outbox,
    ) -> bool {
        let now = known.now();
        if self.begun.is_none() && known.leases().iter().next().is_some() {
            self.begun = Some(now);
        }
        let vacant = vacant(known);
        self.vacant_since.retain(|shard, _| vacant.contains(shard));
        for &shard in &vacant {
            self.vacant_since.entry(shard).or_insert(now);
        }
        let listens = known.only_listens() || self.awaits_speeds(known);
        if listens {
            // Nobody is to take them yet, so nobody is late.
            self.vacant_since.clear();
        }
        if vacant.is_empty() || listens || !known.takes_work() {
            return false;
        }
        let assigned = assigned();
        let is_mine = |shard: &ShardId| {
            let named = assigned.owner(*shard);
            let overdue = !assigned.is_sidelined() && self.is_overdue(*shard, known);
            named == Some(known.me()) || (named.is_some() && overdue)
        };
        let lease = |shard: ShardId| {
            let task = Task::Shard(shard);
            let (term, from) = (known.leases().next_term(task), known.start(shard));
            Lease { task, term, owner: known.me(), from }
        };
        let mine: Vec<Lease> = vacant.into_iter().filter(is_mine).map(lease).collect();
        let claims = !mine.is_empty();
        if claims {
            out.fact(Fact::Leases(mine.clone()));
            out.say(Message::Leases(mine));
        }
        claims
    }

    /// Whether nobody took `shard` for so long that it is this peer's turn, whoever was meant to:
    /// peers may differ in whom they consider to be here.
    fn is_overdue(&self, shard: ShardId, known: &Known) -> bool {
        let Some(&since) = self.vacant_since.get(&shard) else { return false };
        let mine = shard.rank_of(known.me());
        let before = known.members().workers().filter(|(id, _)| shard.rank_of(*id) < mine);
        let turn = 1 + before.count() as u64;
        known.now().since(since) >= turn.saturating_mul(known.config().silent_ms)
    }

    /// Whether nobody has owned anything for long, and somebody here does not know how fast it is. What
    /// the slowest says of its speed may come after the shards that it then took.
    fn awaits_speeds(&self, known: &Known) -> bool {
        let others = known.members().workers().map(|(_, member)| member.speed);
        let mut speeds = others.chain([known.own().speed]);
        let begun =
            self.begun.is_some_and(|at| known.now().since(at) >= known.heartbeat_interval_ms());
        let patience = known.config().listen_ms.saturating_add(SPEEDS_MS);
        !begun && speeds.any(|speed| speed == 0) && known.age_ms() < patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::assignment::Assignment;
    use crate::testing::*;
    use crate::{Config, Heartbeat, Output, Plan, Role};

    /// The leases claimed now, as announced.
    fn claims(claiming: &mut Claiming, scene: &mut Scene) -> Vec<Lease> {
        scene.look();
        let (mut assignment, Scene { known, out, .. }) = (Assignment::default(), scene);
        let claims = claiming.settle(known, || assignment.look(known, 10), out);
        let (outputs, facts) = out.drain();
        let told = outputs.into_iter().find_map(|output| {
            let Output::Broadcast(Message::Leases(leases)) = output else { return None };
            Some(leases)
        });
        let took = facts
            .into_iter()
            .find_map(|fact| if let Fact::Leases(leases) = fact { Some(leases) } else { None });
        assert!(told == took && claims == told.is_some());
        told.unwrap_or_default()
    }

    fn shards(leases: &[Lease]) -> Vec<u16> {
        leases.iter().filter_map(|lease| lease.task.shard()).map(|shard| shard.0).collect()
    }

    /// The shards that a peer claims which has just come to this.
    fn claimed(scene: &mut Scene) -> Vec<u16> {
        shards(&claims(&mut Claiming::default(), scene))
    }

    fn scene_of(role: Role, layers: usize) -> Scene {
        Scene::with(role, chain(layers, 40, 10), Config::default())
    }

    #[test]
    fn a_shard_without_an_owner_is_claimed_by_whom_the_assignment_names() {
        let mut scene = scene_of(Role::Worker, 4);
        assert_eq!(claimed(&mut scene), [0, 1, 2, 3], "nobody else is here");
        scene.meet(A, heartbeat());
        assert_eq!(claimed(&mut scene), [0, 1]);
        scene.meet(A, Heartbeat { role: Role::Observer, ..heartbeat() });
        assert_eq!(claimed(&mut scene), [0, 1, 2, 3]);
    }

    #[test]
    fn a_claim_fences_the_owner_before_and_goes_on_from_the_furthest_checkpoint() {
        let mut scene = scene_of(Role::Worker, 1);
        scene.meet(A, heartbeat());
        scene.lease(&[shard_lease(0, 7, A, 0)]);
        scene.hold([checkpoint(0, 10), checkpoint(0, 20)]);
        assert!(claimed(&mut scene).is_empty(), "its owner is here");
        scene.known.depart(A);
        let claims = claims(&mut Claiming::default(), &mut scene);
        assert_eq!(claims, [shard_lease(0, 8, ME, 20)]);
    }

    #[test]
    fn whoever_listens_looks_or_leaves_claims_nothing() {
        for role in [Role::Observer, Role::Onlooker] {
            assert!(claimed(&mut scene_of(role, 2)).is_empty());
        }
        let mut scene = scene_of(Role::Worker, 2);
        scene.at(scene.known.config().listen_ms - 1);
        assert!(claimed(&mut scene).is_empty());
        scene.wait(1);
        assert_eq!(claimed(&mut scene), [0, 1]);
        scene.known.leave();
        assert!(claimed(&mut scene).is_empty());
    }

    #[test]
    fn the_first_claims_wait_until_all_know_how_fast_they_are_but_not_for_long() {
        let mut scene = scene_of(Role::Worker, 2);
        let patience = scene.known.config().listen_ms + SPEEDS_MS;
        scene.at(patience - 1);
        scene.meet(A, Heartbeat { speed: 0, ..heartbeat() });
        assert!(claimed(&mut scene).is_empty());
        scene.wait(1);
        assert_eq!(claimed(&mut scene), [0]);
        scene.at(patience - 1);
        scene.meet(A, heartbeat());
        assert_eq!(claimed(&mut scene), [0]);
    }

    #[test]
    fn waiting_for_speeds_makes_nobody_late() {
        let mut scene = scene_of(Role::Worker, 2);
        let mut claiming = Claiming::default();
        for ms in [0, scene.known.config().listen_ms] {
            scene.at(ms);
            scene.meet(A, Heartbeat { speed: 0, ..heartbeat() });
            assert!(claims(&mut claiming, &mut scene).is_empty());
        }
        scene.wait(SPEEDS_MS);
        scene.meet(A, Heartbeat { speed: 0, ..heartbeat() });
        assert_eq!(shards(&claims(&mut claiming, &mut scene)), [0], "the other one is A's");
    }

    #[test]
    fn once_others_have_owned_something_for_a_while_nobody_waits_for_speeds() {
        let mut scene = scene_of(Role::Worker, 2);
        scene.at(2_000);
        scene.meet(A, Heartbeat { speed: 0, ..heartbeat() });
        scene.lease(&[shard_lease(1, 1, A, 0)]);
        let mut claiming = Claiming::default();
        assert!(claims(&mut claiming, &mut scene).is_empty(), "more may have been taken");
        scene.wait(scene.known.heartbeat_interval_ms());
        assert_eq!(shards(&claims(&mut claiming, &mut scene)), [0]);
    }

    #[test]
    fn a_shard_that_the_named_peer_does_not_take_falls_to_the_next_in_order() {
        let mut scene = scene_of(Role::Worker, 4);
        scene.meet(A, heartbeat());
        scene.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, ME, 0)]);
        scene.work([job(0, 0), job(1, 0)]);
        let (mut claiming, silent_ms) = (Claiming::default(), scene.known.config().silent_ms);
        let is_first = |shard: &u16| ShardId(*shard).rank_of(ME) < ShardId(*shard).rank_of(A);
        let (first, second): (Vec<u16>, Vec<u16>) = (2..4).partition(is_first);
        let at = |scene: &mut Scene, claiming: &mut Claiming, ms| {
            scene.wait(ms);
            scene.hear(A, heartbeat());
            shards(&claims(claiming, scene))
        };
        assert!(at(&mut scene, &mut claiming, 0).is_empty());
        assert!(at(&mut scene, &mut claiming, silent_ms - 1).is_empty());
        assert_eq!(at(&mut scene, &mut claiming, 1), first);
        let all = [first, second].concat().into_iter().collect::<BTreeSet<_>>();
        assert_eq!(BTreeSet::from_iter(at(&mut scene, &mut claiming, silent_ms)), all);
    }

    #[test]
    fn nobody_is_late_with_a_shard_that_had_an_owner_meanwhile() {
        let mut scene = scene_of(Role::Worker, 2);
        scene.meet(A, heartbeat());
        scene.lease(&[shard_lease(0, 1, ME, 0)]);
        scene.work([job(0, 0)]);
        let mut claiming = Claiming::default();
        assert!(claims(&mut claiming, &mut scene).is_empty());
        scene.wait(9_000);
        scene.lease(&[shard_lease(1, 1, A, 0)]);
        scene.hear(A, heartbeat());
        assert!(claims(&mut claiming, &mut scene).is_empty());
        scene.lease(&[shard_lease(1, 2, B, 0)]);
        scene.known.depart(B);
        assert!(claims(&mut claiming, &mut scene).is_empty(), "A is named, and has its time");
    }

    #[test]
    fn a_sidelined_peer_claims_nothing_however_late_it_is() {
        let mut scene = scene_of(Role::Worker, 2);
        let says = || Heartbeat { avoids: vec![ME], ..heartbeat() };
        [A, B].iter().for_each(|&peer| scene.meet(peer, says()));
        let mut claiming = Claiming::default();
        for _ in 0..20 {
            assert!(claims(&mut claiming, &mut scene).is_empty());
            scene.wait(1_000);
            [A, B].iter().for_each(|&peer| scene.hear(peer, says()));
        }
    }

    #[test]
    fn a_shard_is_vacant_while_it_needs_training_and_nobody_living_has_it() {
        let mut scene = scene_of(Role::Worker, 3);
        let is_vacant = |scene: &mut Scene| {
            scene.look();
            vacant(&scene.known).into_iter().map(|shard| shard.0).collect::<Vec<_>>()
        };
        scene.meet(A, heartbeat());
        scene.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, A, 0)]);
        assert_eq!(is_vacant(&mut scene), [0, 2], "this peer owns one and does not work on it");
        scene.work([job(0, 0)]);
        assert_eq!(is_vacant(&mut scene), [2]);
        scene.hold([checkpoint(2, 40)]);
        assert!(is_vacant(&mut scene).is_empty(), "it is trained to its end");
        scene.known.depart(A);
        assert_eq!(is_vacant(&mut scene), [1]);
        scene.work([]);
        scene.hold([checkpoint(0, 40), checkpoint(1, 40)]);
        assert!(is_vacant(&mut scene).is_empty());
    }

    #[test]
    fn the_owner_of_the_feedback_shard_ends_without_a_last_checkpoint() {
        let mut scene = Scene::new(with_feedback(chain(3, 40, 10)));
        scene.lease(&[0, 1, 2].map(|shard| shard_lease(shard, 1, ME, 0)));
        scene.look();
        let vacant: Vec<u16> = vacant(&scene.known).into_iter().map(|shard| shard.0).collect();
        assert_eq!(vacant, [0, 1]);
    }

    #[test]
    fn what_cannot_be_had_from_an_owner_out_of_reach_is_vacant() {
        let mut scene = Scene::new(Plan::example(&[1, 1], 40, 10));
        let says = |done| Heartbeat {
            progress: vec![(ShardId(0), done)],
            batches: vec![run_of(0, 0, 40)],
            ..heartbeat()
        };
        scene.hear(A, says(20));
        scene.lease(&[shard_lease(0, 1, A, 0), shard_lease(1, 1, ME, 0)]);
        scene.work([job(1, 5)]);
        scene.look();
        scene.wait(6_000);
        scene.hear(A, says(20));
        scene.look();
        assert!(scene.known.is_avoided(A));
        assert!(vacant(&scene.known).is_empty(), "it may come back into reach");
        scene.known.suspect_holders(ShardId(0), 5);
        assert_eq!(vacant(&scene.known), BTreeSet::from([ShardId(0)]));
        scene.known.announces(A, |_| true);
        assert!(vacant(&scene.known).is_empty());
        scene.known.note_progress(ShardId(0), 40);
        assert_eq!(vacant(&scene.known).len(), 1, "it has finished and will not hear of it");
    }
}
