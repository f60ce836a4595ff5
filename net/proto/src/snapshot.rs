//! What a view shows: a copy of the facts, free of any decision.

use crate::{Kept, NodeId, Role, Score, ShardId, Span, Term, state::State, work::Phase};

/// One peer, for a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Who.
    pub id: NodeId,
    /// Whether it takes work.
    pub role: Role,
    /// Whether it is about to go.
    pub leaving: bool,
    /// Millions of multiply-accumulates a second; 0 when unknown.
    pub speed: u64,
    /// What it keeps so that nothing is lost.
    pub kept: Kept,
}

/// One shard, for a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// Which.
    pub shard: ShardId,
    /// Its owner and the lease's term.
    pub owner: Option<(NodeId, Term)>,
    /// Steps done, as far as known here.
    pub done: u64,
    /// The furthest checkpoint, in steps, and how many peers hold it.
    pub checkpoint: Option<(u64, usize)>,
    /// Whether this peer owns the shard and is ready to train it.
    pub is_ready: bool,
}

/// What one peer knows at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// This peer first, then the others.
    pub peers: Vec<PeerView>,
    /// Those of the model, bottom first.
    pub shards: Vec<ShardView>,
    /// By epoch.
    pub scores: Vec<Score>,
    /// Who trained what.
    pub ledger: Vec<Span>,
    /// Whether this peer holds the whole trained model.
    pub complete: bool,
    /// Activation batches held for readers.
    pub retained: usize,
    /// Blobs on their way here.
    pub fetching: usize,
}

impl State {
    /// What this peer knows now.
    pub fn snapshot(&self) -> Snapshot {
        let myself = PeerView {
            id: self.me,
            role: self.role,
            leaving: self.leaving.is_some(),
            speed: self.speed,
            kept: self.kept(),
        };
        let others = self.members.iter().filter(|(_, member)| member.heard).map(|(id, member)| {
            let &crate::members::Member { role, leaving, speed, kept, .. } = member;
            PeerView { id, role, leaving, speed, kept }
        });
        Snapshot {
            peers: std::iter::once(myself).chain(others).collect(),
            shards: self.plan.model_shards().map(|shard| self.shard_view(shard)).collect(),
            scores: self.scores.values().copied().collect(),
            ledger: self.ledger.spans(),
            complete: self.complete.is_some(),
            retained: self.retained.values().map(std::collections::BTreeMap::len).sum(),
            fetching: self.in_flight.len(),
        }
    }

    /// Who trains `shard` now, and by which term.
    fn standing(&self, shard: ShardId) -> Option<(NodeId, Term)> {
        if self.plan.is_by_chapter() {
            let done = self.archive.latest(shard).map_or(0, |fact| fact.checkpoint.step);
            let turn = self.turns.get(self.plan.chapter_of(done));
            return turn.map(|turn| (turn.owner, turn.term));
        }
        self.leases.get(shard).map(|lease| (lease.owner, lease.term))
    }

    fn shard_view(&self, shard: ShardId) -> ShardView {
        let latest = self.archive.latest(shard);
        let checkpoint = latest.map(|fact| (fact.checkpoint.step, fact.holders.len()));
        ShardView {
            shard,
            owner: self.standing(shard),
            done: self.position(shard).max(checkpoint.map_or(0, |(step, _)| step)),
            checkpoint,
            is_ready: self.owned.get(&shard).is_some_and(|owned| owned.phase == Phase::Ready)
                || self.columns.values().any(|it| it.shard == shard && it.phase == Phase::Ready),
        }
    }
}
