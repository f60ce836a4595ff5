//! Trains a table of runs, several seeds each, and compares their accuracy with the paper's figures.
//!
//! Rule: what counts is the last epoch on the whole test set, chosen before the first step. Each
//! finished run is one line of a file, so that an interrupted table goes on where it stopped.
//!
//! ```sh
//! cargo run --release --example reproduce -- --data mnist=mnist:DIR --data cifar10=folder:PATH
//! cargo run --release --example reproduce -- --table
//! ```

mod peers;
mod results;
mod table;

use std::{
    collections::VecDeque,
    error::Error,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Instant,
};

use clap::Parser;
use ffp2p::{
    config::SpecArgs,
    export::{Model, other_correct},
    ff::Inline,
    schedule::Schedule,
    sequential::Sequential,
    spec::Checked,
};
use peers::Federation;
use results::{Line, Results};
use serde::Deserialize;

/// Trains the runs of a table that have no result yet, one after the other, on one thread.
#[derive(Debug, Parser)]
struct Args {
    /// The runs
    #[arg(long, default_value = "examples/reproduce/runs.toml", value_name = "FILE")]
    runs: PathBuf,
    /// The results so far
    #[arg(long, default_value = "docs/results.csv", value_name = "FILE")]
    results: PathBuf,
    /// The page to write
    #[arg(long, default_value = "docs/RESULTS.md", value_name = "FILE")]
    page: PathBuf,
    /// Data of a group, such as mnist=mnist:DIR
    #[arg(long, value_name = "GROUP=SET")]
    data: Vec<String>,
    /// Train only the runs whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Train no more, only write the page
    #[arg(long)]
    table: bool,
}

/// The table as the file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Runs {
    run: Vec<Run>,
}

/// One row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Its name in the page.
    pub(crate) name: String,
    /// The group of its data.
    pub(crate) group: String,
    /// The number of seeds, from 1.
    pub(crate) seeds: u64,
    /// Its spec, data and seed aside.
    pub(crate) spec: SpecArgs,
    /// Whose data, if not everybody's.
    pub(crate) federation: Option<Federation>,
    /// The paper's figures, in words.
    pub(crate) paper: String,
    /// The best published figure of such a network, with its source.
    pub(crate) best: String,
}

impl Run {
    /// The run's spec as flags, for the page, and how its data are split.
    pub(crate) fn flags(&self) -> String {
        let split = self.federation.map(Federation::words);
        self.spec.to_flags().into_iter().chain(split).collect::<Vec<_>>().join(" ")
    }
}

fn main() -> ExitCode {
    match work(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &Args) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(&args.runs)
        .map_err(|error| format!("{}: {error}", args.runs.display()))?;
    let runs: Runs = toml::from_str(&text)?;
    let mut results = Results::read(&args.results)?;
    if !args.table {
        for run in runs.run.iter().filter(|run| is_asked_for(args, run)) {
            train_seeds(args, run, &mut results)?;
        }
    }
    std::fs::write(&args.page, table::page(&runs.run, &results))?;
    Ok(())
}

fn is_asked_for(args: &Args, run: &Run) -> bool {
    args.only.as_ref().is_none_or(|text| run.name.contains(text.as_str()))
}

/// Trains the seeds of a run that have no result.
fn train_seeds(args: &Args, run: &Run, results: &mut Results) -> Result<(), Box<dyn Error>> {
    let is_group = |pair: &&String| pair.split_once('=').is_some_and(|(it, _)| it == run.group);
    let Some((_, set)) = args.data.iter().find(is_group).and_then(|pair| pair.split_once('='))
    else {
        eprintln!("{}: skipped, because there is no --data {}=SET", run.name, run.group);
        return Ok(());
    };
    for seed in 1..=run.seeds {
        if results.find(&run.group, &run.name, seed, &run.flags()).is_some() {
            continue;
        }
        let spec = SpecArgs { data: Some(set.to_owned()), seed: Some(seed), ..run.spec.clone() };
        let checked = spec.check()?;
        eprintln!("{}, seed {seed}: {} epochs", run.name, checked.spec.epochs);
        let line = train(run, seed, &checked)?;
        eprintln!("{}, seed {seed}: {:.2} % softmax", run.name, line.softmax);
        results.add(line)?;
    }
    Ok(())
}

/// Trains one run to its end.
fn train(run: &Run, seed: u64, checked: &Checked) -> Result<Line, Box<dyn Error>> {
    let begun = Instant::now();
    let mut training = Sequential::new(checked.spec.clone(), Schedule::new(checked, 1)?);
    let mut waiting: VecDeque<Schedule> = match run.federation {
        Some(federation) => federation.schedules(checked)?.into(),
        None => VecDeque::new(),
    };
    for chapter in 0..checked.spec.plan().chapters() {
        if let Some(next) = waiting.pop_front() {
            let last = training.take_up(next);
            // The first one is the schedule of all data, which no peer has.
            waiting.extend((chapter > 0).then_some(last));
        }
        training.chapter(chapter, &Inline)?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (spec, network) = (checked.spec.clone(), training.into_network());
    let model = Model { spec, network, provenance: Vec::new() };
    let found = model.evaluate(&checked.data, &Inline)?;
    let other = other_correct(&checked.spec, &found);
    let percent = |right: u32| 100.0 * f64::from(right) / f64::from(found.samples.max(1));
    Ok(Line {
        group: run.group.clone(),
        run: run.name.clone(),
        seed,
        flags: run.flags(),
        softmax: percent(found.softmax_correct),
        other: percent(other),
        seconds,
        commit: commit(),
        model: model.hash().to_string().chars().take(8).collect(),
    })
}

/// The commit that this is built from, if that can be told.
fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
