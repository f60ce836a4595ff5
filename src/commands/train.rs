//! `ffp2p train`: the whole run in one process, without a network. The reference.

use std::time::Instant;

use super::{CommandError, check_out, threads};
use crate::{
    cli::TrainArgs,
    course::Course,
    export::{Model, score},
    ff::Row,
    node::{NodeError, Pool, eval_event},
    report::Event,
    sequential::Sequential,
    view::View,
};

pub(super) fn run(args: TrainArgs) -> Result<(), CommandError> {
    let threads = threads(args.threads, Pool::usual_threads(1))?;
    check_out(args.output.out.as_deref())?;
    let checked = args.spec.check()?;
    let started = Instant::now();
    let mut view = View::new(args.output.json);
    let pool = Pool::new(threads);
    let course = Course::new(&checked, threads).map_err(NodeError::from)?;
    let (spec, data) = (checked.spec, checked.data);
    let rows = spec.network.rows();
    view.show(&ready(&spec, &rows));
    let plan = spec.plan();
    let mut run = Sequential::new(spec.clone(), course);
    for chapter in 0..plan.chapters() {
        let began = Instant::now();
        let losses = pool.inside(|| run.chapter(chapter, &pool))?;
        let (start, done) = (plan.chapter_start(chapter), plan.chapter_start(chapter + 1));
        let pace = (done - start) as f64 / began.elapsed().as_secs_f64().max(1e-6);
        tell(&mut view, chapter, done, &losses, pace);
        for epoch in plan.epochs_ending(done) {
            let Ok(score) = score(&mut run.network(), &spec, &data, epoch, &pool);
            view.show(&eval_event(&spec, &score));
        }
    }
    let trained = vec![plan.chapters(); rows.len()];
    let network = run.into_network();
    let model = Model { spec, network, ledger: Vec::new() };
    let hash = model.hash().to_string();
    if let Some(path) = &args.output.out {
        model.save(path)?;
        view.show(&Event::Saved { file: path.display().to_string(), model: hash.clone() });
    }
    let seconds = started.elapsed().as_secs_f64();
    let (bytes_in, bytes_out, gossip_in) = (0, 0, 0);
    view.show(&Event::Done { model: hash, seconds, bytes_in, bytes_out, gossip_in, trained });
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

/// Tells that a chapter is done, at `pace` steps a second.
fn tell(view: &mut View, chapter: u64, done: u64, losses: &[f64], pace: f64) {
    for (row, &loss) in losses.iter().enumerate() {
        view.show(&Event::Chapter { row: row as u16, chapter, loss, peer: String::new() });
    }
    view.show(&Event::Progress {
        rows: vec![done; losses.len()],
        owners: vec![String::new(); losses.len()],
        peers: 1,
        steps_per_second: pace,
        own_steps: Vec::new(),
    });
}
