//! A run rehearsed in virtual time: how long it would take on machines that somebody describes.
//!
//! Rule: the decisions are those of a real node, message for message
//! ([`ffp2p_proto::sim`]); only how long a step takes and how much its results weigh is put in
//! their place. Equal questions have equal answers.

mod ceiling;
mod churn;
mod cost_model;
mod link;
mod newcomer;

use std::rc::Rc;

use ffp2p_proto::{
    Config, Plan, Role,
    sim::{Failure, Fault, Forecast, Machine, Scenario, Shapes, Weather, When, World},
};

use crate::{
    checkpoint,
    export::scored_samples,
    ff::{NetworkSpec, Shard, encoded_len},
    spec::{Checked, Spec},
};
pub use ceiling::ceiling;
pub use churn::{Churn, MAX_PER_HOUR};
pub use cost_model::CostModel;
pub use link::Link;
pub use newcomer::Newcomer;

/// Nodes that can be rehearsed: as many as a node remembers.
pub const MAX_NODES: usize = ffp2p_proto::MAX_MEMBERS;

/// Nodes that are simulated, at most. Further ones have no shards to train (there are at most
/// [`MAX_SHARDS`](ffp2p_proto::MAX_SHARDS)); what their heartbeats cost the others is taken into account.
const MAX_SIMULATED: usize = 64;

/// Chapters that are simulated at least, for each layer, where peers own chapters: the first ones
/// fill the pipeline, the last ones drain it, and the pace is that of those between.
const CHAPTERS_A_LAYER: u64 = 4;

/// The same where peers own shards: these find their owners in the first ones.
const CHAPTERS: u64 = 6;

/// Events that are simulated, about, where nobody says how many chapters: some seconds' worth.
const USUAL_EVENTS: f64 = 2e5;

/// Of the work simulated, the part over which the pace is measured, percent.
const STEADY: (usize, usize) = (50, 90);

/// A run that takes so many times as long as its slowest machine alone stands still.
const PATIENCE: f64 = 20.0;

/// What is to be rehearsed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// What is trained.
    pub spec: Spec,
    /// Samples of the data set: to train on, to test with.
    pub samples: (u32, u32),
    /// What its work takes.
    pub costs: CostModel,
    /// GFLOP/s of the machines, in turn.
    pub gflops: Vec<f64>,
    /// What joins them.
    pub link: Link,
    /// How often they crash.
    pub churn: Churn,
    /// When the last of them joins: after so much of all steps, percent. All chapters are simulated
    /// then.
    pub joins: Option<u64>,
    /// Timers and limits of the nodes.
    pub config: Config,
    /// Names every draw of the network and of the crashes.
    pub chance: u64,
    /// Chapters to simulate, if not as many as take seconds.
    pub chapters: Option<u64>,
}

/// How a run with so many nodes would go.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Nodes.
    pub nodes: usize,
    /// Those that trained anything.
    pub busy: usize,
    /// Seconds from the first step to the model, for the first machine alone and for all together.
    pub seconds: (f64, f64),
    /// The most that the schedule allows.
    pub ceiling: f64,
    /// Megabytes in and out in an epoch, of the node that has the most.
    pub megabytes: f64,
    /// Part of all machines' time that the network takes.
    pub network: f64,
    /// Crashes in what was simulated.
    pub crashes: u64,
    /// Steps done again, as part of those that there are.
    pub again: f64,
    /// Chapters simulated, and those that there are; the rest follows from their pace.
    pub chapters: (u64, u64),
    /// What the last machine did to the speed, if it came later and the run was long enough to see it.
    pub newcomer: Option<Newcomer>,
}

/// Why a run does not come to an end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StandsStillError {
    /// There are too many nodes for the machines or the link.
    #[error("what so many nodes say of themselves takes all that a machine or its link has")]
    Heartbeats,
    /// It was simulated, and did not get on.
    #[error("it takes more than {PATIENCE} times as long as one machine alone: {0}")]
    Unfinished(String),
}

impl From<Failure> for StandsStillError {
    fn from(failure: Failure) -> Self {
        Self::Unfinished(failure.to_string())
    }
}

impl Prediction {
    /// How many times as fast as `ffp2p train` on the first machine.
    #[must_use]
    pub fn speed_up(&self) -> f64 {
        self.seconds.0 / self.seconds.1
    }
}

/// The first shard of each layer, the feedback shard's aside.
fn layers(network: &NetworkSpec) -> impl Iterator<Item = Shard> {
    (0..network.depth()).map(|layer| Shard { layer, index: 0 })
}

impl Rehearsal {
    /// What a checked spec asks for, on machines of `gflops`, joined by `link`.
    #[must_use]
    pub fn new(checked: &Checked, costs: CostModel, gflops: Vec<f64>, link: Link) -> Self {
        let (spec, shape) = (checked.spec.clone(), checked.data.shape());
        let (churn, config) = (Churn::default(), Config::default());
        let samples = (shape.train, shape.test);
        let (joins, chance, chapters) = (None, 1, None);
        Self { spec, samples, costs, gflops, link, churn, joins, config, chance, chapters }
    }

    /// How it would go with so many nodes.
    ///
    /// # Errors
    /// If the run does not come to an end.
    pub fn predict(&self, nodes: usize) -> Result<Prediction, StandsStillError> {
        let whole = self.spec.plan();
        let all: Vec<f64> = self.gflops.iter().copied().cycle().take(nodes).collect();
        let idle = Idle::of(self, &whole, nodes.saturating_sub(MAX_SIMULATED));
        let left = all.iter().take(MAX_SIMULATED).map(|gflops| gflops - idle.work);
        let speeds: Vec<f64> = left.collect();
        let slowest = speeds.iter().copied().fold(f64::INFINITY, f64::min);
        let weather = self.link.weather_beside(idle.bytes).filter(|_| slowest > 0.0);
        let weather = weather.ok_or(StandsStillError::Heartbeats)?;
        let chapters = self.simulated(&whole, &speeds);
        let steps = whole.steps.min(chapters.saturating_mul(whole.chapter_steps));
        let plan = Plan { steps, ..whole.clone() };
        let limit = 60.0 + PATIENCE * self.alone(steps, slowest);
        let scenario = self.scenario(&plan, &speeds, weather, limit);
        let found = World::new(scenario, None).forecast((limit * 1e3) as u64)?;
        let steady = Steady::of(&found, &plan);
        let rest = (whole.steps - steps) as f64 * steady.seconds;
        let epoch = whole.epoch_steps as f64;
        let machines_us = found.took_us as f64 * speeds.len() as f64;
        Ok(Prediction {
            nodes,
            busy: found.busy,
            seconds: (self.alone(whole.steps, all[0]), found.took_us as f64 / 1e6 + rest),
            ceiling: ceiling(&whole, &all),
            megabytes: (steady.bytes + idle.bytes * steady.seconds) * epoch / 1e6,
            network: found.network_us as f64 / machines_us + idle.work / slowest,
            crashes: found.crashes,
            again: found.trained as f64 / found.steps as f64 - 1.0,
            chapters: (chapters, whole.chapters()),
            newcomer: self.joins.and_then(|_| Newcomer::of(&found)),
        })
    }

    /// Chapters to simulate on such machines.
    fn simulated(&self, plan: &Plan, speeds: &[f64]) -> u64 {
        let least = match plan.is_by_chapter() {
            true => CHAPTERS_A_LAYER * plan.layers.len() as u64,
            false => CHAPTERS,
        };
        let (nodes, shards) = (speeds.len() as f64, self.spec.network.shards_per_layer as f64);
        let seconds = self.alone(plan.chapter_steps, speeds[0]) / ceiling(plan, speeds);
        let interval = self.config.beat_ms(speeds.len() - 1) as f64;
        let beats = seconds * 1e3 / interval * nodes * nodes;
        // A shard's batches go to each reader that is elsewhere: told of, asked for, given, read.
        let readers = if plan.is_by_chapter() { 0.0 } else { (nodes - 1.0).min(shards) };
        let steps = plan.shard_count() as f64 * plan.chapter_steps as f64 * (1.0 + 5.0 * readers);
        let usual = (USUAL_EVENTS / (beats + steps)) as u64;
        let all = self.joins.map(|_| plan.chapters());
        self.chapters.or(all).unwrap_or(usual.max(least)).clamp(1, plan.chapters())
    }

    /// Seconds of one machine that does `steps` steps alone, by `ffp2p train`.
    fn alone(&self, steps: u64, gflops: f64) -> f64 {
        let scored = |epoch| self.costs.scoring(&self.spec.network, self.scored(epoch));
        let plan = self.spec.plan();
        let ends = (steps / plan.epoch_steps).max(1);
        let scores = ends.saturating_sub(1) as f64 * scored(1) + scored(self.spec.epochs);
        let step: f64 = self
            .spec
            .network
            .shards()
            .into_iter()
            .map(|shard| self.costs.step(&self.spec.network, shard))
            .sum();
        (steps as f64 * step + scores + self.costs.drawing * f64::from(self.samples.0)) / gflops
    }

    /// Test samples that are looked at after an epoch.
    fn scored(&self, epoch: u64) -> u32 {
        scored_samples(&self.spec, epoch).min(self.samples.1 as usize) as u32
    }

    fn scenario(&self, plan: &Plan, speeds: &[f64], weather: Weather, limit: f64) -> Scenario {
        let network = &self.spec.network;
        let batches: Vec<u64> =
            layers(network).map(|shard| encoded_len(network, shard) as u64).collect();
        let table = u64::from(self.samples.0);
        let states = |step| -> Vec<u64> {
            let shards = layers(network);
            shards
                .map(|shard| checkpoint::encoded_len(network, shard, step) as u64)
                .chain([table])
                .collect()
        };
        let machine = |gflops: &f64| Machine::new(Role::Worker, cost_model::macs(*gflops));
        let start = |machine| {
            let late = self.joins.filter(|_| machine + 1 == speeds.len());
            let when = late.map_or(When::At(0), |percent| When::Done(10 * percent));
            (when, Fault::Start { machine, disk: false })
        };
        let crashes = self.churn.schedule(self.chance, speeds.len(), limit);
        Scenario {
            mathematics: Rc::new(Shapes::new(plan, [&states(0), &states(network.steps)], &batches)),
            costs: Some(self.costs.costs(network, plan, self.samples, self.scored(1))),
            config: self.config.clone(),
            calm: weather.clone(),
            weather,
            machines: speeds.iter().map(machine).collect(),
            schedule: (0..speeds.len()).map(start).chain(crashes).collect(),
            ..Scenario::quiet(self.chance, plan.clone(), 0)
        }
    }
}

/// What nodes that are not simulated cost each of the others, by what they say of themselves.
struct Idle {
    /// GFLOP in a second.
    work: f64,
    /// Bytes in and out in a second.
    bytes: f64,
}

/// Copies of a message that a node gets in and passes on.
const COPIES: f64 = 7.0;

impl Idle {
    fn of(rehearsal: &Rehearsal, plan: &Plan, nodes: usize) -> Self {
        let interval = rehearsal.config.beat_ms(MAX_SIMULATED - 1 + nodes) as f64;
        let beats = nodes as f64 * 1e3 / interval;
        let leases = if plan.is_by_chapter() { plan.layers.len() } else { plan.shard_count() };
        let bytes = COPIES * beats * idle_beat_bytes(leases);
        let costs = &rehearsal.costs;
        let messages = costs.message + (COPIES - 1.0) * costs.copy;
        Self { work: beats * messages + bytes / 1e6 * costs.megabyte, bytes }
    }
}

/// Bytes of a heartbeat that knows of so many leases and has nothing else to say.
fn idle_beat_bytes(leases: usize) -> f64 {
    285.0 + 37.0 * leases as f64
}

/// How a run goes on once the pipeline is full, a step of all shards.
struct Steady {
    seconds: f64,
    /// In and out, of the machine that has the most.
    bytes: f64,
}

impl Steady {
    fn of(found: &Forecast, plan: &Plan) -> Self {
        let all = plan.steps as f64;
        let parts = &found.parts;
        let at = |percent: usize| parts.get(parts.len() * percent / 100);
        let (Some(from), Some(until)) = (at(STEADY.0), at(STEADY.1)) else {
            let most = found.bytes.iter().max().copied().unwrap_or(0);
            return Self { seconds: found.took_us as f64 / 1e6 / all, bytes: most as f64 / all };
        };
        let steps = all * (STEADY.1 - STEADY.0) as f64 / 100.0;
        let passed = from.bytes.iter().zip(&until.bytes).map(|(from, until)| until - from);
        Self {
            seconds: (until.us - from.us) as f64 / 1e6 / steps,
            bytes: passed.max().unwrap_or(0) as f64 / steps,
        }
    }
}

#[cfg(test)]
mod tests;
