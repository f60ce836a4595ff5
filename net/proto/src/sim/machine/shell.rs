//! The life of nodes: starting, hearing of links, carrying out what the decisions want.
//!
//! Rule: nothing is carried out in zero time that takes time in a real node. What travels between
//! nodes is in the file beside this one.

use crate::sim::clock::Moment;
use crate::sim::machine::node::{Disk, Node};
use crate::sim::machine::trainer::{reads_of, undone};
use crate::sim::mathematics::reference::blob;
use crate::sim::network::byzantine::damage;
use crate::sim::network::cables::Cause;
use crate::sim::{Event, World};
use crate::{Hash, Input, Notice, Output};

/// A node is woken up to this much late, ms.
const WAKE_LAG_MS: u64 = 8;

/// A trainer looks how fast it is at its start, which takes this long, ms.
const GLANCE_MS: u64 = 300;

/// Measuring the trainer's speed takes this long, ms.
const MEASURE_MS: (u64, u64) = (50, 600);

/// After this long the speed is measured again, ms.
const MEASURE_AGAIN_MS: (u64, u64) = (3_000, 9_000);

impl World {
    /// The node that runs on a machine.
    pub(crate) fn running(&self, machine: usize) -> Option<usize> {
        self.nodes.iter().position(|node| node.alive && node.machine == machine)
    }

    /// A node starts on `machine`, which keeps its disk or lost it.
    pub(crate) fn start(&mut self, machine: usize, disk: bool) -> Result<(), String> {
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
        // Where the run is predicted, the trainer measures.
        let tells: &[_] =
            if self.scenario.costs.is_none() { &[MEASURE_MS, MEASURE_AGAIN_MS] } else { &[] };
        for &(low, high) in tells {
            let at = self.now.after(self.rng.between(low, high));
            let speed = what.speed * self.rng.between(900, 1_100) / 1_000;
            let input = Box::new(Input::Speed(speed.max(1)));
            self.push(at, Event::Tell { node: number, input });
        }
        if self.scenario.costs.is_some() {
            self.push(self.now.after(GLANCE_MS), Event::Glance { node: number });
        }
        for checkpoint in restored {
            self.tell(number, Input::Restored(checkpoint))?;
        }
        self.tell(number, Input::Wakeup)?;
        self.relink(&[number], Cause::Found);
        Ok(())
    }

    /// Some bytes on a disk change; what lost its hash is not used, as in a real folder.
    fn spoil(&mut self, kept: &mut Disk) {
        for (_, bytes) in kept.values_mut() {
            if self.rng.hit(self.scenario.rot) {
                damage(bytes, &mut self.rng);
            }
        }
        let mathematics = &*self.scenario.mathematics;
        kept.retain(|_, (checkpoint, bytes)| blob(mathematics, bytes) == checkpoint.blob);
    }

    /// A node is no more.
    pub(crate) fn stop(&mut self, node: usize, cause: Cause) {
        let ended = &mut self.nodes[node];
        ended.alive = false;
        ended.store.clear();
        self.disks.insert(ended.machine, std::mem::take(&mut ended.disk));
        for peer in 0..self.nodes.len() {
            self.links.remove(&(node, peer));
        }
        self.relink(&[node], cause);
    }

    /// Whether a connection between two nodes can live.
    pub(crate) fn connectable(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.nodes[a], &self.nodes[b]);
        a.alive && b.alive && self.network.connectable(a.machine, b.machine)
    }

    /// Has everybody notice, in a while, what changed about the links of some.
    pub(crate) fn relink(&mut self, of: &[usize], cause: Cause) {
        for &node in of {
            for peer in (0..self.nodes.len()).filter(|&peer| peer != node) {
                self.look_later(node, peer, cause);
                self.look_later(peer, node, cause);
            }
        }
    }

    /// As [`relink`](Self::relink), for all.
    pub(crate) fn relink_all(&mut self, cause: Cause) {
        let living = (0..self.nodes.len()).filter(|&node| self.nodes[node].alive);
        self.relink(&living.collect::<Vec<_>>(), cause);
    }

    fn look_later(&mut self, node: usize, peer: usize, cause: Cause) {
        let can = self.connectable(node, peer);
        let changed = self.nodes[node].alive && can != self.links.contains(&(node, peer));
        if changed && self.noticing.insert((node, peer)) {
            let delay = self.network.notice(if can { Cause::Found } else { cause });
            self.push(self.now.after(delay), Event::Notice { node, peer });
        }
    }

    /// A node looks at one link; it hears of a change, but not of one that is over already.
    pub(crate) fn notice(&mut self, node: usize, peer: usize) -> Result<(), String> {
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

    pub(crate) fn wake(&mut self, node: usize, at: Moment) -> Result<(), String> {
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
    pub(crate) fn tell(&mut self, node: usize, input: Input) -> Result<(), String> {
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
            if self.nodes[node].complete.is_some() {
                self.complete.get_or_insert(self.now);
            }
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
            let at = due.max(self.now).after(self.rng.between(0, WAKE_LAG_MS));
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
            | Output::Unload { .. }) => {
                if let Some((hash, undone)) = self.reads_in_vain(&job) {
                    self.lose(node, hash);
                    self.push(self.now, Event::Tell { node, input: Box::new(undone) });
                } else if self.nodes[node].trainer.push(job) {
                    self.begin_job(node);
                }
            }
            Output::Evaluate { epoch, checkpoints } if self.are_forged(&checkpoints) => {
                let step = self.facts.plan.epoch_end(epoch);
                self.refuse_forged(node, step, &checkpoints);
                if let Some(input) = undone(&Output::Evaluate { epoch, checkpoints }) {
                    self.push(self.now, Event::Tell { node, input: Box::new(input) });
                }
            }
            Output::Notify(Notice::Complete(list)) => {
                let checkpoints: Vec<Hash> = list.iter().map(|it| it.blob.hash).collect();
                self.refuse_forged(node, self.facts.plan.steps, &checkpoints);
            }
            epoch @ Output::Evaluate { .. } => {
                if let Some((hash, undone)) = self.reads_in_vain(&epoch) {
                    self.lose(node, hash);
                    self.push(self.now, Event::Tell { node, input: Box::new(undone) });
                    return Ok(());
                }
                self.nodes[node].trainer.score(epoch);
                self.score_on(node)?;
            }
            Output::HurryScore => self.nodes[node].trainer.hurry_score(),
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

    fn are_forged(&self, checkpoints: &[Hash]) -> bool {
        checkpoints.iter().any(|hash| self.facts.junk.contains(hash))
    }

    /// Whoever puts a model together reads all of it.
    fn refuse_forged(&mut self, node: usize, step: u64, checkpoints: &[Hash]) {
        for (shard, hash) in self.facts.plan.model_shards().zip(checkpoints) {
            if self.facts.junk.contains(hash) {
                let input = Box::new(Input::Unusable { shard, step });
                self.push(self.now, Event::Tell { node, input });
            }
        }
    }

    /// A node notices that its store does not have a blob any more.
    pub(crate) fn lose(&mut self, node: usize, hash: Hash) {
        self.push(self.now, Event::Tell { node, input: Box::new(Input::Lost { hash }) });
    }

    /// Whether a read shows that a blob is lost.
    pub(crate) fn is_lost(&mut self) -> bool {
        self.scenario.lost > 0 && !self.healed && self.rng.hit(self.scenario.lost)
    }

    /// The first blob that a job reads and that turns out to be lost, and what that makes of the job.
    fn reads_in_vain(&mut self, job: &Output) -> Option<(Hash, Input)> {
        let hash = reads_of(job).into_iter().find(|_| self.is_lost())?;
        Some((hash, undone(job)?))
    }

    fn begin_job(&mut self, node: usize) {
        if let Some(us) = self.nodes[node].trainer.begin(&self.facts.plan) {
            self.push(self.now.after_us(us), Event::JobDone { node });
        }
    }

    /// Scores on, for a turn, or is done with it.
    pub(crate) fn score_on(&mut self, node: usize) -> Result<(), String> {
        if let Some(us) = self.nodes[node].trainer.score_on() {
            self.push(self.now.after_us(us), Event::Scores { node });
            return Ok(());
        }
        let Node { trainer, store, id, .. } = &mut self.nodes[node];
        let score = trainer.scored(store).map_err(|rule| format!("{id}: {rule}"))?;
        score.map_or(Ok(()), |score| self.tell(node, score))
    }

    pub(crate) fn job_done(&mut self, node: usize) -> Result<(), String> {
        if let Some(us) = self.nodes[node].trainer.delayed() {
            self.push(self.now.after_us(us), Event::JobDone { node });
            return Ok(());
        }
        let Node { trainer, store, id, .. } = &mut self.nodes[node];
        let made =
            trainer.finish(&self.facts.plan, store).map_err(|rule| format!("{id}: {rule}"))?;
        self.begin_job(node);
        if let Some((record, answer)) = self.facts.made.as_mut().zip(made.answer.as_ref()) {
            record.note(answer);
        }
        if let Some(cell) = made.cell {
            self.trained += 1;
            self.busy.insert(self.nodes[node].machine);
            if self.cells.insert(cell) {
                self.note_progress(cell.0);
                self.arm();
            }
        }
        made.answer.into_iter().chain(made.speed).try_for_each(|answer| self.tell(node, answer))
    }
}
