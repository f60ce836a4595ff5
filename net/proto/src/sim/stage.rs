//! The stage on which a simulated run takes place: scenario, nodes, clock, and the truth about it.
//!
//! Rule: a part that acts is given the stage and returns what other parts have to do; nothing on the
//! stage calls back.

use std::fmt;

use crate::sim::checks::facts::Facts;
use crate::sim::clock::Moment;
use crate::sim::events::{Event, Events};
use crate::sim::machine::fleet::Fleet;
use crate::sim::rng::Rng;
use crate::sim::scenario::Scenario;
use crate::sim::trace::Trace;
use crate::{Hash, Input};

/// All that the parts of a world share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) scenario: Scenario,
    pub(crate) facts: Facts,
    pub(crate) events: Events,
    pub(crate) nodes: Fleet,
    pub(crate) rng: Rng,
    pub(crate) trace: Trace,
    /// Whether the faults are over.
    pub(crate) is_healed: bool,
}

impl Stage {
    /// The stage of `scenario` before anything happened.
    pub(crate) fn new(scenario: Scenario, trace: Option<usize>) -> Self {
        Self {
            facts: Facts::of(&scenario),
            events: Events::default(),
            nodes: Fleet::default(),
            rng: Rng::new(scenario.seed, "world"),
            trace: Trace::new(trace),
            is_healed: false,
            scenario,
        }
    }

    /// The current moment.
    pub(crate) fn now(&self) -> Moment {
        self.events.now()
    }

    /// Plans an input for a node's decisions, to come at once but after what is planned for now.
    pub(crate) fn push_input(&mut self, node: usize, input: Input) {
        self.events.push(self.now(), Event::Input { node, input: Box::new(input) });
    }

    /// Writes a line of the trace that is about the world or about any node.
    pub(crate) fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.line(self.events.now(), None, what);
    }

    /// Whether time and bytes are counted, because the run is predicted.
    pub(crate) fn is_predicted(&self) -> bool {
        self.scenario.costs.is_some()
    }

    /// Whether a node's machine lies.
    pub(crate) fn is_liar(&self, node: usize) -> bool {
        self.scenario.machines[self.nodes[node].machine].lies
    }

    /// Draws whether a read shows that a blob is lost.
    pub(crate) fn draws_loss(&mut self) -> bool {
        self.scenario.lost > 0 && !self.is_healed && self.rng.hit(self.scenario.lost)
    }

    /// Has a node notice that its store does not have a blob any more.
    pub(crate) fn lose(&mut self, node: usize, hash: Hash) {
        self.push_input(node, Input::Lost { hash });
    }
}
