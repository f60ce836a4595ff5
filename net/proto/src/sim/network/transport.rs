//! What travels between nodes: messages and blobs, and what that costs both ends.
//!
//! Rule: an event that concerns two nodes looks at the link between them at the moment at which it
//! happens.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::sim::faults::Sent;
use crate::sim::forecast::message_size;
use crate::sim::network::byzantine::{self, damage};
use crate::sim::{Event, World};
use crate::{BlobRef, Checkpoint, Hash, Input, Message, NodeId, Offer};

/// A fetch that got no answer fails after this long, ms.
const FETCH_TIMEOUT_MS: u64 = 2_000;

/// Peers to which a node passes on what it hears; those who publish send to all.
const GOSSIP_MESH: usize = 4;

/// Connections of a node, at most. Where there are more nodes, or some have no link, they hear different ones, and
/// pass on what they hear.
const MAX_LINKS: usize = 64;

impl World {
    /// The nodes that a gossiped message can reach, each with the path of nodes to it.
    fn paths(&self, from: usize) -> Vec<Vec<usize>> {
        let mut paths = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        seen[from] = true;
        let mut unseen = self.nodes.iter().filter(|node| node.alive).count().saturating_sub(1);
        let mut open = VecDeque::from([vec![from]]);
        while let Some(path) = open.pop_front() {
            let Some(&end) = path.last() else { continue };
            for (next, node) in self.nodes.iter().enumerate() {
                if unseen == 0 {
                    break;
                }
                let passes = node.alive
                    && self.links.contains(&(end, next))
                    && self.network.open(self.nodes[end].machine, node.machine);
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

    /// Whether a node's machine lies.
    fn is_liar(&self, node: usize) -> bool {
        self.scenario.machines[self.nodes[node].machine].lies
    }

    pub(crate) fn broadcast(&mut self, node: usize, message: Message) {
        self.publish(node, message);
        if self.is_liar(node) && !self.healed && self.rng.hit(byzantine::FALSE_WORDS) {
            let known = self.nodes[node].state.snapshot();
            let lie = byzantine::draw(&self.facts.plan, &known, &mut self.rng);
            self.trace.line(self.now, None, format_args!("{} lies", self.nodes[node].id));
            self.publish(node, lie);
        }
        if self.is_liar(node) && !self.healed && self.rng.hit(byzantine::FALSE_BATCHES) {
            self.offer_junk(node);
        }
        let may_forge = self.is_liar(node) && !self.healed && self.forged < self.scenario.forgeries;
        if may_forge && self.rng.hit(byzantine::FALSE_FACTS) {
            self.forge(node);
        }
    }

    /// A liar announces a shard's state before its first step as its checkpoint of a chapter that is not
    /// done yet.
    fn forge(&mut self, node: usize) {
        let known = self.nodes[node].state.snapshot();
        let view = &known.shards[self.rng.below(known.shards.len() as u64) as usize];
        let (shard, plan) = (view.shard, &self.facts.plan);
        let ahead = view.done.saturating_add(self.rng.below(3) * plan.chapter_steps);
        let step = plan.chapter_end(ahead.min(plan.steps - 1));
        let bytes = self.scenario.mathematics.initial(shard);
        let blob = self.nodes[node].trainer.name(&bytes);
        let by = self.nodes[node].id;
        let checkpoint = Checkpoint { shard, step, blob, by, loss_micro: 0 };
        self.forged += 1;
        self.facts.junk.insert(blob.hash);
        self.nodes[node].store.insert(blob.hash, bytes);
        self.trace.line(self.now, None, format_args!("{by} forges {checkpoint:?}"));
        self.publish(node, Message::Checkpoints(vec![checkpoint]));
        // From then on it says so of itself.
        self.push(self.now, Event::Tell { node, input: Box::new(Input::Restored(checkpoint)) });
    }

    /// A liar offers bytes by their right hash that are no batch, for a step that somebody is about to
    /// read.
    fn offer_junk(&mut self, node: usize) {
        let known = self.nodes[node].state.snapshot();
        let view = &known.shards[self.rng.below(known.shards.len() as u64) as usize];
        let (shard, step) = (view.shard, view.done + self.rng.below(6));
        let bytes = self.rng.any().to_le_bytes().to_vec();
        let blob = self.nodes[node].trainer.name(&bytes);
        self.facts.junk.insert(blob.hash);
        self.nodes[node].store.insert(blob.hash, bytes);
        self.trace.line(self.now, None, format_args!("{} offers junk", self.nodes[node].id));
        self.publish(node, Message::Have(vec![Offer { shard, step, blob }]));
    }

    fn publish(&mut self, node: usize, message: Message) {
        let message = Rc::new(message);
        let paths = self.paths(node);
        let is_heard_by_all = paths.len() <= MAX_LINKS && paths.iter().all(|path| path.len() == 2);
        let copies = if is_heard_by_all { 1 } else { paths.len().min(GOSSIP_MESH) as u64 };
        let size = self.weigh(|| message_size::gossip(&message));
        for path in paths {
            self.spread((node, path[path.len() - 1]), size, copies);
            self.transmit(&path, &message);
        }
    }

    pub(crate) fn send(&mut self, node: usize, to: NodeId, message: Message) {
        if let Some(&to) = self.by_id.get(&to)
            && self.links.contains(&(node, to))
        {
            let size = self.weigh(|| message_size::direct(&message));
            self.pass((node, to), size);
            self.transmit(&[node, to], &Rc::new(message));
        }
    }

    /// The size of something, where sizes count.
    fn weigh(&self, size: impl FnOnce() -> u64) -> u64 {
        if self.scenario.costs.is_some() { size() } else { 0 }
    }

    /// `size` bytes of gossip reach a node in so many copies, and it passes them on to as many others,
    /// its sender aside.
    fn spread(&mut self, (from, to): (usize, usize), size: u64, copies: u64) {
        let more = copies.saturating_sub(1);
        self.occupy((from, to), size * (1 + more));
        self.charge(from, size, (0, 1));
        self.charge(to, size * (1 + 2 * more), (1, 2 * more));
    }

    /// `size` bytes reach a node that they were sent to.
    fn pass(&mut self, (from, to): (usize, usize), size: u64) {
        self.occupy((from, to), size);
        [from, to].into_iter().for_each(|end| self.charge(end, size, (1, 0)));
    }

    fn occupy(&mut self, (from, to): (usize, usize), size: u64) {
        if self.scenario.costs.is_some() {
            let (here, there) = (self.nodes[from].machine, self.nodes[to].machine);
            self.network.occupy(here, there, size, self.now);
        }
    }

    /// A node sends or receives `size` bytes, in so many messages and copies of messages.
    fn charge(&mut self, node: usize, size: u64, (messages, copies): (u64, u64)) {
        if self.scenario.costs.is_some() {
            let node = &mut self.nodes[node];
            self.bytes[node.machine] += size;
            self.network_us += node.trainer.steal(size, messages, copies);
        }
    }

    fn record(&self, sent: impl FnOnce() -> Sent) {
        if let Some(tap) = &self.scenario.tap {
            tap.borrow_mut().push(sent());
        }
    }

    /// Sends copies along a path of nodes.
    fn transmit(&mut self, path: &[usize], message: &Rc<Message>) {
        let [from, .., to] = *path else { return };
        let via = path[path.len() - 2];
        let machines: Vec<usize> = path.iter().map(|&node| self.nodes[node].machine).collect();
        self.messages += 1;
        self.record(|| Sent::Message(Rc::clone(message)));
        for delay in self.network.copies(&machines) {
            let message = Rc::clone(message);
            self.push(self.now.after_us(delay), Event::Deliver { from, via, to, message });
        }
    }

    pub(crate) fn deliver(
        &mut self,
        from: usize,
        via: usize,
        to: usize,
        message: &Message,
    ) -> Result<(), String> {
        if !self.network.open(self.nodes[via].machine, self.nodes[to].machine) {
            return Ok(());
        }
        let from = self.nodes[from].id;
        self.tell(to, Input::Received { from, message: message.clone() })
    }

    pub(crate) fn fetch(&mut self, node: usize, blob: BlobRef, from: NodeId) {
        let token = self.nodes[node].begin_fetch(blob, from);
        let Some(&server) = self.by_id.get(&from).filter(|at| self.links.contains(&(node, **at)))
        else {
            return self.push(self.now.after(1), Event::GiveUp { node, token });
        };
        self.push(self.now.after(FETCH_TIMEOUT_MS), Event::GiveUp { node, token });
        let (here, there) = (self.nodes[node].machine, self.nodes[server].machine);
        let at = self.now.after_us(self.network.delay(here, there));
        // What is fetched of one peer at one moment is asked for by one question.
        let question = (node, server, self.now);
        if self.asked.replace(question) != Some(question) {
            self.pass((node, server), self.weigh(|| message_size::REQUEST));
        }
        if !self.network.loses() {
            let hash = blob.hash;
            self.push(at, Event::Serve { node: server, asker: node, token, hash });
        } else if self.network.resets() {
            self.push(at, Event::GiveUp { node, token });
        }
    }

    /// A node looks a blob up for another one, at the moment at which it is asked.
    pub(crate) fn serve(
        &mut self,
        node: usize,
        asker: usize,
        token: u64,
        hash: Hash,
    ) -> Result<(), String> {
        let (here, there) = (self.nodes[node].machine, self.nodes[asker].machine);
        if !self.connectable(node, asker) {
            return Ok(());
        }
        if self.facts.made.as_ref().is_some_and(|made| made.is_batch(&hash)) {
            return Err(format!("{} gives an activation batch away", self.nodes[node].id));
        }
        let mut bytes = self.nodes[node].store.get(&hash).cloned();
        if bytes.is_some() && self.is_lost() {
            self.lose(node, hash);
            bytes = None;
        }
        if self.is_liar(node) && self.rng.hit(byzantine::FALSE_BLOBS) {
            bytes.iter_mut().for_each(|bytes| damage(bytes, &mut self.rng));
        }
        bytes.iter().for_each(|bytes| self.record(|| Sent::Blob(bytes.clone())));
        let size = bytes.as_ref().map_or(0, |bytes| self.nodes[node].trainer.name(bytes).size);
        let at = self.network.transfer(here, there, size, self.now);
        if let Some(pending) = self.nodes[asker].fetches.get_mut(&token) {
            pending.arrives = at;
        }
        [node, asker].into_iter().for_each(|end| self.charge(end, size, (0, 0)));
        self.push(at, Event::Answer { node: asker, from: node, token, bytes });
        Ok(())
    }

    /// Nothing came for long; what is under way is waited for.
    pub(crate) fn give_up(&mut self, node: usize, token: u64) -> Result<(), String> {
        match self.nodes[node].fetches.get(&token) {
            Some(pending) if pending.arrives > self.now => {
                let later = pending.arrives;
                self.push(later, Event::GiveUp { node, token });
                Ok(())
            }
            _ => self.end_fetch(node, token, None),
        }
    }

    pub(crate) fn answer(
        &mut self,
        node: usize,
        from: usize,
        token: u64,
        bytes: Option<Vec<u8>>,
    ) -> Result<(), String> {
        if !self.network.open(self.nodes[from].machine, self.nodes[node].machine) {
            return Ok(());
        }
        self.blobs += u64::from(bytes.is_some());
        self.end_fetch(node, token, bytes)
    }

    pub(crate) fn end_fetch(
        &mut self,
        node: usize,
        token: u64,
        bytes: Option<Vec<u8>>,
    ) -> Result<(), String> {
        match self.nodes[node].end_fetch(token, bytes) {
            Some(input) => self.tell(node, input),
            None => Ok(()),
        }
    }
}
