//! For tests: a peer alone with a store and a trainer, which do as they are told, but for one fault.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::State;
use crate::testing::{ME, blamed, blob};
use crate::{
    BlobRef, Config, Hash, Input, Merge, Message, Output, Plan, Role, Score, ShardId, Time,
};

/// A fault that happens once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Nothing,
    /// The read of this number, from 1, finds that its blob is lost.
    Lost(usize),
    /// The trainer finds fault with what the first such step reads.
    Refused(fn(&Output) -> bool),
}

/// The peer, its store and its trainer.
#[derive(Debug)]
pub(super) struct Alone {
    plan: Plan,
    pub(super) state: State,
    store: BTreeSet<Hash>,
    /// The checkpoints that were to be kept.
    kept: BTreeSet<Hash>,
    /// Load and steps done of each shard in the trainer.
    shards: BTreeMap<ShardId, (u64, u64)>,
    fault: Fault,
    lost: Option<Hash>,
    pub(super) reads: usize,
    /// The requests made of the trainer, in order.
    pub(super) asked: Vec<Output>,
    /// Steps that it trained.
    pub(super) trained: usize,
}

impl Alone {
    pub(super) fn new(plan: &Plan, fault: Fault) -> Self {
        let state = State::new(ME, Role::Worker, plan.clone(), Config::default(), Time(0));
        let (store, shards, asked) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let (plan, lost, reads, trained) = (plan.clone(), None, 0, 0);
        let kept = BTreeSet::new();
        Self { plan, state, store, kept, shards, fault, lost, reads, asked, trained }
    }

    /// Runs for long; panics where a rule does not hold.
    pub(super) fn run(plan: &Plan, fault: Fault) -> Self {
        let mut alone = Self::new(plan, fault);
        for turn in 0..400 {
            let mut inputs = VecDeque::from([Input::Wakeup]);
            while let Some(input) = inputs.pop_front() {
                let lost = if let Input::Lost { hash } = input { Some(hash) } else { None };
                lost.iter().for_each(|hash| _ = alone.store.remove(hash));
                let outputs = alone.state.handle(input, Time(turn * 100));
                let is_held = lost.is_some_and(|hash| alone.state.out.holds(hash));
                assert!(!is_held, "a reason to hold it stays: {fault:?}");
                assert!(alone.keeps_first(&outputs), "announced before it is kept: {outputs:?}");
                for output in outputs {
                    inputs.extend(alone.answer(output));
                }
            }
        }
        assert!(alone.state.snapshot().complete, "the run does not end: {fault:?}");
        alone
    }

    /// Whether each checkpoint is kept before it is announced.
    fn keeps_first(&mut self, outputs: &[Output]) -> bool {
        outputs.iter().all(|output| {
            if let Output::Keep(checkpoint) = output {
                self.kept.insert(checkpoint.blob.hash);
            }
            let Output::Broadcast(Message::Checkpoints(list)) = output else { return true };
            list.iter().all(|it| self.kept.contains(&it.blob.hash))
        })
    }

    /// Whether all of these can be read; one that cannot is told of.
    fn read(&mut self, hashes: &[Hash]) -> Option<Input> {
        for hash in hashes {
            self.reads += 1;
            if matches!(self.fault, Fault::Lost(read) if read == self.reads) {
                self.lost = Some(*hash);
                return Some(Input::Lost { hash: *hash });
            }
            assert!(self.store.contains(hash) || self.lost == Some(*hash), "dropped too early");
        }
        None
    }

    fn keep(&mut self, what: &str, shard: ShardId, step: u64) -> BlobRef {
        let blob = blob(&format!("{what} {shard} {step}"));
        self.store.insert(blob.hash);
        blob
    }

    fn answer(&mut self, output: Output) -> Vec<Input> {
        if let Output::Drop(hash) = output {
            self.store.remove(&hash);
        }
        assert!(blamed(std::slice::from_ref(&output)).is_empty(), "{output:?}");
        let answer = if let Output::Evaluate { epoch, checkpoints } = &output {
            let lost = self.read(checkpoints);
            let samples = if lost.is_none() { 10 } else { 0 };
            let score = Score { epoch: *epoch, samples, softmax_correct: 0, other_correct: 0 };
            lost.into_iter().chain([Input::Evaluated(score)]).collect()
        } else if matches!(output, Output::Load { .. }) {
            self.load(&output)
        } else if matches!(output, Output::Merge { .. }) {
            self.merge(&output)
        } else {
            self.step(&output)
        };
        if !answer.is_empty() {
            self.asked.push(output);
        }
        answer
    }

    fn load(&mut self, output: &Output) -> Vec<Input> {
        let Output::Load { shard, load, begin, checkpoint, .. } = *output else {
            return Vec::new();
        };
        let lost = self.read(checkpoint.as_slice());
        let ok = lost.is_none();
        if ok {
            self.shards.insert(shard, (load, begin));
        }
        lost.into_iter().chain([Input::Loaded { shard, load, ok }]).collect()
    }

    fn merge(&mut self, output: &Output) -> Vec<Input> {
        let Output::Merge { shard, step, start, parts, .. } = output else { return Vec::new() };
        let changes = parts.hashes();
        let (shard, step) = (*shard, *step);
        if matches!(self.fault, Fault::Refused(refuses) if refuses(output)) {
            self.fault = Fault::Nothing;
            let outcome = Merge::Refused(start.or(changes.first().copied()));
            return vec![Input::Merged { shard, step, outcome }];
        }
        let lost = self.read(&[start.as_slice(), changes].concat());
        let outcome = if lost.is_some() {
            Merge::Refused(None)
        } else {
            let checkpoint = self.keep("checkpoint", shard, step);
            Merge::Made { checkpoint, mean: self.keep("mean", shard, step) }
        };
        lost.into_iter().chain([Input::Merged { shard, step, outcome }]).collect()
    }

    /// Does a step if it can, and refuses it otherwise.
    fn step(&mut self, output: &Output) -> Vec<Input> {
        let (Output::Train { shard, load, step, inputs, feedback, .. }
        | Output::Refresh { shard, load, step, inputs, feedback }) = output
        else {
            return Vec::new();
        };
        let (shard, load, step) = (*shard, *load, *step);
        if matches!(self.fault, Fault::Refused(refuses) if refuses(output)) {
            self.fault = Fault::Nothing;
            let bad = feedback.or(Some(Hash::of(b"bad")));
            return vec![Input::Refused { shard, load, step, bad }];
        }
        let lost = self.read(&[inputs.clone(), feedback.iter().copied().collect()].concat());
        let loaded = self.shards.get(&shard).filter(|(of, _)| *of == load);
        let done = loaded.map(|(_, done)| *done).filter(|_| lost.is_none());
        let answer = match (output, done) {
            (Output::Train { emit, checkpoint, .. }, Some(done))
                if self.plan.can_train(shard, done, step) =>
            {
                self.shards.insert(shard, (load, step + 1));
                self.trained += 1;
                let batch = emit.then(|| self.keep("batch", shard, step));
                let made = if self.plan.merged { "change" } else { "checkpoint" };
                let checkpoint = checkpoint.then(|| (self.keep(made, shard, step + 1), 0));
                Input::Trained { shard, load, step, batch, checkpoint }
            }
            (Output::Refresh { .. }, Some(done)) if self.plan.can_hand_on(shard, done, step) => {
                let batch = self.keep("refreshed batch", shard, step);
                Input::Refreshed { shard, load, step, batch }
            }
            _ => Input::Refused { shard, load, step, bad: None },
        };
        lost.into_iter().chain([answer]).collect()
    }
}
