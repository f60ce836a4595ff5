//! A trainer with one thread: it carries out what it is told, in order, and takes its time.
//!
//! Rule: it believes nothing. A batch that is not in the store when its step begins, or a step
//! that does not follow the last one, is an error of the decisions and ends the run.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::chance::Chance;
use super::reference::{Mathematics, blob, loss_micro, score};
use crate::{BlobRef, Hash, Input, Output, Plan, RowId};

/// The blobs of a node.
pub(super) type Store = BTreeMap<Hash, Vec<u8>>;

/// Steps' worth of work that scoring costs, over all rows.
pub(super) const EVALUATE_STEPS: u64 = 10;

/// Refreshing a step costs this part of training it.
const REFRESH_PART: u64 = 3;

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
    /// Loads of a checkpoint that fail, per mille.
    unreadable: u64,
    chance: Chance,
    mathematics: Rc<dyn Mathematics>,
    rows: BTreeMap<RowId, Row>,
    jobs: VecDeque<Output>,
}

/// What a finished job has made.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The answer to the decisions.
    pub(super) answer: Option<Input>,
    /// The cell that was trained.
    pub(super) cell: Option<(RowId, u64)>,
}

impl Trainer {
    /// A trainer of `speed` millions of multiply-accumulates a second.
    pub(super) fn new(
        speed: u64,
        unreadable: u64,
        chance: Chance,
        mathematics: Rc<dyn Mathematics>,
    ) -> Self {
        let (rows, jobs) = (BTreeMap::new(), VecDeque::new());
        Self { speed: speed.max(1), unreadable, chance, mathematics, rows, jobs }
    }

    /// Takes a job; true when it is the only one, so that its end is to be waited for.
    pub(super) fn push(&mut self, job: Output) -> bool {
        self.jobs.push_back(job);
        self.jobs.len() == 1
    }

    /// How long the job in hand takes, ms: up to a fifth more or less than it should.
    pub(super) fn duration(&mut self, plan: &Plan) -> Option<u64> {
        let cost = if let Output::Train { row, .. } = self.jobs.front()? {
            plan.cost(*row)
        } else if let Some(Output::Refresh { row, .. }) = self.jobs.front() {
            plan.cost(*row) / REFRESH_PART
        } else if let Some(Output::Evaluate { .. }) = self.jobs.front() {
            EVALUATE_STEPS * plan.rows().map(|row| plan.cost(row)).sum::<u64>()
        } else {
            0
        };
        Some((cost * self.chance.between(800, 1_200) / 1_000 / self.speed).max(1))
    }

    /// Ends the job in hand.
    pub(super) fn finish(&mut self, plan: &Plan, store: &mut Store) -> Result<Made, String> {
        match self.jobs.pop_front() {
            Some(Output::Load { row, load, step, checkpoint }) => {
                self.load(store, row, load, step, checkpoint)
            }
            Some(job @ Output::Train { row, step, .. }) => {
                let made = self.train(store, job)?;
                Ok(Made { answer: made, cell: Some((row, step)) })
            }
            Some(job @ Output::Refresh { .. }) => {
                Ok(Made { answer: self.refresh(store, plan, job)?, cell: None })
            }
            Some(Output::Unload { row }) => {
                self.rows.remove(&row);
                Ok(Made::default())
            }
            Some(Output::Evaluate { epoch, checkpoints }) => {
                let bytes = read(store, &checkpoints)?;
                let score = score(epoch, &bytes);
                Ok(Made { answer: Some(Input::Evaluated(score)), cell: None })
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
        Ok(Made { answer: Some(Input::Loaded { row, load, ok }), cell: None })
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
        let batch = emit.then(|| keep(store, bytes));
        let checkpoint = checkpoint.then(|| {
            let blob = keep(store, state.clone());
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
        Ok(Some(Input::Refreshed { row, load, step, batch: keep(store, bytes) }))
    }
}

fn keep(store: &mut Store, bytes: Vec<u8>) -> BlobRef {
    let blob = blob(&bytes);
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
