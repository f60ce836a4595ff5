//! A trainer with one thread: it carries out what it is told, in order, and takes its time. Scoring
//! goes on while it has nothing to do, and for a small part of its time while it has.
//!
//! Rule: it is no stricter than a real one: it does what [`Plan::can_train`] and
//! [`Plan::can_hand_on`] say and refuses the rest. A blob that is not in the store when its step
//! begins, and was not lost, is an error of the decisions and ends the run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use crate::sim::faults::Scenario;
use crate::sim::forecast::costs::Costs;
use crate::sim::mathematics::reference::{Mathematics, blob, loss_micro, score};
use crate::sim::rng::Rng;
use crate::{BlobRef, Hash, Input, Output, Plan, Score, ShardId};

/// The blobs of a node.
pub(crate) type Store = BTreeMap<Hash, Vec<u8>>;

/// Steps between two reports of the speed, in a run that is predicted.
const SPEED_STEPS: u64 = 32;

/// Share of the newest measurement in the reported speed, percent.
const SPEED_SHARE: u64 = 20;

/// Scoring takes turns of this long, microseconds.
const SCORING_TURN: u64 = 20_000;

/// While there is something to train, scoring gets one part of the time and training so many; and so
/// many where other epochs wait for their scores.
const TRAINING_PARTS: (u64, u64) = (8, 1);

/// A shard that is in the trainer.
#[derive(Clone, Debug)]
struct Shard {
    load: u64,
    step: u64,
    state: Vec<u8>,
}

/// One thread with its queue.
#[derive(Debug)]
pub(crate) struct Trainer {
    speed: u64,
    costs: Costs,
    /// Loads of a checkpoint that fail, per mille.
    unreadable: u64,
    rng: Rng,
    mathematics: Rc<dyn Mathematics>,
    shards: BTreeMap<ShardId, Shard>,
    /// What the store lost.
    lost: BTreeSet<Hash>,
    jobs: VecDeque<Output>,
    /// What is being scored, and how long that still takes alone, microseconds.
    scoring: Option<(Output, u64)>,
    /// Whether others wait for it.
    hurries: bool,
    /// Whether the images are still to be made ready.
    is_fresh: bool,
    /// How long the job in hand takes, and how much longer, because of the network, microseconds.
    takes: u64,
    stolen: u64,
    /// How much longer it takes because of scoring, microseconds.
    scored: u64,
    /// Whether it says how fast it is.
    measures: bool,
    /// Steps, work and microseconds since the last report of the speed.
    pace: (u64, u64, u64),
    /// The speed as reported, 0 before the first time.
    smoothed: u64,
}

/// What a finished job has made.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// The answer to the decisions.
    pub(crate) answer: Option<Input>,
    /// What it has to say of its speed.
    pub(crate) speed: Option<Input>,
    /// The cell that was trained.
    pub(crate) cell: Option<(ShardId, u64)>,
}

impl Trainer {
    /// A trainer of `speed` millions of multiply-accumulates a second.
    pub(crate) fn new(
        scenario: &Scenario,
        speed: u64,
        rng: Rng,
        mathematics: Rc<dyn Mathematics>,
    ) -> Self {
        let costs = scenario.costs.clone().unwrap_or_else(|| Costs::rough(&scenario.plan));
        Self {
            speed: speed.max(1),
            costs,
            unreadable: scenario.unreadable,
            rng,
            mathematics,
            shards: BTreeMap::new(),
            lost: BTreeSet::new(),
            jobs: VecDeque::new(),
            scoring: None,
            hurries: false,
            // Owners of chapters make them ready before their turn.
            is_fresh: !scenario.plan.is_by_chapter(),
            takes: 0,
            stolen: 0,
            scored: 0,
            measures: scenario.costs.is_some(),
            pace: (0, 0, 0),
            smoothed: 0,
        }
    }

    /// The store does not have a blob any more.
    pub(crate) fn lose(&mut self, hash: Hash) {
        self.lost.insert(hash);
    }

    /// The name of `bytes`.
    pub(crate) fn name(&self, bytes: &[u8]) -> BlobRef {
        blob(&*self.mathematics, bytes)
    }

    /// The network passed on `size` bytes in so many messages and copies of messages, which the job
    /// in hand waits for; returns how long that took, microseconds.
    pub(crate) fn steal(&mut self, size: u64, messages: u64, copies: u64) -> u64 {
        let costs = &self.costs;
        let work =
            messages * costs.message + copies * costs.copy + costs.megabyte * size / 1_000_000;
        let took = work * 1_000 / self.speed;
        self.stolen += took;
        took
    }

    /// How much longer the job in hand takes because of what the network did meanwhile.
    pub(crate) fn delayed(&mut self) -> Option<u64> {
        let stolen = std::mem::take(&mut self.stolen);
        let scored = std::mem::take(&mut self.scored);
        // What scoring takes tells nothing of how fast the machine trains.
        self.takes += stolen;
        let late = stolen + scored;
        (late > 0).then_some(late)
    }

    /// Takes a job; true when it is the only one, so that its end is to be waited for.
    pub(crate) fn push(&mut self, job: Output) -> bool {
        self.jobs.push_back(job);
        self.jobs.len() == 1
    }

    /// Begins the job in hand; returns how long it takes, microseconds.
    pub(crate) fn begin(&mut self, plan: &Plan) -> Option<u64> {
        let costs = &self.costs;
        let of = |list: &[u64], shard: ShardId| Costs::of(list, plan, shard);
        let job = self.jobs.front()?;
        let work = if let Output::Train { shard, checkpoint, .. } = *job {
            let end = if checkpoint { of(&costs.checkpoint, shard) } else { 0 };
            of(&costs.train, shard) + end
        } else if let Output::Refresh { shard, .. } = *job {
            of(&costs.refresh, shard)
        } else if let Output::Load { shard, .. } = *job {
            let draws = self.is_fresh && plan.layer(shard) == 0;
            self.is_fresh &= !draws;
            of(&costs.checkpoint, shard) + if draws { costs.prepare } else { 0 }
        } else {
            0
        };
        let luck = self.rng.between(1_000 - costs.spread, 1_000 + costs.spread);
        self.takes = (work * luck / self.speed).max(costs.least_us);
        (self.stolen, self.scored) = (0, 0);
        Some(self.takes)
    }

    /// Takes an epoch to score.
    pub(crate) fn score(&mut self, epoch: Output) {
        let us = (self.costs.evaluate * 1_000 / self.speed).max(self.costs.least_us);
        self.scoring = Some((epoch, us));
        self.hurries = false;
    }

    /// What is being scored shall no longer wait for training.
    pub(crate) fn hurry_score(&mut self) {
        self.hurries = true;
    }

    /// Scores for a turn; returns how long it is until the next, microseconds, and nothing once all
    /// is scored.
    pub(crate) fn score_on(&mut self) -> Option<u64> {
        let (_, left) = self.scoring.as_mut()?;
        let turn = (*left).min(SCORING_TURN);
        *left -= turn;
        let parts = if self.hurries { TRAINING_PARTS.1 } else { TRAINING_PARTS.0 };
        let trains = !self.jobs.is_empty();
        self.scored += if trains { turn } else { 0 };
        (turn > 0).then_some(if trains { (1 + parts) * turn } else { turn })
    }

    /// The score, once all is scored.
    pub(crate) fn scored(&mut self, store: &Store) -> Result<Option<Input>, String> {
        let Some((job, _)) = self.scoring.take() else { return Ok(None) };
        let Output::Evaluate { epoch, checkpoints } = &job else { return Ok(None) };
        match self.read(store, checkpoints)? {
            Some(read) => Ok(Some(Input::Evaluated(score(*epoch, &read)))),
            None => Ok(undone(&job)),
        }
    }

    /// The speed, if there was no work yet that would show it.
    pub(crate) fn glance(&self) -> Option<u64> {
        (self.jobs.is_empty() && self.pace == (0, 0, 0)).then_some(self.speed)
    }

    /// The speed, every so many steps, measured as a real trainer does.
    pub(crate) fn report(&mut self, work: u64) -> Option<Input> {
        let (steps, all, us) = &mut self.pace;
        (*steps, *all, *us) = (*steps + 1, *all + work, *us + self.takes);
        if !self.measures || *steps < SPEED_STEPS {
            return None;
        }
        let measured = *all * 1_000 / (*us).max(1);
        self.pace = (0, 0, 0);
        self.smoothed = match self.smoothed {
            0 => measured,
            old => (old * (100 - SPEED_SHARE) + measured * SPEED_SHARE) / 100,
        };
        Some(Input::Speed(self.smoothed.max(1)))
    }

    /// Ends the job in hand.
    pub(crate) fn finish(&mut self, plan: &Plan, store: &mut Store) -> Result<Made, String> {
        let Some(job) = self.jobs.pop_front() else { return Ok(Made::default()) };
        // Each is nothing for the jobs of another kind.
        let done = self.load(store, &job)?;
        let done = if done.is_none() { self.train(store, plan, &job)? } else { done };
        let done = if done.is_none() { self.refresh(store, plan, &job)? } else { done };
        if let Output::Unload { shard } = &job {
            self.shards.remove(shard);
        }
        let mut made = Made::default();
        if let Some(Input::Trained { shard, step, .. }) = done {
            (made.speed, made.cell) = (self.report(plan.cost(shard)), Some((shard, step)));
        }
        made.answer = done.or_else(|| undone(&job));
        Ok(made)
    }

    /// Nothing where the checkpoint was lost.
    fn load(&mut self, store: &Store, job: &Output) -> Result<Option<Input>, String> {
        let &Output::Load { shard, load, step, checkpoint } = job else { return Ok(None) };
        let Some(read) = self.read(store, checkpoint.as_slice())? else { return Ok(None) };
        let state = match read.first() {
            None if step == 0 => self.mathematics.initial(shard),
            Some(state) if self.mathematics.is_state(shard, step, state) => state.to_vec(),
            // A forged one: what is asked for is checked elsewhere.
            Some(_) => return Ok(None),
            found => return Err(format!("shard {shard} step {step}: checkpoint is {found:?}")),
        };
        let ok = checkpoint.is_none() || !self.rng.hit(self.unreadable);
        if ok {
            self.shards.insert(shard, Shard { load, step, state });
        } else {
            self.shards.remove(&shard);
        }
        Ok(Some(Input::Loaded { shard, load, ok }))
    }

    /// The shard that `load` brought in, if it can do what is asked for.
    fn loaded(&self, shard: ShardId, load: u64, can: impl FnOnce(u64) -> bool) -> Option<&Shard> {
        self.shards.get(&shard).filter(|loaded| loaded.load == load && can(loaded.step))
    }

    /// Nothing where the step is refused.
    fn train(
        &mut self,
        store: &mut Store,
        plan: &Plan,
        job: &Output,
    ) -> Result<Option<Input>, String> {
        let Output::Train { shard, load, step, inputs, feedback, emit, checkpoint } = job else {
            return Ok(None);
        };
        let (shard, load, step) = (*shard, *load, *step);
        let can = |done| plan.can_train(shard, done, step);
        let Some(loaded) = self.loaded(shard, load, can) else { return Ok(None) };
        let mathematics = Rc::clone(&self.mathematics);
        let Some(read) = self.read(store, inputs)? else { return Ok(None) };
        let mut named = inputs.iter().zip(&read);
        if let Some((bad, _)) = named.find(|(_, bytes)| !mathematics.is_batch(bytes)) {
            return Ok(Some(Input::Refused { shard, load, step, bad: Some(*bad) }));
        }
        let inputs = read;
        let Some(table) = self.read(store, feedback.as_slice())? else { return Ok(None) };
        let table = table.first().copied();
        let (state, bytes) = mathematics.train(shard, step, &loaded.state, &inputs, table);
        let batch = emit.then(|| keep(&*mathematics, store, bytes));
        let checkpoint = checkpoint.then(|| {
            let blob = keep(&*mathematics, store, state.clone());
            (blob, loss_micro(&blob))
        });
        self.shards.insert(shard, Shard { load, step: step + 1, state });
        Ok(Some(Input::Trained { shard, load, step, batch, checkpoint }))
    }

    /// Nothing where the step is refused.
    fn refresh(
        &mut self,
        store: &mut Store,
        plan: &Plan,
        job: &Output,
    ) -> Result<Option<Input>, String> {
        let Output::Refresh { shard, load, step, inputs, feedback } = job else { return Ok(None) };
        let (shard, load, step) = (*shard, *load, *step);
        let can = |done| plan.can_hand_on(shard, done, step);
        let Some(loaded) = self.loaded(shard, load, can) else { return Ok(None) };
        let Some(inputs) = self.read(store, inputs)? else { return Ok(None) };
        let Some(table) = self.read(store, feedback.as_slice())? else { return Ok(None) };
        let mathematics = Rc::clone(&self.mathematics);
        let table = table.first().copied();
        let bytes = mathematics.refresh(shard, step, &loaded.state, &inputs, table);
        Ok(Some(Input::Refreshed { shard, load, step, batch: keep(&*mathematics, store, bytes) }))
    }

    /// The bytes of these blobs; nothing where one was lost.
    fn read<'a>(&self, store: &'a Store, hashes: &[Hash]) -> Result<Option<Vec<&'a [u8]>>, String> {
        let mut read = Vec::new();
        for hash in hashes {
            match store.get(hash) {
                Some(bytes) => read.push(bytes.as_slice()),
                None if self.lost.contains(hash) => return Ok(None),
                None => {
                    return Err(format!("the trainer needs {hash:?}, which is not in the store"));
                }
            }
        }
        Ok(Some(read))
    }
}

/// The blobs that a job reads.
pub(crate) fn reads_of(job: &Output) -> Vec<Hash> {
    if let Output::Load { checkpoint, .. } = job {
        return checkpoint.iter().copied().collect();
    }
    if let Output::Train { inputs, feedback, .. } | Output::Refresh { inputs, feedback, .. } = job {
        return inputs.iter().chain(feedback).copied().collect();
    }
    if let Output::Evaluate { checkpoints, .. } = job { checkpoints.clone() } else { Vec::new() }
}

/// The answer to a job that is not done.
pub(crate) fn undone(job: &Output) -> Option<Input> {
    if let Output::Load { shard, load, .. } = *job {
        return Some(Input::Loaded { shard, load, ok: false });
    }
    if let Output::Train { shard, load, step, .. } | Output::Refresh { shard, load, step, .. } =
        *job
    {
        return Some(Input::Refused { shard, load, step, bad: None });
    }
    let &Output::Evaluate { epoch, .. } = job else { return None };
    let (samples, softmax_correct, other_correct) = (0, 0, 0);
    Some(Input::Evaluated(Score { epoch, samples, softmax_correct, other_correct }))
}

fn keep(mathematics: &dyn Mathematics, store: &mut Store, bytes: Vec<u8>) -> BlobRef {
    let blob = blob(mathematics, &bytes);
    store.insert(blob.hash, bytes);
    blob
}
