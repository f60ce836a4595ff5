//! The end of a simulated run: its measures, or the rule that did not hold.
//!
//! Rule: plain data that can be compared; two runs of one scenario give equal reports.

use std::fmt;

use crate::{Hash, ShardId, Time};

/// A rule that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The scenario's seed.
    pub seed: u64,
    /// The moment at which it was noticed.
    pub at: Time,
    /// The rule, in words.
    pub rule: String,
    /// The last events, when the trace was on.
    pub lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, at {} ms: {}", self.seed, self.at.0, self.rule)
    }
}

/// A cell, as shard and chapter, and the machine that trained it.
pub type Trained = (ShardId, u64, usize);

/// Measures of a run in which every rule held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The hash of the model that every node ended with.
    pub model: Hash,
    /// The machine that trained each cell, as far as any node had it on record; empty where all
    /// have the same data.
    pub ledger: Vec<Trained>,
    /// Cells that two machines trained on different data.
    pub rivals: u64,
    /// The time at which the last node had the model, ms.
    pub done_ms: u64,
    /// Events planned.
    pub events: u64,
    /// Steps trained, the repeated ones included.
    pub trained: u64,
    /// Shards of the plan.
    pub shards: u64,
    /// Steps of the plan, over all shards.
    pub steps: u64,
    /// Epochs of the plan.
    pub epochs: u64,
    /// Epochs whose score some node knew.
    pub scored: u64,
    /// Messages sent, counted once for each receiver.
    pub messages: u64,
    /// Blobs delivered.
    pub blobs: u64,
    /// Leases given, over all shards.
    pub terms: u64,
    /// The hash of the trace, when it was on.
    pub trace: Option<Hash>,
}
