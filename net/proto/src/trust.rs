//! Whom this peer does not believe any more.
//!
//! Rule: what somebody says and cannot be is ignored and told once. Bytes that do not have the
//! hash they were asked for by, and batches that no honest peer makes, are counted, because a bit may
//! flip anywhere once; a peer that sends them again and again is shut out, here and for as long as
//! this process lives.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Hash, MAX_MEMBERS, NodeId, Notice, state::State};

/// Reproaches told, at most.
const MAX_BLAMED: usize = 1_024;

/// False blobs that a peer may send; with the next it is shut out.
const MAX_FALSE_BLOBS: u32 = 2;

/// What was found out about others.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// What was told of whom already: once is enough.
    blamed: BTreeSet<(NodeId, &'static str)>,
    /// False blobs by sender.
    lies: BTreeMap<NodeId, u32>,
}

impl Trust {
    /// The peers that are shut out.
    pub(crate) fn shut_out(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.lies.iter().filter(|(_, count)| **count > MAX_FALSE_BLOBS).map(|(&id, _)| id)
    }
}

impl State {
    pub(crate) fn blame(&mut self, peer: NodeId, reason: &'static str) {
        let blamed = &mut self.trust.blamed;
        if blamed.len() < MAX_BLAMED && blamed.insert((peer, reason)) {
            self.notify(Notice::Blame { peer, reason });
        }
    }

    /// `peer` sent false bytes.
    pub(crate) fn on_lie(&mut self, peer: NodeId, reason: &'static str) {
        let lies = &mut self.trust.lies;
        if lies.len() >= MAX_MEMBERS && !lies.contains_key(&peer) {
            return;
        }
        let count = lies.entry(peer).or_default();
        *count += 1;
        if *count > MAX_FALSE_BLOBS {
            self.shut_out(peer);
        } else {
            self.blame(peer, reason);
        }
    }

    /// As if `peer` had gone for good: its shards are free, and nothing it says is heard.
    fn shut_out(&mut self, peer: NodeId) {
        self.blame(peer, "false bytes again and again, and is shut out");
        if let Some(role) = self.members.depart(peer) {
            self.on_gone(peer, role, false);
        }
        let offered = self.owned.values().flat_map(|owned| owned.inputs.values()).flatten();
        let offered = offered.flatten().filter(|slot| slot.holders.contains(&peer));
        let offered: Vec<Hash> = offered.map(|slot| slot.blob.hash).collect();
        for hash in offered {
            self.on_fetch_failed(hash, peer);
        }
    }
}
