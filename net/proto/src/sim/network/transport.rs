//! The transport between nodes: messages and blobs on their way.
//!
//! Rule: an event that concerns two nodes depends on the link between them at that moment. Inputs
//! for the decisions are returned, not delivered.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::sim::clock::Moment;
use crate::sim::events::Event;
use crate::sim::forecast::message_size;
use crate::sim::network::byzantine;
use crate::sim::network::links::Links;
use crate::sim::network::traffic::Traffic;
use crate::sim::scenario::{Scenario, Sent};
use crate::sim::stage::Stage;
use crate::{BlobRef, Hash, Input, Message, NodeId};

/// The time after which a fetch that got no answer fails, ms.
const FETCH_TIMEOUT_MS: u64 = 2_000;

/// Peers to which a node forwards gossip; its source sends to all.
const GOSSIP_MESH: usize = 4;

/// The most connections of a node. Where there are more nodes, or some have no link, they forward
/// gossip; otherwise all receive it from its source.
const MAX_LINKS: usize = 64;

/// Everything that is under way, and counts of what was.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) links: Links,
    traffic: Traffic,
    /// The last request for blobs: from, to, and when.
    asked: Option<(usize, usize, Moment)>,
    messages: u64,
    blobs: u64,
}

impl Transport {
    /// An empty network.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let (links, traffic) = (Links::new(scenario), Traffic::new(scenario));
        Self { links, traffic, asked: None, messages: 0, blobs: 0 }
    }

    /// Bytes that passed, and their time.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Messages sent, counted once for each receiver.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Blobs delivered.
    pub(crate) fn blobs(&self) -> u64 {
        self.blobs
    }

    /// The nodes that a gossiped message can reach, each with the path of nodes to it.
    fn paths(&self, stage: &Stage, from: usize) -> Vec<Vec<usize>> {
        let mut paths = Vec::new();
        let mut seen = vec![false; stage.nodes.len()];
        seen[from] = true;
        let mut unseen = stage.nodes.living().count().saturating_sub(1);
        let mut open = VecDeque::from([vec![from]]);
        while let Some(path) = open.pop_front() {
            let Some(&end) = path.last() else { continue };
            for (next, node) in stage.nodes.iter().enumerate() {
                if unseen == 0 {
                    break;
                }
                let passes = node.alive
                    && self.links.is_up(end, next)
                    && self.links.is_open(&stage.nodes, end, next);
                if passes && !std::mem::replace(&mut seen[next], true) {
                    unseen -= 1;
                    open.push_back(path.iter().copied().chain([next]).collect());
                }
            }
            if path.len() > 1 {
                paths.push(path);
            }
        }
        paths
    }

    /// Sends a message to all nodes that gossip can reach.
    pub(crate) fn broadcast(&mut self, stage: &mut Stage, node: usize, message: Message) {
        let message = Rc::new(message);
        let paths = self.paths(stage, node);
        let is_direct = paths.len() <= MAX_LINKS && paths.iter().all(|path| path.len() == 2);
        let copies = if is_direct { 1 } else { paths.len().min(GOSSIP_MESH) as u64 };
        let size = if stage.is_predicted() { message_size::gossip(&message) } else { 0 };
        for path in paths {
            let ends = (node, path[path.len() - 1]);
            self.traffic.gossip(stage, &mut self.links.cables, ends, size, copies);
            self.transmit(stage, &path, &message);
        }
    }

    /// Sends a message to one peer, if there is a link to it.
    pub(crate) fn send(&mut self, stage: &mut Stage, node: usize, to: NodeId, message: Message) {
        let Some(to) = stage.nodes.number(to).filter(|to| self.links.is_up(node, *to)) else {
            return;
        };
        let size = if stage.is_predicted() { message_size::direct(&message) } else { 0 };
        self.traffic.direct(stage, &mut self.links.cables, (node, to), size);
        self.transmit(stage, &[node, to], &Rc::new(message));
    }

    /// Sends copies along a path of nodes.
    fn transmit(&mut self, stage: &mut Stage, path: &[usize], message: &Rc<Message>) {
        let [from, .., to] = *path else { return };
        let via = path[path.len() - 2];
        let machines: Vec<usize> = path.iter().map(|&node| stage.nodes[node].machine).collect();
        self.messages += 1;
        record(stage, || Sent::Message(Rc::clone(message)));
        for delay in self.links.cables.copies(&machines) {
            let message = Rc::clone(message);
            let at = stage.now().after_us(delay);
            stage.events.push(at, Event::Deliver { from, via, to, message });
        }
    }

    /// A copy of a message arrives over its last hop; returns the input for the decisions.
    pub(crate) fn deliver(
        &self,
        stage: &Stage,
        (from, via, to): (usize, usize, usize),
        message: &Message,
    ) -> Option<Input> {
        let from = stage.nodes[from].id;
        let arrives = self.links.is_open(&stage.nodes, via, to);
        arrives.then(|| Input::Received { from, message: message.clone() })
    }

    /// Asks a peer for a blob.
    pub(crate) fn fetch(&mut self, stage: &mut Stage, node: usize, blob: BlobRef, from: NodeId) {
        let (token, now) = (stage.nodes[node].begin_fetch(blob, from), stage.now());
        let server = stage.nodes.number(from).filter(|at| self.links.is_up(node, *at));
        let Some(server) = server else {
            return stage.events.push(now.after(1), Event::GiveUp { node, token });
        };
        stage.events.push(now.after(FETCH_TIMEOUT_MS), Event::GiveUp { node, token });
        let (here, there) = (stage.nodes[node].machine, stage.nodes[server].machine);
        let at = now.after_us(self.links.cables.delay(here, there));
        // Everything that is fetched of one peer at one moment is asked for in one request.
        let request = (node, server, now);
        if self.asked.replace(request) != Some(request) {
            let size = if stage.is_predicted() { message_size::REQUEST } else { 0 };
            self.traffic.direct(stage, &mut self.links.cables, (node, server), size);
        }
        if !self.links.cables.loses() {
            let hash = blob.hash;
            stage.events.push(at, Event::Serve { node: server, asker: node, token, hash });
        } else if self.links.cables.resets() {
            stage.events.push(at, Event::GiveUp { node, token });
        }
    }

    /// A node looks a blob up for another one, at the moment at which it is asked.
    ///
    /// # Errors
    /// If it is an activation batch of data that must not leave its machine.
    pub(crate) fn serve(
        &mut self,
        stage: &mut Stage,
        (node, asker): (usize, usize),
        token: u64,
        hash: Hash,
    ) -> Result<(), String> {
        if !self.links.can_connect(&stage.nodes, node, asker) {
            return Ok(());
        }
        if stage.facts.made.as_ref().is_some_and(|made| made.is_batch(&hash)) {
            return Err(format!("{} gives an activation batch away", stage.nodes[node].id));
        }
        let mut bytes = stage.nodes[node].store.get(&hash).cloned();
        if bytes.is_some() && stage.draws_loss() {
            stage.lose(node, hash);
            bytes = None;
        }
        byzantine::spoil_answer(stage, node, &mut bytes);
        bytes.iter().for_each(|bytes| record(stage, || Sent::Blob(bytes.clone())));
        let size = bytes.as_ref().map_or(0, |bytes| stage.nodes[node].trainer.name(bytes).size);
        let (here, there) = (stage.nodes[node].machine, stage.nodes[asker].machine);
        let at = self.links.cables.transfer(here, there, size, stage.now());
        stage.nodes[asker].expect_blob(token, at);
        self.traffic.blob(stage, (node, asker), size);
        stage.events.push(at, Event::Answer { node: asker, from: node, token, bytes });
        Ok(())
    }

    /// A request was not answered in time; bytes that are under way are waited for. Returns the
    /// input for the decisions.
    pub(crate) fn give_up(&mut self, stage: &mut Stage, node: usize, token: u64) -> Option<Input> {
        match stage.nodes[node].blob_arrives(token) {
            Some(arrives) if arrives > stage.now() => {
                stage.events.push(arrives, Event::GiveUp { node, token });
                None
            }
            _ => stage.nodes[node].end_fetch(token, None),
        }
    }

    /// The answer to a request arrives; returns the input for the decisions.
    pub(crate) fn answer(
        &mut self,
        stage: &mut Stage,
        (from, node): (usize, usize),
        token: u64,
        bytes: Option<Vec<u8>>,
    ) -> Option<Input> {
        if !self.links.is_open(&stage.nodes, from, node) {
            return None;
        }
        self.blobs += u64::from(bytes.is_some());
        stage.nodes[node].end_fetch(token, bytes)
    }
}

/// Records what is sent, where the scenario asks for it.
fn record(stage: &Stage, sent: impl FnOnce() -> Sent) {
    if let Some(tap) = &stage.scenario.tap {
        tap.borrow_mut().push(sent());
    }
}
