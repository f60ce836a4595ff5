//! A whole simulated run, as data: plan, machines, weather, and a schedule of faults.
//!
//! Rule: nothing here happens; everything that will happen follows from it. A schedule is
//! worked off in order, and each entry waits for its moment.

use std::cell::RefCell;
use std::rc::Rc;

use crate::sim::faults::{Fault, When};
use crate::sim::forecast::costs::Costs;
use crate::sim::mathematics::Mathematics;
use crate::sim::mathematics::fake_training::FakeTraining;
use crate::sim::network::weather::Weather;
use crate::{Config, Message, Plan, Role};

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Whether its nodes take work.
    pub role: Role,
    /// Millions of multiply-accumulates a second.
    pub speed: u64,
    /// Milliseconds that its clock counts in a second.
    pub clock_rate: u64,
    /// Timers and limits of its own; the scenario's otherwise.
    pub config: Option<Config>,
    /// Whether its nodes are Byzantine: they deliver wrong bytes and send false messages.
    pub lies: bool,
}

impl Machine {
    /// An honest machine with an accurate clock.
    pub fn new(role: Role, speed: u64) -> Self {
        Self { role, speed, clock_rate: 1_000, config: None, lies: false }
    }
}

/// One thing that a machine sent.
#[derive(Clone, Debug)]
pub enum Sent {
    /// A message to a peer.
    Message(Rc<Message>),
    /// A blob for a peer that asked for it.
    Blob(Vec<u8>),
}

/// A record of everything that was sent.
pub type Tap = Rc<RefCell<Vec<Sent>>>;

/// A whole simulated run, as data.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed of every random number.
    pub seed: u64,
    /// The run that is trained.
    pub plan: Plan,
    /// The computation of its steps.
    pub mathematics: Rc<dyn Mathematics>,
    /// The computation on each machine, where each has data of its own; empty otherwise.
    pub private: Vec<Rc<dyn Mathematics>>,
    /// Records everything that any machine sends.
    pub tap: Option<Tap>,
    /// The work that things take, where the run is to be predicted
    /// ([`World::forecast`](crate::sim::World::forecast)) and not checked.
    pub costs: Option<Costs>,
    /// Timers and limits of the machines that have none of their own.
    pub config: Config,
    /// The network until it heals.
    pub weather: Weather,
    /// The network from then on.
    pub calm: Weather,
    /// Kept checkpoints that are damaged when a node finds them again, per mille.
    pub rot: u64,
    /// Loads of a checkpoint that fail though its bytes are good, per mille.
    pub unreadable: u64,
    /// Reads by which a blob turns out to be lost, until the network heals, per mille.
    pub lost: u64,
    /// The most forged checkpoints that Byzantine machines announce.
    pub forgeries: u64,
    /// The machines.
    pub machines: Vec<Machine>,
    /// The faults, in this order; after the last one, the network heals.
    pub schedule: Vec<(When, Fault)>,
}

impl Scenario {
    /// A quiet run: workers of equal speed start together, and no fault happens.
    pub fn quiet(seed: u64, plan: Plan, workers: usize) -> Self {
        let machine = Machine::new(Role::Worker, 100);
        let start = |machine| (When::At(0), Fault::Start { machine, disk: false });
        Self {
            seed,
            plan,
            mathematics: Rc::new(FakeTraining::default()),
            private: Vec::new(),
            tap: None,
            costs: None,
            config: Config::default(),
            weather: Weather::CALM,
            calm: Weather::CALM,
            rot: 0,
            unreadable: 0,
            lost: 0,
            forgeries: 0,
            machines: vec![machine; workers],
            schedule: (0..workers).map(start).collect(),
        }
    }

    /// Adds a fault to the schedule.
    #[must_use]
    pub fn then(mut self, when: When, fault: Fault) -> Self {
        self.schedule.push((when, fault));
        self
    }

    /// Adds a machine without starting a node on it; returns its number.
    pub fn add(&mut self, role: Role, speed: u64) -> usize {
        self.machines.push(Machine::new(role, speed));
        self.machines.len() - 1
    }

    /// The slowest worker's speed, in millions of multiply-accumulates a second.
    fn slowest(&self) -> u64 {
        let workers = self.machines.iter().filter(|machine| machine.role == Role::Worker);
        workers.map(|machine| machine.speed).min().unwrap_or(1).max(1)
    }

    /// Work of one step of all shards, in thousands of multiply-accumulates.
    fn step_cost(&self) -> u64 {
        self.plan.shards().map(|shard| self.plan.cost(shard)).sum()
    }

    /// The least number of steps that some machine goes ahead of a reader.
    fn narrowest(&self) -> u64 {
        let configs = self.machines.iter().filter_map(|machine| machine.config.as_ref());
        let window = |config: &Config| if config.batch_bytes < TIGHT { 1 } else { config.window };
        configs.chain([&self.config]).map(window).min().unwrap_or(1).max(1)
    }

    /// The computation of steps on a machine.
    pub(crate) fn mathematics_of(&self, machine: usize) -> Rc<dyn Mathematics> {
        Rc::clone(self.private.get(machine).unwrap_or(&self.mathematics))
    }

    /// Timers and limits of one machine.
    pub(crate) fn config_of(&self, machine: &Machine) -> Config {
        let config = machine.config.as_ref().unwrap_or(&self.config);
        Config { exit_when_done: self.config.exit_when_done, ..config.clone() }
    }

    /// The time for which one job, a scoring, can occupy the slowest worker's trainer, ms.
    pub(crate) fn longest_job_ms(&self) -> u64 {
        2 * Costs::rough(&self.plan).evaluate / self.slowest()
    }

    /// The virtual time within which a run without faults must be complete, ms, counted from the
    /// moment at which the last fault is over.
    pub fn patience_ms(&self) -> u64 {
        let alone = self.step_cost().saturating_mul(self.plan.steps) / self.slowest();
        let trips = self.plan.steps * 4 * (self.calm.latency.1 + self.calm.jitter) / 1_000;
        let scores = self.plan.epochs() * self.config.score_ms;
        let timers =
            4 * (2 * self.config.silent_ms + self.config.settle_ms) + self.config.listen_ms;
        let is_lossy = self.calm.loss + self.calm.stray > 0;
        let windows = self.plan.steps.div_ceil(self.narrowest());
        let repeats = 30 * windows * self.plan.layers.len() as u64 * self.config.retry_ms;
        20_000 + timers + scores + 3 * (alone + trips) + if is_lossy { repeats } else { 0 }
    }
}

/// A bound on kept batches below which an owner and its reader may advance step by step, bytes.
pub(crate) const TIGHT: u64 = 2_000;
