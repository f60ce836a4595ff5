//! `ffp2p runs`: lists the runs of this LAN and those that are kept on this machine, and removes some
//! of these.
//!
//! Rule: only what the user names is removed, and nothing that a process works in.

use std::{collections::BTreeMap, time::SystemTime};

use super::{checks::check_digits, error::CommandError, found::listen, runtime::runtime};
use crate::{
    cli::{RunsArgs, RunsCommand},
    spec::widths,
    store::{KeptRun, StateDir},
    text::{duration, megabytes},
    view::line,
};

pub(super) fn run(args: RunsArgs) -> Result<(), CommandError> {
    let state = StateDir::of_user()?;
    let runs = state.runs();
    let Some(RunsCommand::Rm { ids }) = args.command else {
        if !args.kept {
            list_trained(&args)?;
        }
        if runs.is_empty() && !args.json {
            line(&format!("no run is kept in {}", state.path().display()));
        }
        for folder in state.unreadable(&runs).iter().filter(|_| !args.json) {
            let folder = folder.display();
            line(&format!(
                "no run can be read in {folder}: its spec is damaged; remove the folder"
            ));
        }
        runs.iter().for_each(|run| line(&if args.json { as_json(run) } else { as_text(run) }));
        return Ok(());
    };
    // All are checked before the first one is removed.
    let named = ids.iter().map(|id| find(&runs, id));
    let named: BTreeMap<_, _> =
        named.collect::<Result<Vec<_>, _>>()?.into_iter().map(|run| (run.id(), run)).collect();
    if let Some(run) = named.values().find(|run| run.in_use) {
        let id = run.id().short();
        let text = format!("run {id} is in use: stop the process that trains it first");
        return Err(CommandError::Usage(text));
    }
    for run in named.into_values() {
        state.remove(run)?;
        if !args.json {
            line(&format!("removed run {}, {}", run.id().short(), megabytes(run.bytes)));
        }
    }
    Ok(())
}

/// Lists the runs that are trained here now.
fn list_trained(args: &RunsArgs) -> Result<(), CommandError> {
    let network = args.network.visitor()?;
    let found = runtime()?.block_on(listen(&network))?;
    if found.is_empty() && !args.json {
        line("no run is trained here now; start one with `ffp2p join`");
    }
    for run in found {
        line(&if args.json { run.as_json() } else { run.in_words() });
    }
    Ok(())
}

/// The only run whose id begins so.
fn find<'a>(runs: &'a [KeptRun], id: &str) -> Result<&'a KeptRun, CommandError> {
    check_digits("", id)?;
    let mut found = runs.iter().filter(|run| run.id().to_string().starts_with(id));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(run),
        (Some(_), Some(_)) => {
            Err(CommandError::Usage(format!("{id}: several runs begin so; write more digits")))
        }
        (None, _) => Err(CommandError::Usage(format!(
            "{id}: no run that is kept here begins so; `ffp2p runs` lists them"
        ))),
    }
}

/// Steps that every shard has done, as far as it is kept.
fn steps(run: &KeptRun) -> u64 {
    run.steps.iter().copied().min().unwrap_or(0)
}

/// Seconds since a checkpoint was last put there, if one was.
fn age(run: &KeptRun) -> Option<u64> {
    let age = SystemTime::now().duration_since(run.changed).map_or(0, |age| age.as_secs());
    (run.changed != SystemTime::UNIX_EPOCH).then_some(age)
}

fn as_json(run: &KeptRun) -> String {
    serde_json::json!({
        "event": "kept",
        "run": run.id().to_string(),
        "data": run.spec.data,
        "layers": run.spec.network.layers,
        "step": steps(run),
        "steps": run.spec.network.steps,
        "complete": run.is_complete(),
        "in_use": run.in_use,
        "bytes": run.bytes,
        "seconds_old": age(run),
        "folder": run.folder.display().to_string(),
    })
    .to_string()
}

fn as_text(run: &KeptRun) -> String {
    let progress = match (run.in_use, run.is_complete()) {
        (true, _) => "in use".to_owned(),
        (false, true) => "complete".to_owned(),
        (false, false) => format!("step {} of {}", steps(run), run.spec.network.steps),
    };
    let old = age(run).map_or_else(
        || "nothing trained".to_owned(),
        |age| format!("{} old", duration(age as f64)),
    );
    let (id, data, size) = (run.id().short(), summary(run), megabytes(run.bytes));
    format!("{id}  {data}  {progress}, {size}, {old}, in {}", run.folder.display())
}

/// The run in few words.
fn summary(run: &KeptRun) -> String {
    let data: String = run.spec.data.chars().take(30).collect();
    format!("{data}  {}", widths(&run.spec.network.layers))
}
