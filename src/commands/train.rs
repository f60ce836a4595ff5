//! `ffp2p train`: the whole run in one process, without a network. The reference.

use std::time::Instant;

use super::{CommandError, check_out, threads};
use crate::{
    cli::TrainArgs,
    course::Course,
    export::{Model, score},
    ff::{Network, Row},
    node::{Diverged, NodeError, Pool, eval_event},
    report::Event,
    view::View,
};

pub(super) fn run(args: TrainArgs) -> Result<(), CommandError> {
    let threads = threads(args.threads, Pool::usual_threads(1))?;
    check_out(args.output.out.as_deref())?;
    let checked = args.spec.check()?;
    let started = Instant::now();
    let mut view = View::new(args.output.json);
    let pool = Pool::new(threads);
    let mut course = Course::new(&checked, threads).map_err(NodeError::from)?;
    let (spec, data) = (checked.spec, checked.data);
    let rows = spec.network.rows();
    view.show(&ready(&spec, &rows));
    let mut network = Network::init(spec.network.clone());
    let mut chapter = Chapter::new(rows.len());
    let plan = spec.plan();
    let trained = vec![plan.steps.div_ceil(plan.chapter_steps); rows.len()];
    for step in 0..plan.steps {
        let reports = network.train_step(&course.first_input(step), &pool);
        chapter.add(reports.iter().map(|report| report.loss));
        let done = step + 1;
        if plan.is_boundary(done) {
            chapter.end(plan.chapter_ending(done), done, &mut view)?;
        }
        if done % plan.epoch_steps == 0 {
            let epoch = done / plan.epoch_steps;
            view.show(&eval_event(&spec, &score(&network, &spec, &data, epoch, &pool)));
        }
    }
    let model = Model { spec, network, ledger: Vec::new() };
    let hash = model.hash().to_string();
    if let Some(path) = &args.output.out {
        model.save(path)?;
        view.show(&Event::Saved { file: path.display().to_string(), model: hash.clone() });
    }
    let seconds = started.elapsed().as_secs_f64();
    view.show(&Event::Done { model: hash, seconds, bytes_in: 0, bytes_out: 0, trained });
    Ok(())
}

fn ready(spec: &crate::spec::Spec, rows: &[Row]) -> Event {
    Event::Ready {
        peer: String::new(),
        run: spec.run_id().to_string(),
        listen: Vec::new(),
        rows: rows.iter().map(|row| (row.layer, row.shard)).collect(),
        steps: spec.network.steps,
        chapter_steps: spec.chapter_steps,
    }
}

/// The chapter that is being trained, for the view.
struct Chapter {
    losses: Vec<f64>,
    steps: u64,
    began: Instant,
}

impl Chapter {
    fn new(rows: usize) -> Self {
        Self { losses: vec![0.0; rows], steps: 0, began: Instant::now() }
    }

    fn add(&mut self, losses: impl Iterator<Item = f32>) {
        self.losses.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += f64::from(loss));
        self.steps += 1;
    }

    /// Tells the chapter, and begins the next.
    fn end(&mut self, chapter: u64, done: u64, view: &mut View) -> Result<(), Diverged> {
        let rows = self.losses.len();
        for (row, sum) in self.losses.iter_mut().enumerate() {
            let loss = std::mem::take(sum) / self.steps.max(1) as f64;
            if !loss.is_finite() {
                return Err(Diverged { row: row as u16, step: done });
            }
            view.show(&Event::Chapter { row: row as u16, chapter, loss, peer: String::new() });
        }
        view.show(&Event::Progress {
            rows: vec![done; rows],
            owners: vec![String::new(); rows],
            peers: 1,
            steps_per_second: self.steps as f64 / self.began.elapsed().as_secs_f64().max(1e-6),
        });
        (self.steps, self.began) = (0, Instant::now());
        Ok(())
    }
}
