//! The size of messages on the network.
//!
//! Rule: sizes are counted and not listed, so that a new field or message counts at once. Only what
//! the network puts around a message is written down here; its encoding is in `encoded_size`.

use crate::sim::forecast::encoded_size::encoded_size;
use crate::{Heartbeat, Kept, Lease, Message, NodeId, Role, ShardId, Task, Term};

/// Bytes around a gossiped message: its source, number, topic, key and signature.
const GOSSIP: u64 = 250;

/// Bytes around a message to one peer, and of its receipt.
const DIRECT: u64 = 70;

/// Bytes of a request for a blob, and around its answer.
pub(crate) const REQUEST: u64 = 130;

/// Bytes of a message to all, as it goes to one peer.
pub(crate) fn gossip(message: &Message) -> u64 {
    GOSSIP + encoded_size(message)
}

/// Bytes of a message to one peer.
pub(crate) fn direct(message: &Message) -> u64 {
    DIRECT + encoded_size(message)
}

/// Bytes of the heartbeat of a node that trains nothing and knows of this many leases, as it goes to
/// one peer. Numbers in it are taken to be as large as they usually become.
pub fn idle_heartbeat_bytes(leases: usize) -> u64 {
    let owner = NodeId([0; 32]);
    let lease = Lease { task: Task::Shard(ShardId(0)), term: Term(1), owner, from: LARGE };
    let heartbeat = Heartbeat {
        seq: LARGE,
        role: Role::Worker,
        leaving: false,
        complete: false,
        speed: FAST,
        leases: vec![lease; leases],
        progress: Vec::new(),
        held: Vec::new(),
        changes: Vec::new(),
        batches: Vec::new(),
        scores: Vec::new(),
        evaluating: 0,
        kept: Kept::default(),
        avoids: Vec::new(),
    };
    gossip(&Message::Heartbeat(heartbeat))
}

/// A number of steps or heartbeats in the middle of a run.
const LARGE: u64 = 10_000;

/// The speed of a common machine, in millions of multiply-accumulates a second.
const FAST: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_more_makes_a_heartbeat_longer_by_a_lease() {
        let sizes: Vec<u64> = [0, 1, 10].map(idle_heartbeat_bytes).to_vec();
        assert_eq!(sizes, [274, 312, 654]);
    }

    #[test]
    fn gossip_has_more_around_it_than_a_message_to_one_peer() {
        assert_eq!((gossip(&Message::Goodbye), direct(&Message::Goodbye)), (251, 71));
    }
}
