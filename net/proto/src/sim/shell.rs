//! What happens between nodes: carrying out what the decisions want, and telling them what came.
//!
//! Rule: nothing is carried out in zero time that takes time in a real node, and an event that
//! concerns two nodes looks at the link between them at the moment at which it happens.

use std::collections::VecDeque;
use std::rc::Rc;

use super::faults::Sent;
use super::lies::{self, damage};
use super::network::Cause;
use super::node::{Disk, Node};
use super::reference::blob;
use super::{Event, World};
use crate::{BlobRef, Hash, Input, Message, NodeId, Notice, Output, Time};

/// A fetch that got no answer fails after this long, ms.
const FETCH_TIMEOUT_MS: u64 = 2_000;

/// A node is woken up to this much late, ms.
const WAKE_LAG_MS: u64 = 8;

/// Measuring the trainer's speed takes this long, ms.
const MEASURE_MS: (u64, u64) = (50, 600);

/// After this long the speed is measured again, ms.
const MEASURE_AGAIN_MS: (u64, u64) = (3_000, 9_000);

impl World {
    /// The node that runs on a machine.
    pub(super) fn running(&self, machine: usize) -> Option<usize> {
        self.nodes.iter().position(|node| node.alive && node.machine == machine)
    }

    /// A node starts on `machine`, which keeps its disk or lost it.
    pub(super) fn start(&mut self, machine: usize, disk: bool) -> Result<(), String> {
        if self.running(machine).is_some() {
            return Ok(());
        }
        let what = self.scenario.machines.get(machine).cloned();
        let what = what.ok_or_else(|| format!("there is no machine {machine}"))?;
        let mut kept = self.disks.remove(&machine).filter(|_| disk).unwrap_or_default();
        self.spoil(&mut kept);
        let restored: Vec<_> = kept.values().map(|(checkpoint, _)| *checkpoint).collect();
        let number = self.nodes.len();
        let node = Node::new(&self.scenario, (number, machine), &what, kept, self.now);
        self.by_id.insert(node.id, number);
        if what.lies {
            self.facts.liars.insert(node.id);
        }
        self.nodes.push(node);
        for (low, high) in [MEASURE_MS, MEASURE_AGAIN_MS] {
            let at = self.now.after(self.chance.between(low, high));
            let speed = what.speed * self.chance.between(900, 1_100) / 1_000;
            let input = Box::new(Input::Speed(speed.max(1)));
            self.push(at, Event::Tell { node: number, input });
        }
        for checkpoint in restored {
            self.tell(number, Input::Restored(checkpoint))?;
        }
        self.tell(number, Input::Wakeup)?;
        self.relink(Cause::Found);
        Ok(())
    }

    /// Some bytes on a disk change; what lost its hash is not used, as in a real folder.
    fn spoil(&mut self, kept: &mut Disk) {
        for (_, bytes) in kept.values_mut() {
            if self.chance.hit(self.scenario.rot) {
                damage(bytes, &mut self.chance);
            }
        }
        kept.retain(|_, (checkpoint, bytes)| blob(bytes) == checkpoint.blob);
    }

    /// A node is no more.
    pub(super) fn stop(&mut self, node: usize, cause: Cause) {
        let ended = &mut self.nodes[node];
        ended.alive = false;
        ended.store.clear();
        self.disks.insert(ended.machine, std::mem::take(&mut ended.disk));
        self.links.retain(|(from, _)| *from != node);
        self.relink(cause);
    }

    /// Whether a connection between two nodes can live.
    fn connectable(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.nodes[a], &self.nodes[b]);
        a.alive && b.alive && self.network.connectable(a.machine, b.machine)
    }

    /// Has every node notice, in a while, what changed about its links.
    pub(super) fn relink(&mut self, cause: Cause) {
        for node in (0..self.nodes.len()).filter(|&node| self.nodes[node].alive).collect::<Vec<_>>()
        {
            for peer in (0..self.nodes.len()).filter(|&peer| peer != node) {
                let can = self.connectable(node, peer);
                if can == self.links.contains(&(node, peer)) || !self.noticing.insert((node, peer))
                {
                    continue;
                }
                let delay = self.network.notice(if can { Cause::Found } else { cause });
                self.push(self.now.after(delay), Event::Notice { node, peer });
            }
        }
    }

    /// A node looks at one link; it hears of a change, but not of one that is over already.
    pub(super) fn notice(&mut self, node: usize, peer: usize) -> Result<(), String> {
        self.noticing.remove(&(node, peer));
        let id = self.nodes[peer].id;
        if self.connectable(node, peer) {
            if self.links.insert((node, peer)) {
                self.tell(node, Input::Connected(id))?;
            }
        } else if self.links.remove(&(node, peer)) {
            self.tell(node, Input::Disconnected(id))?;
            for token in self.nodes[node].fetches_from(id) {
                self.end_fetch(node, token, None)?;
            }
        }
        Ok(())
    }

    pub(super) fn wake(&mut self, node: usize, at: Time) -> Result<(), String> {
        if self.nodes[node].wake != Some(at) {
            return Ok(());
        }
        self.nodes[node].wake = None;
        self.tell(node, Input::Wakeup)?;
        if self.nodes[node].alive && self.nodes[node].next_wakeup() <= self.now {
            return Err(format!("{} wants to be woken at once, again", self.nodes[node].id));
        }
        Ok(())
    }

    /// Lets a node's decisions hear something and carries out what they want.
    pub(super) fn tell(&mut self, node: usize, input: Input) -> Result<(), String> {
        let name = (self.nodes[node].machine, self.nodes[node].id);
        self.trace.line(self.now, Some(name), format_args!("<- {input:?}"));
        // A view costs more than an event, and owners change with a notice only.
        let mut looks = input == Input::Wakeup;
        for output in self.nodes[node].handle(input, self.now) {
            looks |= matches!(output, Output::Notify(Notice::Owner(_)));
            self.trace.line(self.now, Some(name), format_args!("-> {output:?}"));
            if !self.nodes[node].alive {
                return Err(format!("{} goes on after it has finished", name.1));
            }
            let checked = self.nodes[node].carry_out(&self.facts, &output);
            checked.map_err(|rule| format!("{}: {rule}", name.1))?;
            self.carry_out(node, output)?;
        }
        let after = self.nodes[node].after(&self.facts, looks);
        after.map_err(|rule| format!("{}: {rule}", name.1))?;
        self.plan_wake(node);
        Ok(())
    }

    fn plan_wake(&mut self, node: usize) {
        let due = self.nodes[node].next_wakeup();
        if self.nodes[node].alive
            && self.nodes[node].wake.is_none_or(|at| at > due.after(WAKE_LAG_MS))
        {
            let at = due.max(self.now).after(self.chance.between(0, WAKE_LAG_MS));
            self.nodes[node].wake = Some(at);
            self.push(at, Event::Wake { node, at });
        }
    }

    /// Carries out what concerns others, or takes time.
    fn carry_out(&mut self, node: usize, output: Output) -> Result<(), String> {
        match output {
            Output::Broadcast(message) => self.broadcast(node, message),
            Output::Send { to, message } => self.send(node, to, message),
            Output::Fetch { blob, from } => self.fetch(node, blob, from),
            job @ (Output::Load { .. }
            | Output::Train { .. }
            | Output::Refresh { .. }
            | Output::Unload { .. }
            | Output::Evaluate { .. }) => {
                if self.nodes[node].trainer.push(job) {
                    self.begin_job(node);
                }
            }
            Output::Finished => {
                let is_done = self.nodes[node].leaving.is_none();
                if is_done && !self.scenario.config.exit_when_done {
                    return Err("a node finished that nobody asked to".to_owned());
                }
                self.nodes[node].is_done = is_done;
                self.stop(node, Cause::Closed);
            }
            Output::Drop(_) | Output::Keep(_) | Output::Notify(_) => {}
        }
        Ok(())
    }

    /// The nodes that a gossiped message can reach, each with the path of nodes to it.
    fn paths(&self, from: usize) -> Vec<Vec<usize>> {
        let mut paths = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        seen[from] = true;
        let mut open = VecDeque::from([vec![from]]);
        while let Some(path) = open.pop_front() {
            let Some(&end) = path.last() else { continue };
            for (next, node) in self.nodes.iter().enumerate() {
                let passes = node.alive
                    && self.links.contains(&(end, next))
                    && self.network.open(self.nodes[end].machine, node.machine);
                if passes && !std::mem::replace(&mut seen[next], true) {
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

    fn broadcast(&mut self, node: usize, message: Message) {
        self.publish(node, message);
        if self.is_liar(node) && !self.healed && self.chance.hit(lies::FALSE_WORDS) {
            let known = self.nodes[node].state.snapshot();
            let lie = lies::draw(&self.facts.plan, &known, &mut self.chance);
            self.trace.line(self.now, None, format_args!("{} lies", self.nodes[node].id));
            self.publish(node, lie);
        }
    }

    fn publish(&mut self, node: usize, message: Message) {
        let message = Rc::new(message);
        for path in self.paths(node) {
            self.transmit(&path, &message);
        }
    }

    fn send(&mut self, node: usize, to: NodeId, message: Message) {
        if let Some(&to) = self.by_id.get(&to)
            && self.links.contains(&(node, to))
        {
            self.transmit(&[node, to], &Rc::new(message));
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
            self.push(self.now.after(delay), Event::Deliver { from, via, to, message });
        }
    }

    pub(super) fn deliver(
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

    fn fetch(&mut self, node: usize, blob: BlobRef, from: NodeId) {
        let token = self.nodes[node].begin_fetch(blob, from);
        let Some(&server) = self.by_id.get(&from).filter(|at| self.links.contains(&(node, **at)))
        else {
            return self.push(self.now.after(1), Event::GiveUp { node, token });
        };
        self.push(self.now.after(FETCH_TIMEOUT_MS), Event::GiveUp { node, token });
        let (here, there) = (self.nodes[node].machine, self.nodes[server].machine);
        let at = self.now.after(self.network.delay(here, there));
        if !self.network.loses() {
            let hash = blob.hash;
            self.push(at, Event::Serve { node: server, asker: node, token, hash });
        } else if self.network.resets() {
            self.push(at, Event::GiveUp { node, token });
        }
    }

    /// A node looks a blob up for another one, at the moment at which it is asked.
    pub(super) fn serve(
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
        if self.is_liar(node) && self.chance.hit(lies::FALSE_BLOBS) {
            bytes.iter_mut().for_each(|bytes| damage(bytes, &mut self.chance));
        }
        bytes.iter().for_each(|bytes| self.record(|| Sent::Blob(bytes.clone())));
        let size = bytes.as_ref().map_or(0, Vec::len) as u64;
        let at = self.network.transfer(here, there, size, self.now);
        self.push(at, Event::Answer { node: asker, from: node, token, bytes });
        Ok(())
    }

    pub(super) fn answer(
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

    pub(super) fn end_fetch(
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

    fn begin_job(&mut self, node: usize) {
        if let Some(ms) = self.nodes[node].trainer.duration(&self.facts.plan) {
            self.push(self.now.after(ms), Event::JobDone { node });
        }
    }

    pub(super) fn job_done(&mut self, node: usize) -> Result<(), String> {
        let Node { trainer, store, id, .. } = &mut self.nodes[node];
        let made =
            trainer.finish(&self.facts.plan, store).map_err(|rule| format!("{id}: {rule}"))?;
        self.begin_job(node);
        if let Some((record, answer)) = self.facts.made.as_mut().zip(made.answer.as_ref()) {
            record.note(answer);
        }
        if let Some(cell) = made.cell {
            self.trained += 1;
            if self.cells.insert(cell) {
                self.arm();
            }
        }
        made.answer.map_or(Ok(()), |answer| self.tell(node, answer))
    }
}
