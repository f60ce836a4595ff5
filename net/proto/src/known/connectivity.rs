//! Pairs of peers that cannot work together: cut from each other while others reach both, or
//! fallen out because one sent the other false bytes.
//!
//! Rule: each peer tells whom it avoids, and all who hear it leave the same one of each such pair
//! without work. So one link that is gone, or one liar, costs a machine and not the run.

use std::collections::{BTreeMap, BTreeSet};

use super::Known;
use super::members::Member;
use crate::{NodeId, ShardId, Time};

/// A peer that is needed and not connected for this long is avoided, ms: longer than finding
/// each other takes.
const APART_MS: u64 = 5_000;

/// Peers announced as avoided, at most.
const MAX_AVOIDED: usize = 32;

/// The connected peers, and those that are needed and not connected.
#[derive(Debug, Default)]
pub(crate) struct Connectivity {
    links: BTreeSet<NodeId>,
    /// Since when.
    apart: BTreeMap<NodeId, Time>,
    /// The peers that this one avoided when it last looked.
    avoided: Vec<NodeId>,
    version: u64,
}

impl Connectivity {
    pub(super) fn link(&mut self, peer: NodeId) {
        self.links.insert(peer);
    }

    pub(super) fn unlink(&mut self, peer: NodeId) {
        self.links.remove(&peer);
    }

    /// Grows when those whom this peer avoids change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Notes which of those who are needed cannot be reached.
    fn note(&mut self, needed: &BTreeSet<NodeId>, is_here: impl Fn(NodeId) -> bool, now: Time) {
        self.apart.retain(|id, _| is_here(*id) && !self.links.contains(id));
        for id in needed {
            if is_here(*id) && !self.links.contains(id) {
                self.apart.entry(*id).or_insert(now);
            }
        }
    }

    /// The peers that are needed and cannot be reached for long.
    fn apart(&self, now: Time) -> impl Iterator<Item = NodeId> + '_ {
        let apart = self.apart.iter().filter(move |(_, since)| now.since(**since) >= APART_MS);
        apart.map(|(&id, _)| id)
    }
}

impl Known {
    /// Looks again which of those who own what this peer's jobs read or feed it cannot reach.
    pub(crate) fn note_apart(&mut self) {
        let shards = self.own.jobs.jobs.keys().filter_map(|task| task.shard());
        let near = shards.flat_map(|shard| {
            [self.plan.inputs(shard), self.plan.readers(shard), self.table_mates(shard)].concat()
        });
        let mut needed: BTreeSet<NodeId> = near.filter_map(|shard| self.owner(shard)).collect();
        needed.extend(self.branch_sources());
        needed.remove(&self.me);
        let members = &self.members;
        self.connectivity.note(&needed, |id| members.contains(id), self.now);
        let avoided = self.avoids();
        if self.connectivity.avoided != avoided {
            for id in &avoided {
                self.checkpoints.forget_peer(*id);
                self.changes.forget_peer(*id);
            }
            self.connectivity.avoided = avoided;
            self.connectivity.version += 1;
        }
    }

    /// The holders of the checkpoints that branches wait for, where none of them can be reached.
    fn branch_sources(&self) -> BTreeSet<NodeId> {
        let needs = self.branch_needs().into_iter();
        let found = needs.filter_map(|(shard, start)| self.checkpoints.at(shard, start));
        let links = &self.connectivity.links;
        let is_cut = |holders: &BTreeSet<NodeId>| {
            !holders.iter().any(|id| *id == self.me || links.contains(id))
        };
        let cut = found.filter(|entry| is_cut(&entry.holders));
        cut.flat_map(|entry| entry.holders.iter().copied()).collect()
    }

    /// The shards that read what `shard` makes as the feedback shard, or whose tables it reads.
    fn table_mates(&self, shard: ShardId) -> Vec<ShardId> {
        match self.plan.feedback_shard() {
            Some(feedback) if feedback == shard => self.plan.shards_of(0),
            Some(feedback) if self.plan.layer(shard) == 0 => vec![feedback],
            _ => Vec::new(),
        }
    }

    /// The peers that this one avoids.
    pub(crate) fn avoids(&self) -> Vec<NodeId> {
        let apart = self.connectivity.apart(self.now);
        apart.chain(self.trust.shut_out()).take(MAX_AVOIDED).collect()
    }

    /// Whether what `peer` holds is out of reach.
    pub(crate) fn is_avoided(&self, peer: NodeId) -> bool {
        self.connectivity.avoided.contains(&peer)
    }

    /// Whether a worker says that it avoids anybody.
    pub(crate) fn anyone_avoids(&self) -> bool {
        self.members.workers().any(|(_, member)| !member.avoids.is_empty())
    }

    /// Whether a worker cannot reach any of `holders`, as it says.
    pub(crate) fn is_cut_off(&self, holders: &BTreeSet<NodeId>) -> bool {
        let mut lonely = self.members.workers().filter(|(_, member)| !member.avoids.is_empty());
        lonely.any(|(id, _)| self.is_cut_from(id, holders))
    }

    /// Whether `peer` cannot reach any of `holders`, as it says.
    pub(crate) fn is_cut_from(&self, peer: NodeId, holders: &BTreeSet<NodeId>) -> bool {
        let says = |member: &Member| holders.iter().all(|holder| member.avoids.contains(holder));
        !holders.contains(&peer) && self.members.get(peer).is_some_and(says)
    }

    /// The peers that the owners of `shard`'s readers cannot reach, as they say: what these hold of it,
    /// nobody needs to count on.
    pub(crate) fn avoided_by_readers(&self, shard: ShardId) -> BTreeSet<NodeId> {
        // Asked often, and hardly ever anybody avoids anybody.
        let reads = |id: NodeId| {
            let is_feedback = self.plan.feedback_shard() == Some(shard);
            let readers =
                if is_feedback { self.plan.shards_of(0) } else { self.plan.readers(shard) };
            readers.into_iter().any(|reader| self.owner(reader) == Some(id))
        };
        let told = self.members.iter().filter(|(id, it)| !it.avoids.is_empty() && reads(*id));
        let told = told.flat_map(|(_, member)| member.avoids.iter().copied());
        let own = self.connectivity.avoided.iter().copied().filter(|_| reads(self.me));
        told.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use crate::{Heartbeat, Plan, Role};

    const S0: ShardId = ShardId(0);

    /// ME has the upper of two shards and reads what A makes, which it has heard of and never reached.
    fn cut() -> Scene {
        let mut scene = Scene::new(chain(2, 40, 10));
        scene.hear(A, heartbeat());
        scene.lease(&[shard_lease(0, 1, A, 0), shard_lease(1, 1, ME, 0)]);
        scene.work([job(1, 0)]);
        scene.look();
        scene
    }

    /// Time passes in which all peers are heard of.
    fn pass(scene: &mut Scene, ms: u64, peers: &[NodeId]) {
        scene.wait(ms);
        peers.iter().for_each(|&peer| scene.hear(peer, heartbeat()));
        scene.look();
    }

    fn avoiding(avoids: &[NodeId]) -> Heartbeat {
        Heartbeat { avoids: avoids.to_vec(), ..heartbeat() }
    }

    #[test]
    fn a_peer_that_is_needed_and_cannot_be_reached_for_long_is_avoided_with_what_it_holds() {
        let mut scene = cut();
        scene.learn(A, [checkpoint(0, 10), checkpoint(0, 20)]);
        scene.learn(B, [checkpoint(0, 10)]);
        pass(&mut scene, APART_MS - 1, &[]);
        assert!(scene.known.avoids().is_empty());
        let version = scene.known.version();
        scene.wait(1);
        scene.look();
        assert!(scene.known.avoids() == [A] && scene.known.is_avoided(A));
        assert_ne!(scene.known.version(), version, "it can be given no work");
        let latest = scene.known.checkpoints().latest(S0).map(|entry| entry.checkpoint.step);
        assert_eq!(latest, Some(10));
        scene.learn(A, [checkpoint(0, 20)]);
        assert!(scene.known.checkpoints().at(S0, 20).is_none(), "it is out of reach");
    }

    #[test]
    fn a_peer_that_is_connected_again_or_gone_is_not_avoided() {
        let mut scene = cut();
        pass(&mut scene, APART_MS, &[A]);
        scene.known.connected(A);
        scene.look();
        assert!(scene.known.avoids().is_empty());
        scene.known.disconnected(A);
        pass(&mut scene, APART_MS, &[A]);
        assert!(scene.known.avoids().is_empty(), "the time counts from the new cut");
        pass(&mut scene, APART_MS, &[A]);
        assert_eq!(scene.known.avoids(), [A]);
        scene.known.depart(A);
        scene.look();
        assert!(scene.known.avoids().is_empty());
    }

    #[test]
    fn who_is_not_needed_may_be_out_of_reach() {
        let mut scene = cut();
        scene.known.connected(A);
        scene.hear(B, heartbeat());
        pass(&mut scene, 2 * APART_MS, &[A, B]);
        assert!(scene.known.avoids().is_empty());
    }

    #[test]
    fn the_lowest_shards_and_the_feedback_shard_need_each_other() {
        for (mine, other) in [(0, 2), (2, 0)] {
            let mut scene = Scene::new(with_feedback(chain(3, 40, 10)));
            scene.hear(A, heartbeat());
            scene.lease(&[shard_lease(mine, 1, ME, 0), shard_lease(other, 1, A, 0)]);
            scene.work([job(mine, 0)]);
            scene.look();
            pass(&mut scene, APART_MS, &[A]);
            assert_eq!(scene.known.avoids(), [A], "shard {mine} and {other}");
        }
    }

    #[test]
    fn a_branch_needs_one_of_those_that_hold_its_checkpoint() {
        let plan = by_chapter(chain(2, 40, 10));
        for reached in [false, true] {
            let mut scene = Scene::new(plan.clone());
            [A, B].iter().for_each(|&peer| scene.hear(peer, heartbeat()));
            [A, B].iter().for_each(|&peer| scene.learn(peer, [checkpoint(0, 10)]));
            scene.lease(&[chapter_lease(&plan, 1, 1, ME)]);
            scene.work([branch_job(1, 0, 10)]);
            if reached {
                scene.known.connected(B);
            }
            scene.look();
            scene.wait(APART_MS);
            scene.look();
            assert_eq!(scene.known.avoids(), if reached { vec![] } else { vec![A, B] });
        }
    }

    #[test]
    fn who_lies_again_and_again_is_avoided_and_so_many_are_told_of() {
        let mut scene = Scene::new(chain(2, 40, 10));
        for byte in 100..200 {
            let lies = |_| scene.known.lied(NodeId([byte; 32]), "junk", &mut scene.out);
            assert_eq!((0..3).map(lies).collect::<Vec<bool>>(), [false, false, true]);
        }
        assert_eq!(scene.known.avoids().len(), MAX_AVOIDED);
    }

    #[test]
    fn whoever_works_and_reaches_no_holder_is_cut_off_from_them() {
        let mut scene = Scene::new(chain(2, 40, 10));
        scene.meet_all(&[A, C]);
        assert!(!scene.known.anyone_avoids());
        scene.meet(B, avoiding(&[A]));
        assert!(scene.known.anyone_avoids());
        let cases = [(&[A][..], true), (&[A, C], false), (&[A, B], false), (&[C], false)];
        for (holders, cut) in cases {
            let holders = BTreeSet::from_iter(holders.iter().copied());
            assert_eq!(scene.known.is_cut_off(&holders), cut, "{holders:?}");
            assert_eq!(scene.known.is_cut_from(B, &holders), cut, "{holders:?}");
        }
        scene.meet(B, Heartbeat { role: Role::Observer, ..avoiding(&[A]) });
        assert!(!scene.known.anyone_avoids() && !scene.known.is_cut_off(&BTreeSet::from([A])));
    }

    #[test]
    fn what_the_readers_of_a_shard_cannot_reach_nobody_counts_on() {
        let mut scene = Scene::new(chain(2, 40, 10));
        scene.lease(&[shard_lease(1, 1, B, 0)]);
        scene.meet(A, Heartbeat { batches: vec![run_of(0, 0, 8)], ..heartbeat() });
        scene.meet(C, avoiding(&[A]));
        assert_eq!(scene.known.covered(S0, 0), 8, "C does not read it");
        scene.meet(B, avoiding(&[A]));
        assert_eq!(scene.known.covered(S0, 0), 0);
        let mut own = cut();
        own.hear(A, Heartbeat { batches: vec![run_of(0, 0, 8)], ..heartbeat() });
        assert_eq!(own.known.covered(S0, 0), 8);
        own.wait(APART_MS);
        own.look();
        assert_eq!(own.known.covered(S0, 0), 0, "this peer reads it, and avoids A");
    }

    #[test]
    fn a_table_counts_where_its_readers_reach_a_holder() {
        let plan = Plan { feedback: true, ..Plan::example(&[2, 1, 1], 40, 10) };
        let mut scene = Scene::new(plan);
        scene.lease(&[shard_lease(1, 1, B, 0), shard_lease(2, 1, C, 0)]);
        scene.meet_all(&[A, B]);
        scene.learn(A, [checkpoint(3, 10)]);
        scene.meet(A, Heartbeat { held: vec![checkpoint(3, 10)], ..heartbeat() });
        scene.meet(C, avoiding(&[A]));
        assert!(scene.known.table(10).is_some(), "only the lowest shards read it");
        scene.meet(B, avoiding(&[A]));
        assert!(scene.known.table(10).is_none());
    }
}
