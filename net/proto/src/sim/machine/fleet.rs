//! Every node that there ever was, and the disks of machines that run none.
//!
//! Rule: nodes are numbered as they start and never removed; a machine runs at most one.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use crate::NodeId;
use crate::sim::machine::node::{Disk, Node};

/// Nodes by number.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    nodes: Vec<Node>,
    by_id: BTreeMap<NodeId, usize>,
    /// By machine.
    disks: BTreeMap<usize, Disk>,
}

impl Index<usize> for Fleet {
    type Output = Node;

    fn index(&self, node: usize) -> &Node {
        &self.nodes[node]
    }
}

impl IndexMut<usize> for Fleet {
    fn index_mut(&mut self, node: usize) -> &mut Node {
        &mut self.nodes[node]
    }
}

impl Fleet {
    /// The number of nodes that there ever were.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// All nodes, in order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// The nodes that are running.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.alive)
    }

    /// The node that runs on a machine.
    pub(crate) fn running(&self, machine: usize) -> Option<usize> {
        self.nodes.iter().position(|node| node.alive && node.machine == machine)
    }

    /// The number of the node with this id.
    pub(crate) fn number(&self, id: NodeId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// Takes the disk of a machine that runs no node; an empty one if there is none.
    pub(crate) fn take_disk(&mut self, machine: usize) -> Disk {
        self.disks.remove(&machine).unwrap_or_default()
    }

    /// Adds a node; its number is the number of nodes before.
    pub(crate) fn add(&mut self, node: Node) {
        self.by_id.insert(node.id, self.nodes.len());
        self.nodes.push(node);
    }

    /// Ends a node; its disk stays with the machine.
    pub(crate) fn stop(&mut self, node: usize) {
        let ended = &mut self.nodes[node];
        ended.alive = false;
        ended.store.clear();
        self.disks.insert(ended.machine, std::mem::take(&mut ended.disk));
    }
}
