//! `ffp2p train`: the whole run in one process, without a network. The reference.

use std::time::Instant;

use super::{
    CommandError, check_out,
    keeping::{self, OpenStore},
    signals::{Flag, Signals},
    tell_found, threads,
};
use crate::{
    cli::TrainArgs,
    data::Data,
    events::{Event, EventSink, PROGRESS, StepRate, Stopped},
    export::{Model, how_to_take, score},
    node::{Durability, NodeError, Pool, Saves, StoreError, StoreUser, eval_event},
    schedule::Schedule,
    sequential::Sequential,
    spec::{Checked, Spec},
    view,
};

pub(super) fn run(args: TrainArgs) -> Result<(), CommandError> {
    let signals = Signals::listen()?;
    let threads = threads(args.threads, Pool::usual_threads(1))?;
    let checked = args.spec.check()?;
    check_out(args.output.out.as_deref(), &checked.spec)?;
    let mut sink = view::for_stdout(args.output.json);
    tell_found(&mut *sink, &checked.data);
    let started = Instant::now();
    let keeping =
        keeping::open(args.store.as_deref(), &checked.spec, StoreUser::Train, &mut *sink)?;
    sink.on_event(&ready(&checked.spec));
    let mut training = Training::start(&checked, keeping, Pool::new(threads), threads, sink)?;
    training.run(&signals.flag())?;
    let Training { run, spec, pool: _, mut sink, chapters, kept, durability, .. } = training;
    let store = kept.as_ref().map(|saves| saves.folder().to_owned());
    let trained = vec![chapters; spec.network.shards().len()];
    let model = Model { spec, network: run.into_network(), ledger: Vec::new() };
    let hash = model.hash().to_string();
    let saved = args.output.out.as_deref().map_or(Ok(()), |path| {
        model.save(path)?;
        sink.on_event(&Event::Saved { file: path.display().to_string(), model: hash.clone() });
        Ok::<_, CommandError>(())
    });
    let seconds = started.elapsed().as_secs_f64();
    let (bytes_in, bytes_out, gossip_in) = (0, 0, 0);
    let is_nowhere = store.is_none() && args.output.out.is_none();
    let named = store.clone().filter(|_| durability == Durability::Required);
    let hint = store.as_ref().filter(|_| args.output.out.is_none());
    let hint = hint.map(|_| how_to_take(&model.spec, named.as_deref()));
    sink.on_event(&Event::Done {
        model: hash,
        seconds,
        bytes_in,
        bytes_out,
        gossip_in,
        trained,
        store,
    });
    if let Some(message) = hint {
        sink.on_event(&Event::Note { message });
    }
    saved?;
    if is_nowhere && durability == Durability::BestEffort {
        return Err(NodeError::Nowhere.into());
    }
    Ok(())
}

/// A run in progress.
struct Training {
    spec: Spec,
    data: Data,
    run: Sequential,
    pool: Pool,
    sink: Box<dyn EventSink>,
    pace: StepRate,
    /// Chapters trained by this process.
    chapters: u64,
    kept: Option<Saves>,
    /// Steps up to which it is kept.
    kept_step: u64,
    durability: Durability,
}

impl Training {
    /// The run as its folder has it, or before its first step.
    fn start(
        checked: &Checked,
        keeping: OpenStore,
        pool: Pool,
        threads: usize,
        sink: Box<dyn EventSink>,
    ) -> Result<Self, CommandError> {
        let schedule = Schedule::new(checked, threads).map_err(NodeError::from)?;
        let (spec, data) = (checked.spec.clone(), checked.data.clone());
        let mut run = Sequential::new(spec.clone(), schedule);
        let (chapters, durability) = (0, keeping.durability);
        let (kept, stored) = keeping.disk.map(Saves::open).transpose()?.unzip();
        let kept_step = run.resume(&stored.unwrap_or_default());
        let pace = StepRate::start();
        let mut training =
            Self { pace, spec, data, run, pool, sink, chapters, kept, kept_step, durability };
        training.tell_resumed();
        Ok(training)
    }

    /// Trains what is left, unless it is stopped.
    fn run(&mut self, stop: &Flag) -> Result<(), CommandError> {
        let plan = self.spec.plan();
        let mut done = vec![self.kept_step; self.spec.network.shards().len()];
        self.sink.on_event(&progress(&done, &mut self.pace));
        while let Some(from) = self.run.step().filter(|step| *step < plan.steps) {
            let chapter = plan.chapter_of(from);
            let losses = match stop.is_set() {
                true => None,
                false => self.chapter(chapter, stop, &mut done)?,
            };
            self.keep()?;
            let Some(losses) = losses else { return self.stopped(done) };
            self.chapters += 1;
            tell(&mut *self.sink, chapter, &losses);
            if self.run.step() == Some(plan.steps) {
                self.sink.on_event(&progress(&done, &mut self.pace));
            }
            plan.epochs_ending(plan.chapter_end(from)).for_each(|epoch| self.score(epoch));
        }
        self.flush()
    }

    /// Trains a chapter, or what is left of it, as far as it may; `done` follows the shards' steps.
    fn chapter(
        &mut self,
        chapter: u64,
        stop: &Flag,
        done: &mut [u64],
    ) -> Result<Option<Vec<f64>>, CommandError> {
        let Self { run, pool, sink, pace, .. } = self;
        let mut go_on = |steps: &[u64]| {
            done.copy_from_slice(steps);
            if pace.elapsed() >= PROGRESS {
                sink.on_event(&progress(steps, pace));
            }
            !stop.is_set()
        };
        Ok(pool.inside(|| run.chapter_while(chapter, pool, &mut go_on))?)
    }

    fn score(&mut self, epoch: u64) {
        let Ok(score) = score(&mut self.run.network(), &self.spec, &self.data, epoch, &self.pool);
        self.sink.on_event(&eval_event(&self.spec, &score));
    }

    /// Keeps the run as it is now, if it can go on from here.
    fn keep(&mut self) -> Result<(), CommandError> {
        let (Some(saves), Some(step)) = (&mut self.kept, self.run.step()) else { return Ok(()) };
        match saves.keep(self.run.checkpoints()) {
            Ok(()) => {
                self.kept_step = step;
                Ok(())
            }
            Err(error) => self.on_unkept(error),
        }
    }

    /// Waits until what was kept is on disk.
    fn flush(&mut self) -> Result<(), CommandError> {
        let flushed = self.kept.as_ref().map_or(Ok(()), Saves::flush);
        flushed.or_else(|error| self.on_unkept(error))
    }

    /// The folder takes no more.
    fn on_unkept(&mut self, error: StoreError) -> Result<(), CommandError> {
        if self.durability == Durability::Required {
            return Err(NodeError::from(error).into());
        }
        (self.kept, self.kept_step) = (None, 0);
        let message = format!("{error}; from here on this run is in memory only");
        self.sink.on_event(&Event::Note { message });
        Ok(())
    }

    /// Tells where the run goes on, if it does.
    fn tell_resumed(&mut self) {
        let (step, steps) = (self.kept_step, self.spec.network.steps);
        let Some(saves) = self.kept.as_ref().filter(|_| step > 0) else { return };
        let shards = vec![step; self.spec.network.shards().len()];
        let checkpoints = shards.len();
        let note = format!(
            "nothing is left to train: this run is complete in {}; --store none trains it again",
            saves.folder()
        );
        self.sink.on_event(&Event::Restored { shards, checkpoints });
        if step == steps {
            self.sink.on_event(&Event::Note { message: note });
            self.score(self.spec.epochs);
        }
    }

    /// Tells how far it came.
    fn stopped(&mut self, shards: Vec<u64>) -> Result<(), CommandError> {
        self.flush()?;
        self.sink.on_event(&Event::Stopped(Stopped {
            kept: vec![self.kept_step; shards.len()],
            shards,
            steps: self.spec.network.steps,
            alone: true,
            store: self.kept.as_ref().map(|saves| saves.folder().to_owned()),
        }));
        Err(CommandError::Interrupted)
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

/// Tells that a chapter is done.
fn tell(sink: &mut dyn EventSink, chapter: u64, losses: &[f64]) {
    for (shard, &loss) in losses.iter().enumerate() {
        sink.on_event(&Event::Chapter { shard: shard as u16, chapter, loss, peer: String::new() });
    }
}

/// How far the run is.
fn progress(shards: &[u64], pace: &mut StepRate) -> Event {
    Event::Progress {
        steps_per_second: pace.report(shards),
        peer: String::new(),
        owners: vec![String::new(); shards.len()],
        names: vec![String::new(); shards.len()],
        shards: shards.to_vec(),
        peers: 1,
        own_steps: Vec::new(),
    }
}
