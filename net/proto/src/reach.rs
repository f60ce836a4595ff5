//! Pairs of peers that cannot work together: cut from each other while others reach both, or
//! fallen out because one sent the other false bytes.
//!
//! Rule: each peer tells whom it avoids, and all who hear it leave the same one of each such pair
//! without work. So one link that is gone, or one liar, costs a machine and not the run.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    NodeId, ShardId, Time, archive::Fact, assign::Candidate, members::Member, state::State,
};

/// A peer that is needed and not connected for this long is avoided, ms: longer than finding
/// each other takes.
const APART_MS: u64 = 5_000;

/// Peers told of as avoided, at most.
const MAX_AVOIDED: usize = 32;

/// Who is connected, and who is needed and is not.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    links: BTreeSet<NodeId>,
    /// Since when.
    apart: BTreeMap<NodeId, Time>,
    /// Whom this peer avoided when it last looked.
    avoided: Vec<NodeId>,
}

impl State {
    pub(crate) fn link(&mut self, peer: NodeId) {
        self.reach.links.insert(peer);
        self.doubts.retain(|(_, id)| *id != peer);
    }

    pub(crate) fn unlink(&mut self, peer: NodeId) {
        self.reach.links.remove(&peer);
    }

    /// Notes the peers that own what this peer's shards read or feed, and that it cannot reach.
    pub(crate) fn note_apart(&mut self, now: Time) {
        let shards = self.owned.keys();
        let near = shards.flat_map(|&shard| {
            [self.plan.inputs(shard), self.plan.readers(shard), self.table_mates(shard)].concat()
        });
        let mut needed: BTreeSet<NodeId> =
            near.filter_map(|shard| self.leases.owner(shard)).collect();
        needed.extend(self.column_sources());
        let Self { reach: Reach { links, apart, .. }, members, me, .. } = self;
        apart.retain(|id, _| members.contains(*id) && !links.contains(id));
        for id in needed {
            if id != *me && members.contains(id) && !links.contains(&id) {
                apart.entry(id).or_insert(now);
            }
        }
        let avoided = self.avoids();
        if self.reach.avoided != avoided {
            for id in &avoided {
                self.archive.forget_peer(*id);
            }
            self.reach.avoided = avoided;
            self.targets = None;
        }
    }

    /// The holders of the checkpoints that columns wait for, where none of them can be reached.
    fn column_sources(&self) -> BTreeSet<NodeId> {
        let needs = self.column_needs().into_iter();
        let facts = needs.filter_map(|(shard, start)| self.archive.at(shard, start));
        let cut = |fact: &&Fact| {
            !fact.holders.iter().any(|id| *id == self.me || self.reach.links.contains(id))
        };
        facts.filter(cut).flat_map(|fact| fact.holders.iter().copied()).collect()
    }

    /// Whether somebody who works says that it avoids anybody.
    pub(crate) fn anyone_avoids(&self) -> bool {
        self.members.workers().any(|(_, member)| !member.avoids.is_empty())
    }

    /// Whether somebody who works cannot reach any of `holders`, as it says.
    pub(crate) fn is_cut_off(&self, holders: &BTreeSet<NodeId>) -> bool {
        let mut lonely = self.members.workers().filter(|(_, member)| !member.avoids.is_empty());
        lonely.any(|(id, _)| self.is_cut_from(id, holders))
    }

    /// Whether `peer` cannot reach any of `holders`, as it says.
    pub(crate) fn is_cut_from(&self, peer: NodeId, holders: &BTreeSet<NodeId>) -> bool {
        let says = |member: &Member| holders.iter().all(|holder| member.avoids.contains(holder));
        !holders.contains(&peer) && self.members.get(peer).is_some_and(says)
    }

    /// Whom the owners of `shard`'s readers cannot reach, as they say: what these hold of it, nobody
    /// needs to count on.
    pub(crate) fn avoided_by_readers(&self, shard: ShardId) -> BTreeSet<NodeId> {
        // Asked often, and hardly ever anybody avoids anybody.
        let reads = |id: NodeId| {
            let is_feedback = self.plan.feedback_shard() == Some(shard);
            let readers =
                if is_feedback { self.plan.shards_of(0) } else { self.plan.readers(shard) };
            readers.into_iter().any(|reader| self.leases.owner(reader) == Some(id))
        };
        let told = self.members.iter().filter(|(id, it)| !it.avoids.is_empty() && reads(*id));
        let told = told.flat_map(|(_, member)| member.avoids.iter().copied());
        let avoided = &self.reach.avoided;
        let own = avoided.iter().copied().filter(|_| reads(self.me));
        told.chain(own).collect()
    }

    /// Whether what `peer` holds is out of reach.
    pub(crate) fn is_avoided(&self, peer: NodeId) -> bool {
        self.reach.avoided.contains(&peer)
    }

    /// Whom this peer avoids.
    pub(crate) fn avoids(&self) -> Vec<NodeId> {
        let apart = self.reach.apart.iter();
        let apart = apart.filter(|(_, since)| self.now.since(**since) >= APART_MS);
        apart.map(|(&id, _)| id).chain(self.trust.shut_out()).take(MAX_AVOIDED).collect()
    }

    /// The candidates without those that must rest because another one avoids them.
    pub(crate) fn able(&self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let others = self.members.iter().map(|(id, member)| (id, member.avoids.clone()));
        let said: Vec<_> = others.chain([(self.me, self.avoids())]).collect();
        let mut pairs = pairs(&said, &candidates);
        while let Some(out) = worst(&pairs, &candidates) {
            candidates.retain(|candidate| candidate.id != out);
            pairs.retain(|(by, whom)| *by != out && *whom != out);
        }
        candidates
    }
}

/// Who avoids whom. Somebody who avoids more than half of the others is alone with that opinion.
fn pairs(said: &[(NodeId, Vec<NodeId>)], candidates: &[Candidate]) -> Vec<(NodeId, NodeId)> {
    let is_here = |id: NodeId| candidates.iter().any(|candidate| candidate.id == id);
    let mut pairs = Vec::new();
    for (by, avoided) in said {
        let avoided: BTreeSet<NodeId> = avoided.iter().copied().filter(|id| is_here(*id)).collect();
        let others = candidates.iter().filter(|candidate| candidate.id != *by).count();
        if is_here(*by) && 2 * avoided.len() <= others {
            pairs.extend(avoided.into_iter().map(|whom| (*by, whom)));
        }
    }
    pairs
}

/// The one that rests next: of those in a pair the most avoided, then the slowest.
fn worst(pairs: &[(NodeId, NodeId)], candidates: &[Candidate]) -> Option<NodeId> {
    let votes = |id: NodeId| pairs.iter().filter(|(_, whom)| *whom == id).count();
    let in_pair = |id: NodeId| pairs.iter().any(|(by, whom)| *by == id || *whom == id);
    let paired = candidates.iter().filter(|candidate| in_pair(candidate.id));
    paired
        .max_by_key(|it| (votes(it.id), std::cmp::Reverse(it.speed), it.id))
        .map(|candidate| candidate.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> NodeId {
        NodeId([byte; 32])
    }

    fn four() -> Vec<Candidate> {
        (1..=4).map(|byte| Candidate { id: id(byte), speed: 10 }).collect()
    }

    #[test]
    fn one_of_two_that_avoid_each_other_rests() {
        let said = [(id(1), vec![id(2)]), (id(2), vec![id(1)]), (id(3), vec![])];
        let pairs = pairs(&said, &four());
        assert_eq!(pairs.len(), 2);
        assert_eq!(worst(&pairs, &four()), Some(id(2)));
    }

    #[test]
    fn the_most_avoided_rests_and_one_who_avoids_all_is_not_heard() {
        let said = [
            (id(1), vec![id(3)]),
            (id(2), vec![id(3)]),
            (id(3), vec![id(1), id(2), id(4)]),
            (id(9), vec![id(1)]),
        ];
        let pairs = pairs(&said, &four());
        assert_eq!(pairs, [(id(1), id(3)), (id(2), id(3))]);
        assert_eq!(worst(&pairs, &four()), Some(id(3)));
        assert_eq!(worst(&[], &four()), None);
    }
}
