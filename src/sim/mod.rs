//! A run rehearsed in virtual time: how long it would take on machines that the user describes.
//!
//! Rule: the decisions are those of a real node, message for message ([`ffp2p_proto::sim`]); only the
//! time of a step and the size of its results come from a model. Equal questions have equal answers.

mod ceiling;
mod churn;
mod cost_model;
mod link;
mod newcomer;

use std::rc::Rc;

use ffp2p_proto::{
    Config, Plan, Role,
    sim::{
        Failure, Fault, Forecast, Machine, Scenario, Shapes, Weather, When, World,
        idle_heartbeat_bytes,
    },
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

/// Nodes that can be rehearsed, at most: as many as a node remembers.
pub const MAX_NODES: usize = ffp2p_proto::MAX_MEMBERS;

/// Nodes that are simulated, at most. Further ones have no shards to train (there are at most
/// [`MAX_SHARDS`](ffp2p_proto::MAX_SHARDS)); the cost of their heartbeats is taken into account.
const MAX_SIMULATED: usize = 64;

/// Chapters that are simulated for each layer, at least, where peers own chapters: the first ones fill
/// the pipeline, the last ones drain it, and those between give the speed.
const CHAPTERS_A_LAYER: u64 = 4;

/// Chapters that are simulated, at least, where peers own shards: these find their owners in the first
/// ones.
const CHAPTERS: u64 = 6;

/// Events that are simulated, about, where the number of chapters is not given: some seconds' worth.
const EVENTS: f64 = 2e5;

/// Begin of the simulated work over which the speed is measured, percent.
const STEADY_FROM: usize = 50;

/// End of the simulated work over which the speed is measured, percent.
const STEADY_UNTIL: usize = 90;

/// A run that takes this many times as long as its slowest machine alone has stalled.
const PATIENCE: f64 = 20.0;

/// A run to rehearse.
///
/// ```
/// use ffp2p::{data::Data, sim::{CostModel, Rehearsal}, spec::{Placement, Spec}};
///
/// let data = Data::open("digits:2000+100")?;
/// let settings = Spec::builder().layers([784, 400, 400]).epochs(20);
/// let run = settings.placement(Placement::AllLayers).check(data)?;
/// let costs = CostModel::default_for(&run.spec.network, true);
/// let rehearsal = Rehearsal::new(&run, costs, vec![50.0], "lan".parse()?);
/// assert!(rehearsal.predict(2)?.speed_up() > 1.1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The spec of the run.
    pub spec: Spec,
    /// Training samples of the data set.
    pub train_samples: u32,
    /// Test samples of the data set.
    pub test_samples: u32,
    /// The cost of its work.
    pub costs: CostModel,
    /// GFLOP/s of the machines, repeated until every node has one.
    pub gflops: Vec<f64>,
    /// The link of each machine.
    pub link: Link,
    /// Crashes of the machines.
    pub churn: Churn,
    /// Percent of all steps after which the last machine joins, if not at the start. All chapters are
    /// simulated then.
    pub joins: Option<u64>,
    /// Timers and limits of the nodes.
    pub config: Config,
    /// Seed of the simulated network and of the crashes.
    pub seed: u64,
    /// Chapters to simulate; `None` for as many as take some seconds.
    pub chapters: Option<u64>,
}

/// The forecast of a run with a number of nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Number of nodes.
    pub nodes: usize,
    /// Number of nodes that trained anything.
    pub busy: usize,
    /// Seconds from the first step to the model, for the first machine alone.
    pub alone_seconds: f64,
    /// Seconds from the first step to the model, for all machines together.
    pub together_seconds: f64,
    /// The largest speed-up that the schedule allows.
    pub ceiling: f64,
    /// Megabytes in and out in an epoch, of the node with the most traffic.
    pub megabytes: f64,
    /// Fraction of all machines' time that the network takes.
    pub network: f64,
    /// Crashes in what was simulated.
    pub crashes: u64,
    /// Steps trained again, as a fraction of the steps of the run.
    pub again: f64,
    /// Chapters simulated; the rest is extrapolated.
    pub chapters_simulated: u64,
    /// Chapters of the run.
    pub chapters: u64,
    /// Effect of the last machine on the speed, if it came later and the run was long enough to see it.
    pub newcomer: Option<Newcomer>,
}

/// The reason why a run does not come to an end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StalledError {
    /// There are too many nodes for the machines or the link.
    #[error("the heartbeats of all nodes take everything that a machine or its link can do")]
    Heartbeats,
    /// The simulated run did not come to an end.
    #[error("it takes more than {PATIENCE} times as long as one machine alone: {0}")]
    Unfinished(String),
}

impl From<Failure> for StalledError {
    fn from(failure: Failure) -> Self {
        Self::Unfinished(failure.to_string())
    }
}

impl Prediction {
    /// The speed-up over `ffp2p train` on the first machine.
    #[must_use]
    pub fn speed_up(&self) -> f64 {
        self.alone_seconds / self.together_seconds
    }
}

/// The first shard of each layer, the feedback shard's aside.
fn layers(network: &NetworkSpec) -> impl Iterator<Item = Shard> {
    (0..network.depth()).map(|layer| Shard { layer, index: 0 })
}

impl Rehearsal {
    /// The run of a checked spec on machines of `gflops`, each with a `link`.
    #[must_use]
    pub fn new(checked: &Checked, costs: CostModel, gflops: Vec<f64>, link: Link) -> Self {
        let (spec, shape) = (checked.spec.clone(), checked.data.shape());
        let (churn, config) = (Churn::default(), Config::default());
        Self {
            spec,
            train_samples: shape.train,
            test_samples: shape.test,
            costs,
            gflops,
            link,
            churn,
            joins: None,
            config,
            seed: 1,
            chapters: None,
        }
    }

    /// Forecasts the run with this number of nodes.
    ///
    /// # Errors
    /// If the run does not come to an end.
    pub fn predict(&self, nodes: usize) -> Result<Prediction, StalledError> {
        let whole = self.spec.plan();
        let all: Vec<f64> = self.gflops.iter().copied().cycle().take(nodes).collect();
        let idle = Idle::of(self, &whole, nodes.saturating_sub(MAX_SIMULATED));
        let left = all.iter().take(MAX_SIMULATED).map(|gflops| gflops - idle.work);
        let speeds: Vec<f64> = left.collect();
        let slowest = speeds.iter().copied().fold(f64::INFINITY, f64::min);
        let weather = self.link.weather_next_to(idle.bytes).filter(|_| slowest > 0.0);
        let weather = weather.ok_or(StalledError::Heartbeats)?;
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
            alone_seconds: self.alone(whole.steps, all[0]),
            together_seconds: found.took_us as f64 / 1e6 + rest,
            ceiling: ceiling(&whole, &all),
            megabytes: (steady.bytes + idle.bytes * steady.seconds) * epoch / 1e6,
            network: found.network_us as f64 / machines_us + idle.work / slowest,
            crashes: found.crashes,
            again: found.trained as f64 / found.steps as f64 - 1.0,
            chapters_simulated: chapters,
            chapters: whole.chapters(),
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
        let interval = self.config.heartbeat_interval_ms(speeds.len() - 1) as f64;
        let beats = seconds * 1e3 / interval * nodes * nodes;
        // A shard's batches go to each reader elsewhere: announced, requested, sent, read.
        let readers = if plan.is_by_chapter() { 0.0 } else { (nodes - 1.0).min(shards) };
        let steps = plan.shard_count() as f64 * plan.chapter_steps as f64 * (1.0 + 5.0 * readers);
        let default = (EVENTS / (beats + steps)) as u64;
        let all = self.joins.map(|_| plan.chapters());
        self.chapters.or(all).unwrap_or(default.max(least)).clamp(1, plan.chapters())
    }

    /// Seconds of one machine that does `steps` steps alone, with `ffp2p train`.
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
        (steps as f64 * step + scores + self.costs.drawing * f64::from(self.train_samples)) / gflops
    }

    /// Test samples that are scored after an epoch.
    fn scored(&self, epoch: u64) -> u32 {
        scored_samples(&self.spec, epoch).min(self.test_samples as usize) as u32
    }

    fn scenario(&self, plan: &Plan, speeds: &[f64], weather: Weather, limit: f64) -> Scenario {
        let network = &self.spec.network;
        let batches: Vec<u64> =
            layers(network).map(|shard| encoded_len(network, shard) as u64).collect();
        let table = u64::from(self.train_samples);
        let states = |step| -> Vec<u64> {
            let shards = layers(network);
            shards
                .map(|shard| checkpoint::encoded_len(network, shard, step) as u64)
                .chain([table])
                .collect()
        };
        let changes: Vec<u64> =
            layers(network).map(|shard| checkpoint::change_len(network, shard) as u64).collect();
        let machine = |gflops: &f64| Machine::new(Role::Worker, cost_model::macs(*gflops));
        let start = |machine| {
            let late = self.joins.filter(|_| machine + 1 == speeds.len());
            let when = late.map_or(When::At(0), |percent| When::Done(10 * percent));
            (when, Fault::Start { machine, disk: false })
        };
        let crashes = self.churn.schedule(self.seed, speeds.len(), limit);
        Scenario {
            mathematics: Rc::new(Shapes::new(
                plan,
                [&states(0), &states(network.steps)],
                &batches,
                &changes,
            )),
            costs: Some(self.costs.costs(network, plan, self.train_samples, self.scored(1))),
            config: self.config.clone(),
            calm: weather.clone(),
            weather,
            machines: speeds.iter().map(machine).collect(),
            schedule: (0..speeds.len()).map(start).chain(crashes).collect(),
            ..Scenario::quiet(self.seed, plan.clone(), 0)
        }
    }
}

/// The cost of the heartbeats of nodes that are not simulated, for each of the others.
struct Idle {
    /// GFLOP per second.
    work: f64,
    /// Bytes in and out per second.
    bytes: f64,
}

/// Copies of a broadcast message that a node receives and passes on.
const COPIES: f64 = 7.0;

impl Idle {
    fn of(rehearsal: &Rehearsal, plan: &Plan, nodes: usize) -> Self {
        let interval = rehearsal.config.heartbeat_interval_ms(MAX_SIMULATED - 1 + nodes) as f64;
        let beats = nodes as f64 * 1e3 / interval;
        let leases = if plan.is_by_chapter() { plan.layers.len() } else { plan.shard_count() };
        let bytes = COPIES * beats * idle_heartbeat_bytes(leases) as f64;
        let costs = &rehearsal.costs;
        let messages = costs.message + (COPIES - 1.0) * costs.copy;
        Self { work: beats * messages + bytes / 1e6 * costs.megabyte, bytes }
    }
}

/// A step of all shards once the pipeline is full.
struct Steady {
    seconds: f64,
    /// In and out, of the machine with the most traffic.
    bytes: f64,
}

impl Steady {
    fn of(found: &Forecast, plan: &Plan) -> Self {
        let all = plan.steps as f64;
        let parts = &found.parts;
        let at = |percent: usize| parts.get(parts.len() * percent / 100);
        let (Some(from), Some(until)) = (at(STEADY_FROM), at(STEADY_UNTIL)) else {
            let most = found.bytes.iter().max().copied().unwrap_or(0);
            return Self { seconds: found.took_us as f64 / 1e6 / all, bytes: most as f64 / all };
        };
        let steps = all * (STEADY_UNTIL - STEADY_FROM) as f64 / 100.0;
        let passed = from.bytes.iter().zip(&until.bytes).map(|(from, until)| until - from);
        Self {
            seconds: (until.us - from.us) as f64 / 1e6 / steps,
            bytes: passed.max().unwrap_or(0) as f64 / steps,
        }
    }
}

#[cfg(test)]
mod tests;
