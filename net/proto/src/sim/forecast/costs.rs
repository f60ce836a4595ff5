//! The work that takes a simulated machine's time, besides and within training.
//!
//! Rule: one unit for all of it, that of [`LayerPlan::step_cost`](crate::LayerPlan): thousands of
//! multiply-accumulates. A machine does one thing at a time, and what its network does is taken
//! from its training, because a node trains on every core it has.

use crate::{Plan, ShardId};

/// Refreshing a step costs this part of training it, by default.
const REFRESH_PART: u64 = 3;

/// Steps' worth of work that scoring costs, over all shards, by default.
const EVALUATE_STEPS: u64 = 10;

/// Work, in thousands of multiply-accumulates; lists have one entry a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costs {
    /// A step of one shard.
    pub train: Vec<u64>,
    /// Computing the activation batch of a step of one shard again.
    pub refresh: Vec<u64>,
    /// Reading or writing a checkpoint of one shard.
    pub checkpoint: Vec<u64>,
    /// Reading or writing what a branch changed in one shard.
    pub change: Vec<u64>,
    /// Scoring an epoch.
    pub evaluate: u64,
    /// Making a node's training images ready, once.
    pub prepare: u64,
    /// Sending or receiving a message or a request to one peer; receiving a gossiped one.
    pub message: u64,
    /// Sending a gossiped message to one peer of many, or receiving it once more.
    pub copy: u64,
    /// Sending or receiving a million bytes.
    pub megabyte: u64,
    /// The most by which a job takes longer or shorter than it should, per mille.
    pub spread: u64,
    /// The shortest job, microseconds.
    pub least_us: u64,
}

impl Costs {
    /// Costs of a run that is checked and not predicted: rough, and only training and scoring count.
    pub(crate) fn rough(plan: &Plan) -> Self {
        let train: Vec<u64> = plan.layers.iter().map(|layer| layer.step_cost.max(1)).collect();
        let step = plan.shards().map(|shard| plan.cost(shard)).sum::<u64>();
        Self {
            refresh: train.iter().map(|cost| cost / REFRESH_PART).collect(),
            checkpoint: vec![0; train.len()],
            change: vec![0; train.len()],
            train,
            evaluate: EVALUATE_STEPS * step,
            prepare: 0,
            message: 0,
            copy: 0,
            megabyte: 0,
            spread: 200,
            least_us: 1_000,
        }
    }

    /// The entry of a shard's layer.
    pub(crate) fn of(list: &[u64], plan: &Plan, shard: ShardId) -> u64 {
        list.get(plan.layer(shard)).copied().unwrap_or_default()
    }
}
