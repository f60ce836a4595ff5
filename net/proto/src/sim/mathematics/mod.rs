//! The computation of steps, and the sequential run that it makes.
//!
//! Rule: [`Mathematics`] is a function of its arguments. The sequential run calls it in order, the
//! simulated nodes call it whenever and wherever a cell is theirs, and the bytes must be equal.

pub(crate) mod digest;
pub(crate) mod fake_training;
pub(crate) mod private;
pub(crate) mod reference;
pub(crate) mod shapes;

use std::fmt;

use crate::{BlobRef, Hash, ShardId};

/// The computation of a step: hashes that stand for training, or real training.
pub trait Mathematics: fmt::Debug {
    /// The state of `shard` before its first step, as canonical bytes.
    fn initial(&self, shard: ShardId) -> Vec<u8>;

    /// One step of `shard`: its next state and its activation batch. `inputs` are the batches of the
    /// shards below, in order; a shard of the lowest layer has none, and may have `feedback`, a
    /// checkpoint of the feedback shard.
    fn train(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> (Vec<u8>, Vec<u8>);

    /// The activation batch of `shard` for `step`, computed with its `state` at the chapter's end.
    fn refresh(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> Vec<u8>;

    /// The state in which a branch begins `shard` at `step`: that of its chapter's start.
    fn begin(&self, shard: ShardId, step: u64, start: &[u8]) -> Vec<u8>;

    /// The change that a branch made to `shard`, from its chapter's start to its own end.
    fn change(&self, shard: ShardId, start: &[u8], end: &[u8]) -> Vec<u8>;

    /// The state of `shard` after `step` steps, made of the chapter's start and of what its branches
    /// changed or their mean, and that mean.
    ///
    /// # Errors
    /// The first of the changes that is none.
    fn merge(
        &self,
        shard: ShardId,
        step: u64,
        start: &[u8],
        changes: &[&[u8]],
    ) -> Result<(Vec<u8>, Vec<u8>), usize>;

    /// Whether `state` is a state of `shard` after `step` steps.
    fn is_state(&self, shard: ShardId, step: u64, state: &[u8]) -> bool;

    /// Whether a trainer can read `bytes` as a batch; where it cannot and the hash is right, their
    /// sender lies. Needed only where a machine lies.
    fn is_batch(&self, _bytes: &[u8]) -> bool {
        true
    }

    /// The size for which these bytes count, on the network and in a store.
    fn size(&self, bytes: &[u8]) -> u64 {
        bytes.len() as u64
    }
}

/// The blob name of `bytes`.
pub(crate) fn blob(mathematics: &dyn Mathematics, bytes: &[u8]) -> BlobRef {
    BlobRef { hash: Hash::of(bytes), size: mathematics.size(bytes) }
}
