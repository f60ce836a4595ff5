//! The pieces of a set that are still to come, and the peers that give them.
//!
//! Rule: decides without a network or a clock. Each piece is asked of one peer at a time, of several peers
//! in turn if one fails; who fails too often is asked no more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ffp2p_proto::{Hash, NodeId};

/// Pieces on their way from one peer at a time: enough to keep a fast link busy.
const MOST_ON_THE_WAY: usize = 4;

/// Pieces that a peer may fail to give before it is asked no more.
const MOST_FAILURES: u32 = 8;

/// The pieces that are missing.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    waiting: VecDeque<Hash>,
    asked: BTreeMap<Hash, NodeId>,
    /// The peers that have the set, and how often each failed.
    holders: BTreeMap<NodeId, u32>,
    given_up: BTreeSet<NodeId>,
}

impl Pieces {
    /// These are missing, in the order in which they are wanted.
    pub(super) fn want(&mut self, missing: impl IntoIterator<Item = Hash>) {
        let mut known: BTreeSet<Hash> = self.waiting.iter().copied().collect();
        self.waiting.extend(missing.into_iter().filter(|hash| known.insert(*hash)));
    }

    /// A peer has the set.
    pub(super) fn add(&mut self, peer: NodeId) {
        if !self.given_up.contains(&peer) {
            self.holders.entry(peer).or_insert(0);
        }
    }

    /// A peer is gone; it may come back.
    pub(super) fn gone(&mut self, peer: NodeId) {
        self.holders.remove(&peer);
    }

    /// Peers that can be asked.
    pub(super) fn holders(&self) -> usize {
        self.holders.len()
    }

    /// Whether nothing is missing any more.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }

    /// The next pieces to ask for, each with a peer: of those with the fewest on their way first.
    pub(super) fn next(&mut self) -> Vec<(Hash, NodeId)> {
        let mut next = Vec::new();
        let mut load: BTreeMap<NodeId, usize> = self.holders.keys().map(|id| (*id, 0)).collect();
        self.asked.values().for_each(|id| *load.entry(*id).or_default() += 1);
        while let Some(&hash) = self.waiting.front() {
            let free = self.holders.keys().min_by_key(|id| load.get(id)).copied();
            let Some(peer) = free.filter(|id| load.get(id).is_some_and(|n| *n < MOST_ON_THE_WAY))
            else {
                break;
            };
            self.waiting.pop_front();
            self.asked.insert(hash, peer);
            *load.entry(peer).or_default() += 1;
            next.push((hash, peer));
        }
        next
    }

    /// A piece came. Whether it was asked for.
    pub(super) fn came(&mut self, hash: Hash) -> bool {
        self.asked.remove(&hash).is_some()
    }

    /// A piece did not come.
    pub(super) fn failed(&mut self, hash: Hash, peer: NodeId) {
        if self.asked.get(&hash) != Some(&peer) {
            return;
        }
        self.asked.remove(&hash);
        self.waiting.push_front(hash);
        let Some(failures) = self.holders.get_mut(&peer) else { return };
        *failures += 1;
        if *failures >= MOST_FAILURES {
            self.holders.remove(&peer);
            self.given_up.insert(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);

    fn hash(number: u8) -> Hash {
        Hash([number; 32])
    }

    fn wanting(count: u8) -> Pieces {
        let mut pieces = Pieces::default();
        pieces.want((0..count).chain(0..count).map(hash));
        pieces
    }

    #[test]
    fn peers_share_the_pieces_and_each_is_asked_for_some_at_a_time() {
        let mut pieces = wanting(20);
        assert!(pieces.next().is_empty());
        pieces.add(A);
        assert_eq!(pieces.next().len(), MOST_ON_THE_WAY);
        pieces.add(B);
        let next = pieces.next();
        assert!(next.len() == MOST_ON_THE_WAY && next.iter().all(|(_, peer)| *peer == B));
        assert!(pieces.next().is_empty());
        assert!(pieces.came(hash(0)) && !pieces.came(hash(0)) && !pieces.came(hash(19)));
        assert_eq!(pieces.next(), [(hash(8), A)]);
    }

    #[test]
    fn what_a_peer_fails_to_give_another_one_gives() {
        let mut pieces = wanting(1);
        pieces.add(A);
        assert_eq!(pieces.next(), [(hash(0), A)]);
        pieces.gone(A);
        pieces.failed(hash(0), A);
        assert!(pieces.next().is_empty() && !pieces.is_done());
        pieces.add(B);
        assert_eq!(pieces.next(), [(hash(0), B)]);
        pieces.failed(hash(0), A);
        assert!(pieces.came(hash(0)) && pieces.is_done());
    }

    #[test]
    fn who_fails_too_often_is_asked_no_more() {
        let mut pieces = wanting(3);
        pieces.add(A);
        for _ in 0..MOST_FAILURES {
            let next = pieces.next();
            let (first, _) = *next.first().unwrap();
            pieces.failed(first, A);
        }
        pieces.add(A);
        assert_eq!((pieces.holders(), pieces.next().len()), (0, 0));
    }
}
