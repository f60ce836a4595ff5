//! The bytes that pass, and what passing them on costs both ends.
//!
//! Rule: counted only where the run is predicted; a checked run pays nothing for its messages.

use crate::sim::network::cables::Cables;
use crate::sim::scenario::Scenario;
use crate::sim::stage::Stage;

/// Bytes and time that the network took so far.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// In and out, by machine.
    bytes: Vec<u64>,
    /// The time of all machines together, microseconds.
    us: u64,
}

impl Traffic {
    /// No traffic yet.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self { bytes: vec![0; scenario.machines.len()], us: 0 }
    }

    /// Bytes in and out, by machine.
    pub(crate) fn bytes(&self) -> &[u64] {
        &self.bytes
    }

    /// The time that all machines together spent on it, microseconds.
    pub(crate) fn us(&self) -> u64 {
        self.us
    }

    /// Counts `size` bytes of gossip that reach a node in several copies, and that it passes on to as
    /// many others, its sender aside.
    pub(crate) fn gossip(
        &mut self,
        stage: &mut Stage,
        cables: &mut Cables,
        (from, to): (usize, usize),
        size: u64,
        copies: u64,
    ) {
        let more = copies.saturating_sub(1);
        occupy(stage, cables, (from, to), size * (1 + more));
        self.charge(stage, from, size, (0, 1));
        self.charge(stage, to, size * (1 + 2 * more), (1, 2 * more));
    }

    /// Counts `size` bytes that reach the one node to which they were sent.
    pub(crate) fn direct(
        &mut self,
        stage: &mut Stage,
        cables: &mut Cables,
        (from, to): (usize, usize),
        size: u64,
    ) {
        occupy(stage, cables, (from, to), size);
        [from, to].into_iter().for_each(|end| self.charge(stage, end, size, (1, 0)));
    }

    /// Counts a blob of `size` bytes, whose time on the cables was counted before.
    pub(crate) fn blob(&mut self, stage: &mut Stage, (from, to): (usize, usize), size: u64) {
        [from, to].into_iter().for_each(|end| self.charge(stage, end, size, (0, 0)));
    }

    /// A node sends or receives `size` bytes, in these messages and copies of messages.
    fn charge(
        &mut self,
        stage: &mut Stage,
        node: usize,
        size: u64,
        (messages, copies): (u64, u64),
    ) {
        if stage.is_predicted() {
            let node = &mut stage.nodes[node];
            self.bytes[node.machine] += size;
            self.us += node.trainer.steal(size, messages, copies);
        }
    }
}

/// Has the cables of two nodes' machines carry `size` bytes.
fn occupy(stage: &Stage, cables: &mut Cables, (from, to): (usize, usize), size: u64) {
    if stage.is_predicted() {
        let (here, there) = (stage.nodes[from].machine, stage.nodes[to].machine);
        cables.occupy(here, there, size, stage.now());
    }
}
