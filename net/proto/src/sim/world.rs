//! A simulated network of nodes, and the course of a run on it.
//!
//! Rule: a checked run has two phases, the faults and then the healing, and everything that must
//! hold is checked after every event. A predicted run is the same without the checks; it ends
//! when the first node has the model.

use crate::Input;
use crate::sim::checks::{final_checks, findings};
use crate::sim::clock::Moment;
use crate::sim::events::Event;
use crate::sim::faults::Fault;
use crate::sim::forecast::outcome::Forecast;
use crate::sim::forecast::progress::Progress;
use crate::sim::machine::shell::Shells;
use crate::sim::machine::training;
use crate::sim::mathematics::digest::model_hash;
use crate::sim::network::cables::Cause;
use crate::sim::report::{Failure, Report};
use crate::sim::scenario::Scenario;
use crate::sim::schedule::Schedule;

/// The time within which all faults must have happened, ms.
const FAULTS_MS: u64 = 600_000;

/// The time for which the world continues when all is done, to see that it stays so, ms: by then the
/// last stray message of a dead node has arrived, and the silence after it is over.
const AFTERWARDS_MS: u64 = 12_000;

/// The most by which a leaving node exceeds its linger time, by a stall or a late wake-up, ms.
const LEAVE_SLACK_MS: u64 = 1_500;

/// A simulated network of nodes.
#[derive(Debug)]
pub struct World {
    shells: Shells,
    schedule: Schedule,
    progress: Progress,
    /// The moment at which a machine was last started.
    started: Moment,
    /// Nodes that crashed.
    crashes: u64,
    /// Steps of the plan, over all shards.
    steps: u64,
}

impl World {
    /// The world of `scenario`, before anything happened; with `trace`, it writes down what
    /// happens and keeps that many lines.
    pub fn new(scenario: Scenario, trace: Option<usize>) -> Self {
        Self {
            schedule: Schedule::new(&scenario.schedule),
            progress: Progress::new(&scenario.plan),
            started: Moment::default(),
            crashes: 0,
            steps: scenario.plan.shards().map(|shard| scenario.plan.end(shard)).sum(),
            shells: Shells::new(scenario, trace),
        }
    }

    /// Runs the scenario to its end.
    ///
    /// # Errors
    /// If a rule does not hold.
    pub fn run(mut self) -> Result<Report, Failure> {
        match self.phases() {
            Ok(done_ms) => Ok(self.report(done_ms)),
            Err(rule) => Err(self.failure(rule)),
        }
    }

    /// Runs a scenario that has costs until the first node has the model.
    ///
    /// # Errors
    /// If none has it `limit_ms` after the start.
    pub fn forecast(mut self, limit_ms: u64) -> Result<Forecast, Failure> {
        self.arm();
        let end = Moment::from_ms(limit_ms);
        let found = self.run_until(end, |world| world.shells.complete().is_some());
        let rule = match (found, self.shells.complete(), self.progress.began()) {
            (Ok(()), Some(end), Some(begin)) => return Ok(self.prediction(begin, end)),
            (Ok(()), ..) => self.unfinished("not done in time"),
            (Err(rule), ..) => rule,
        };
        Err(self.failure(rule))
    }

    fn report(self, done_ms: u64) -> Report {
        let Self { shells, steps, .. } = self;
        let stage = &shells.stage;
        let (plan, made) = (&stage.scenario.plan, stage.facts.made.as_ref());
        Report {
            model: model_hash(&final_checks::model(stage).unwrap_or_default()),
            ledger: made.map_or_else(Vec::new, |_| findings::ledger(stage)),
            rivals: made.map_or(0, |made| made.rivals),
            done_ms,
            events: stage.events.planned(),
            trained: shells.training.trained(),
            shards: plan.shard_count() as u64,
            steps,
            epochs: plan.epochs(),
            scored: findings::scored(stage),
            messages: shells.transport.messages(),
            blobs: shells.transport.blobs(),
            terms: findings::terms(stage),
            trace: stage.trace.hash(),
        }
    }

    fn prediction(self, begin: Moment, end: Moment) -> Forecast {
        let traffic = self.shells.transport.traffic();
        Forecast {
            took_us: end.us_since(begin),
            started_us: self.started.us_since(begin),
            parts: self.progress.parts(begin),
            steps: self.steps,
            trained: self.shells.training.trained(),
            busy: self.shells.training.busy(),
            crashes: self.crashes,
            bytes: traffic.bytes().to_vec(),
            network_us: traffic.us(),
            events: self.shells.stage.events.planned(),
        }
    }

    fn failure(&self, rule: String) -> Failure {
        let stage = &self.shells.stage;
        let (at, lines) = (stage.now().time(), stage.trace.lines());
        Failure { seed: stage.scenario.seed, at, rule, lines }
    }

    /// A failure to get on, with the state of all nodes.
    fn unfinished(&self, rule: &str) -> String {
        let done = self.shells.training.steps();
        format!("{rule}; {}", findings::situation(&self.shells.stage, done, self.steps))
    }

    /// Runs both phases, and checks that all stays as it is; returns the time at which all was done, ms.
    fn phases(&mut self) -> Result<u64, String> {
        self.arm();
        self.run_until(Moment::from_ms(FAULTS_MS), |world| world.schedule.is_over())?;
        if !self.schedule.is_over() {
            return Err(self.unfinished("stuck, with faults to come"));
        }
        self.heal();
        let is_settled = |world: &Self| final_checks::is_settled(&world.shells.stage);
        let scenario = &self.shells.stage.scenario;
        let (patience, longest) = (scenario.patience_ms(), scenario.longest_job_ms());
        self.run_until(self.shells.stage.now().after(patience), is_settled)?;
        if !is_settled(self) {
            return Err(self.unfinished("not done in time"));
        }
        let done = self.shells.stage.now();
        self.run_until(done.after(AFTERWARDS_MS + longest), |_| false)?;
        final_checks::check(&self.shells.stage)?;
        Ok(done.ms())
    }

    fn run_until(&mut self, end: Moment, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        while !done(self) {
            let Some(event) = self.shells.stage.events.pop(end) else { break };
            self.step(event)?;
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        let Shells { stage, transport, .. } = &mut self.shells;
        if let Some(node) = event.node() {
            let node = &stage.nodes[node];
            if !node.alive {
                return Ok(());
            }
            if node.stalled > stage.now() {
                stage.events.push(node.stalled, event);
                return Ok(());
            }
        }
        let (node, input) = match event {
            Event::Fault => return self.next_fault(),
            Event::Wake { node, at } => return self.shells.wake(node, at),
            Event::Notice { node, peer } => return self.shells.notice(node, peer),
            Event::JobDone { node } => return self.job_done(node),
            Event::Serve { node, asker, token, hash } => {
                return transport.serve(stage, (node, asker), token, hash);
            }
            Event::LeaveDeadline { node } => {
                let id = stage.nodes[node].id;
                return Err(format!("{id} was asked to go and is still here"));
            }
            Event::Input { node, input } => (node, Some(*input)),
            Event::Deliver { from, via, to, message } => {
                (to, transport.deliver(stage, (from, via, to), &message))
            }
            Event::Answer { node, from, token, bytes } => {
                (node, transport.answer(stage, (from, node), token, bytes))
            }
            Event::GiveUp { node, token } => (node, transport.give_up(stage, node, token)),
            Event::ScoringSlice { node } => (node, training::score_on(stage, node)?),
            Event::Benchmarked { node } => {
                (node, stage.nodes[node].trainer.benchmark().map(Input::Speed))
            }
        };
        self.shells.handle_any(node, input)
    }

    /// A job may be done; the schedule and the progress learn of it before the decisions do.
    fn job_done(&mut self, node: usize) -> Result<(), String> {
        let (progress, inputs) = self.shells.job_done(node)?;
        if let Some(shard) = progress {
            let Shells { stage, transport, .. } = &self.shells;
            let work = stage.scenario.plan.cost(shard);
            self.progress.add(work, stage.now(), transport.traffic().bytes());
            self.arm();
        }
        self.shells.handle_any(node, inputs)
    }

    /// Plans the next entry of the schedule, if it is due or waits for a time.
    fn arm(&mut self) {
        let (done, all) = (self.shells.training.steps(), self.steps);
        let is_done = |share| done * 1_000 >= share * all;
        self.schedule.arm(&mut self.shells.stage.events, is_done);
    }

    fn next_fault(&mut self) -> Result<(), String> {
        if let Some(fault) = self.schedule.pop() {
            self.shells.stage.note(format_args!("{fault:?}"));
            self.apply(fault)?;
            self.arm();
        }
        Ok(())
    }

    fn apply(&mut self, fault: Fault) -> Result<(), String> {
        let Shells { stage, transport, .. } = &mut self.shells;
        let now = stage.now();
        match fault {
            Fault::Start { machine, disk } => {
                self.started = now;
                self.shells.start(machine, disk)?;
            }
            Fault::Leave(machine) => {
                if let Some(node) = stage.nodes.running(machine) {
                    let linger = stage.scenario.config.linger_ms + LEAVE_SLACK_MS;
                    stage.nodes[node].leaving = Some(now);
                    stage.events.push(now.after(linger), Event::LeaveDeadline { node });
                    self.shells.handle(node, Input::Leave)?;
                }
            }
            Fault::Crash(machine) => {
                if let Some(node) = stage.nodes.running(machine) {
                    self.crashes += 1;
                    let is_reset = transport.links.cables.resets();
                    self.shells.stop(node, if is_reset { Cause::Closed } else { Cause::Dead });
                }
            }
            Fault::Stall(machine, ms) => {
                if let Some(node) = stage.nodes.running(machine) {
                    stage.nodes[node].stalled = now.after(ms);
                }
            }
            Fault::Cut(from, to) => {
                transport.links.cables.cut(&from, &to);
                transport.links.relink_all(stage, Cause::Dead);
            }
            Fault::Heal => {
                transport.links.cables.heal();
                transport.links.relink_all(stage, Cause::Found);
            }
            Fault::Weather(weather) => transport.links.cables.set_weather(weather),
        }
        Ok(())
    }

    /// The faults are over.
    fn heal(&mut self) {
        let Shells { stage, transport, .. } = &mut self.shells;
        stage.note(format_args!("healed"));
        stage.is_healed = true;
        let links = &mut transport.links;
        links.cables.set_weather(stage.scenario.calm.clone());
        links.cables.heal();
        links.relink_all(stage, Cause::Found);
    }
}
