//! A shard in training, and its bytes.
//!
//! Rule: a blob is made here and named by its hash at once.

use std::ops::Range;

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash};

use super::commands::Made;
use crate::{
    checkpoint,
    ff::{Change, FeedbackTable, NetworkSpec, Shard, ShardState},
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
    /// The weights at the chapter's start, where what changes is told.
    start: Option<Box<ShardState>>,
    /// Sum of the losses of the chapter so far.
    loss: f64,
    /// Steps in that sum.
    steps: u32,
}

impl Loaded {
    /// A shard as it was loaded, to be trained from the step `begin` on; `is_merged` if a chapter's
    /// end is made of what is changed.
    pub(super) fn new(load: u64, mut state: State, begin: u64, is_merged: bool) -> Self {
        let mut start = None;
        if let State::Shard(state) = &mut state {
            start = is_merged.then(|| Box::new((**state).clone().only_weights()));
            state.step = begin;
        }
        Self { load, state, start, loss: 0.0, steps: 0 }
    }

    /// Adds the loss of a step.
    pub(super) fn add(&mut self, loss: f32) {
        self.loss += f64::from(loss);
        self.steps += 1;
    }

    /// The mean loss since the last time, in millionths, and what is told at a branch's end, in a chapter
    /// of these steps: what was changed, where peers own branches; otherwise the shard, which
    /// begins the next chapter as it is told.
    pub(super) fn finish(
        &mut self,
        spec: &NetworkSpec,
        place: Shard,
        (by_branch, chapter): (bool, Range<u64>),
    ) -> (Made, u64) {
        let mean = self.loss / f64::from(self.steps.max(1));
        (self.loss, self.steps) = (0.0, 0);
        let bytes = match (&mut self.state, &mut self.start) {
            (State::Shard(state), Some(start)) => {
                let (step, change) = (state.step, Change::between(spec, start, (**state).clone()));
                if by_branch {
                    checkpoint::encode_change(&change, spec, place, step, chapter.end)
                } else {
                    **state = change.applied(spec, start, chapter, 1);
                    **start = (**state).clone().only_weights();
                    checkpoint::encode(state, spec, place)
                }
            }
            (State::Shard(state), None) => checkpoint::encode(state, spec, place),
            (State::Feedback(table), _) => checkpoint::encode_table(table, spec),
        };
        (made(bytes), (mean.max(0.0) * 1e6) as u64)
    }
}

/// A blob of these bytes.
pub(super) fn made(bytes: impl Into<Bytes>) -> Made {
    let bytes = bytes.into();
    (BlobRef { hash: Hash::of(&bytes), size: bytes.len() as u64 }, bytes)
}
