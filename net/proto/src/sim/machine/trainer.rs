//! A trainer with one thread: it carries out its jobs, in order, and takes its time.
//!
//! Rule: it is no stricter than a real one: it does what [`Plan::can_train`] and
//! [`Plan::can_hand_on`] say and refuses the rest.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::sim::forecast::costs::Costs;
use crate::sim::machine::job::undone;
use crate::sim::machine::scoring::Scoring;
use crate::sim::machine::speedometer::Speedometer;
use crate::sim::machine::store::Store;
use crate::sim::mathematics::digest::{loss_micro, score};
use crate::sim::mathematics::{Mathematics, blob};
use crate::sim::rng::Rng;
use crate::sim::scenario::Scenario;
use crate::{BlobRef, Input, Merge, Output, Parts, Plan, ShardId};

/// A shard that is in the trainer.
#[derive(Clone, Debug)]
struct Shard {
    load: u64,
    step: u64,
    /// As it was loaded.
    start: Vec<u8>,
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
    jobs: VecDeque<Output>,
    scoring: Scoring,
    /// Whether the training images are still to be made ready.
    is_fresh: bool,
    /// The time that the current job takes, microseconds.
    takes: u64,
    /// The time by which the network delays it, microseconds.
    stolen: u64,
    /// Measures the speed; only where the run is predicted.
    speedometer: Option<Speedometer>,
}

/// The results of a job.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// The answer to the decisions.
    pub(crate) answer: Option<Input>,
    /// A report of the speed, when one is due.
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
            jobs: VecDeque::new(),
            scoring: Scoring::default(),
            // Owners of chapters make them ready before their chapter.
            is_fresh: !scenario.plan.is_by_chapter(),
            takes: 0,
            stolen: 0,
            speedometer: scenario.costs.is_some().then(Speedometer::default),
        }
    }

    /// The name of `bytes`.
    pub(crate) fn name(&self, bytes: &[u8]) -> BlobRef {
        blob(&*self.mathematics, bytes)
    }

    /// The network passed on `size` bytes in these messages and copies of messages, which delays the
    /// current job; returns the time that it took, microseconds.
    pub(crate) fn steal(&mut self, size: u64, messages: u64, copies: u64) -> u64 {
        let costs = &self.costs;
        let work =
            messages * costs.message + copies * costs.copy + costs.megabyte * size / 1_000_000;
        let took = work * 1_000 / self.speed;
        self.stolen += took;
        took
    }

    /// The time by which the network and scoring delayed the current job meanwhile, microseconds.
    pub(crate) fn delayed(&mut self) -> Option<u64> {
        let stolen = std::mem::take(&mut self.stolen);
        // The time that scoring takes says nothing of how fast the machine trains.
        self.takes += stolen;
        let late = stolen + self.scoring.take_delay();
        (late > 0).then_some(late)
    }

    /// Adds a job; true when it is the only one, and so the current one.
    pub(crate) fn push(&mut self, job: Output) -> bool {
        self.jobs.push_back(job);
        self.jobs.len() == 1
    }

    /// Begins the current job; returns the time that it takes, microseconds.
    pub(crate) fn begin(&mut self, plan: &Plan) -> Option<u64> {
        let costs = &self.costs;
        let of = |list: &[u64], shard: ShardId| Costs::of(list, plan, shard);
        let job = self.jobs.front()?;
        let work = if let Output::Train { shard, checkpoint, .. } = *job {
            let made = if plan.merges(shard) { &costs.change } else { &costs.checkpoint };
            let end = if checkpoint { of(made, shard) } else { 0 };
            of(&costs.train, shard) + end
        } else if let Output::Refresh { shard, .. } = *job {
            of(&costs.refresh, shard)
        } else if let Output::Merge { shard, parts, .. } = job {
            // The checkpoint is read and written; the changes are a fraction of it.
            2 * of(&costs.checkpoint, *shard)
                + parts.hashes().len() as u64 * of(&costs.change, *shard)
        } else if let Output::Load { shard, .. } = *job {
            let draws = self.is_fresh && plan.layer(shard) == 0;
            self.is_fresh &= !draws;
            of(&costs.checkpoint, shard) + if draws { costs.prepare } else { 0 }
        } else {
            0
        };
        let luck = self.rng.between(1_000 - costs.spread, 1_000 + costs.spread);
        self.takes = (work * luck / self.speed).max(costs.least_us);
        self.stolen = 0;
        self.scoring.take_delay();
        Some(self.takes)
    }

    /// Begins to score an epoch.
    pub(crate) fn score(&mut self, epoch: Output) {
        let us = (self.costs.evaluate * 1_000 / self.speed).max(self.costs.least_us);
        self.scoring.begin(epoch, us);
    }

    /// The epoch that is being scored shall no longer wait for training.
    pub(crate) fn hurry_score(&mut self) {
        self.scoring.hurry();
    }

    /// Continues scoring for a slice of time; returns the time until the next one, microseconds, and `None`
    /// once all is scored.
    pub(crate) fn score_on(&mut self) -> Option<u64> {
        self.scoring.slice(!self.jobs.is_empty())
    }

    /// The score, once all is scored.
    pub(crate) fn scored(&mut self, store: &Store) -> Result<Option<Input>, String> {
        let Some(job) = self.scoring.take() else { return Ok(None) };
        let Output::Evaluate { epoch, checkpoints } = &job else { return Ok(None) };
        match store.read(checkpoints)? {
            Some(read) => Ok(Some(Input::Evaluated(score(*epoch, &read)))),
            None => Ok(undone(&job)),
        }
    }

    /// The speed by a benchmark; `None` where there was work that shows it.
    pub(crate) fn benchmark(&self) -> Option<u64> {
        let is_blank = self.speedometer.as_ref().is_none_or(Speedometer::is_blank);
        (self.jobs.is_empty() && is_blank).then_some(self.speed)
    }

    /// Ends the current job.
    pub(crate) fn finish(&mut self, plan: &Plan, store: &mut Store) -> Result<Finished, String> {
        let Some(job) = self.jobs.pop_front() else { return Ok(Finished::default()) };
        // Each is `None` for jobs of another kind.
        let done = self.load(store, &job)?;
        let done = if done.is_none() { self.train(store, plan, &job)? } else { done };
        let done = if done.is_none() { self.refresh(store, plan, &job)? } else { done };
        let done = if done.is_none() { self.merge(store, plan, &job)? } else { done };
        if let Output::Unload { shard } = &job {
            self.shards.remove(shard);
        }
        let mut finished = Finished::default();
        if let Some(Input::Trained { shard, step, .. }) = done {
            let speedometer = self.speedometer.as_mut();
            let speed = speedometer.and_then(|it| it.add(plan.cost(shard), self.takes));
            (finished.speed, finished.cell) = (speed.map(Input::Speed), Some((shard, step)));
        }
        finished.answer = done.or_else(|| undone(&job));
        Ok(finished)
    }

    /// `None` where the checkpoint was lost.
    fn load(&mut self, store: &Store, job: &Output) -> Result<Option<Input>, String> {
        let &Output::Load { shard, load, step, begin, checkpoint } = job else { return Ok(None) };
        let Some(read) = store.read(checkpoint.as_slice())? else { return Ok(None) };
        let state = match read.first() {
            None if step == 0 => self.mathematics.initial(shard),
            Some(state) if self.mathematics.is_state(shard, step, state) => state.to_vec(),
            // A forged one: requests are checked elsewhere.
            Some(_) => return Ok(None),
            found => return Err(format!("shard {shard} step {step}: checkpoint is {found:?}")),
        };
        let ok = checkpoint.is_none() || !self.rng.hit(self.unreadable);
        if ok {
            let start = state.clone();
            let state =
                if begin > step { self.mathematics.begin(shard, begin, &state) } else { state };
            self.shards.insert(shard, Shard { load, step: begin, start, state });
        } else {
            self.shards.remove(&shard);
        }
        Ok(Some(Input::Loaded { shard, load, ok }))
    }

    /// The shard that `load` brought in, if it can do the job.
    fn loaded(&self, shard: ShardId, load: u64, can: impl FnOnce(u64) -> bool) -> Option<&Shard> {
        self.shards.get(&shard).filter(|loaded| loaded.load == load && can(loaded.step))
    }

    /// `None` where the step is refused.
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
        let Some(read) = store.read(inputs)? else { return Ok(None) };
        let mut named = inputs.iter().zip(&read);
        if let Some((bad, _)) = named.find(|(_, bytes)| !mathematics.is_batch(bytes)) {
            return Ok(Some(Input::Refused { shard, load, step, bad: Some(*bad) }));
        }
        let inputs = read;
        let Some(table) = store.read(feedback.as_slice())? else { return Ok(None) };
        let table = table.first().copied();
        let (state, bytes) = mathematics.train(shard, step, &loaded.state, &inputs, table);
        let batch = emit.then(|| keep(&*mathematics, store, bytes));
        let start = loaded.start.clone();
        let checkpoint = checkpoint.then(|| {
            let made = || mathematics.change(shard, &start, &state);
            let told = if plan.merges(shard) { made() } else { state.clone() };
            let blob = keep(&*mathematics, store, told);
            (blob, loss_micro(&blob))
        });
        self.shards.insert(shard, Shard { load, step: step + 1, start, state });
        Ok(Some(Input::Trained { shard, load, step, batch, checkpoint }))
    }

    /// `None` where something is lost.
    fn merge(
        &mut self,
        store: &mut Store,
        plan: &Plan,
        job: &Output,
    ) -> Result<Option<Input>, String> {
        let Output::Merge { shard, step, from, start, parts } = job else { return Ok(None) };
        let (shard, step) = (*shard, *step);
        let Some(read) = store.read(start.as_slice())? else { return Ok(None) };
        let Some(changes) = store.read(parts.hashes())? else { return Ok(None) };
        let initial = || self.mathematics.initial(shard);
        let begin = read.first().map_or_else(initial, |bytes| bytes.to_vec());
        if !self.mathematics.is_state(shard, *from, &begin) {
            return Ok(Some(Input::Merged { shard, step, outcome: Merge::Refused(*start) }));
        }
        let made = match parts {
            Parts::Branches(_) => self.mathematics.merge(shard, step, &begin, &changes),
            Parts::Means(_) => self.follow(plan, shard, *from, begin, &changes),
        };
        let mathematics = Rc::clone(&self.mathematics);
        let outcome = match made {
            Ok((state, mean)) => Merge::Made {
                checkpoint: keep(&*mathematics, store, state),
                mean: keep(&*mathematics, store, mean),
            },
            Err(bad) => Merge::Refused(parts.hashes().get(bad).copied()),
        };
        Ok(Some(Input::Merged { shard, step, outcome }))
    }

    /// The state after the chapters of these means, which begin at `from`, and the last of them.
    fn follow(
        &self,
        plan: &Plan,
        shard: ShardId,
        from: u64,
        begin: Vec<u8>,
        means: &[&[u8]],
    ) -> Result<(Vec<u8>, Vec<u8>), usize> {
        let (mut state, mut last) = (begin, Vec::new());
        for (chapter, (at, mean)) in (plan.chapter_of(from)..).zip(means.iter().enumerate()) {
            let end = plan.chapter_start(chapter + 1);
            (state, last) = self.mathematics.merge(shard, end, &state, &[mean]).map_err(|_| at)?;
        }
        Ok((state, last))
    }

    /// `None` where the step is refused.
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
        let Some(inputs) = store.read(inputs)? else { return Ok(None) };
        let Some(table) = store.read(feedback.as_slice())? else { return Ok(None) };
        let mathematics = Rc::clone(&self.mathematics);
        let table = table.first().copied();
        let bytes = mathematics.refresh(shard, step, &loaded.state, &inputs, table);
        Ok(Some(Input::Refreshed { shard, load, step, batch: keep(&*mathematics, store, bytes) }))
    }
}

/// Puts bytes into the store.
fn keep(mathematics: &dyn Mathematics, store: &mut Store, bytes: Vec<u8>) -> BlobRef {
    let blob = blob(mathematics, &bytes);
    store.insert(blob.hash, bytes);
    blob
}
