//! What a view shows: a copy of the facts, free of any decision.

use crate::known::Known;
use crate::known::members::Member;
use crate::known::own::JobStatus;
use crate::{Kept, NodeId, Role, Score, ShardId, Span, Task, Term};

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
    /// Data that it keeps so that nothing is lost.
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

/// Knowledge of one peer at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// This peer first, then the others.
    pub peers: Vec<PeerView>,
    /// The shards of the model, bottom first.
    pub shards: Vec<ShardView>,
    /// By epoch.
    pub scores: Vec<Score>,
    /// The trainer of each chapter.
    pub provenance: Vec<Span>,
    /// Whether this peer holds the whole trained model.
    pub complete: bool,
    /// Activation batches held for readers.
    pub batches: usize,
    /// Blobs on their way here.
    pub fetching: usize,
}

impl Snapshot {
    /// A copy of what is known, and the number of blobs on their way.
    pub(crate) fn of(known: &Known, fetching: usize) -> Self {
        let own = known.own();
        let myself = PeerView {
            id: known.me(),
            role: known.role(),
            leaving: known.is_leaving(),
            speed: own.speed,
            kept: known.kept(),
        };
        let others = known.members().iter().filter(|(_, member)| member.heard);
        let others = others.map(|(id, member)| {
            let &Member { role, leaving, speed, kept, .. } = member;
            PeerView { id, role, leaving, speed, kept }
        });
        let runs = own.batches.runs.values().flatten();
        Self {
            peers: std::iter::once(myself).chain(others).collect(),
            shards: known.plan().model_shards().map(|it| ShardView::of(it, known)).collect(),
            scores: known.scores().values().copied().collect(),
            provenance: known.provenance().spans(),
            complete: own.complete.is_some(),
            batches: runs.map(|run| (run.end - run.start) as usize).sum(),
            fetching,
        }
    }
}

impl ShardView {
    fn of(shard: ShardId, known: &Known) -> Self {
        let latest = known.checkpoints().latest(shard);
        let checkpoint = latest.map(|entry| (entry.checkpoint.step, entry.holders.len()));
        let kept = checkpoint.map_or(0, |(step, _)| step);
        let task = match known.plan().is_by_chapter() {
            true => Task::chapter(known.plan().chapter_of(kept)),
            false => Task::Shard(shard),
        };
        let lease = known.leases().get(task);
        let mut jobs = known.own().jobs().filter(|job| job.shard == shard);
        Self {
            shard,
            owner: lease.map(|lease| (lease.owner, lease.term)),
            done: known.position(shard).max(kept),
            checkpoint,
            is_ready: jobs.any(JobStatus::is_ready),
        }
    }
}
