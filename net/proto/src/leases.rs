//! Who owns which shard.
//!
//! Rule: for each shard the lease with the higher term stands, at equal terms the one of the
//! smaller peer. Merging is therefore independent of order, and a fenced owner stays fenced.

use std::collections::BTreeMap;

use crate::{Lease, NodeId, ShardId, Term};

/// A term further ahead than this is no honest one: terms must never run out.
const MAX_TERM_STEP: u64 = 1 << 20;

/// The standing lease of each shard.
#[derive(Debug, Default)]
pub(crate) struct Leases(BTreeMap<ShardId, Lease>);

impl Leases {
    /// Takes in a lease. Returns whether it stands now and did not before.
    pub(crate) fn merge(&mut self, lease: Lease) -> bool {
        let known = self.0.get(&lease.shard).map_or(Term(0), |old| old.term);
        if lease.term.0 > known.0.saturating_add(MAX_TERM_STEP) {
            return false;
        }
        let stands = self.0.get(&lease.shard).is_none_or(|old| {
            lease.term > old.term || (lease.term == old.term && lease.owner < old.owner)
        });
        if stands {
            self.0.insert(lease.shard, lease);
        }
        stands
    }

    pub(crate) fn get(&self, shard: ShardId) -> Option<&Lease> {
        self.0.get(&shard)
    }

    pub(crate) fn owner(&self, shard: ShardId) -> Option<NodeId> {
        self.0.get(&shard).map(|lease| lease.owner)
    }

    /// The term that a new lease on `shard` must have.
    pub(crate) fn next_term(&self, shard: ShardId) -> Term {
        self.0.get(&shard).map_or(Term(1), |lease| lease.term.next())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(term: u64, owner: u8) -> Lease {
        Lease { shard: ShardId(0), term: Term(term), owner: NodeId([owner; 32]), from: 0 }
    }

    #[test]
    fn merging_does_not_depend_on_the_order() {
        let all = [lease(1, 2), lease(1, 1), lease(2, 9), lease(2, 8), lease(1, 0)];
        for start in 0..all.len() {
            let mut leases = Leases::default();
            for i in 0..all.len() {
                leases.merge(all[(start + i) % all.len()]);
            }
            assert_eq!(leases.get(ShardId(0)), Some(&lease(2, 8)));
            assert_eq!(leases.next_term(ShardId(0)), Term(3));
        }
    }

    #[test]
    fn nobody_can_use_up_the_terms() {
        let mut leases = Leases::default();
        assert!(!leases.merge(lease(u64::MAX, 1)));
        assert!(leases.merge(lease(7, 1)));
        assert!(!leases.merge(lease(7 + MAX_TERM_STEP + 1, 2)));
    }
}
