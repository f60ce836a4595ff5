//! A shard in training, and its bytes.
//!
//! Rule: a blob is made here and named by its hash at once.

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash};

use super::commands::Made;
use crate::{
    checkpoint,
    ff::{FeedbackTable, NetworkSpec, Shard, ShardState},
};

/// The state of a shard.
pub(super) enum State {
    Shard(Box<ShardState>),
    Feedback(FeedbackTable),
}

impl State {
    /// Steps done.
    pub(super) fn step(&self) -> u64 {
        match self {
            Self::Shard(state) => state.step,
            Self::Feedback(table) => table.step(),
        }
    }
}

/// A shard in training.
pub(super) struct Loaded {
    /// The number of the load that brought it in.
    pub(super) load: u64,
    pub(super) state: State,
    /// Sum of the losses of the chapter so far.
    loss: f64,
    /// Steps in that sum.
    steps: u32,
}

impl Loaded {
    pub(super) fn new(load: u64, state: State) -> Self {
        Self { load, state, loss: 0.0, steps: 0 }
    }

    /// Adds the loss of a step.
    pub(super) fn add(&mut self, loss: f32) {
        self.loss += f64::from(loss);
        self.steps += 1;
    }

    /// The shard's canonical bytes and the chapter's mean loss, in millionths; begins the next chapter.
    pub(super) fn finish_chapter(&mut self, spec: &NetworkSpec, place: Shard) -> (Made, u64) {
        let mean = self.loss / f64::from(self.steps.max(1));
        (self.loss, self.steps) = (0.0, 0);
        let bytes = match &self.state {
            State::Shard(state) => checkpoint::encode(state, spec, place),
            State::Feedback(table) => checkpoint::encode_table(table, spec),
        };
        (made(bytes), (mean.max(0.0) * 1e6) as u64)
    }
}

/// A blob of these bytes.
pub(super) fn made(bytes: Vec<u8>) -> Made {
    let blob = BlobRef { hash: Hash::of(&bytes), size: bytes.len() as u64 };
    (blob, Bytes::from(bytes))
}
