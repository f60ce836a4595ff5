//! The shards in training: the work of the trainer thread at each command.
//!
//! Rule: what is computed for a (shard, step) depends on the spec, the data and the inputs only. A shard
//! is trained step by step from the step that it was loaded at: any other step is refused, so that no
//! shard ends with other bytes than the run's.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Instant,
};

use bytes::Bytes;
use ffp2p_proto::{Hash, Plan, ShardId};
use tokio::sync::mpsc;

use super::{
    commands::{Command, Done, Made},
    compute_gate::ComputeGate,
    loaded::{Loaded, State, made},
    merging::{self, Parts, Unmerged},
    reads::{Reader, Reads, UnreadableError},
    speed::Speed,
};
use crate::{
    checkpoint,
    ff::{Activations, Buffers, Fault, Shard, ShardState, StepReport, encode},
    schedule::Schedule,
};

/// The result of a step.
struct Stepped {
    /// The shard's outputs; the feedback shard has none.
    outputs: Option<Activations>,
    /// At the end of a chapter, the checkpoint and the chapter's mean loss in millionths.
    checkpoint: Option<(Made, u64)>,
}

/// A step of a shard under a load.
#[derive(Clone, Copy)]
struct Step {
    shard: ShardId,
    load: u64,
    step: u64,
}

/// The reason why a step is not done.
enum Undone {
    Unreadable(UnreadableError),
    Fault(Fault),
}

impl<E: Into<UnreadableError>> From<E> for Undone {
    fn from(error: E) -> Self {
        Self::Unreadable(error.into())
    }
}

/// The trainer thread's work.
pub(super) struct Worker<'a> {
    schedule: Schedule,
    plan: Plan,
    gate: &'a ComputeGate,
    /// Layer and index of each shard, by number.
    places: Vec<Shard>,
    shards: BTreeMap<ShardId, Loaded>,
    reader: Reader,
    /// For the steps of all shards.
    buffers: Buffers,
    speed: Speed,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(schedule: Schedule, gate: &'a ComputeGate) -> Self {
        let (network, plan) = (schedule.network(), schedule.plan());
        let places = network.shards().into_iter().chain(network.feedback_shard()).collect();
        let (shards, reader) = (BTreeMap::new(), Reader::default());
        let (buffers, speed) = (Buffers::default(), Speed::default());
        Self { schedule, plan, gate, places, shards, reader, buffers, speed }
    }

    /// Works until the other side is gone.
    pub(super) fn run(mut self, queue: Receiver<Command>, answers: &mpsc::Sender<Done>) {
        loop {
            let patience = self.speed.patience();
            let next =
                queue.try_recv().or_else(|_| self.gate.rest(|| queue.recv_timeout(patience)));
            let gate = self.gate;
            let (answer, speed) = match next {
                Ok(command) => (gate.train(|| self.answer(command)), self.speed.report()),
                Err(RecvTimeoutError::Timeout) => (None, Some(gate.train(|| self.benchmark()))),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for answer in answer.into_iter().chain(speed.map(Done::Speed)) {
                if answers.blocking_send(answer).is_err() {
                    return;
                }
            }
        }
    }

    /// Does now what others would wait for later: measures the speed, and draws the images where they
    /// are needed first. Returns false when the other side is gone.
    pub(super) fn prepare(&mut self, answers: &mpsc::Sender<Done>, by_chapter: bool) -> bool {
        let is_there = answers.blocking_send(Done::Speed(self.benchmark())).is_ok();
        if by_chapter {
            self.schedule.draw(self.pool_threads());
        }
        is_there
    }

    fn benchmark(&mut self) -> u64 {
        self.speed.benchmark(self.schedule.network(), &mut self.buffers, self.gate.pool())
    }

    fn answer(&mut self, command: Command) -> Option<Done> {
        match command {
            Command::Load { shard, load, step, begin, checkpoint } => {
                Some(self.load(Step { shard, load, step }, begin, checkpoint))
            }
            Command::Train { shard, load, step, inputs, feedback, emit, checkpoint } => {
                let at = Step { shard, load, step };
                let reads = self.reads(at, &inputs, feedback.as_ref());
                Some(self.train(at, reads, emit, checkpoint))
            }
            Command::Refresh { shard, load, step, inputs, feedback } => {
                let at = Step { shard, load, step };
                let reads = self.reads(at, &inputs, feedback.as_ref());
                Some(self.refresh(at, reads))
            }
            Command::Merge { shard, step, from, start, changes, are_means } => {
                let parts = Parts { from, start: start.as_ref(), changes: &changes, are_means };
                Some(self.merge(shard, step, parts))
            }
            Command::Unload { shard } => {
                self.shards.remove(&shard);
                None
            }
        }
    }

    /// The bytes that a step reads, with the step that its table has to be of.
    fn reads<'b>(
        &self,
        Step { shard, step, .. }: Step,
        inputs: &'b [Bytes],
        feedback: Option<&'b Bytes>,
    ) -> Reads<'b> {
        Reads { inputs, feedback: feedback.zip(self.plan.table_of(shard, step)) }
    }

    fn load(&mut self, at: Step, begin: u64, bytes: Option<Bytes>) -> Done {
        let Step { shard, load, step } = at;
        let place = self.places[usize::from(shard.0)];
        let spec = self.schedule.network();
        if place.layer == 0 {
            self.schedule.draw(self.pool_threads());
        }
        let state = match (bytes, spec.feedback_shard() == Some(place)) {
            (None, false) => Ok(State::Shard(Box::new(ShardState::init(spec, place)))),
            (None, true) => Ok(State::Feedback(self.schedule.first_table())),
            (Some(bytes), false) => checkpoint::decode(&bytes, spec, place, step)
                .map(|state| State::Shard(Box::new(state))),
            (Some(bytes), true) => {
                let samples = self.schedule.samples();
                checkpoint::decode_table(&bytes, spec, samples, step).map(State::Feedback)
            }
        };
        self.shards.remove(&shard);
        let ok = match state {
            Ok(state) => {
                self.shards.insert(shard, Loaded::new(load, state, begin, spec.is_merged()));
                true
            }
            Err(error) => {
                tracing::warn!(%error, %shard, "a checkpoint was not usable");
                false
            }
        };
        Done::Loaded { shard, load, ok }
    }

    fn pool_threads(&self) -> usize {
        crate::ff::Workers::count(self.gate.pool())
    }

    /// The shard that this load brought in, if it can do `step` now; it is put back afterwards.
    fn take(
        &mut self,
        Step { shard, load, .. }: Step,
        can: impl FnOnce(&Plan, u64) -> bool,
    ) -> Option<Loaded> {
        let loaded = self.shards.get(&shard)?;
        let is_due = loaded.load == load && can(&self.plan, loaded.state.step());
        if is_due { self.shards.remove(&shard) } else { None }
    }

    fn train(&mut self, at: Step, reads: Reads<'_>, emit: bool, checkpoint: bool) -> Done {
        let Step { shard, load, step } = at;
        let refused = |bad| Done::Refused { shard, load, step, bad };
        let can = |plan: &Plan, done| plan.can_train(shard, done, step);
        let Some(mut loaded) = self.take(at, can) else { return refused(None) };
        let place = self.places[usize::from(shard.0)];
        let begin = Instant::now();
        let done = match self.step(place, &mut loaded, step, reads, checkpoint) {
            Ok(Stepped { outputs, checkpoint }) => {
                let spec = self.schedule.network();
                let batch = outputs.and_then(|it| {
                    let batch = emit.then(|| made(encode(&it, spec, place)));
                    self.buffers.give(it.states);
                    batch
                });
                Done::Trained { shard, load, step, batch, checkpoint }
            }
            Err(Undone::Unreadable(error)) => refused(self.bad(&error, place, reads)),
            Err(Undone::Fault(fault)) => self.diverged(place, step, fault),
        };
        self.shards.insert(shard, loaded);
        if self.schedule.network().feedback_shard() != Some(place) {
            self.speed.trained(self.schedule.network().step_macs(place), begin);
        }
        done
    }

    /// One step of a shard.
    fn step(
        &mut self,
        place: Shard,
        loaded: &mut Loaded,
        step: u64,
        reads: Reads<'_>,
        checkpoint: bool,
    ) -> Result<Stepped, Undone> {
        let outputs = match &mut loaded.state {
            State::Shard(state) => {
                let (outputs, report) = self.train_shard(place, state, step, reads)?;
                let fault = if checkpoint { state.fault() } else { None };
                if let Some(fault) = report.fault.or(fault) {
                    return Err(Undone::Fault(fault));
                }
                loaded.add(report.loss);
                Some(outputs)
            }
            State::Feedback(table) => {
                let read = self.reader.batches(self.schedule.network(), place, reads)?;
                self.schedule.draw_wrong_labels(table, &read.logits).map_err(Undone::Fault)?;
                None
            }
        };
        let spec = self.schedule.network();
        let chapter = self.plan.chapter_of(step);
        let steps = self.plan.chapter_start(chapter)..self.plan.chapter_start(chapter + 1);
        let by_branch = self.plan.is_by_chapter();
        let checkpoint = checkpoint.then(|| loaded.finish(spec, place, (by_branch, steps)));
        Ok(Stepped { outputs, checkpoint })
    }

    fn train_shard(
        &mut self,
        place: Shard,
        state: &mut ShardState,
        step: u64,
        reads: Reads<'_>,
    ) -> Result<(Activations, StepReport), UnreadableError> {
        let buffers = &mut self.buffers;
        if place.layer == 0 {
            let input = self.reader.images(&mut self.schedule, step, reads)?;
            let spec = self.schedule.network();
            return Ok(state.train_first(spec, place, input, buffers, self.gate.pool()));
        }
        let labels = self.schedule.labels(step);
        let spec = self.schedule.network();
        let input = self.reader.batches(spec, place, reads)?;
        Ok(state.train(spec, place, input, &labels, buffers, self.gate.pool()))
    }

    /// Makes the checkpoint of a chapter's end.
    fn merge(&self, shard: ShardId, step: u64, parts: Parts<'_>) -> Done {
        let (spec, place) = (self.schedule.network(), self.places[usize::from(shard.0)]);
        let outcome = match merging::merge(spec, &self.plan, (place, step), parts) {
            Ok(made) => Ok(made),
            Err(Unmerged::Bad(bad)) => Err(Hash::of(bad)),
            Err(Unmerged::Fault(fault)) => return self.diverged(place, step - 1, fault),
        };
        Done::Merged { shard, step, outcome }
    }

    /// The blob among those that a step reads which is not of this run.
    fn bad(&self, error: &UnreadableError, place: Shard, reads: Reads<'_>) -> Option<Hash> {
        let bad = match reads.feedback {
            Some((table, _)) => Some(table),
            None => reads.unreadable(self.schedule.network(), place),
        };
        let bad = bad.map(|bytes| Hash::of(bytes));
        tracing::warn!(%error, ?bad, "a blob that a step reads was not usable");
        bad
    }

    /// The shard has a fault in `step`; the feedback shard has none of its own.
    fn diverged(&self, place: Shard, step: u64, fault: Fault) -> Done {
        let spec = self.schedule.network();
        let place = if spec.feedback_shard() == Some(place) { spec.top_shard() } else { place };
        Done::Diverged { place, step: step + 1, fault }
    }

    /// The outputs of a shard for a step of the chapter that it has just been trained over.
    fn refresh(&mut self, at: Step, reads: Reads<'_>) -> Done {
        let Step { shard, load, step } = at;
        let refused = |bad| Done::Refused { shard, load, step, bad };
        let can = |plan: &Plan, done| plan.can_hand_on(shard, done, step);
        let Some(mut loaded) = self.take(at, can) else { return refused(None) };
        let place = self.places[usize::from(shard.0)];
        let done = match self.forward(place, &mut loaded.state, step, reads) {
            Ok(Some(outputs)) => match outputs.fault() {
                Some(fault) => self.diverged(place, step, fault),
                None => {
                    let batch = made(encode(&outputs, self.schedule.network(), place));
                    self.buffers.give(outputs.states);
                    Done::Refreshed { shard, load, step, batch }
                }
            },
            // Nothing reads the feedback shard's outputs.
            Ok(None) => refused(None),
            Err(error) => refused(self.bad(&error, place, reads)),
        };
        self.shards.insert(shard, loaded);
        done
    }

    fn forward(
        &mut self,
        place: Shard,
        state: &mut State,
        step: u64,
        reads: Reads<'_>,
    ) -> Result<Option<Activations>, UnreadableError> {
        let State::Shard(state) = state else { return Ok(None) };
        let buffers = &mut self.buffers;
        let outputs = if place.layer == 0 {
            let input = self.reader.images(&mut self.schedule, step, reads)?;
            let spec = self.schedule.network();
            state.forward_first(spec, place, step, input, buffers, self.gate.pool())
        } else {
            let spec = self.schedule.network();
            let input = self.reader.batches(spec, place, reads)?;
            state.forward(spec, place, step, input, buffers, self.gate.pool())
        };
        Ok(Some(outputs))
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
