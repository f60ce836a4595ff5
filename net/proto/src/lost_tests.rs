//! Tests of lost blobs: whatever is lost when something reads it, a peer alone ends its run, gives the
//! trainer only what it has, and blames nobody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    BlobRef, Checkpoint, Config, Hash, Input, NodeId, Notice, Output, Placement, Plan, Role, Score,
    ShardId, State, Time,
};

const ME: NodeId = NodeId([1; 32]);

/// A peer alone with a store and a trainer, of whose reads the one of this number fails.
struct Alone {
    plan: Plan,
    state: State,
    store: BTreeSet<Hash>,
    /// Load and steps done of each shard in the trainer.
    shards: BTreeMap<ShardId, (u64, u64)>,
    reads: usize,
    fails: usize,
    lost: Option<Hash>,
    trained: u64,
}

fn blob(shard: ShardId, step: u64, purpose: u8) -> BlobRef {
    let bytes = [shard.0.to_le_bytes()[0], step.to_le_bytes()[0], purpose];
    BlobRef { hash: Hash::of(&bytes), size: 3 }
}

impl Alone {
    fn new(plan: &Plan, fails: usize) -> Self {
        let state = State::new(ME, Role::Worker, plan.clone(), Config::default(), Time(0));
        let (store, shards) = (BTreeSet::new(), BTreeMap::new());
        let (plan, reads, trained) = (plan.clone(), 0, 0);
        Self { plan, state, store, shards, reads, fails, lost: None, trained }
    }

    /// Runs for long; panics where a rule does not hold.
    fn run(&mut self) {
        for turn in 0..400 {
            let mut inputs = VecDeque::from([Input::Wakeup]);
            while let Some(input) = inputs.pop_front() {
                let lost = if let Input::Lost { hash } = input { Some(hash) } else { None };
                lost.iter().for_each(|hash| _ = self.store.remove(hash));
                let outputs = self.state.handle(input, Time(turn * 100));
                let is_held = lost.is_some_and(|hash| self.state.blobs.contains(hash));
                assert!(!is_held, "a reason to hold it stays");
                for output in outputs {
                    inputs.extend(self.answer(output));
                }
            }
        }
        assert!(self.state.snapshot().complete, "the run does not end");
    }

    /// Whether all of these can be read; one that cannot is told of.
    fn read(&mut self, hashes: &[Hash]) -> Option<Input> {
        for hash in hashes {
            self.reads += 1;
            if self.reads == self.fails {
                self.lost = Some(*hash);
                return Some(Input::Lost { hash: *hash });
            }
            assert!(self.store.contains(hash) || self.lost == Some(*hash), "dropped too early");
        }
        None
    }

    fn keep(&mut self, shard: ShardId, step: u64, purpose: u8) -> BlobRef {
        let blob = blob(shard, step, purpose);
        self.store.insert(blob.hash);
        blob
    }

    fn answer(&mut self, output: Output) -> Vec<Input> {
        let (lost, undone, done) = if let Output::Load { shard, load, step, checkpoint } = output {
            let lost = self.read(checkpoint.as_slice());
            if lost.is_none() {
                self.shards.insert(shard, (load, step));
            }
            let answer = |ok| Input::Loaded { shard, load, ok };
            (lost, answer(false), Some(answer(true)))
        } else if let Output::Train { shard, load, step, inputs, feedback, emit, checkpoint } =
            output
        {
            let lost = self.read(&[inputs, feedback.into_iter().collect()].concat());
            let can = lost.is_none()
                && self.done(shard, load).is_some_and(|it| self.plan.can_train(shard, it, step));
            let done = can.then(|| {
                self.shards.insert(shard, (load, step + 1));
                self.trained += 1;
                let batch = emit.then(|| self.keep(shard, step, 0));
                let checkpoint = checkpoint.then(|| (self.keep(shard, step + 1, 1), 0));
                Input::Trained { shard, load, step, batch, checkpoint }
            });
            (lost, Input::Refused { shard, load, step, bad: None }, done)
        } else if let Output::Refresh { shard, load, step, inputs, feedback } = output {
            let lost = self.read(&[inputs, feedback.into_iter().collect()].concat());
            let can = lost.is_none()
                && self.done(shard, load).is_some_and(|it| self.plan.can_hand_on(shard, it, step));
            let done = can.then(|| Input::Refreshed {
                shard,
                load,
                step,
                batch: self.keep(shard, step, 2),
            });
            (lost, Input::Refused { shard, load, step, bad: None }, done)
        } else if let Output::Evaluate { epoch, checkpoints } = output {
            let lost = self.read(&checkpoints);
            let answer = |samples| {
                Input::Evaluated(Score { epoch, samples, softmax_correct: 0, other_correct: 0 })
            };
            (lost, answer(0), Some(answer(10)))
        } else {
            if let Output::Drop(hash) = output {
                self.store.remove(&hash);
            }
            let is_blamed = matches!(output, Output::Notify(Notice::Blame { .. }));
            assert!(!is_blamed, "{output:?}");
            return Vec::new();
        };
        let answer = done.filter(|_| lost.is_none()).unwrap_or(undone);
        lost.into_iter().chain([answer]).collect()
    }

    /// Steps done of a shard that this load brought in.
    fn done(&self, shard: ShardId, load: u64) -> Option<u64> {
        self.shards.get(&shard).filter(|(of, _)| *of == load).map(|(_, done)| *done)
    }
}

#[test]
fn whatever_is_lost_the_run_ends() {
    let plan = Plan { epoch_steps: 4, ..Plan::example(&[2, 1, 1], 8, 2) };
    let with =
        |placement, feedback, refreshed| Plan { placement, feedback, refreshed, ..plan.clone() };
    for plan in [
        with(Placement::SingleLayer, false, false),
        with(Placement::SingleLayer, true, false),
        with(Placement::SingleLayer, true, true),
        with(Placement::AllLayers, true, false),
        with(Placement::AllLayers, false, true),
        with(Placement::Federated, false, true),
    ] {
        let mut quiet = Alone::new(&plan, usize::MAX);
        quiet.run();
        let (reads, steps) = (quiet.reads, quiet.trained);
        assert!(reads > 20);
        let mut more = 0;
        for fails in 1..=reads {
            let mut alone = Alone::new(&plan, fails);
            alone.run();
            assert!(alone.state.scores.contains_key(&2), "read {fails}: the end is not scored");
            more += alone.trained.saturating_sub(steps);
        }
        assert!(more > 0, "what is lost is made again");
    }
}

#[test]
fn what_is_lost_is_fetched_from_whoever_has_it() {
    let plan = Plan::example(&[1], 8, 2);
    let other = NodeId([2; 32]);
    let mut state = State::new(ME, Role::Worker, plan, Config::default(), Time(0));
    state.handle(Input::Connected(other), Time(0));
    let checkpoint = Checkpoint {
        shard: ShardId(0),
        step: 2,
        blob: blob(ShardId(0), 2, 1),
        by: ME,
        loss_micro: 0,
    };
    state.handle(Input::Restored(checkpoint), Time(0));
    state.learn(checkpoint, other);
    let hash = checkpoint.blob.hash;
    let asks = |outputs: &[Output]| {
        outputs.iter().any(|it| matches!(it, Output::Fetch { blob, .. } if blob.hash == hash))
    };
    let lost = state.handle(Input::Lost { hash }, Time(100));
    assert!(lost.contains(&Output::Drop(hash)) && !state.blobs.contains(hash));
    assert!(!state.holds(ShardId(0), 2) && state.archive.at(ShardId(0), 2).is_some());
    let later = state.handle(Input::Wakeup, Time(6_000));
    assert!(asks(&lost) || asks(&later), "{lost:?} {later:?}");
}

#[test]
fn a_stored_checkpoint_of_no_cell_is_forgotten() {
    let plan = Plan::example(&[1, 1], 8, 2);
    for (shard, step) in [(2, 2), (u16::MAX, 2), (0, 0), (0, 3), (0, 10), (1, u64::MAX)] {
        let mut state = State::new(ME, Role::Worker, plan.clone(), Config::default(), Time(0));
        let (shard, blob) = (ShardId(shard), blob(ShardId(0), 2, 1));
        let restored = Checkpoint { shard, step, blob, by: ME, loss_micro: 0 };
        let outputs = state.handle(Input::Restored(restored), Time(0));
        assert!(outputs.contains(&Output::Drop(blob.hash)), "shard {shard} step {step}");
        for at in 0..100 {
            state.handle(Input::Wakeup, Time(at * 100));
        }
    }
}
