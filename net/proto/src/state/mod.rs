//! The state machine of one peer: what it knows, its duties and their order, and the one way in.
//!
//! Rule: [`State::handle`] is total. Every input first changes what is known; then `settle` lets each
//! duty look at all that is known and do whatever is due, so that no duty hangs on a particular
//! message having arrived. What a duty finds out is taken in before the next one looks. This folder
//! alone knows all duties and their order; they do not know each other.

mod intake;

use crate::flow::announcing::Announcing;
use crate::flow::flow_control::FlowControl;
use crate::flow::starvation::Starvation;
use crate::jobs::Jobs;
use crate::known::Known;
use crate::lifecycle::completion::Completion;
use crate::lifecycle::leaving::may_stop;
use crate::lifecycle::scoring::Scoring;
use crate::outbox::{Effect, Outbox};
use crate::placement::Placement;
use crate::replication::fetching::Fetching;
use crate::replication::retention;
use crate::timers::Timers;
use crate::{Config, Input, Message, NodeId, Output, Plan, Role, Snapshot, Time};

/// One peer's view of a run, and its share in it.
#[derive(Debug)]
pub struct State {
    known: Known,
    placement: Placement,
    jobs: Jobs,
    starvation: Starvation,
    flow_control: FlowControl,
    announcing: Announcing,
    fetching: Fetching,
    scoring: Scoring,
    completion: Completion,
    timers: Timers,
    out: Outbox,
    /// Outputs for the shell since the input being handled came.
    outputs: Vec<Output>,
}

impl State {
    /// A peer that has just started, at `now`.
    pub fn new(me: NodeId, role: Role, plan: Plan, mut config: Config, now: Time) -> Self {
        if plan.refreshed {
            // A chapter is handed on at its end, and the next one is trained while it is read.
            config.window = config.window.max(plan.chapter_steps.saturating_mul(2));
        }
        Self {
            known: Known::new(me, role, plan, config, now),
            placement: Placement::default(),
            jobs: Jobs::default(),
            starvation: Starvation::default(),
            flow_control: FlowControl::default(),
            announcing: Announcing::default(),
            fetching: Fetching::new(now),
            scoring: Scoring::default(),
            completion: Completion::default(),
            timers: Timers::new(now),
            out: Outbox::new(me),
            outputs: Vec::new(),
        }
    }

    /// Takes one thing that happened at `now`; returns what must be done, in order.
    ///
    /// Never fails: what makes no sense is ignored, and blamed on its sender.
    pub fn handle(&mut self, input: Input, now: Time) -> Vec<Output> {
        self.known.set_now(now);
        let is_inner = matches!(input, Input::Trained { checkpoint: None, .. });
        self.take_in(input);
        self.absorb();
        if is_inner && self.known.plan().is_by_chapter() && now < self.next_wakeup() {
            // Nobody else reads the step. What else may be due can wait until then.
            self.jobs.hand_out(&self.known, &mut self.out);
            self.absorb();
            return std::mem::take(&mut self.outputs);
        }
        self.settle();
        loop {
            // Looking at everything costs more than hearing something: once for all that it said.
            let said = self.out.said_to_self();
            if said.is_empty() {
                return std::mem::take(&mut self.outputs);
            }
            for message in said {
                self.on_message(self.known.me(), message);
            }
            self.absorb();
            self.settle();
        }
    }

    /// When `handle(Input::Wakeup, …)` must be called next, at the latest.
    pub fn next_wakeup(&self) -> Time {
        self.timers.next()
    }

    /// This peer's knowledge now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.known, self.fetching.len())
    }

    /// Lets each duty do whatever is due.
    fn settle(&mut self) {
        self.timers.tick(self.known.now());
        if self.timers.is_finished() {
            return;
        }
        for (peer, role) in self.known.expire() {
            self.on_gone(peer, role, false);
        }
        self.absorb();
        self.publish();
        self.known.note_apart();
        self.known.look();
        if self.known.plan().is_by_chapter() {
            self.jobs.follow(&self.known, &mut self.out);
            self.publish();
        }
        self.placement.settle(&self.known, &mut self.out);
        self.known.publish_moves(self.placement.view());
        self.absorb();
        self.starvation.settle(&self.known, &mut self.out);
        self.known.publish_starving(self.starvation.view(&self.known));
        self.absorb();
        self.publish();
        self.jobs.settle(&self.known, &mut self.out);
        self.absorb();
        self.publish();
        retention::settle(&self.known, &mut self.out);
        self.absorb();
        self.flow_control.settle(&self.known, &mut self.out);
        self.known.publish_lacking(self.flow_control.view());
        self.absorb();
        self.fetching.settle(&self.known, &mut self.out);
        self.known.publish_routes(self.fetching.routes());
        self.absorb();
        self.jobs.follow_means(&self.known, &mut self.out);
        self.absorb();
        self.announcing.settle(&self.known, &mut self.out);
        self.absorb();
        self.publish();
        self.jobs.hand_out(&self.known, &mut self.out);
        self.absorb();
        self.publish();
        self.scoring.settle(&self.known, &mut self.out);
        self.absorb();
        self.known.publish_scoring(self.scoring.view(&self.known));
        self.completion.settle(&self.known, &mut self.out);
        self.absorb();
        self.finish();
    }

    /// Stops when that is asked for and harms nobody; says how this peer is when that is due.
    fn finish(&mut self) {
        if may_stop(&self.known, self.completion.is_told()) {
            self.timers.finish();
            self.outputs.push(Output::Broadcast(Message::Goodbye));
            self.outputs.push(Output::Finished);
        } else if self.timers.beat(self.known.now(), self.known.heartbeat_interval_ms()) {
            let heartbeat = self.heartbeat();
            self.outputs.push(Output::Broadcast(heartbeat));
        }
    }

    /// Lets everybody see what the duties do now.
    fn publish(&mut self) {
        if let Some(jobs) = self.jobs.view() {
            self.known.publish_jobs(jobs);
        }
        if let Some(batches) = self.announcing.view() {
            self.known.publish_batches(batches);
        }
    }

    /// Carries out what the duties want: outputs are passed on, facts are taken in.
    fn absorb(&mut self) {
        while let Some(effect) = self.out.next() {
            match effect {
                Effect::Output(output) => self.outputs.push(output),
                Effect::Fact(fact) => self.on_fact(fact),
                Effect::Heartbeat(first) => {
                    self.publish();
                    let heartbeat = self.heartbeat();
                    for to in first {
                        self.out.send(to, heartbeat.clone());
                    }
                    self.out.say(heartbeat);
                }
            }
        }
    }

    fn heartbeat(&mut self) -> Message {
        Message::Heartbeat(self.known.heartbeat(self.timers.next_heartbeat()))
    }
}

#[cfg(test)]
mod tests;
