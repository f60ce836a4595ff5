//! What happens to whom and when: machines, faults and their schedule.
//!
//! Rule: a schedule is a list that is gone through in order; each entry waits for its moment,
//! which is a time or a part of the work done. So a fault "in mid-run" is in mid-run for every
//! plan, and a seed alone names a whole scenario.

use std::cell::RefCell;
use std::rc::Rc;

use crate::sim::checks::facts::Facts;
use crate::sim::forecast::costs::Costs;
use crate::sim::mathematics::fake_training::FakeTraining;
use crate::sim::mathematics::reference::Mathematics;
use crate::sim::network::cables::{STRAY_MS, Weather};
use crate::sim::rng::Rng;
use crate::{Config, Hash, LayerPlan, Message, Placement, Plan, Role};

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Whether its nodes take work.
    pub role: Role,
    /// Millions of multiply-accumulates a second.
    pub speed: u64,
    /// Milliseconds of its clock in a second.
    pub clock_rate: u64,
    /// Its own timers and limits, when they are not the scenario's.
    pub config: Option<Config>,
    /// Whether its nodes deliver wrong bytes, and say what cannot be.
    pub lies: bool,
}

impl Machine {
    /// An honest one with a good clock.
    pub fn new(role: Role, speed: u64) -> Self {
        Self { role, speed, clock_rate: 1_000, config: None, lies: false }
    }
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This many milliseconds after the begin.
    At(u64),
    /// This many milliseconds after the fault before it in the schedule.
    After(u64),
    /// When this part of all cells' steps was done by anyone, per mille.
    Done(u64),
}

/// One thing that happens to a machine or to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node starts, with a fresh key; nothing when one is running.
    Start {
        /// On which machine.
        machine: usize,
        /// Whether it finds what an earlier node of the machine kept on disk.
        disk: bool,
    },
    /// The person wants the node to go.
    Leave(usize),
    /// The node ends without a goodbye.
    Crash(usize),
    /// The node does nothing for this long (a closed laptop), ms.
    Stall(usize, u64),
    /// Nothing passes from these machines to those.
    Cut(Vec<usize>, Vec<usize>),
    /// Cuts end.
    Heal,
    /// The network gets better or worse.
    Weather(Weather),
}

/// One thing that a machine sent.
#[derive(Clone, Debug)]
pub enum Sent {
    /// Said to a peer.
    Message(Rc<Message>),
    /// Given to a peer that asked for it.
    Blob(Vec<u8>),
}

/// A record of what was sent.
pub type Tap = Rc<RefCell<Vec<Sent>>>;

/// A whole simulated run, as data.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Names every draw.
    pub seed: u64,
    /// What is trained.
    pub plan: Plan,
    /// What a step of it computes.
    pub mathematics: Rc<dyn Mathematics>,
    /// What it computes on each machine, where each has data of its own; empty otherwise.
    pub private: Vec<Rc<dyn Mathematics>>,
    /// Where everything goes that any machine sends; nowhere if there is none.
    pub tap: Option<Tap>,
    /// What takes time, where a run is to be predicted ([`World::forecast`](crate::sim::World)) and not
    /// checked.
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
    /// Reads of a blob by which it turns out to be lost, until the network heals, per mille.
    pub lost: u64,
    /// Checkpoints of other steps than they say that machines that lie announce, at most.
    pub forgeries: u64,
    /// Who takes part.
    pub machines: Vec<Machine>,
    /// What happens, in this order; when it is through, the network heals.
    pub schedule: Vec<(When, Fault)>,
}

impl Scenario {
    /// A quiet run: workers of equal speed that start together, and nothing happens.
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

    /// A run drawn from `seed`: plan, speeds, weather and at times windows; `workers` nodes start
    /// one by one.
    pub fn drawn(seed: u64, workers: usize) -> Self {
        let rng = &mut Rng::new(seed, "scenario");
        let plan = draw_plan(rng);
        let mut scenario = Self::quiet(seed, plan, workers);
        for machine in &mut scenario.machines {
            machine.speed = rng.between(60, 240);
            if rng.hit(100) {
                machine.speed /= 10;
            }
            machine.clock_rate = rng.between(SLOWEST_CLOCK, FASTEST_CLOCK);
        }
        scenario.weather = draw_weather(rng);
        scenario.unreadable = if rng.hit(800) { 0 } else { rng.below(100) };
        if scenario.plan.is_by_chapter() {
            // Every chapter loads every shard, and one that fails costs all chapters since.
            scenario.unreadable /= 20;
        }
        if rng.hit(300) {
            scenario.config.window = rng.between(1, 40);
            scenario.config.replicas = rng.below(3) as usize;
        }
        for machine in &mut scenario.machines {
            machine.config = rng.hit(200).then(|| draw_config(&scenario.config, rng));
        }
        scenario.rot = if rng.hit(700) { 0 } else { rng.below(400) };
        for (when, _) in &mut scenario.schedule {
            *when = When::After(if rng.hit(500) { 0 } else { rng.below(1_500) });
        }
        scenario
    }

    /// Adds to the schedule.
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

    /// What a step computes on a machine.
    pub(crate) fn mathematics_of(&self, machine: usize) -> Rc<dyn Mathematics> {
        Rc::clone(self.private.get(machine).unwrap_or(&self.mathematics))
    }

    /// What is true of the run before anything happened.
    pub(crate) fn facts(&self) -> Facts {
        if self.costs.is_some() {
            return Facts::unchecked(self.plan.clone());
        }
        let shared = self.private.is_empty().then_some(&*self.mathematics);
        Facts::new(self.plan.clone(), &self.config, shared)
    }

    /// Timers and limits of one machine.
    pub(crate) fn config_of(&self, machine: &Machine) -> Config {
        let config = machine.config.as_ref().unwrap_or(&self.config);
        Config { exit_when_done: self.config.exit_when_done, ..config.clone() }
    }

    /// How long the slowest worker's trainer can be busy with one job, a scoring, ms.
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

/// Milliseconds of a drawn clock in a second: much worse than real clocks.
const SLOWEST_CLOCK: u64 = 950;

/// See [`SLOWEST_CLOCK`].
const FASTEST_CLOCK: u64 = 1_050;

/// A bound on kept batches below which an owner and its reader may go step by step, bytes.
const TIGHT: u64 = 2_000;

/// Settings of one machine that differ from the others': how far it goes ahead, what it keeps.
fn draw_config(usual: &Config, rng: &mut Rng) -> Config {
    Config {
        window: rng.between(1, usual.window),
        replicas: rng.below(4) as usize,
        batch_bytes: if rng.hit(500) { usual.batch_bytes } else { rng.below(TIGHT) },
        copy_bytes: if rng.hit(500) { usual.copy_bytes } else { rng.below(400) },
        silent_ms: rng.between(2_000, 5_000),
        on_disk: rng.hit(500),
        ..usual.clone()
    }
}

/// A plan of 1 to 4 layers, 1 to 3 shards each, whose steps take some 5 to 30 ms; some with a feedback
/// shard on top, some refreshed, some with chapters of one step.
pub fn draw_plan(rng: &mut Rng) -> Plan {
    let layers = rng.between(1, 4);
    let mut layer =
        || LayerPlan { shards: rng.between(1, 3) as u16, step_cost: rng.between(500, 3_000) };
    let mut layers: Vec<LayerPlan> = (0..layers).map(|_| layer()).collect();
    let chapter_steps = rng.between(3, 10);
    let steps = rng.between(30, 120);
    let placement = match rng.below(10) {
        0..=5 => Placement::SingleLayer,
        6..=7 => Placement::AllLayers,
        8 => Placement::Federated,
        _ => Placement::Sequential,
    };
    let epoch_steps = rng.between(chapter_steps, steps);
    let (feedback, refreshed) = (rng.hit(400), rng.hit(400));
    let is_private = placement == Placement::Federated;
    let (feedback, refreshed) = (feedback && !is_private, refreshed || is_private);
    let chapter_steps = if rng.hit(120) { rng.between(1, 2) } else { chapter_steps };
    if feedback {
        layers.push(LayerPlan { shards: 1, step_cost: rng.between(100, 1_500) });
    }
    Plan {
        run: Hash::of(&rng.any().to_le_bytes()),
        layers,
        steps,
        epoch_steps,
        chapter_steps,
        placement,
        feedback,
        refreshed,
    }
}

/// Weather between a good LAN and a bad one: up to a fifth lost, up to a tenth repeated, some of
/// it seconds late.
pub fn draw_weather(rng: &mut Rng) -> Weather {
    let slow = rng.between(1, 40);
    Weather {
        loss: if rng.hit(300) { 0 } else { rng.below(200) },
        repeats: rng.below(100),
        latency: (1_000, slow * 1_000),
        jitter: rng.below(60) * 1_000,
        stray_ms: STRAY_MS,
        stray: if rng.hit(500) { 0 } else { rng.below(30) },
        bytes_per_ms: if rng.hit(700) { 0 } else { rng.between(5, 40) },
    }
}
