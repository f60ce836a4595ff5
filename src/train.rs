//! Training a whole run in one process, without a network: the reference.
//!
//! Rule: every other way to train the run has to give this model. The work is kept as a node keeps it,
//! and continued.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use crate::{
    data::BatchSizeError,
    diverged::Diverged,
    events::{Event, EventSink, PROGRESS, StepRate, Stopped},
    export::{Model, ModelError, eval_event, how_to_export, score},
    pool::Pool,
    schedule::Schedule,
    sequential::Sequential,
    spec::{Checked, Spec},
    store::{Disk, Durability, Saves, StoreError},
};

/// The options of a training that are no part of the spec.
#[derive(Debug)]
pub struct TrainOptions {
    /// Training threads.
    pub threads: usize,
    /// File for the trained model.
    pub out: Option<PathBuf>,
    /// Store to keep checkpoints in and to go on from; without one all is in memory.
    pub disk: Option<Disk>,
    /// Weight of a failure to keep checkpoints.
    pub durability: Durability,
    /// Set by the caller to stop after the step in progress.
    pub stop: Arc<AtomicBool>,
}

impl Default for TrainOptions {
    /// All cores, nothing kept.
    fn default() -> Self {
        Self {
            threads: Pool::default_threads(1),
            out: None,
            disk: None,
            durability: Durability::None,
            stop: Arc::default(),
        }
    }
}

/// The reason why there is no trained model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The data set and the spec do not fit.
    #[error(transparent)]
    Schedule(#[from] BatchSizeError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model cannot be written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training went wrong beyond repair.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// The run is complete, but its model is in no file and in no store.
    #[error(
        "the trained model is kept nowhere: no folder could be written; train again with --out FILE"
    )]
    Nowhere,
    /// The caller stopped it.
    #[error("stopped before the run was complete")]
    Interrupted,
}

/// Trains a run to its end, or on from what its store has, and returns the model.
///
/// ```
/// use ffp2p::{data::Data, events::Event, spec::Spec, train::{TrainOptions, train}};
///
/// let data = Data::open("digits:200+50")?;
/// let run = Spec::builder().layers([784, 32]).epochs(2).batch_size(20).check(data)?;
/// let mut epochs = 0;
/// let mut count = |event: &Event| epochs += u32::from(matches!(event, Event::Eval { .. }));
/// let model = train(&run, TrainOptions::default(), &mut count)?;
/// assert_eq!((epochs, model.spec.run_id()), (2, run.spec.run_id()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the training diverges, is stopped, or something cannot be written.
pub fn train(
    checked: &Checked,
    options: TrainOptions,
    sink: &mut dyn EventSink,
) -> Result<Model, TrainError> {
    let started = Instant::now();
    let TrainOptions { threads, out, disk, durability, stop } = options;
    sink.on_event(&ready(&checked.spec));
    let (saves, stored) = disk.map(Saves::open).transpose()?.unzip();
    let schedule = Schedule::new(checked, threads)?;
    let mut run = Sequential::new(checked.spec.clone(), schedule);
    let kept_step = run.resume(&stored.unwrap_or_default());
    let keeping = Keeping { saves, step: kept_step, durability };
    let (pool, rate) = (Pool::new(threads), StepRate::start());
    let mut training = Training { checked, run, pool, sink, rate, chapters: 0, keeping, stop };
    training.report_resumed();
    training.run()?;
    let Training { run, mut keeping, sink, chapters, .. } = training;
    keeping.close(sink)?;
    let store = keeping.folder();
    let trained = vec![chapters; checked.spec.network.shards().len()];
    let model =
        Model { spec: checked.spec.clone(), network: run.into_network(), provenance: Vec::new() };
    let hash = model.hash().to_string();
    let saved = out.as_deref().map_or(Ok(()), |path| {
        model.save(path)?;
        sink.on_event(&Event::Saved { file: path.display().to_string(), model: hash.clone() });
        Ok::<_, ModelError>(())
    });
    sink.on_event(&Event::Done {
        model: hash,
        seconds: started.elapsed().as_secs_f64(),
        bytes_in: 0,
        bytes_out: 0,
        gossip_in: 0,
        trained,
        store: store.clone(),
    });
    if let (None, Some(store)) = (&out, &store) {
        let named = (durability == Durability::Required).then_some(store.as_str());
        sink.on_event(&Event::Note { message: how_to_export(&model.spec, named) });
    }
    saved?;
    let is_nowhere = store.is_none() && out.is_none();
    if is_nowhere && durability == Durability::BestEffort {
        return Err(TrainError::Nowhere);
    }
    Ok(model)
}

/// The checkpoints of a training on disk.
struct Keeping {
    saves: Option<Saves>,
    /// Steps up to which it is kept.
    step: u64,
    durability: Durability,
}

impl Keeping {
    /// The store, for the user.
    fn folder(&self) -> Option<String> {
        self.saves.as_ref().map(|saves| saves.folder().to_owned())
    }

    /// Keeps the run as it is now, if it can go on from here.
    fn keep(&mut self, run: &Sequential, sink: &mut dyn EventSink) -> Result<(), StoreError> {
        let (Some(saves), Some(step)) = (&mut self.saves, run.step()) else { return Ok(()) };
        match saves.keep(run.checkpoints()) {
            Ok(()) => self.step = step,
            Err(error) => self.give_up(error, sink)?,
        }
        Ok(())
    }

    /// Waits until what was kept is on disk.
    fn flush(&mut self, sink: &mut dyn EventSink) -> Result<(), StoreError> {
        let flushed = self.saves.as_ref().map_or(Ok(()), Saves::flush);
        flushed.or_else(|error| self.give_up(error, sink))
    }

    /// Waits until what was kept is on disk; nothing is kept after that.
    fn close(&mut self, sink: &mut dyn EventSink) -> Result<(), StoreError> {
        let closed = self.saves.as_mut().map_or(Ok(()), Saves::close);
        closed.or_else(|error| self.give_up(error, sink))
    }

    /// Goes on in memory, unless the store was required.
    fn give_up(&mut self, error: StoreError, sink: &mut dyn EventSink) -> Result<(), StoreError> {
        if self.durability == Durability::Required {
            return Err(error);
        }
        (self.saves, self.step) = (None, 0);
        let message = format!("{error}; from here on this run is in memory only");
        sink.on_event(&Event::Note { message });
        Ok(())
    }
}

/// A run in progress.
struct Training<'a> {
    checked: &'a Checked,
    run: Sequential,
    pool: Pool,
    sink: &'a mut dyn EventSink,
    rate: StepRate,
    /// Chapters trained by this process.
    chapters: u64,
    keeping: Keeping,
    stop: Arc<AtomicBool>,
}

impl Training<'_> {
    /// Trains what is left, unless it is stopped.
    fn run(&mut self) -> Result<(), TrainError> {
        let plan = self.checked.spec.plan();
        let mut done = vec![self.keeping.step; self.checked.spec.network.shards().len()];
        self.report_progress(&done);
        while let Some(from) = self.run.step().filter(|step| *step < plan.steps) {
            let chapter = plan.chapter_of(from);
            let is_stopped = self.stop.load(Ordering::Relaxed);
            let losses = if is_stopped { None } else { self.chapter(chapter, &mut done)? };
            self.keeping.keep(&self.run, self.sink)?;
            let Some(losses) = losses else { return Err(self.interrupted(done)?) };
            self.chapters += 1;
            self.report_chapter(chapter, &losses);
            if self.run.step() == Some(plan.steps) {
                self.report_progress(&done);
            }
            plan.epochs_ending(plan.chapter_end(from)).for_each(|epoch| self.score(epoch));
        }
        Ok(())
    }

    /// Trains a chapter, or what is left of it, until it is stopped; `done` follows the shards' steps.
    fn chapter(&mut self, chapter: u64, done: &mut [u64]) -> Result<Option<Vec<f64>>, Diverged> {
        let Self { run, pool, sink, rate, stop, .. } = self;
        let mut go_on = |steps: &[u64]| {
            done.copy_from_slice(steps);
            if rate.elapsed() >= PROGRESS {
                sink.on_event(&progress(steps, rate));
            }
            !stop.load(Ordering::Relaxed)
        };
        pool.inside(|| run.chapter_while(chapter, pool, &mut go_on))
    }

    fn score(&mut self, epoch: u64) {
        let Checked { spec, data } = self.checked;
        let Ok(score) = score(&mut self.run.network(), spec, data, epoch, &self.pool);
        self.sink.on_event(&eval_event(spec, &score));
    }

    fn report_progress(&mut self, done: &[u64]) {
        self.sink.on_event(&progress(done, &mut self.rate));
    }

    fn report_chapter(&mut self, chapter: u64, losses: &[f64]) {
        for (shard, &loss) in losses.iter().enumerate() {
            let (shard, peer) = (shard as u16, String::new());
            self.sink.on_event(&Event::Chapter { shard, chapter, loss, peer });
        }
    }

    /// Reports where the run goes on, if it does.
    fn report_resumed(&mut self) {
        let Checked { spec, .. } = self.checked;
        let (step, steps) = (self.keeping.step, spec.network.steps);
        let Some(folder) = self.keeping.folder().filter(|_| step > 0) else { return };
        let shards = vec![step; spec.network.shards().len()];
        let checkpoints = shards.len();
        self.sink.on_event(&Event::Restored { shards, checkpoints });
        if step == steps {
            let message = format!(
                "nothing is left to train: this run is complete in {folder}; --store none trains it \
                 again"
            );
            self.sink.on_event(&Event::Note { message });
            self.score(spec.epochs);
        }
    }

    /// Reports how far it came.
    fn interrupted(&mut self, shards: Vec<u64>) -> Result<TrainError, StoreError> {
        self.keeping.flush(self.sink)?;
        self.sink.on_event(&Event::Stopped(Stopped {
            kept: vec![self.keeping.step; shards.len()],
            shards,
            steps: self.checked.spec.network.steps,
            alone: true,
            store: self.keeping.folder(),
        }));
        Ok(TrainError::Interrupted)
    }
}

fn ready(spec: &Spec) -> Event {
    let shards = spec.network.shards();
    Event::Ready {
        peer: String::new(),
        name: String::new(),
        run: spec.run_id().to_string(),
        listen: Vec::new(),
        shards: shards.iter().map(|shard| (shard.layer, shard.index)).collect(),
        steps: spec.network.steps,
        chapter_steps: spec.chapter_steps,
    }
}

fn progress(shards: &[u64], rate: &mut StepRate) -> Event {
    Event::Progress {
        steps_per_second: rate.report(shards),
        peer: String::new(),
        owners: vec![String::new(); shards.len()],
        names: vec![String::new(); shards.len()],
        shards: shards.to_vec(),
        peers: 1,
        own_steps: Vec::new(),
    }
}
