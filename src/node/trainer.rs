//! The thread that owns the mathematics.
//!
//! Rule: it does one command after the other and answers each exactly once; it decides nothing and
//! knows no peer. What it computes for a (row, step) depends on the spec, the data and the inputs
//! only.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    time::Instant,
};

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash, MAX_ROWS, RowId};
use tokio::sync::mpsc;

use super::workers::Pool;
use crate::{
    checkpoint,
    course::Course,
    ff::{Activations, NetworkSpec, Row, RowState, WireError, concat, decode, encode},
};

/// Commands that can wait; more than the decisions ever have outstanding.
const QUEUE: usize = 8 * MAX_ROWS;

/// Steps between two reports of the speed.
const SPEED_STEPS: u32 = 32;

/// Share of the newest measurement in the reported speed: one busy second moves no row.
const SPEED_SHARE: f64 = 0.2;

/// What the trainer is to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Bring a row in, from a checkpoint's bytes or as it is initialised.
    Load { row: RowId, load: u64, checkpoint: Option<Bytes> },
    /// Do one step.
    Train { row: RowId, load: u64, step: u64, inputs: Vec<Bytes>, emit: bool, checkpoint: bool },
    /// Forget a row.
    Unload { row: RowId },
}

/// A blob just made.
pub(super) type Made = (BlobRef, Bytes);

/// What the trainer answers.
#[derive(Debug)]
pub(super) enum Done {
    Loaded {
        row: RowId,
        load: u64,
        ok: bool,
    },
    Trained {
        row: RowId,
        load: u64,
        step: u64,
        batch: Option<Made>,
        checkpoint: Option<(Made, u64)>,
    },
    /// The inputs of a step were not activation batches of this run.
    Refused {
        row: RowId,
        load: u64,
        step: u64,
    },
    /// The chapter's loss is not finite.
    Diverged {
        row: RowId,
        step: u64,
    },
    /// Millions of multiply-accumulates a second while training.
    Speed(u64),
}

/// The way to the trainer thread.
#[derive(Debug)]
pub(super) struct Trainer {
    commands: SyncSender<Command>,
}

impl Trainer {
    /// Starts the thread; its answers go to `answers`.
    pub(super) fn start(course: Course, pool: Pool, answers: mpsc::Sender<Done>) -> Self {
        let (commands, queue) = sync_channel(QUEUE);
        std::thread::spawn(move || Worker::new(course, pool).run(&queue, &answers));
        Self { commands }
    }

    /// Hands over a command. Returns false when the trainer is gone or stuck.
    pub(super) fn command(&self, command: Command) -> bool {
        match self.commands.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// A row in training.
struct Loaded {
    load: u64,
    state: RowState,
    /// Summed loss and steps of the chapter so far.
    loss: (f64, u32),
}

struct Worker {
    course: Course,
    pool: Pool,
    /// The rows by number, as layers and shards.
    places: Vec<Row>,
    rows: BTreeMap<RowId, Loaded>,
    /// Steps, work and seconds since the last report of the speed.
    pace: (u32, u64, f64),
    /// Multiply-accumulates a second, smoothed; 0 before the first measurement.
    smoothed: f64,
}

impl Worker {
    fn new(course: Course, pool: Pool) -> Self {
        let places = course.network().rows();
        Self { course, pool, places, rows: BTreeMap::new(), pace: (0, 0, 0.0), smoothed: 0.0 }
    }

    /// Works until the other side is gone.
    fn run(mut self, queue: &Receiver<Command>, answers: &mpsc::Sender<Done>) {
        for command in queue {
            let answer = match command {
                Command::Load { row, load, checkpoint } => Some(self.load(row, load, checkpoint)),
                Command::Train { row, load, step, inputs, emit, checkpoint } => {
                    Some(self.train(row, load, step, &inputs, emit, checkpoint))
                }
                Command::Unload { row } => {
                    self.rows.remove(&row);
                    None
                }
            };
            for answer in answer.into_iter().chain(self.speed()) {
                if answers.blocking_send(answer).is_err() {
                    return;
                }
            }
        }
    }

    fn load(&mut self, row: RowId, load: u64, bytes: Option<Bytes>) -> Done {
        let place = self.places[usize::from(row.0)];
        let spec = self.course.network();
        if place.layer == 0 {
            self.course.draw(self.pool_threads());
        }
        let state = match bytes {
            None => Ok(RowState::init(spec, place)),
            Some(bytes) => checkpoint::decode(&bytes, spec, place),
        };
        let ok = match state {
            Ok(state) => {
                self.rows.insert(row, Loaded { load, state, loss: (0.0, 0) });
                true
            }
            Err(error) => {
                tracing::warn!(%error, %row, "a checkpoint was not usable");
                false
            }
        };
        Done::Loaded { row, load, ok }
    }

    fn pool_threads(&self) -> usize {
        crate::ff::Workers::count(&self.pool)
    }

    fn train(
        &mut self,
        row: RowId,
        load: u64,
        step: u64,
        inputs: &[Bytes],
        emit: bool,
        checkpoint: bool,
    ) -> Done {
        let refused = Done::Refused { row, load, step };
        let Some(mut loaded) = self.rows.remove(&row).filter(|loaded| loaded.load == load) else {
            return refused;
        };
        let place = self.places[usize::from(row.0)];
        let begin = Instant::now();
        let done = match self.step(place, &mut loaded.state, step, inputs) {
            Ok((handed_on, loss)) => {
                loaded.loss = (loaded.loss.0 + f64::from(loss), loaded.loss.1 + 1);
                if checkpoint && !loaded.loss.0.is_finite() {
                    return Done::Diverged { row, step: step + 1 };
                }
                let spec = self.course.network();
                let batch = emit.then(|| made(encode(&handed_on, spec.wire)));
                let checkpoint = checkpoint.then(|| finish_chapter(&mut loaded, spec, place));
                Done::Trained { row, load, step, batch, checkpoint }
            }
            Err(error) => {
                tracing::warn!(%error, %row, step, "an activation batch was not usable");
                refused
            }
        };
        self.rows.insert(row, loaded);
        self.pace.0 += 1;
        self.pace.1 += self.course.network().step_macs(place);
        self.pace.2 += begin.elapsed().as_secs_f64();
        done
    }

    fn step(
        &mut self,
        place: Row,
        state: &mut RowState,
        step: u64,
        inputs: &[Bytes],
    ) -> Result<(Activations, f32), WireError> {
        if place.layer == 0 {
            let input = self.course.first_input(step);
            let spec = self.course.network();
            let (handed_on, report) = state.train_first(spec, place, &input, &self.pool);
            return Ok((handed_on, report.loss));
        }
        let labels = self.course.labels(step);
        let spec = self.course.network();
        let below = Row { layer: place.layer - 1, shard: 0 };
        let read = |bytes: &Bytes| decode(bytes, spec, below);
        let mut shards = inputs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let input = if shards.len() == 1 { shards.swap_remove(0) } else { concat(&shards) };
        let (handed_on, report) = state.train(spec, place, &input, &labels, &self.pool);
        Ok((handed_on, report.loss))
    }

    /// The speed, every so many steps.
    fn speed(&mut self) -> Option<Done> {
        let (steps, work, seconds) = self.pace;
        if steps < SPEED_STEPS || seconds <= 0.0 {
            return None;
        }
        self.pace = (0, 0, 0.0);
        let measured = work as f64 / seconds;
        self.smoothed = if self.smoothed > 0.0 {
            self.smoothed + SPEED_SHARE * (measured - self.smoothed)
        } else {
            measured
        };
        Some(Done::Speed((self.smoothed / 1e6) as u64))
    }
}

/// The row's canonical bytes and the chapter's mean loss, in millionths.
fn finish_chapter(loaded: &mut Loaded, spec: &NetworkSpec, place: Row) -> (Made, u64) {
    let (sum, steps) = std::mem::replace(&mut loaded.loss, (0.0, 0));
    let mean = sum / f64::from(steps.max(1));
    (made(checkpoint::encode(&loaded.state, spec, place)), (mean.max(0.0) * 1e6) as u64)
}

fn made(bytes: Vec<u8>) -> Made {
    let blob = BlobRef { hash: Hash::of(&bytes), size: bytes.len() as u64 };
    (blob, Bytes::from(bytes))
}
