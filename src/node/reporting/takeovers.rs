//! Takeovers of shards and chapters, so that each is reported in one line and with its reason.
//!
//! Rule: only what is reported is kept, within bounds. A takeover waits for a moment, because others of
//! the same node follow, and because the new owner may know before us that the old one is gone.

use std::collections::{BTreeMap, VecDeque};

use ffp2p_proto::{Lease, NodeId, ShardId, Term};

/// Peers that are gone, remembered.
const MAX_GONE: usize = 64;

/// Chapters whose owners are remembered, the latest.
const MAX_CHAPTERS: usize = 256;

/// Looks after which a takeover is reported though its reason is not known.
const LOOKS: u32 = 2;

/// Owners, and the takeovers that are still to be reported.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    owners: BTreeMap<ShardId, NodeId>,
    chapters: BTreeMap<u64, NodeId>,
    gone: VecDeque<(NodeId, &'static str)>,
    /// The latest one of each shard.
    waiting: BTreeMap<ShardId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    lease: Lease,
    /// The owner when the shard was last reported.
    from: Option<NodeId>,
    looks: u32,
}

/// The reason why a node gave up a shard; `None` when it stays.
pub(super) type Reason = Option<&'static str>;

/// Shards that one node took from one other, or for the first time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Takeover {
    pub(super) shards: Vec<(ShardId, Term)>,
    pub(super) by: NodeId,
    pub(super) from: Option<(NodeId, Reason)>,
}

impl Takeovers {
    /// A peer has come, perhaps again.
    pub(super) fn came(&mut self, peer: NodeId) {
        self.gone.retain(|(gone, _)| *gone != peer);
    }

    /// A peer is gone.
    pub(super) fn went(&mut self, peer: NodeId, goodbye: bool) {
        self.came(peer);
        if self.gone.len() >= MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back((peer, if goodbye { "left" } else { "silent" }));
    }

    /// The reason why a peer is gone, if it is.
    fn reason(&self, peer: NodeId) -> Reason {
        self.gone.iter().find(|(gone, _)| *gone == peer).map(|(_, reason)| *reason)
    }

    /// A shard has a new owner.
    pub(super) fn took(&mut self, shard: ShardId, lease: Lease) {
        let from = self.owners.insert(shard, lease.owner);
        let waiting = Waiting { lease, from, looks: 0 };
        self.waiting.entry(shard).or_insert(waiting).lease = lease;
    }

    /// A chapter has a new owner. Returns the former one, and why it is that no more.
    pub(super) fn took_chapter(&mut self, chapter: u64, owner: NodeId) -> Option<(NodeId, Reason)> {
        let from = self.chapters.insert(chapter, owner);
        if self.chapters.len() > MAX_CHAPTERS {
            self.chapters.pop_first();
        }
        from.filter(|from| *from != owner).map(|from| (from, self.reason(from)))
    }

    /// The takeovers to report now; asked about once a second.
    pub(super) fn due(&mut self, is_leaving: impl Fn(NodeId) -> bool) -> Vec<Takeover> {
        let mut due: Vec<Takeover> = Vec::new();
        for (shard, mut waiting) in std::mem::take(&mut self.waiting) {
            let Waiting { lease, from, .. } = waiting;
            if from == Some(lease.owner) {
                continue;
            }
            let why = |from| self.reason(from).or_else(|| is_leaving(from).then_some("leaving"));
            let from = from.map(|from| (from, why(from)));
            waiting.looks += 1;
            if matches!(from, Some((_, None))) && waiting.looks < LOOKS {
                self.waiting.insert(shard, waiting);
                continue;
            }
            match due.iter_mut().find(|it| (it.by, it.from) == (lease.owner, from)) {
                Some(same) => same.shards.push((shard, lease.term)),
                None => {
                    due.push(Takeover { shards: vec![(shard, lease.term)], by: lease.owner, from })
                }
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffp2p_proto::Task;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);

    fn lease(shard: u16, term: u64, owner: NodeId) -> (ShardId, Lease) {
        let shard = ShardId(shard);
        (shard, Lease { task: Task::Shard(shard), term: Term(term), owner, from: 0 })
    }

    fn took(all: &mut Takeovers, (shard, lease): (ShardId, Lease)) {
        all.took(shard, lease);
    }

    fn takeover(shards: &[(u16, u64)], by: NodeId, from: Option<(NodeId, Reason)>) -> Takeover {
        let shards = shards.iter().map(|&(shard, term)| (ShardId(shard), Term(term))).collect();
        Takeover { shards, by, from }
    }

    #[test]
    fn shards_of_one_reason_are_reported_together() {
        let mut all = Takeovers::default();
        (0..3).for_each(|shard| took(&mut all, lease(shard, 1, A)));
        took(&mut all, lease(3, 1, B));
        let first = [takeover(&[(0, 1), (1, 1), (2, 1)], A, None), takeover(&[(3, 1)], B, None)];
        assert_eq!(all.due(|_| false), first);
        all.went(A, false);
        (0..2).for_each(|shard| took(&mut all, lease(shard, 2, B)));
        let gone = Some((A, Some("silent")));
        assert_eq!(all.due(|_| false), [takeover(&[(0, 2), (1, 2)], B, gone)]);
        // The same owner again is nothing new.
        took(&mut all, lease(0, 3, B));
        assert_eq!(all.due(|_| false), []);
        all.came(A);
        took(&mut all, lease(0, 4, A));
        assert_eq!(all.due(|peer| peer == B), [takeover(&[(0, 4)], A, Some((B, Some("leaving"))))]);
        all.went(B, true);
        took(&mut all, lease(1, 4, A));
        assert_eq!(all.due(|_| false), [takeover(&[(1, 4)], A, Some((B, Some("left"))))]);
    }

    #[test]
    fn a_reason_that_comes_late_is_waited_for_and_not_for_ever() {
        let mut all = Takeovers::default();
        (0..2).for_each(|shard| took(&mut all, lease(shard, 1, A)));
        all.due(|_| false);
        (0..2).for_each(|shard| took(&mut all, lease(shard, 2, B)));
        assert_eq!(all.due(|_| false), []);
        all.went(A, false);
        let gone = Some((A, Some("silent")));
        assert_eq!(all.due(|_| false), [takeover(&[(0, 2), (1, 2)], B, gone)]);
        all.came(A);
        took(&mut all, lease(0, 3, A));
        assert_eq!(all.due(|_| false), []);
        assert_eq!(all.due(|_| false), [takeover(&[(0, 3)], A, Some((B, None)))]);
        assert_eq!(all.due(|_| false), []);
    }

    #[test]
    fn a_shard_that_goes_on_at_once_is_reported_by_its_ends() {
        let mut all = Takeovers::default();
        took(&mut all, lease(0, 1, A));
        all.due(|_| false);
        all.went(A, true);
        took(&mut all, lease(0, 2, B));
        took(&mut all, lease(0, 3, NodeId([3; 32])));
        let gone = Some((A, Some("left")));
        assert_eq!(all.due(|_| false), [takeover(&[(0, 3)], NodeId([3; 32]), gone)]);
    }

    #[test]
    fn a_chapter_has_a_former_owner_once_it_was_taken() {
        let mut all = Takeovers::default();
        assert_eq!(all.took_chapter(0, A), None);
        all.went(A, false);
        assert_eq!(all.took_chapter(0, B), Some((A, Some("silent"))));
        assert_eq!(all.took_chapter(0, B), None);
        for chapter in 1..1_000 {
            all.took_chapter(chapter, A);
            all.went(NodeId([chapter as u8; 32]), true);
        }
        assert_eq!((all.chapters.len(), all.gone.len()), (MAX_CHAPTERS, MAX_GONE));
    }
}
