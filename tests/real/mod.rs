//! The real mathematics in the cells of a simulated run.
//!
//! Rule: a step is a function of bytes, as a trainer's is; what a step computes is kept nowhere but
//! in what it returns.

use std::{cell::RefCell, collections::BTreeMap};

use ffp2p::{
    checkpoint,
    ff::{
        Activations, Buffers, Change, Delta, FirstInput, Inline, Mean, NetworkSpec, Shard,
        ShardState, concat, decode, encode,
    },
    schedule::Schedule,
    spec::Checked,
};
use ffp2p_proto::{Plan, ShardId, sim::Mathematics};

/// The real training, a step at a time, from canonical bytes to canonical bytes.
#[derive(Debug)]
pub(crate) struct Real {
    schedule: RefCell<Schedule>,
    spec: NetworkSpec,
    plan: Plan,
    places: Vec<Shard>,
    /// The input of the first layer in each step with each table, once drawn.
    inputs: RefCell<BTreeMap<(u64, Vec<u8>), FirstInput>>,
}

impl Real {
    pub(crate) fn new(checked: &Checked) -> Self {
        let schedule = Schedule::new(checked, 1).unwrap();
        let (spec, plan) = (schedule.network().clone(), schedule.plan());
        let places = spec.shards().into_iter().chain(spec.feedback_shard()).collect();
        Self { schedule: RefCell::new(schedule), spec, plan, places, inputs: RefCell::default() }
    }

    fn images(&self, step: u64, feedback: Option<&[u8]>) -> FirstInput {
        let mut schedule = self.schedule.borrow_mut();
        let samples = schedule.samples();
        let draw = || {
            let of = self.plan.table_of(ShardId(0), step).unwrap_or_default();
            let read = |bytes| checkpoint::decode_table(bytes, &self.spec, samples, of).unwrap();
            schedule.first_input(
                step,
                feedback.map(read).as_ref(),
                ndarray::Array2::default((0, 0)),
            )
        };
        let key = (step, feedback.unwrap_or_default().to_vec());
        self.inputs.borrow_mut().entry(key).or_insert_with(draw).clone()
    }

    fn below(&self, place: Shard, inputs: &[&[u8]]) -> Activations {
        let below = Shard { layer: place.layer - 1, index: 0 };
        let read = |bytes: &&[u8]| decode(bytes, &self.spec, below).unwrap();
        concat(&inputs.iter().map(read).collect::<Vec<Activations>>())
    }

    /// The spec by whose rules states within a branch are encoded: nothing of them is rounded.
    fn exact(&self) -> NetworkSpec {
        NetworkSpec { delta: Delta::F32, ..self.spec.clone() }
    }

    /// The state at a chapter's start, or within a branch.
    fn state(&self, place: Shard, step: u64, bytes: &[u8]) -> ShardState {
        checkpoint::decode(bytes, &self.spec, place, step)
            .or_else(|_| checkpoint::decode(bytes, &self.exact(), place, step))
            .unwrap()
    }

    fn is_feedback(&self, place: Shard) -> bool {
        self.spec.feedback_shard() == Some(place)
    }
}

impl Mathematics for Real {
    fn initial(&self, shard: ShardId) -> Vec<u8> {
        let place = self.places[usize::from(shard.0)];
        if self.is_feedback(place) {
            return checkpoint::encode_table(&self.schedule.borrow().first_table(), &self.spec);
        }
        checkpoint::encode(&ShardState::init(&self.spec, place), &self.spec, place)
    }

    fn train(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> (Vec<u8>, Vec<u8>) {
        let (spec, place) = (&self.spec, self.places[usize::from(shard.0)]);
        if self.is_feedback(place) {
            let mut schedule = self.schedule.borrow_mut();
            let mut table =
                checkpoint::decode_table(state, spec, schedule.samples(), step).unwrap();
            schedule.draw_wrong_labels(&mut table, &self.below(place, inputs).logits).unwrap();
            return (checkpoint::encode_table(&table, spec), vec![0]);
        }
        let mut state = self.state(place, step, state);
        let buffers = &mut Buffers::default();
        let (handed_on, _) = if place.layer == 0 {
            state.train_first(spec, place, &self.images(step, feedback), buffers, &Inline)
        } else {
            let labels = self.schedule.borrow_mut().labels(step);
            state.train(spec, place, &self.below(place, inputs), &labels, buffers, &Inline)
        };
        (checkpoint::encode(&state, &self.exact(), place), encode(&handed_on, spec, place))
    }

    fn refresh(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> Vec<u8> {
        let (spec, place) = (&self.spec, self.places[usize::from(shard.0)]);
        let mut state = self.state(place, self.plan.branch_end(step), state);
        let buffers = &mut Buffers::default();
        let handed_on = if place.layer == 0 {
            state.forward_first(spec, place, step, &self.images(step, feedback), buffers, &Inline)
        } else {
            state.forward(spec, place, step, &self.below(place, inputs), buffers, &Inline)
        };
        encode(&handed_on, spec, place)
    }

    fn begin(&self, shard: ShardId, step: u64, start: &[u8]) -> Vec<u8> {
        let place = self.places[usize::from(shard.0)];
        let from = self.plan.chapter_start(self.plan.chapter_of(step));
        let state = ShardState { step, ..self.state(place, from, start) };
        checkpoint::encode(&state, &self.exact(), place)
    }

    fn change(&self, shard: ShardId, start: &[u8], end: &[u8]) -> Vec<u8> {
        let (spec, place) = (&self.spec, self.places[usize::from(shard.0)]);
        let ends = (1..=spec.steps).filter(|step| self.plan.ends_branch(*step));
        let mut ends =
            ends.filter(|step| checkpoint::decode(end, &self.exact(), place, *step).is_ok());
        let step = ends.next().unwrap();
        let chapter = self.plan.chapter_of(step - 1);
        let start = self.state(place, self.plan.chapter_start(chapter), start);
        let change = Change::between(spec, &start, self.state(place, step, end));
        checkpoint::encode_change(&change, spec, place, step, self.plan.chapter_start(chapter + 1))
    }

    fn merge(
        &self,
        shard: ShardId,
        step: u64,
        start: &[u8],
        changes: &[&[u8]],
    ) -> Result<(Vec<u8>, Vec<u8>), usize> {
        let (spec, place) = (&self.spec, self.places[usize::from(shard.0)]);
        let chapter = self.plan.chapter_ending(step);
        let from = self.plan.chapter_start(chapter);
        let end = |branch: usize| match changes.len() {
            1 => step,
            _ => self.plan.branch_steps(chapter, branch as u16).end,
        };
        let read = |(branch, bytes): (usize, &&[u8])| {
            checkpoint::decode_change(bytes, spec, place, end(branch), step).map_err(|_| branch)
        };
        let read: Vec<Change> = changes.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let mut read = read.into_iter();
        let mut mean = Mean::of(read.next().unwrap());
        read.for_each(|change| mean.add(&change));
        let mean = mean.finish(spec);
        let bytes = checkpoint::encode_change(&mean, spec, place, step, step);
        let start = self.state(place, from, start);
        let state = mean.applied(spec, &start, from..step, self.plan.branches_of(chapter));
        Ok((checkpoint::encode(&state, spec, place), bytes))
    }

    fn is_batch(&self, bytes: &[u8]) -> bool {
        self.places
            .iter()
            .any(|place| !self.is_feedback(*place) && decode(bytes, &self.spec, *place).is_ok())
    }

    fn is_state(&self, shard: ShardId, step: u64, state: &[u8]) -> bool {
        let place = self.places[usize::from(shard.0)];
        if self.is_feedback(place) {
            let samples = self.schedule.borrow().samples();
            return checkpoint::decode_table(state, &self.spec, samples, step).is_ok();
        }
        checkpoint::decode(state, &self.spec, place, step).is_ok()
    }
}
