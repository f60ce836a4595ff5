//! Predicting how long a run takes, instead of checking that it goes well.
//!
//! Rule: the same nodes and the same network as in a checked run; only what a step computes is left
//! out, and how much its results weigh is put in. Ends when the first node has the model.

use crate::sim::clock::Moment;
use crate::sim::{Failure, World};
use crate::{Plan, ShardId};

/// Parts into which all work is cut, to see how it goes on.
const PARTS: u64 = 1_000;

/// How far the work is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// When the first step was done.
    began: Option<Moment>,
    /// When a machine was last started.
    pub(crate) started: Moment,
    /// What the steps done cost, and what all do.
    work: (u64, u64),
    /// When each part was done, and what each machine had passed on by then, bytes.
    parts: Vec<(Moment, Vec<u64>)>,
}

impl Progress {
    pub(crate) fn new(plan: &Plan) -> Self {
        let all = plan.shards().map(|shard| plan.cost(shard) * plan.end(shard)).sum();
        Self { work: (0, all), ..Self::default() }
    }
}

/// A part of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// When it was done, microseconds since the first step.
    pub us: u64,
    /// Bytes in and out until then, by machine.
    pub bytes: Vec<u64>,
}

/// What a run would be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// From the first step done to the first node that has the whole model, microseconds.
    pub took_us: u64,
    /// Each thousandth of all work.
    pub parts: Vec<Part>,
    /// When a machine was last started, microseconds since the first step.
    pub started_us: u64,
    /// Steps of shards that there are.
    pub steps: u64,
    /// Steps of shards that were trained, those done again included.
    pub trained: u64,
    /// Machines that trained any.
    pub busy: usize,
    /// Nodes that crashed.
    pub crashes: u64,
    /// Bytes in and out, by machine.
    pub bytes: Vec<u64>,
    /// Time that all machines together spent on the network, microseconds.
    pub network_us: u64,
    /// Events that it took to find out.
    pub events: u64,
}

impl World {
    /// Runs a scenario that has costs until somebody has the model.
    ///
    /// # Errors
    /// If nobody has it `limit_ms` after the begin.
    pub fn forecast(mut self, limit_ms: u64) -> Result<Forecast, Failure> {
        self.arm();
        let found = self.run_until(Moment::from_ms(limit_ms), |world| world.complete.is_some());
        let rule = match (found, self.complete, self.progress.began) {
            (Ok(()), Some(end), Some(begin)) => return Ok(self.foretell(begin, end)),
            (Ok(()), ..) => format!("not done in time; {}", self.situation()),
            (Err(rule), ..) => rule,
        };
        let lines = self.trace.lines();
        Err(Failure { seed: self.scenario.seed, at: self.now.time(), rule, lines })
    }

    fn foretell(self, begin: Moment, end: Moment) -> Forecast {
        let since = |at: Moment| at.0.saturating_sub(begin.0);
        let parts = self.progress.parts.into_iter();
        Forecast {
            took_us: since(end),
            parts: parts.map(|(at, bytes)| Part { us: since(at), bytes }).collect(),
            started_us: since(self.progress.started),
            steps: self.all,
            trained: self.trained,
            busy: self.busy.len(),
            crashes: self.crashes,
            bytes: self.bytes,
            network_us: self.network_us,
            events: self.sequence,
        }
    }

    /// A step of `shard` was done that nobody had done before.
    pub(crate) fn note_progress(&mut self, shard: ShardId) {
        let progress = &mut self.progress;
        progress.began.get_or_insert(self.now);
        progress.work.0 += self.scenario.plan.cost(shard);
        while progress.work.0 * PARTS >= (progress.parts.len() as u64 + 1) * progress.work.1 {
            progress.parts.push((self.now, self.bytes.clone()));
        }
    }
}
