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

/// Who is connected, and who is needed and is not.
#[derive(Debug, Default)]
pub(crate) struct Connectivity {
    links: BTreeSet<NodeId>,
    /// Since when.
    apart: BTreeMap<NodeId, Time>,
    /// Whom this peer avoided when it last looked.
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

    /// Those who are needed and cannot be reached for long.
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

    /// Whom this peer avoids.
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
