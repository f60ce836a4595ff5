//! The display names of nodes.
//!
//! Rule: a name is what its node says; several may have the same, so it decides nothing. Where it
//! does not tell nodes apart, the first digits of a node's key stand behind it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ffp2p_proto::NodeId;

/// Names that are remembered.
const MAX_NAMES: usize = 1024;

/// Looks at the newcomers ([`Names::overdue`]) until one is reported without its name.
const MAX_LOOKS: u32 = 4;

/// The names of this node and of others.
#[derive(Debug)]
pub(crate) struct Names {
    me: NodeId,
    known: BTreeMap<NodeId, String>,
    /// The other nodes, in the order in which they came.
    order: VecDeque<NodeId>,
    /// Nodes that take work and are here.
    here: BTreeSet<NodeId>,
    /// Nodes that came before their names did, and how often those were looked for.
    nameless: BTreeMap<NodeId, u32>,
}

impl Names {
    pub(crate) fn new(me: NodeId, name: String) -> Self {
        Self {
            me,
            known: BTreeMap::from([(me, name)]),
            order: VecDeque::new(),
            here: BTreeSet::new(),
            nameless: BTreeMap::new(),
        }
    }

    /// A peer said its name. Returns whether it waits to be reported.
    pub(crate) fn learn(&mut self, peer: NodeId, name: String) -> bool {
        if peer == self.me {
            return false;
        }
        if self.known.insert(peer, name).is_none() {
            self.order.push_back(peer);
        }
        if self.order.len() > MAX_NAMES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.nameless.remove(&peer).is_some()
    }

    /// A node that takes work has come. Returns whether it can be reported now: its messages may be
    /// here, passed on by others, before its name is.
    pub(crate) fn came(&mut self, peer: NodeId) -> bool {
        self.here.insert(peer);
        let named = self.known.contains_key(&peer);
        if !named {
            self.nameless.insert(peer, 0);
        }
        named
    }

    /// It is gone. Returns whether it was reported: some are known from others only.
    pub(crate) fn went(&mut self, peer: NodeId) -> bool {
        self.here.remove(&peer) && self.nameless.remove(&peer).is_none()
    }

    /// Looks at the newcomers without a name. Returns those that are to be reported without one.
    pub(crate) fn overdue(&mut self) -> Vec<NodeId> {
        self.nameless.values_mut().for_each(|looks| *looks += 1);
        let due = self.nameless.iter().filter(|(_, looks)| **looks >= MAX_LOOKS);
        let due: Vec<NodeId> = due.map(|(&peer, _)| peer).collect();
        due.iter().for_each(|peer| _ = self.nameless.remove(peer));
        due
    }

    /// Whether it is this node.
    pub(crate) fn is_own(&self, node: NodeId) -> bool {
        node == self.me
    }

    /// A node's display name: its name, with the first digits of its key where another one that is
    /// here has the same; the digits alone where its name is not known.
    pub(crate) fn of(&self, node: NodeId) -> String {
        let Some(name) = self.known.get(&node) else { return node.to_string() };
        let mut others = self.here.iter().filter(|other| **other != node);
        if others.any(|other| self.known.get(other) == Some(name)) {
            return format!("{name} ({node})");
        }
        name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        NodeId(bytes)
    }

    #[test]
    fn a_key_stands_only_where_a_name_does_not_tell() {
        let mut names = Names::new(id(1), "attic".to_owned());
        assert_eq!([names.of(id(1)), names.of(id(2))], ["attic", "00020000"]);
        names.learn(id(2), "attic".to_owned());
        names.learn(id(3), "kitchen".to_owned());
        // The second only looks.
        names.came(id(1));
        assert_eq!(names.of(id(1)), "attic");
        assert_eq!((names.is_own(id(1)), names.is_own(id(2))), (true, false));
        names.came(id(2));
        names.came(id(3));
        let all = [1, 2, 3].map(|number| names.of(id(number)));
        assert_eq!(all, ["attic (00010000)", "attic (00020000)", "kitchen"]);
        // Of one that is gone it is still to be seen that it is not the other.
        assert!(names.went(id(2)) && !names.went(id(2)));
        assert_eq!([names.of(id(1)), names.of(id(2))], ["attic", "attic (00020000)"]);
    }

    #[test]
    fn a_newcomer_is_reported_when_its_name_is_known_or_after_a_while() {
        let mut names = Names::new(id(1), "attic".to_owned());
        assert!(names.came(id(1)));
        for number in 2..=4 {
            assert!(!names.came(id(number)));
        }
        assert!(names.overdue().is_empty());
        assert!(names.learn(id(2), "kitchen".to_owned()));
        assert!(!names.learn(id(2), "kitchen".to_owned()) && names.went(id(2)));
        // That it came was never reported.
        assert!(!names.went(id(3)));
        let looks: Vec<_> = (1..MAX_LOOKS).map(|_| names.overdue()).collect();
        assert_eq!(looks.concat(), [id(4)]);
        assert!(names.overdue().is_empty() && names.went(id(4)));
        assert!(names.came(id(2)));
    }

    #[test]
    fn names_are_bounded_and_the_own_one_stays() {
        let mut names = Names::new(id(0), "attic".to_owned());
        for number in 1..=MAX_NAMES as u16 + 9 {
            names.learn(id(number), format!("node-{number}"));
        }
        assert_eq!((names.known.len(), names.order.len()), (MAX_NAMES + 1, MAX_NAMES));
        assert_eq!([names.of(id(0)), names.of(id(1))], ["attic", "00010000"]);
        assert_eq!(names.of(id(1033)), "node-1033");
        names.learn(id(0), "thief".to_owned());
        assert_eq!(names.of(id(0)), "attic");
    }
}
