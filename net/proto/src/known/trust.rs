//! Whom this peer does not believe any more.
//!
//! Rule: what somebody says and cannot be is ignored and told once. Bytes that do not have the
//! hash they were asked for by, and batches that no honest peer makes, are counted, because a bit may
//! flip anywhere once; a peer that sends them again and again is shut out, here and for as long as
//! this process lives. A peer that does not deliver what it says it holds is a suspect until it is
//! met again.

use std::collections::{BTreeMap, BTreeSet};

use crate::outbox::Outbox;
use crate::{MAX_MEMBERS, NodeId, Notice, ShardId};

/// Reproaches told, at most.
const MAX_BLAMED: usize = 1_024;

/// False blobs that a peer may send; with the next it is shut out.
const MAX_FALSE_BLOBS: u32 = 2;

/// Peers and shards whose batches are not believed in, at most.
const MAX_SUSPECTS: usize = MAX_MEMBERS;

/// Findings about other peers.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// Reproaches told already: once is enough.
    blamed: BTreeSet<(NodeId, &'static str)>,
    /// False blobs by sender.
    lies: BTreeMap<NodeId, u32>,
    /// The shards whose batches a peer says it holds and does not deliver.
    suspects: BTreeSet<(ShardId, NodeId)>,
}

impl Trust {
    /// The peers that are shut out.
    pub(crate) fn shut_out(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.lies.iter().filter(|(_, count)| **count > MAX_FALSE_BLOBS).map(|(&id, _)| id)
    }

    pub(crate) fn blame(&mut self, peer: NodeId, reason: &'static str, out: &mut Outbox) {
        if self.blamed.len() < MAX_BLAMED && self.blamed.insert((peer, reason)) {
            out.notify(Notice::Blame { peer, reason });
        }
    }

    /// `peer` sent false bytes. Returns whether it is shut out for that.
    pub(crate) fn lied(&mut self, peer: NodeId, reason: &'static str, out: &mut Outbox) -> bool {
        if self.lies.len() >= MAX_MEMBERS && !self.lies.contains_key(&peer) {
            return false;
        }
        let count = self.lies.entry(peer).or_default();
        *count += 1;
        let is_out = *count > MAX_FALSE_BLOBS;
        let again = "false bytes again and again, and is shut out";
        self.blame(peer, if is_out { again } else { reason }, out);
        is_out
    }

    /// Whether what `peer` says it holds of `shard` is not believed.
    pub(crate) fn is_suspect(&self, shard: ShardId, peer: NodeId) -> bool {
        self.suspects.contains(&(shard, peer))
    }

    /// `peer` does not deliver what it says it holds of `shard`.
    pub(crate) fn suspect(&mut self, shard: ShardId, peer: NodeId) {
        if self.suspects.len() < MAX_SUSPECTS {
            self.suspects.insert((shard, peer));
        }
    }

    /// `peer` is met again, or gone: nothing is suspected of it.
    pub(crate) fn trust_again(&mut self, peer: NodeId) {
        self.suspects.retain(|(_, id)| *id != peer);
    }

    /// `peer` announces batches of these shards.
    pub(crate) fn trust_batches(&mut self, peer: NodeId, shards: impl Fn(ShardId) -> bool) {
        self.suspects.retain(|(shard, id)| *id != peer || !shards(*shard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);

    #[test]
    fn the_third_lie_shuts_out_and_each_reproach_is_told_once() {
        let (mut trust, mut out) = (Trust::default(), Outbox::new(B));
        let lies: Vec<bool> = (0..4).map(|_| trust.lied(A, "junk", &mut out)).collect();
        assert_eq!(lies, [false, false, true, true]);
        assert_eq!(trust.shut_out().collect::<Vec<_>>(), [A]);
        assert_eq!(out.drain().0.len(), 2, "one for the junk, one for the end");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut trust, mut out) = (Trust::default(), Outbox::new(B));
        for number in 0..2 * MAX_BLAMED as u16 {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&number.to_be_bytes());
            trust.lied(NodeId(id), "junk", &mut out);
            trust.suspect(ShardId(number), A);
        }
        assert_eq!((trust.lies.len(), trust.blamed.len()), (MAX_MEMBERS, MAX_BLAMED));
        assert_eq!(trust.suspects.len(), MAX_SUSPECTS);
    }

    #[test]
    fn a_suspect_is_believed_when_it_is_met_again_or_announces_the_shard() {
        let mut trust = Trust::default();
        for (shard, id) in [(0, A), (1, A), (0, B)] {
            trust.suspect(ShardId(shard), id);
        }
        trust.trust_batches(A, |shard| shard == ShardId(1));
        assert!(trust.is_suspect(ShardId(0), A) && !trust.is_suspect(ShardId(1), A));
        trust.trust_again(A);
        assert!(!trust.is_suspect(ShardId(0), A) && trust.is_suspect(ShardId(0), B));
    }
}
