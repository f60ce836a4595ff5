//! The messages that peers send each other.
//!
//! Rule: every message is small (a few KB), may be lost, repeated or overtaken, and only ever
//! adds knowledge: leases merge by term, checkpoints and scores are facts. Payloads never travel
//! in a message; they are fetched by hash.

use serde::{Deserialize, Serialize};

use crate::{BlobRef, NodeId, ShardId, Term};

/// Entries that one list in a message may hold; longer ones are refused before they are used.
pub const MAX_LIST: usize = 256;

/// Whether a peer takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Trains shards.
    Worker,
    /// Fetches the model when it is complete, to export it; is never given a shard.
    Observer,
    /// Only looks: fetches nothing, is never given a shard, and nobody waits for it.
    Onlooker,
}

/// Work that a peer leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Task {
    /// A shard, step after step, where activation batches stream from owner to owner.
    Shard(ShardId),
    /// All shards, in turn, of one branch of a chapter.
    Branch {
        /// The chapter, from 0.
        chapter: u64,
        /// The branch of the chapter, from 0.
        branch: u16,
    },
}

impl Task {
    /// The first branch of `chapter`, and most often the only one.
    pub const fn chapter(chapter: u64) -> Self {
        Self::Branch { chapter, branch: 0 }
    }

    /// The shard, where it is one.
    pub const fn shard(self) -> Option<ShardId> {
        match self {
            Self::Shard(shard) => Some(shard),
            Self::Branch { .. } => None,
        }
    }
}

/// The owner of a task, its term, and the step from which on it is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The leased work.
    pub task: Task,
    /// A higher term fences a lower one.
    pub term: Term,
    /// The owner.
    pub owner: NodeId,
    /// Steps of the task's shards that were done when the lease was given.
    pub from: u64,
}

/// A fact: after `step` steps, `shard` has exactly these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The shard.
    pub shard: ShardId,
    /// Steps done.
    pub step: u64,
    /// The shard's canonical bytes.
    pub blob: BlobRef,
    /// The peer that trained the chapter that ends here.
    pub by: NodeId,
    /// Mean loss over that chapter, in millionths.
    pub loss_micro: u64,
}

/// A fact: what a branch of a chapter changed in a shard, or the mean of what all of them did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The shard.
    pub shard: ShardId,
    /// The chapter, from 0.
    pub chapter: u64,
    /// The branch, from 0; `None` for the mean.
    pub branch: Option<u16>,
    /// The canonical bytes.
    pub blob: BlobRef,
    /// The peer that made it.
    pub by: NodeId,
    /// Mean loss over the branch, in millionths, or over all of them.
    pub loss_micro: u64,
}

/// A run of activation batches of `shard`, of the steps `from..until`, that a peer still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRun {
    /// The shard that made them.
    pub shard: ShardId,
    /// First step held.
    pub from: u64,
    /// One past the last step held.
    pub until: u64,
}

/// Data that a peer keeps so that nothing is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Activation batches that it made, bytes.
    pub batches: u64,
    /// Checkpoints, bytes.
    pub checkpoints: u64,
    /// Whether the checkpoints are on its disk, too.
    pub on_disk: bool,
    /// Whether it has no room for further copies of others' checkpoints.
    pub full: bool,
}

/// How well the assembled network does on the test set at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// From 1.
    pub epoch: u64,
    /// Test samples looked at.
    pub samples: u32,
    /// Right answers of the softmax classifier.
    pub softmax_correct: u32,
    /// Right answers of the run's other classifier; which one follows from its objective.
    pub other_correct: u32,
}

/// Everything a peer has to say about itself; sent every
/// [`heartbeat_interval_ms`](crate::Config::heartbeat_interval_ms) and to every new connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Grows with every heartbeat of this peer; an overtaken one is dropped.
    pub seq: u64,
    /// Whether it takes work.
    pub role: Role,
    /// Whether it is handing its shards over in order to go.
    pub leaving: bool,
    /// Whether it holds every shard's last checkpoint.
    pub complete: bool,
    /// Measured speed in millions of multiply-accumulates a second; 0 when unknown.
    pub speed: u64,
    /// Every lease it knows of and that is not long over, its own and others'.
    pub leases: Vec<Lease>,
    /// Steps done of each shard it owns.
    pub progress: Vec<(ShardId, u64)>,
    /// Checkpoints it holds: the latest ones of each shard.
    pub held: Vec<Checkpoint>,
    /// Changes it holds: those of the earliest chapters.
    pub changes: Vec<Change>,
    /// Activation batches it holds.
    pub batches: Vec<BatchRun>,
    /// The latest scores it knows of.
    pub scores: Vec<Score>,
    /// The epoch that it is scoring, from 1; 0 for none.
    pub evaluating: u64,
    /// How much it keeps, and whether it has room for more.
    pub kept: Kept,
    /// The peers that it cannot work with.
    pub avoids: Vec<NodeId>,
}

/// A run of chapters of one shard that one peer trained, for the export's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The shard.
    pub shard: ShardId,
    /// First chapter.
    pub first: u64,
    /// Last chapter.
    pub last: u64,
    /// The peer that trained them.
    pub by: NodeId,
}

/// An activation batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The shard that made it.
    pub shard: ShardId,
    /// The step it is of.
    pub step: u64,
    /// Its bytes.
    pub blob: BlobRef,
}

/// One thing said by one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// To all, periodically, and when leases are given away.
    Heartbeat(Heartbeat),
    /// To all: leases just taken.
    Leases(Vec<Lease>),
    /// To all: the sender holds these now.
    Checkpoints(Vec<Checkpoint>),
    /// To all: the sender holds these changes now.
    Changes(Vec<Change>),
    /// To all: the sender holds both now. Together, so that nobody fetches the one that is longer because
    /// it has not heard of the other.
    Merged {
        /// The checkpoint of a chapter's end.
        checkpoint: Checkpoint,
        /// The mean of what the chapter's branches changed.
        mean: Change,
    },
    /// To all: a score just found.
    Score(Score),
    /// To all: the sender goes now.
    Goodbye,
    /// To the peers that hold what `reader` reads: its owner has done `from` steps and has room up to
    /// `until`.
    Request {
        /// Grows with every request of this peer; an overtaken one is dropped.
        seq: u64,
        /// The shard that reads.
        reader: ShardId,
        /// The shards it reads from, as far as they are the receiver's.
        shards: Vec<ShardId>,
        /// First step it lacks.
        from: u64,
        /// One past the last step it has room for.
        until: u64,
    },
    /// To a reader: activation batches that the sender holds.
    Announce(Vec<Batch>),
    /// To a new connection: who trained what so far.
    Provenance(Vec<Span>),
}

impl Message {
    /// Whether every list keeps its bound; a message that does not is the sender's fault.
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Heartbeat(beat) => [
                beat.leases.len(),
                beat.progress.len(),
                beat.held.len(),
                beat.changes.len(),
                beat.batches.len(),
                beat.scores.len(),
                beat.avoids.len(),
            ]
            .iter()
            .all(|&len| len <= MAX_LIST),
            Self::Leases(list) => list.len() <= MAX_LIST,
            Self::Checkpoints(list) => list.len() <= MAX_LIST,
            Self::Changes(list) => list.len() <= MAX_LIST,
            Self::Announce(list) => list.len() <= MAX_LIST,
            Self::Request { shards, .. } => shards.len() <= MAX_LIST,
            Self::Provenance(list) => list.len() <= MAX_LIST,
            Self::Merged { .. } | Self::Score(_) | Self::Goodbye => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    /// Each message that has a list, with that many entries in it.
    fn with_lists_of(len: usize) -> Vec<Message> {
        let beat = heartbeat;
        let lease = shard_lease(0, 1, A, 0);
        let batch = Batch { shard: ShardId(0), step: 0, blob: batch_blob(0, 0) };
        let span = Span { shard: ShardId(0), first: 0, last: 0, by: A };
        let shards = vec![ShardId(0); len];
        vec![
            Message::Heartbeat(Heartbeat { leases: vec![lease; len], ..beat() }),
            Message::Heartbeat(Heartbeat { progress: vec![(ShardId(0), 1); len], ..beat() }),
            Message::Heartbeat(Heartbeat { held: vec![checkpoint(0, 10); len], ..beat() }),
            Message::Heartbeat(Heartbeat { changes: vec![change(0, 0, None); len], ..beat() }),
            Message::Heartbeat(Heartbeat { batches: vec![run_of(0, 0, 1); len], ..beat() }),
            Message::Heartbeat(Heartbeat { scores: vec![score(1); len], ..beat() }),
            Message::Heartbeat(Heartbeat { avoids: vec![A; len], ..beat() }),
            Message::Leases(vec![lease; len]),
            Message::Checkpoints(vec![checkpoint(0, 10); len]),
            Message::Changes(vec![change(0, 0, None); len]),
            Message::Announce(vec![batch; len]),
            Message::Request { seq: 1, reader: ShardId(1), shards, from: 0, until: 1 },
            Message::Provenance(vec![span; len]),
        ]
    }

    #[test]
    fn every_list_has_a_bound() {
        for (short, long) in with_lists_of(MAX_LIST).iter().zip(with_lists_of(MAX_LIST + 1)) {
            assert!(short.is_bounded() && !long.is_bounded(), "{long:?}");
        }
        assert!(Message::Score(score(1)).is_bounded() && Message::Goodbye.is_bounded());
    }

    #[test]
    fn a_task_is_a_shard_or_a_branch_of_a_chapter() {
        assert_eq!(Task::Shard(ShardId(3)).shard(), Some(ShardId(3)));
        assert_eq!(Task::chapter(3).shard(), None);
        assert_eq!(Task::chapter(3), Task::Branch { chapter: 3, branch: 0 });
        assert!(Task::chapter(2) < Task::chapter(3), "the lower chapter goes first");
    }
}
