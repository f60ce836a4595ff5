//! Many nodes in one thread and in virtual time, on a network that is no kinder than a real one.
//!
//! A [`Scenario`] is data: a plan, machines, weather, and a schedule of faults. [`World`] runs it
//! in two phases, the faults and then the healing, and looks after every event whether what must
//! hold still holds (`checks`). Training is stood in for by hashes (`fake_training`), so that "the same
//! model as the sequential run" is checked for every checkpoint and every batch, not just for the
//! last ones.
//!
//! Rule: everything follows from the scenario. Events are ordered by time and then by the order
//! in which they came up; the same scenario gives the same trace to the letter.

mod checks;
mod clock;
mod faults;
mod forecast;
mod machine;
mod mathematics;
mod network;
mod rng;
mod schedule;
mod trace;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;

pub use faults::{Fault, Machine, Scenario, Sent, Tap, When, draw_plan, draw_weather};
pub use forecast::costs::Costs;
pub use forecast::outcome::{Forecast, Part};
pub use mathematics::fake_training::FakeTraining;
pub use mathematics::reference::{Mathematics, Reference, model_hash};
pub use mathematics::shapes::Shapes;
pub use network::cables::Weather;
pub use rng::Rng;

use crate::{Hash, Input, Message, NodeId, ShardId, Time};
use checks::facts::Facts;
use clock::Moment;
use forecast::outcome::Progress;
use machine::node::{Disk, Node};
use network::cables::Network;
use trace::Trace;

/// The faults of a schedule must be through by then, ms.
const FAULTS_MS: u64 = 600_000;

/// How long the world goes on when all is done, to see that it stays so, ms: the last stray message
/// of a dead node has come then, and the silence after it is over.
const AFTERWARDS_MS: u64 = 12_000;

/// One thing that will happen to a node, or to the world.
#[derive(Debug)]
enum Event {
    /// The next entry of the schedule is due.
    Fault,
    /// Its decisions asked to be woken.
    Wake { node: usize, at: Moment },
    /// Its shell has something to tell.
    Tell { node: usize, input: Box<Input> },
    /// A copy of a message comes in over its last hop.
    Deliver { from: usize, via: usize, to: usize, message: Rc<Message> },
    /// It notices the state of its link to `peer`.
    Notice { node: usize, peer: usize },
    /// A request for a blob comes in.
    Serve { node: usize, asker: usize, token: u64, hash: Hash },
    /// The answer to it comes in.
    Answer { node: usize, from: usize, token: u64, bytes: Option<Vec<u8>> },
    /// No answer came.
    GiveUp { node: usize, token: u64 },
    /// Its trainer has done the job in hand.
    JobDone { node: usize },
    /// It scores an epoch, and it is its turn.
    Scores { node: usize },
    /// Its trainer says how fast it is, if it has had no work so far.
    Glance { node: usize },
    /// It was asked to go long ago.
    MustBeGone { node: usize },
}

impl Event {
    /// The node that must be alive and awake for it.
    fn node(&self) -> Option<usize> {
        match *self {
            Self::Fault => None,
            Self::Deliver { to, .. } => Some(to),
            Self::Wake { node, .. }
            | Self::Tell { node, .. }
            | Self::Notice { node, .. }
            | Self::Serve { node, .. }
            | Self::Answer { node, .. }
            | Self::GiveUp { node, .. }
            | Self::JobDone { node }
            | Self::Scores { node }
            | Self::Glance { node }
            | Self::MustBeGone { node } => Some(node),
        }
    }
}

/// Why a run is not as it should be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The scenario's seed.
    pub seed: u64,
    /// When.
    pub at: Time,
    /// What did not hold.
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

/// What a run that went well was like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The hash of the model that every node ended with.
    pub model: Hash,
    /// Who trained which chapter, as far as anybody had it on record; empty where all have the
    /// same data.
    pub ledger: Vec<Trained>,
    /// Chapters that two machines trained on different data.
    pub rivals: u64,
    /// When the last node had it, ms.
    pub done_ms: u64,
    /// Events handled.
    pub events: u64,
    /// Steps trained, the repeated ones included.
    pub trained: u64,
    /// Shards that there are.
    pub shards: u64,
    /// Steps that there are, over all shards.
    pub steps: u64,
    /// Epochs that there are.
    pub epochs: u64,
    /// Epochs whose score somebody knew.
    pub scored: u64,
    /// Messages sent to one peer each.
    pub messages: u64,
    /// Blobs delivered.
    pub blobs: u64,
    /// Leases there were, over all shards.
    pub terms: u64,
    /// The hash of the trace, when it was on.
    pub trace: Option<Hash>,
}

/// A simulated network of nodes.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    facts: Facts,
    now: Moment,
    /// Orders events of the same moment.
    sequence: u64,
    queue: BTreeMap<(Moment, u64), Event>,
    network: Network,
    rng: Rng,
    /// Every node there ever was.
    nodes: Vec<Node>,
    by_id: BTreeMap<NodeId, usize>,
    /// What is on the disk of each machine that runs no node.
    disks: BTreeMap<usize, Disk>,
    /// (node, peer): the node believes that it is connected to the peer.
    links: BTreeSet<(usize, usize)>,
    /// (node, peer): the node will look at its link to the peer.
    noticing: BTreeSet<(usize, usize)>,
    schedule: VecDeque<(When, Fault)>,
    /// Whether the faults are over.
    healed: bool,
    /// Whether the next entry of the schedule is in the queue.
    is_armed: bool,
    /// Cells' steps done by anyone.
    cells: BTreeSet<(ShardId, u64)>,
    /// Steps that there are, over all shards.
    all: u64,
    progress: Progress,
    /// When the first node had the whole model.
    complete: Option<Moment>,
    /// Machines that trained anything.
    busy: BTreeSet<usize>,
    trained: u64,
    crashes: u64,
    /// Bytes in and out, by machine, and what passing them on took of all, microseconds; counted
    /// where the run is predicted.
    bytes: Vec<u64>,
    network_us: u64,
    /// Who asked whom for blobs last, and when.
    asked: Option<(usize, usize, Moment)>,
    messages: u64,
    blobs: u64,
    /// Checkpoints that were forged.
    forged: u64,
    trace: Trace,
}

impl World {
    /// The world of `scenario`, before anything happened; with `trace`, it writes down what
    /// happens and keeps that many lines.
    pub fn new(scenario: Scenario, trace: Option<usize>) -> Self {
        Self {
            facts: scenario.facts(),
            now: Moment(0),
            sequence: 0,
            queue: BTreeMap::new(),
            network: Network::new(scenario.seed, scenario.weather.clone()),
            rng: Rng::new(scenario.seed, "world"),
            nodes: Vec::new(),
            by_id: BTreeMap::new(),
            disks: BTreeMap::new(),
            links: BTreeSet::new(),
            noticing: BTreeSet::new(),
            schedule: scenario.schedule.iter().cloned().collect(),
            healed: false,
            is_armed: false,
            cells: BTreeSet::new(),
            all: scenario.plan.shards().map(|shard| scenario.plan.end(shard)).sum(),
            progress: Progress::new(&scenario.plan),
            complete: None,
            busy: BTreeSet::new(),
            trained: 0,
            crashes: 0,
            bytes: vec![0; scenario.machines.len()],
            network_us: 0,
            asked: None,
            messages: 0,
            blobs: 0,
            forged: 0,
            trace: Trace::new(trace),
            scenario,
        }
    }

    /// Runs the scenario to its end.
    pub fn run(mut self) -> Result<Report, Failure> {
        match self.phases() {
            Ok(done_ms) => Ok(Report {
                model: model_hash(&self.model().unwrap_or_default()),
                ledger: if self.facts.made.is_some() { self.ledger() } else { Vec::new() },
                rivals: self.facts.made.as_ref().map_or(0, |made| made.rivals),
                done_ms,
                events: self.sequence,
                trained: self.trained,
                shards: self.scenario.plan.shard_count() as u64,
                steps: self.all,
                epochs: self.scenario.plan.epochs(),
                scored: self.scored(),
                messages: self.messages,
                blobs: self.blobs,
                terms: self.terms(),
                trace: self.trace.hash(),
            }),
            Err(rule) => {
                let lines = self.trace.lines();
                Err(Failure { seed: self.scenario.seed, at: self.now.time(), rule, lines })
            }
        }
    }

    /// Both phases, and a look at what stays; returns when all was done.
    fn phases(&mut self) -> Result<u64, String> {
        self.arm();
        self.run_until(Moment::from_ms(FAULTS_MS), |world| world.schedule.is_empty())?;
        if !self.schedule.is_empty() {
            return Err(format!("stuck, with faults to come; {}", self.situation()));
        }
        self.heal();
        let deadline = self.now.after(self.scenario.patience_ms());
        self.run_until(deadline, Self::is_settled)?;
        if !self.is_settled() {
            return Err(format!("not done in time; {}", self.situation()));
        }
        let done = self.now;
        let afterwards = AFTERWARDS_MS + self.scenario.longest_job_ms();
        self.run_until(done.after(afterwards), |_| false)?;
        self.verdict()?;
        Ok(done.ms())
    }

    fn run_until(&mut self, end: Moment, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        while !done(self) {
            match self.queue.first_entry() {
                Some(entry) if entry.key().0 <= end => {
                    let ((now, _), event) = entry.remove_entry();
                    self.now = now;
                    self.step(event)?;
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        if let Some(node) = event.node().and_then(|node| self.nodes.get(node)) {
            if !node.alive {
                return Ok(());
            }
            if node.stalled > self.now {
                let later = node.stalled;
                self.push(later, event);
                return Ok(());
            }
        }
        match event {
            Event::Fault => self.next_fault(),
            Event::Wake { node, at } => self.wake(node, at),
            Event::Tell { node, input } => self.tell(node, *input),
            Event::Deliver { from, via, to, message } => self.deliver(from, via, to, &message),
            Event::Notice { node, peer } => self.notice(node, peer),
            Event::Serve { node, asker, token, hash } => self.serve(node, asker, token, hash),
            Event::Answer { node, from, token, bytes } => self.answer(node, from, token, bytes),
            Event::GiveUp { node, token } => self.give_up(node, token),
            Event::JobDone { node } => self.job_done(node),
            Event::Scores { node } => self.score_on(node),
            Event::Glance { node } => {
                let speed = self.nodes[node].trainer.glance();
                speed.map_or(Ok(()), |speed| self.tell(node, Input::Speed(speed)))
            }
            Event::MustBeGone { node } => {
                Err(format!("{} was asked to go and is still here", self.nodes[node].id))
            }
        }
    }

    /// Plans an event; events of one moment happen in the order in which they were planned.
    fn push(&mut self, at: Moment, event: Event) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), event);
    }
}
