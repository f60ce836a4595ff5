//! `ffp2p bench`: measures how fast this machine trains.
//!
//! Rule: times are those of the library; here they become text or JSON.

use super::{checks::threads, error::CommandError};
use crate::{
    bench::{StepCost, peak_memory, step},
    cli::{BenchArgs, BenchCommand, BenchStepArgs},
    ff::Phase,
    pool::Pool,
    spec::{Spec, widths},
    train::TrainError,
    view::line,
};

pub(super) fn run(args: BenchArgs) -> Result<(), CommandError> {
    match args.command {
        BenchCommand::Step(args) => run_step(args),
    }
}

/// Phases in the order of a step.
const PHASES: [(Phase, &str); 7] = [
    (Phase::Forward, "forward"),
    (Phase::Normalization, "normalization"),
    (Phase::Directions, "directions"),
    (Phase::Head, "head"),
    (Phase::Gradient, "gradient"),
    (Phase::Optimizer, "optimizer"),
    (Phase::Encoding, "encoding"),
];

fn run_step(args: BenchStepArgs) -> Result<(), CommandError> {
    let threads = threads(args.threads, Pool::default_threads(1))?;
    let checked = args.spec.check()?;
    let pool = Pool::new(threads);
    let rounds = usize::from(args.rounds);
    let cost = pool.inside(|| step(&checked, threads, rounds, &pool)).map_err(TrainError::from)?;
    if args.json {
        line(&json(&checked.spec, threads, &cost).to_string());
    } else {
        table(&checked.spec, threads, &cost);
    }
    Ok(())
}

fn json(spec: &Spec, threads: usize, cost: &StepCost) -> serde_json::Value {
    let layers = 0..spec.network.depth();
    let cells = layers.flat_map(|layer| PHASES.map(|(phase, name)| (layer, phase, name)));
    let phases = cells.map(|(layer, phase, name)| {
        let seconds = spent(cost, layer, phase);
        serde_json::json!({ "layer": layer, "phase": name, "thread_seconds": seconds })
    });
    let batches = cost.activation_batches.iter().map(|it| {
        serde_json::json!({ "bytes": it.bytes, "encode_seconds": it.encode, "decode_seconds": it.decode })
    });
    serde_json::json!({
        "event": "bench",
        "layers": spec.network.layers,
        "batch_size": spec.network.batch_size,
        "threads": threads,
        "samples_per_second": spec.network.batch_size as f64 / cost.step,
        "gflops": cost.operations as f64 / cost.step / 1e9,
        "products_gflops": cost.operations as f64 / cost.products / 1e9,
        "ratio": cost.ratio(),
        "step_seconds": cost.step,
        "input_seconds": cost.input,
        "phases": phases.collect::<Vec<_>>(),
        "activation_batches": batches.collect::<Vec<_>>(),
        "peak_memory_bytes": peak_memory(),
    })
}

/// Thread-seconds of a phase of a layer; 0 where no thread was in it.
fn spent(cost: &StepCost, layer: usize, phase: Phase) -> f64 {
    let at = cost.phases.iter().filter(|it| (it.layer, it.phase) == (layer, phase));
    at.fold(0.0, |sum, it| sum + it.seconds)
}

fn table(spec: &Spec, threads: usize, cost: &StepCost) {
    let (ms, gflops) = (1e3, |seconds: f64| cost.operations as f64 / seconds / 1e9);
    let (layers, batch) = (widths(&spec.network.layers), spec.network.batch_size);
    line(&format!("layers {layers}, {batch} samples a step, threads {threads}"));
    line(&format!(
        "whole step     {:8.3} ms {:7.1} GFLOP/s {:9.1} samples/s",
        cost.step * ms,
        gflops(cost.step),
        batch as f64 / cost.step
    ));
    line(&format!(
        "its products   {:8.3} ms {:7.1} GFLOP/s",
        cost.products * ms,
        gflops(cost.products)
    ));
    line(&format!("ratio          {:8.3}", cost.ratio()));
    match peak_memory() {
        Some(bytes) => line(&format!("peak memory    {:8.1} MB", bytes as f64 / 1e6)),
        None => line("peak memory    unknown on this system"),
    }
    line(&format!("images, labels {:8.3} ms a step", cost.input * ms));
    let names: Vec<_> = PHASES.iter().map(|(_, name)| format!("{name:>14}")).collect();
    line(&format!("{:18}{}", "ms a thread", names.concat()));
    for layer in 0..spec.network.depth() {
        let of = |(phase, _)| format!("{:14.3}", spent(cost, layer, phase) * ms);
        let cells: Vec<_> = PHASES.map(of).into();
        line(&format!("layer {layer:<12}{}", cells.concat()));
    }
    for (layer, it) in cost.activation_batches.iter().enumerate() {
        line(&format!(
            "an activation batch of layer {layer} is {:.2} MB: {:.3} ms to encode, {:.3} ms to decode",
            it.bytes as f64 / 1e6,
            it.encode * ms,
            it.decode * ms
        ));
    }
}
