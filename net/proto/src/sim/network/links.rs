//! The links between nodes: those that can live, and those that their ends believe in.
//!
//! Rule: an end learns of a change late, and only of one that still holds when it looks.

use std::collections::BTreeSet;

use crate::Input;
use crate::sim::events::Event;
use crate::sim::machine::fleet::Fleet;
use crate::sim::network::cables::{Cables, Cause};
use crate::sim::scenario::Scenario;
use crate::sim::stage::Stage;

/// Links over the cables between machines; pairs are (node, peer).
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) cables: Cables,
    /// Pairs of which the node believes that it is connected to the peer.
    up: BTreeSet<(usize, usize)>,
    /// Pairs of which the node will look at its link to the peer.
    noticing: BTreeSet<(usize, usize)>,
}

impl Links {
    /// No links yet.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let cables = Cables::new(scenario.seed, scenario.weather.clone());
        Self { cables, up: BTreeSet::new(), noticing: BTreeSet::new() }
    }

    /// Whether a node believes that it is connected to a peer.
    pub(crate) fn is_up(&self, node: usize, peer: usize) -> bool {
        self.up.contains(&(node, peer))
    }

    /// Whether something passes from a node to another now.
    pub(crate) fn is_open(&self, nodes: &Fleet, from: usize, to: usize) -> bool {
        self.cables.is_open(nodes[from].machine, nodes[to].machine)
    }

    /// Whether a connection between two nodes can live.
    pub(crate) fn can_connect(&self, nodes: &Fleet, a: usize, b: usize) -> bool {
        let (a, b) = (&nodes[a], &nodes[b]);
        a.alive && b.alive && self.cables.can_connect(a.machine, b.machine)
    }

    /// Removes every link of a node that ended.
    pub(crate) fn drop_node(&mut self, stage: &mut Stage, node: usize, cause: Cause) {
        self.up.retain(|&(end, _)| end != node);
        self.relink(stage, &[node], cause);
    }

    /// Has both ends notice, after a while, changes to the links of some nodes.
    pub(crate) fn relink(&mut self, stage: &mut Stage, of: &[usize], cause: Cause) {
        for &node in of {
            for peer in (0..stage.nodes.len()).filter(|&peer| peer != node) {
                self.look_later(stage, node, peer, cause);
                self.look_later(stage, peer, node, cause);
            }
        }
    }

    /// As [`relink`](Self::relink), for all nodes.
    pub(crate) fn relink_all(&mut self, stage: &mut Stage, cause: Cause) {
        let living = (0..stage.nodes.len()).filter(|&node| stage.nodes[node].alive);
        let living: Vec<usize> = living.collect();
        self.relink(stage, &living, cause);
    }

    fn look_later(&mut self, stage: &mut Stage, node: usize, peer: usize, cause: Cause) {
        let can = self.can_connect(&stage.nodes, node, peer);
        let has_changed = stage.nodes[node].alive && can != self.is_up(node, peer);
        if has_changed && self.noticing.insert((node, peer)) {
            let delay = self.cables.notice_ms(if can { Cause::Found } else { cause });
            stage.events.push(stage.now().after(delay), Event::Notice { node, peer });
        }
    }

    /// A node looks at its link to `peer`; returns the input for its decisions when it has changed.
    pub(crate) fn notice(&mut self, nodes: &Fleet, node: usize, peer: usize) -> Option<Input> {
        self.noticing.remove(&(node, peer));
        let id = nodes[peer].id;
        if self.can_connect(nodes, node, peer) {
            self.up.insert((node, peer)).then_some(Input::Connected(id))
        } else {
            self.up.remove(&(node, peer)).then_some(Input::Disconnected(id))
        }
    }
}
