//! The whole vocabulary between the decisions and the shell that carries them out.
//!
//! Rule: the shell answers every [`Output::Load`], [`Output::Train`], [`Output::Refresh`],
//! [`Output::Merge`], [`Output::Fetch`] and [`Output::Evaluate`] with exactly one [`Input`] that
//! repeats its keys, and decides nothing. Its trainer does a shard's steps in order and no other, as
//! [`Plan::can_train`] and [`Plan::can_hand_on`] say: so steps in flight behind one that was refused
//! are refused too. What the store cannot read is told as [`Input::Lost`], and what was to read it
//! is answered as not done.

#[cfg(doc)]
use crate::Plan;
use crate::{BlobRef, Checkpoint, Hash, Lease, Message, NodeId, Role, Score, ShardId};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The moment named by `next_wakeup` has come (a spurious one is harmless).
    Wakeup,
    /// A peer of the same run can be reached.
    Connected(NodeId),
    /// It cannot be reached any more.
    Disconnected(NodeId),
    /// A peer said something; `from` is authenticated by the shell.
    Received {
        /// The peer that said it.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// Answer to [`Output::Load`]: the trainer has the shard at the asked step, or could not read
    /// the checkpoint.
    Loaded {
        /// The shard.
        shard: ShardId,
        /// The load it answers.
        load: u64,
        /// False when the checkpoint was not usable.
        ok: bool,
    },
    /// Answer to [`Output::Train`]: one step is done.
    Trained {
        /// The shard.
        shard: ShardId,
        /// The load under which it was asked.
        load: u64,
        /// The step that was done.
        step: u64,
        /// The activation batch, when one was asked for; it is in the store.
        batch: Option<BlobRef>,
        /// The checkpoint or the change at a branch's end, with the branch's mean loss in millionths; it
        /// is in the store.
        checkpoint: Option<(BlobRef, u64)>,
    },
    /// Answer to [`Output::Refresh`]: the activation batch of one step; it is in the store.
    Refreshed {
        /// The shard.
        shard: ShardId,
        /// The load under which it was asked.
        load: u64,
        /// The step.
        step: u64,
        /// The batch.
        batch: BlobRef,
    },
    /// The other answer to [`Output::Train`] and [`Output::Refresh`]: the step was not done.
    Refused {
        /// The shard.
        shard: ShardId,
        /// The load under which it was asked.
        load: u64,
        /// The step that was not done.
        step: u64,
        /// The input that is no activation batch or no table of this run; nothing where the step
        /// is not the shard's next, or something was lost.
        bad: Option<Hash>,
    },
    /// Answer to [`Output::Merge`].
    Merged {
        /// The shard.
        shard: ShardId,
        /// Steps done at the chapter's end.
        step: u64,
        /// The checkpoint and the mean, or a reason why there are none.
        outcome: Merge,
    },
    /// Answer to [`Output::Fetch`]: the blob is in the store, verified.
    Fetched {
        /// Its name.
        hash: Hash,
    },
    /// Answer to [`Output::Fetch`]: `from` did not deliver.
    FetchFailed {
        /// The blob's name.
        hash: Hash,
        /// The peer that was asked.
        from: NodeId,
        /// Whether it sent bytes, but not those that the hash names.
        lied: bool,
    },
    /// Answer to [`Output::Evaluate`]; without samples when it could not be done.
    Evaluated(Score),
    /// A blob that the store held cannot be read any more: its disk or file failed. Comes before the
    /// answer to what was to read it.
    Lost {
        /// Its name.
        hash: Hash,
    },
    /// The checkpoint of `shard` after `step` steps has its hash but is not one of this run.
    Unusable {
        /// The shard.
        shard: ShardId,
        /// Steps done, as it was announced.
        step: u64,
    },
    /// The trainer's speed, in millions of multiply-accumulates a second.
    Speed(u64),
    /// A checkpoint that was on disk when the node started; it is in the store.
    Restored(Checkpoint),
    /// The user wants this node to go: hand over, then finish.
    Leave,
}

/// Changes that make a later checkpoint of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Those of all branches of one chapter, in order.
    Branches(Vec<Hash>),
    /// The means of chapters that follow each other.
    Means(Vec<Hash>),
}

impl Parts {
    /// The blobs that they are.
    pub fn hashes(&self) -> &[Hash] {
        match self {
            Self::Branches(list) | Self::Means(list) => list,
        }
    }
}

/// The outcome of [`Output::Merge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is done.
    Made {
        /// The checkpoint of the chapter's end, in the store.
        checkpoint: BlobRef,
        /// The mean of the branches' changes, in the store; the last one, where means were given.
        mean: BlobRef,
    },
    /// It is not, because of this blob, which is no change, or no checkpoint, of the shard; or, without
    /// one, because something was lost.
    Refused(Option<Hash>),
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Say this to every peer of the run (gossip; may be lost).
    Broadcast(Message),
    /// Say this to one peer (may be lost).
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Bring the shard into the trainer: from a checkpoint in the store, or as it is initialised.
    Load {
        /// The shard.
        shard: ShardId,
        /// Names this load in the answers.
        load: u64,
        /// Steps done at that state.
        step: u64,
        /// The step from which it is trained: beyond `step` in all branches of a chapter but the first.
        begin: u64,
        /// The checkpoint, or `None` for step 0.
        checkpoint: Option<Hash>,
    },
    /// Do one step of a loaded shard.
    Train {
        /// The shard.
        shard: ShardId,
        /// The load it belongs to.
        load: u64,
        /// The step.
        step: u64,
        /// The activation batches to read, one per shard of the layer below, in order; all are in
        /// the store.
        inputs: Vec<Hash>,
        /// The feedback shard's checkpoint to read, in the store; only for shards of the lowest layer.
        feedback: Option<Hash>,
        /// Whether anyone reads the outputs of the training pass.
        emit: bool,
        /// Whether a branch ends with this step, so that what it changed is due, or a checkpoint where
        /// checkpoints are not merged.
        checkpoint: bool,
    },
    /// Compute what a loaded shard hands on for a step of the chapter that it has just ended, with
    /// the weights it has now. Comes after all of the chapter's [`Output::Train`], step by step,
    /// and before those of the next chapter.
    Refresh {
        /// The shard.
        shard: ShardId,
        /// The load it belongs to.
        load: u64,
        /// The step.
        step: u64,
        /// The activation batches that the step read, in the store.
        inputs: Vec<Hash>,
        /// The table that the step read, in the store.
        feedback: Option<Hash>,
    },
    /// Make the checkpoint of a chapter's end from an earlier one and what changed since; all of it is in
    /// the store.
    Merge {
        /// The shard.
        shard: ShardId,
        /// Steps done at the chapter's end.
        step: u64,
        /// Steps done where the first of its chapters starts.
        from: u64,
        /// The checkpoint there, or `None` for step 0.
        start: Option<Hash>,
        /// The changes from there on.
        parts: Parts,
    },
    /// Forget the shard in the trainer.
    Unload {
        /// The shard.
        shard: ShardId,
    },
    /// Fetch a blob from a peer, verify it, put it into the store.
    Fetch {
        /// What.
        blob: BlobRef,
        /// From whom.
        from: NodeId,
    },
    /// The store may forget a blob.
    Drop(Hash),
    /// Keep this checkpoint on disk until it is dropped.
    Keep(Checkpoint),
    /// Score the network made of these checkpoints (one per shard of the model, in order) on the
    /// test set.
    Evaluate {
        /// From 1.
        epoch: u64,
        /// One per shard of the model; all are in the store.
        checkpoints: Vec<Hash>,
    },
    /// Many epochs wait for their scores: until the one that is being scored is done, training no
    /// longer comes first.
    HurryScore,
    /// Tell the user.
    Notify(Notice),
    /// All that can be done is done: the node may stop.
    Finished,
}

/// Something that the user, or a script, is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A peer of this run is here.
    PeerJoined {
        /// Who.
        peer: NodeId,
        /// The purpose.
        role: Role,
    },
    /// A peer said goodbye, or was silent for too long.
    PeerLeft {
        /// Who.
        peer: NodeId,
        /// Its role, as far as it said so.
        role: Role,
        /// True when it said goodbye.
        goodbye: bool,
    },
    /// A task has a new owner.
    Owner(Lease),
    /// A chapter is done.
    Chapter(Checkpoint),
    /// An epoch's accuracy is known.
    Score(Score),
    /// This peer holds the whole trained model: one checkpoint per shard of it, in order.
    Complete(Vec<Checkpoint>),
    /// A peer said something that an honest one would not.
    Blame {
        /// Who.
        peer: NodeId,
        /// The reason.
        reason: &'static str,
    },
}
