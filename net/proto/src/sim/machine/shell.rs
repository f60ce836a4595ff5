//! The shells of all nodes: they hand inputs to the decisions and carry out the outputs.
//!
//! Rule: nothing is carried out in zero time that takes time in a real node.

use crate::sim::checks::final_checks;
use crate::sim::clock::Moment;
use crate::sim::events::Event;
use crate::sim::machine::boot::boot;
use crate::sim::machine::training::{self, Training};
use crate::sim::network::byzantine::Byzantine;
use crate::sim::network::cables::Cause;
use crate::sim::network::transport::Transport;
use crate::sim::scenario::Scenario;
use crate::sim::stage::Stage;
use crate::{Hash, Input, Notice, Output, ShardId};

/// The most by which a node is woken late, ms.
const WAKE_LAG_MS: u64 = 8;

/// The nodes and everything between them.
#[derive(Debug)]
pub(crate) struct Shells {
    pub(crate) stage: Stage,
    pub(crate) transport: Transport,
    pub(crate) training: Training,
    byzantine: Byzantine,
    /// The moment at which the first node had the whole model.
    complete: Option<Moment>,
}

impl Shells {
    /// No nodes yet.
    pub(crate) fn new(scenario: Scenario, trace: Option<usize>) -> Self {
        Self {
            transport: Transport::new(&scenario),
            stage: Stage::new(scenario, trace),
            training: Training::default(),
            byzantine: Byzantine::default(),
            complete: None,
        }
    }

    /// The moment at which the first node had the whole model.
    pub(crate) fn complete(&self) -> Option<Moment> {
        self.complete
    }

    /// A node starts on `machine`, which keeps its disk or lost it; nothing where one is running.
    pub(crate) fn start(&mut self, machine: usize, disk: bool) -> Result<(), String> {
        let Some((node, restored)) = boot(&mut self.stage, machine, disk)? else { return Ok(()) };
        for checkpoint in restored {
            // Forged ones can share their bytes, and go with the first that is given up.
            if self.stage.nodes[node].store.contains(&checkpoint.blob.hash) {
                self.handle(node, Input::Restored(checkpoint))?;
            }
        }
        self.handle(node, Input::Wakeup)?;
        self.transport.links.relink(&mut self.stage, &[node], Cause::Found);
        Ok(())
    }

    /// A node ends.
    pub(crate) fn stop(&mut self, node: usize, cause: Cause) {
        self.stage.nodes.stop(node);
        self.transport.links.drop_node(&mut self.stage, node, cause);
    }

    /// Wakes a node, unless it is to be woken at another moment by now.
    pub(crate) fn wake(&mut self, node: usize, at: Moment) -> Result<(), String> {
        if self.stage.nodes[node].wake != Some(at) {
            return Ok(());
        }
        self.stage.nodes[node].wake = None;
        self.handle(node, Input::Wakeup)?;
        let woken = &self.stage.nodes[node];
        if woken.alive && woken.next_wakeup() <= self.stage.now() {
            return Err(format!("{} wants to be woken at once, again", woken.id));
        }
        Ok(())
    }

    /// A node looks at its link to a peer; its fetches over a broken link fail.
    pub(crate) fn notice(&mut self, node: usize, peer: usize) -> Result<(), String> {
        let learned = self.transport.links.notice(&self.stage.nodes, node, peer);
        let Some(learned) = learned else { return Ok(()) };
        let is_gone = matches!(learned, Input::Disconnected(_));
        self.handle(node, learned)?;
        let peer = self.stage.nodes[peer].id;
        let fetches = if is_gone { self.stage.nodes[node].fetches_from(peer) } else { Vec::new() };
        for token in fetches {
            let failed = self.stage.nodes[node].end_fetch(token, None);
            self.handle_any(node, failed)?;
        }
        Ok(())
    }

    /// The current job of a node's trainer may be done; returns the shard that made progress, and
    /// the inputs for its decisions.
    pub(crate) fn job_done(
        &mut self,
        node: usize,
    ) -> Result<(Option<ShardId>, Vec<Input>), String> {
        let done = self.training.job_done(&mut self.stage, node)?;
        Ok(done.map_or((None, Vec::new()), |done| (done.progress, done.inputs)))
    }

    /// As [`handle`](Self::handle), for each of these.
    pub(crate) fn handle_any(
        &mut self,
        node: usize,
        inputs: impl IntoIterator<Item = Input>,
    ) -> Result<(), String> {
        inputs.into_iter().try_for_each(|input| self.handle(node, input))
    }

    /// Hands an input to a node's decisions, then checks their outputs and carries them out.
    pub(crate) fn handle(&mut self, node: usize, input: Input) -> Result<(), String> {
        let stage = &mut self.stage;
        let (now, name) = (stage.now(), (stage.nodes[node].machine, stage.nodes[node].id));
        stage.trace.line(now, Some(name), format_args!("<- {input:?}"));
        // A view costs more than an event, and owners change with a notice only.
        let mut looks = input == Input::Wakeup;
        for output in stage.nodes[node].handle(input, now) {
            looks |= matches!(output, Output::Notify(Notice::Owner(_)));
            self.check(node, &output)?;
            self.carry_out(node, output)?;
        }
        let Stage { nodes, facts, .. } = &mut self.stage;
        nodes[node].after(facts, looks).map_err(|rule| format!("{}: {rule}", name.1))?;
        self.plan_wake(node);
        Ok(())
    }

    /// Checks one output, and carries it out as far as it concerns the node alone.
    fn check(&mut self, node: usize, output: &Output) -> Result<(), String> {
        let Stage { nodes, facts, trace, events, .. } = &mut self.stage;
        let node = &mut nodes[node];
        trace.line(events.now(), Some((node.machine, node.id)), format_args!("-> {output:?}"));
        if !node.alive {
            return Err(format!("{} goes on after it has finished", node.id));
        }
        node.carry_out(facts, output).map_err(|rule| format!("{}: {rule}", node.id))?;
        if node.complete.is_some() {
            self.complete.get_or_insert(events.now());
        }
        Ok(())
    }

    fn plan_wake(&mut self, node: usize) {
        let stage = &mut self.stage;
        let due = stage.nodes[node].next_wakeup();
        if stage.nodes[node].alive
            && stage.nodes[node].wake.is_none_or(|at| at > due.after(WAKE_LAG_MS))
        {
            let at = due.max(stage.now()).after(stage.rng.between(0, WAKE_LAG_MS));
            stage.nodes[node].wake = Some(at);
            stage.events.push(at, Event::Wake { node, at });
        }
    }

    /// Carries out an output as far as it concerns others or takes time.
    fn carry_out(&mut self, node: usize, output: Output) -> Result<(), String> {
        let Self { stage, transport, .. } = self;
        match output {
            Output::Broadcast(message) => {
                transport.broadcast(stage, node, message);
                for lie in self.byzantine.lies(stage, node) {
                    transport.broadcast(stage, node, lie);
                }
            }
            Output::Send { to, message } => transport.send(stage, node, to, message),
            Output::Fetch { blob, from } => transport.fetch(stage, node, blob, from),
            job @ (Output::Load { .. }
            | Output::Train { .. }
            | Output::Refresh { .. }
            | Output::Merge { .. }
            | Output::Unload { .. }) => training::begin(stage, node, job),
            Output::Evaluate { epoch, checkpoints } => {
                let score = training::score(stage, node, epoch, checkpoints)?;
                return self.handle_any(node, score);
            }
            Output::HurryScore => stage.nodes[node].trainer.hurry_score(),
            Output::Notify(Notice::Complete(list)) => {
                let checkpoints: Vec<Hash> = list.iter().map(|it| it.blob.hash).collect();
                training::refuse_forged(stage, node, stage.facts.plan.steps, &checkpoints);
            }
            Output::Finished => {
                final_checks::may_finish(stage, node)?;
                stage.nodes[node].is_done = stage.nodes[node].leaving.is_none();
                self.stop(node, Cause::Closed);
            }
            Output::Drop(_) | Output::Keep(_) | Output::Notify(_) => {}
        }
        Ok(())
    }
}
