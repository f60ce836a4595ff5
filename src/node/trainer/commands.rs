//! The commands that the trainer takes, and its answers.
//!
//! Rule: a load is numbered; an answer bears the number of the load that it belongs to.

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash, ShardId};

use crate::ff::{Fault, Shard};

/// A command for the trainer.
#[derive(Debug)]
pub(crate) enum Command {
    /// Load a shard at a step, from a checkpoint's bytes or as it is initialised, to be trained from another
    /// one on.
    Load { shard: ShardId, load: u64, step: u64, begin: u64, checkpoint: Option<Bytes> },
    /// Do one step.
    Train {
        shard: ShardId,
        load: u64,
        step: u64,
        inputs: Vec<Bytes>,
        /// The feedback shard's table, for a shard of the first layer.
        feedback: Option<Bytes>,
        emit: bool,
        checkpoint: bool,
    },
    /// Compute the activations of a step of the chapter just trained, with the weights at its end.
    Refresh { shard: ShardId, load: u64, step: u64, inputs: Vec<Bytes>, feedback: Option<Bytes> },
    /// Make a chapter's checkpoint of an earlier one, or the initial state, and of changes: those of a
    /// chapter's branches, or the means of several chapters.
    Merge {
        shard: ShardId,
        step: u64,
        /// Steps done at the earlier one.
        from: u64,
        start: Option<Bytes>,
        changes: Vec<Bytes>,
        are_means: bool,
    },
    /// Forget a shard.
    Unload { shard: ShardId },
}

/// A new blob with its bytes.
pub(crate) type Made = (BlobRef, Bytes);

/// An answer of the trainer.
#[derive(Debug)]
pub(crate) enum Done {
    Loaded {
        shard: ShardId,
        load: u64,
        ok: bool,
    },
    Trained {
        shard: ShardId,
        load: u64,
        step: u64,
        batch: Option<Made>,
        checkpoint: Option<(Made, u64)>,
    },
    Refreshed {
        shard: ShardId,
        load: u64,
        step: u64,
        batch: Made,
    },
    /// The checkpoint and the mean, or the hash of what is none.
    Merged {
        shard: ShardId,
        step: u64,
        outcome: Result<(Made, Made), Hash>,
    },
    /// The step is not the next one of the shard, or something that it reads is not of this run.
    Refused {
        shard: ShardId,
        load: u64,
        step: u64,
        bad: Option<Hash>,
    },
    /// The shard cannot be trained on.
    Diverged {
        place: Shard,
        /// Steps done.
        step: u64,
        fault: Fault,
    },
    /// Millions of multiply-accumulates a second while training.
    Speed(u64),
}
