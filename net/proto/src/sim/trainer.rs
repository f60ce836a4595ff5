//! A trainer with one thread: it carries out what it is told, in order, and takes its time. Scoring
//! goes on while it has nothing to do, and for a small part of its time while it has.
//!
//! Rule: it believes nothing. A batch that is not in the store when its step begins, or a step
//! that does not follow the last one, is an error of the decisions and ends the run.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::chance::Chance;
use super::costs::Costs;
use super::faults::Scenario;
use super::reference::{Mathematics, blob, loss_micro, score};
use crate::{BlobRef, Hash, Input, Output, Plan, RowId};

/// The blobs of a node.
pub(super) type Store = BTreeMap<Hash, Vec<u8>>;

/// Steps between two reports of the speed, in a run that is predicted.
const SPEED_STEPS: u64 = 32;

/// Share of the newest measurement in the reported speed, percent.
const SPEED_SHARE: u64 = 20;

/// Scoring takes turns of this long, microseconds.
const SCORING_TURN: u64 = 20_000;

/// While there is something to train, scoring gets one part of the time and training so many; and so
/// many where other epochs wait for their scores.
const TRAINING_PARTS: (u64, u64) = (8, 1);

/// A row that is in the trainer.
#[derive(Clone, Debug)]
struct Row {
    load: u64,
    step: u64,
    state: Vec<u8>,
}

/// One thread with its queue.
#[derive(Debug)]
pub(super) struct Trainer {
    speed: u64,
    costs: Costs,
    /// Loads of a checkpoint that fail, per mille.
    unreadable: u64,
    chance: Chance,
    mathematics: Rc<dyn Mathematics>,
    rows: BTreeMap<RowId, Row>,
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
pub(super) struct Made {
    /// The answer to the decisions.
    pub(super) answer: Option<Input>,
    /// What it has to say of its speed.
    pub(super) speed: Option<Input>,
    /// The cell that was trained.
    pub(super) cell: Option<(RowId, u64)>,
}

impl Trainer {
    /// A trainer of `speed` millions of multiply-accumulates a second.
    pub(super) fn new(
        scenario: &Scenario,
        speed: u64,
        chance: Chance,
        mathematics: Rc<dyn Mathematics>,
    ) -> Self {
        let costs = scenario.costs.clone().unwrap_or_else(|| Costs::rough(&scenario.plan));
        Self {
            speed: speed.max(1),
            costs,
            unreadable: scenario.unreadable,
            chance,
            mathematics,
            rows: BTreeMap::new(),
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

    /// The name of `bytes`.
    pub(super) fn name(&self, bytes: &[u8]) -> BlobRef {
        blob(&*self.mathematics, bytes)
    }

    /// The network passed on `size` bytes in so many messages and copies of messages, which the job
    /// in hand waits for; returns how long that took, microseconds.
    pub(super) fn steal(&mut self, size: u64, messages: u64, copies: u64) -> u64 {
        let costs = &self.costs;
        let work =
            messages * costs.message + copies * costs.copy + costs.megabyte * size / 1_000_000;
        let took = work * 1_000 / self.speed;
        self.stolen += took;
        took
    }

    /// How much longer the job in hand takes because of what the network did meanwhile.
    pub(super) fn delayed(&mut self) -> Option<u64> {
        let stolen = std::mem::take(&mut self.stolen);
        let scored = std::mem::take(&mut self.scored);
        // What scoring takes tells nothing of how fast the machine trains.
        self.takes += stolen;
        let late = stolen + scored;
        (late > 0).then_some(late)
    }

    /// Takes a job; true when it is the only one, so that its end is to be waited for.
    pub(super) fn push(&mut self, job: Output) -> bool {
        self.jobs.push_back(job);
        self.jobs.len() == 1
    }

    /// Begins the job in hand; returns how long it takes, microseconds.
    pub(super) fn begin(&mut self, plan: &Plan) -> Option<u64> {
        let costs = &self.costs;
        let of = |list: &[u64], row: RowId| Costs::of(list, plan, row);
        let job = self.jobs.front()?;
        let work = if let Output::Train { row, checkpoint, .. } = *job {
            let end = if checkpoint { of(&costs.checkpoint, row) } else { 0 };
            of(&costs.train, row) + end
        } else if let Output::Refresh { row, .. } = *job {
            of(&costs.refresh, row)
        } else if let Output::Load { row, .. } = *job {
            let draws = self.is_fresh && plan.layer(row) == 0;
            self.is_fresh &= !draws;
            of(&costs.checkpoint, row) + if draws { costs.prepare } else { 0 }
        } else {
            0
        };
        let luck = self.chance.between(1_000 - costs.spread, 1_000 + costs.spread);
        self.takes = (work * luck / self.speed).max(costs.least_us);
        (self.stolen, self.scored) = (0, 0);
        Some(self.takes)
    }

    /// Takes an epoch to score.
    pub(super) fn score(&mut self, epoch: Output) {
        let us = (self.costs.evaluate * 1_000 / self.speed).max(self.costs.least_us);
        self.scoring = Some((epoch, us));
        self.hurries = false;
    }

    /// What is being scored shall no longer wait for training.
    pub(super) fn hurry_score(&mut self) {
        self.hurries = true;
    }

    /// Scores for a turn; returns how long it is until the next, microseconds, and nothing once all
    /// is scored.
    pub(super) fn score_on(&mut self) -> Option<u64> {
        let (_, left) = self.scoring.as_mut()?;
        let turn = (*left).min(SCORING_TURN);
        *left -= turn;
        let parts = if self.hurries { TRAINING_PARTS.1 } else { TRAINING_PARTS.0 };
        let trains = !self.jobs.is_empty();
        self.scored += if trains { turn } else { 0 };
        (turn > 0).then_some(if trains { (1 + parts) * turn } else { turn })
    }

    /// The score, once all is scored.
    pub(super) fn scored(&mut self, store: &Store) -> Result<Option<Input>, String> {
        let Some((Output::Evaluate { epoch, checkpoints }, _)) = self.scoring.take() else {
            return Ok(None);
        };
        Ok(Some(Input::Evaluated(score(epoch, &read(store, &checkpoints)?))))
    }

    /// The speed, if there was no work yet that would show it.
    pub(super) fn glance(&self) -> Option<u64> {
        (self.jobs.is_empty() && self.pace == (0, 0, 0)).then_some(self.speed)
    }

    /// The speed, every so many steps, measured as a real trainer does.
    pub(super) fn report(&mut self, work: u64) -> Option<Input> {
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
    pub(super) fn finish(&mut self, plan: &Plan, store: &mut Store) -> Result<Made, String> {
        match self.jobs.pop_front() {
            Some(Output::Load { row, load, step, checkpoint }) => {
                self.load(store, row, load, step, checkpoint)
            }
            Some(job @ Output::Train { row, step, .. }) => {
                let made = self.train(store, job)?;
                let speed = self.report(plan.cost(row));
                Ok(Made { answer: made, speed, cell: Some((row, step)) })
            }
            Some(job @ Output::Refresh { .. }) => {
                Ok(Made { answer: self.refresh(store, plan, job)?, ..Made::default() })
            }
            Some(Output::Unload { row }) => {
                self.rows.remove(&row);
                Ok(Made::default())
            }
            _ => Ok(Made::default()),
        }
    }

    fn load(
        &mut self,
        store: &Store,
        row: RowId,
        load: u64,
        step: u64,
        checkpoint: Option<Hash>,
    ) -> Result<Made, String> {
        let state = match checkpoint {
            None if step == 0 => self.mathematics.initial(row),
            None => return Err(format!("row {row} is to be loaded at step {step} from nothing")),
            Some(hash) => match read(store, &[hash])?.first() {
                Some(state) if self.mathematics.is_state(row, step, state) => state.to_vec(),
                found => return Err(format!("row {row} step {step}: checkpoint is {found:?}")),
            },
        };
        let ok = checkpoint.is_none() || !self.chance.hit(self.unreadable);
        if ok {
            self.rows.insert(row, Row { load, step, state });
        } else {
            self.rows.remove(&row);
        }
        Ok(Made { answer: Some(Input::Loaded { row, load, ok }), ..Made::default() })
    }

    /// The row that `load` brought in.
    fn loaded(&mut self, row: RowId, load: u64) -> Result<&mut Row, String> {
        let loaded = self.rows.get_mut(&row).filter(|loaded| loaded.load == load);
        loaded.ok_or_else(|| format!("row {row} is not there by load {load}"))
    }

    fn train(&mut self, store: &mut Store, job: Output) -> Result<Option<Input>, String> {
        let Output::Train { row, load, step, inputs, feedback, emit, checkpoint } = job else {
            return Ok(None);
        };
        let mathematics = Rc::clone(&self.mathematics);
        let loaded = self.loaded(row, load)?;
        if loaded.step != step {
            return Err(format!("row {row} is at step {}, not {step}", loaded.step));
        }
        let (inputs, table) = (read(store, &inputs)?, read(store, feedback.as_slice())?);
        let table = table.first().copied();
        let (state, bytes) = mathematics.train(row, step, &loaded.state, &inputs, table);
        let batch = emit.then(|| keep(&*mathematics, store, bytes));
        let checkpoint = checkpoint.then(|| {
            let blob = keep(&*mathematics, store, state.clone());
            (blob, loss_micro(&blob))
        });
        (loaded.step, loaded.state) = (step + 1, state);
        Ok(Some(Input::Trained { row, load, step, batch, checkpoint }))
    }

    fn refresh(
        &mut self,
        store: &mut Store,
        plan: &Plan,
        job: Output,
    ) -> Result<Option<Input>, String> {
        let Output::Refresh { row, load, step, inputs, feedback } = job else { return Ok(None) };
        let mathematics = Rc::clone(&self.mathematics);
        let loaded = self.loaded(row, load)?;
        if loaded.step != plan.chapter_end(step) {
            return Err(format!("row {row} is at step {}, to refresh {step}", loaded.step));
        }
        let (inputs, table) = (read(store, &inputs)?, read(store, feedback.as_slice())?);
        let table = table.first().copied();
        let bytes = mathematics.refresh(row, step, &loaded.state, &inputs, table);
        Ok(Some(Input::Refreshed { row, load, step, batch: keep(&*mathematics, store, bytes) }))
    }
}

fn keep(mathematics: &dyn Mathematics, store: &mut Store, bytes: Vec<u8>) -> BlobRef {
    let blob = blob(mathematics, &bytes);
    store.insert(blob.hash, bytes);
    blob
}

/// The bytes of these blobs.
fn read<'a>(store: &'a Store, hashes: &[Hash]) -> Result<Vec<&'a [u8]>, String> {
    let get = |hash: &Hash| match store.get(hash) {
        Some(bytes) => Ok(bytes.as_slice()),
        None => Err(format!("the trainer needs {hash:?}, which is not in the store")),
    };
    hashes.iter().map(get).collect()
}
