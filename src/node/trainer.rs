//! The thread that owns the mathematics.
//!
//! Rule: it does one command after the other and answers each exactly once; it decides nothing and
//! knows no peer. What it computes for a (row, step) depends on the spec, the data and the inputs
//! only.

use std::{
    collections::BTreeMap,
    sync::Arc,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    time::Instant,
};

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash, MAX_ROWS, RowId};
use tokio::sync::mpsc;

use super::{
    machine::Machine,
    reads::{Reader, Reads, UnreadableError},
    speed::Speed,
};
use crate::{
    checkpoint,
    course::Course,
    ff::{Activations, Buffers, FeedbackTable, NetworkSpec, Row, RowState, encode},
};

/// Commands that can wait; more than the decisions ever have outstanding.
const QUEUE: usize = 8 * MAX_ROWS;

/// What the trainer is to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Bring a row in, from a checkpoint's bytes or as it is initialised.
    Load { row: RowId, load: u64, checkpoint: Option<Bytes> },
    /// Do one step.
    Train {
        row: RowId,
        load: u64,
        step: u64,
        inputs: Vec<Bytes>,
        /// The feedback row's table, for a row of the first layer.
        feedback: Option<Bytes>,
        emit: bool,
        checkpoint: bool,
    },
    /// Hand on a step of the chapter just trained, with the weights at its end.
    Refresh { row: RowId, load: u64, step: u64, inputs: Vec<Bytes>, feedback: Option<Bytes> },
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
    Refreshed {
        row: RowId,
        load: u64,
        step: u64,
        batch: Made,
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
    /// Starts the thread; its answers go to `answers`. It looks how fast it is before it is asked for
    /// anything, because rows are given out by that; with `by_chapter` it also makes the images ready:
    /// where chapters are owned whole, each owner waits for the one before.
    pub(super) fn start(
        course: Course,
        machine: Arc<Machine>,
        answers: mpsc::Sender<Done>,
        by_chapter: bool,
    ) -> Self {
        let (commands, queue) = sync_channel(QUEUE);
        let work = move || {
            let machine = &machine;
            machine.pool().inside(move || {
                let mut worker = Worker::new(course, machine);
                if worker.prepare(&answers, by_chapter) {
                    worker.run(queue, &answers);
                }
            });
        };
        // Without it no command is taken, and the node says that it cannot train.
        if let Err(error) = std::thread::Builder::new().name("train".to_owned()).spawn(work) {
            tracing::error!(%error, "the system gives no thread to train on");
        }
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

/// The state of a row.
enum State {
    Row(Box<RowState>),
    Feedback(FeedbackTable),
}

/// A row in training.
struct Loaded {
    load: u64,
    state: State,
    /// Summed loss and steps of the chapter so far.
    loss: (f64, u32),
}

struct Worker<'a> {
    course: Course,
    machine: &'a Machine,
    /// The rows by number, as layers and shards.
    places: Vec<Row>,
    rows: BTreeMap<RowId, Loaded>,
    reader: Reader,
    /// For the steps of all rows.
    buffers: Buffers,
    speed: Speed,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.machine.leave();
    }
}

impl<'a> Worker<'a> {
    fn new(course: Course, machine: &'a Machine) -> Self {
        let network = course.network();
        let places = network.rows().into_iter().chain(network.feedback_row()).collect();
        let (rows, reader) = (BTreeMap::new(), Reader::default());
        let (buffers, speed) = (Buffers::default(), Speed::default());
        Self { course, machine, places, rows, reader, buffers, speed }
    }

    /// Works until the other side is gone.
    fn run(mut self, queue: Receiver<Command>, answers: &mpsc::Sender<Done>) {
        loop {
            let patience = self.speed.patience();
            let next =
                queue.try_recv().or_else(|_| self.machine.rest(|| queue.recv_timeout(patience)));
            let machine = self.machine;
            let (answer, speed) = match next {
                Ok(command) => (machine.train(|| self.answer(command)), self.speed.report()),
                Err(RecvTimeoutError::Timeout) => (None, Some(machine.train(|| self.glance()))),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for answer in answer.into_iter().chain(speed.map(Done::Speed)) {
                if answers.blocking_send(answer).is_err() {
                    return;
                }
            }
        }
    }

    /// What would keep others waiting later, or make them decide without knowing. Returns false when
    /// the other side is gone.
    fn prepare(&mut self, answers: &mpsc::Sender<Done>, by_chapter: bool) -> bool {
        let is_heard = answers.blocking_send(Done::Speed(self.glance())).is_ok();
        if by_chapter {
            self.course.draw(self.pool_threads());
        }
        is_heard
    }

    fn glance(&mut self) -> u64 {
        self.speed.glance(self.course.network(), &mut self.buffers, self.machine.pool())
    }

    fn answer(&mut self, command: Command) -> Option<Done> {
        match command {
            Command::Load { row, load, checkpoint } => Some(self.load(row, load, checkpoint)),
            Command::Train { row, load, step, inputs, feedback, emit, checkpoint } => {
                let reads = Reads { inputs: &inputs, feedback: feedback.as_ref() };
                Some(self.train((row, load, step), reads, emit, checkpoint))
            }
            Command::Refresh { row, load, step, inputs, feedback } => {
                let reads = Reads { inputs: &inputs, feedback: feedback.as_ref() };
                Some(self.refresh((row, load, step), reads))
            }
            Command::Unload { row } => {
                self.rows.remove(&row);
                None
            }
        }
    }

    fn load(&mut self, row: RowId, load: u64, bytes: Option<Bytes>) -> Done {
        let place = self.places[usize::from(row.0)];
        let spec = self.course.network();
        if place.layer == 0 {
            self.course.draw(self.pool_threads());
        }
        let state = match (bytes, spec.feedback_row() == Some(place)) {
            (None, false) => Ok(State::Row(Box::new(RowState::init(spec, place)))),
            (None, true) => Ok(State::Feedback(self.course.first_table())),
            (Some(bytes), false) => {
                checkpoint::decode(&bytes, spec, place).map(|state| State::Row(Box::new(state)))
            }
            (Some(bytes), true) => {
                checkpoint::decode_table(&bytes, spec, self.course.samples()).map(State::Feedback)
            }
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
        crate::ff::Workers::count(self.machine.pool())
    }

    fn train(
        &mut self,
        (row, load, step): (RowId, u64, u64),
        reads: Reads<'_>,
        emit: bool,
        checkpoint: bool,
    ) -> Done {
        let refused = Done::Refused { row, load, step };
        let Some(mut loaded) = self.rows.remove(&row).filter(|loaded| loaded.load == load) else {
            return refused;
        };
        let place = self.places[usize::from(row.0)];
        let begin = Instant::now();
        let done = match self.step(place, &mut loaded.state, step, reads) {
            Ok((handed_on, loss)) => {
                loaded.loss = (loaded.loss.0 + f64::from(loss), loaded.loss.1 + 1);
                if checkpoint && !loaded.loss.0.is_finite() {
                    return Done::Diverged { row, step: step + 1 };
                }
                let spec = self.course.network();
                let batch = handed_on.and_then(|it| {
                    let batch = emit.then(|| made(encode(&it, spec, place)));
                    self.buffers.give(it.states);
                    batch
                });
                let checkpoint = checkpoint.then(|| finish_chapter(&mut loaded, spec, place));
                Done::Trained { row, load, step, batch, checkpoint }
            }
            Err(error) => unreadable(&error, refused),
        };
        self.rows.insert(row, loaded);
        if self.course.network().feedback_row() != Some(place) {
            self.speed.trained(self.course.network().step_macs(place), begin);
        }
        done
    }

    /// One step of a row: what it hands on, if anything reads that, and its loss.
    fn step(
        &mut self,
        place: Row,
        state: &mut State,
        step: u64,
        reads: Reads<'_>,
    ) -> Result<(Option<Activations>, f32), UnreadableError> {
        let state = match state {
            State::Row(state) => state,
            State::Feedback(table) => {
                let read = self.reader.batches(self.course.network(), place, reads)?;
                self.course.draw_wrong_labels(table, &read.logits);
                return Ok((None, 0.0));
            }
        };
        let buffers = &mut self.buffers;
        let (handed_on, report) = if place.layer == 0 {
            let input = self.reader.images(&mut self.course, step, reads)?;
            state.train_first(self.course.network(), place, input, buffers, self.machine.pool())
        } else {
            let labels = self.course.labels(step);
            let spec = self.course.network();
            let input = self.reader.batches(spec, place, reads)?;
            state.train(spec, place, input, &labels, buffers, self.machine.pool())
        };
        Ok((Some(handed_on), report.loss))
    }

    /// What a row hands on for a step of the chapter that it has just been trained over.
    fn refresh(&mut self, (row, load, step): (RowId, u64, u64), reads: Reads<'_>) -> Done {
        let refused = Done::Refused { row, load, step };
        let Some(mut loaded) = self.rows.remove(&row).filter(|loaded| loaded.load == load) else {
            return refused;
        };
        let place = self.places[usize::from(row.0)];
        let done = match self.hand_on(place, &mut loaded.state, step, reads) {
            Ok(Some(handed_on)) => {
                let batch = made(encode(&handed_on, self.course.network(), place));
                self.buffers.give(handed_on.states);
                Done::Refreshed { row, load, step, batch }
            }
            // Nothing reads the feedback row's outputs.
            Ok(None) => refused,
            Err(error) => unreadable(&error, refused),
        };
        self.rows.insert(row, loaded);
        done
    }

    fn hand_on(
        &mut self,
        place: Row,
        state: &mut State,
        step: u64,
        reads: Reads<'_>,
    ) -> Result<Option<Activations>, UnreadableError> {
        let State::Row(state) = state else { return Ok(None) };
        let buffers = &mut self.buffers;
        let handed_on = if place.layer == 0 {
            let input = self.reader.images(&mut self.course, step, reads)?;
            let spec = self.course.network();
            state.hand_on_first(spec, place, step, input, buffers, self.machine.pool())
        } else {
            let spec = self.course.network();
            let input = self.reader.batches(spec, place, reads)?;
            state.hand_on(spec, place, step, input, buffers, self.machine.pool())
        };
        Ok(Some(handed_on))
    }
}

/// The row's canonical bytes and the chapter's mean loss, in millionths.
fn finish_chapter(loaded: &mut Loaded, spec: &NetworkSpec, place: Row) -> (Made, u64) {
    let (sum, steps) = std::mem::replace(&mut loaded.loss, (0.0, 0));
    let mean = sum / f64::from(steps.max(1));
    let bytes = match &loaded.state {
        State::Row(state) => checkpoint::encode(state, spec, place),
        State::Feedback(table) => checkpoint::encode_table(table, spec),
    };
    (made(bytes), (mean.max(0.0) * 1e6) as u64)
}

/// A step cannot be done with what it reads.
fn unreadable(error: &UnreadableError, refused: Done) -> Done {
    tracing::warn!(%error, ?refused, "what a step reads was not usable");
    refused
}

fn made(bytes: Vec<u8>) -> Made {
    let blob = BlobRef { hash: Hash::of(&bytes), size: bytes.len() as u64 };
    (blob, Bytes::from(bytes))
}
