//! `ffp2p export`: the trained model as a file, from a node's store or from any peer of the LAN.

use std::{path::Path, sync::Arc, time::Duration};

use ffp2p_net::BlobSource;
use ffp2p_proto::{
    Checkpoint, Config, Input, Notice, Output, Role, RowId, Snapshot, Span, State, Time,
};
use tokio::time::Instant;

use super::{CommandError, check_out, runtime};
use crate::{
    cli::ExportArgs,
    export::Model,
    node::{Disk, NodeError, Store, StoredRun, heard},
    report::Event,
    spec::Spec,
    view::View,
};

/// How long peers are looked for.
const SEARCH: Duration = Duration::from_secs(6);

/// How long peers get to say what they hold.
const PATIENCE: Duration = Duration::from_secs(4);

pub(super) fn run(args: ExportArgs) -> Result<(), CommandError> {
    check_out(Some(&args.out))?;
    let mut view = View::new(args.json);
    let model = match &args.store {
        Some(dir) => from_store(dir, args.run.as_deref())?,
        None => runtime()?.block_on(from_lan(&args, &mut view))?,
    };
    model.save(&args.out)?;
    let (file, model) = (args.out.display().to_string(), model.hash().to_string());
    view.show(&Event::Saved { file, model: model.clone() });
    if !args.json {
        view.show(&Event::Note { message: format!("model {model}") });
    }
    Ok(())
}

/// The run whose id begins with `asked`, or the only one.
fn choose<T>(
    mut runs: Vec<T>,
    id: impl Fn(&T) -> String,
    asked: Option<&str>,
) -> Result<T, CommandError> {
    let known: Vec<String> = runs.iter().map(|run| id(run)[..16].to_owned()).collect();
    if let Some(asked) = asked {
        runs.retain(|run| id(run).starts_with(asked));
    }
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run),
        (Some(_), false) => Err(CommandError::Usage(format!(
            "there are several runs; choose one with --run: {}",
            known.join(", ")
        ))),
        (None, _) => Err(CommandError::NothingYet(match asked {
            Some(asked) => format!("no run begins with {asked}; there are: {}", known.join(", ")),
            None => "no run was found".to_owned(),
        })),
    }
}

fn from_store(dir: &Path, asked: Option<&str>) -> Result<Model, CommandError> {
    let StoredRun { spec, checkpoints } =
        choose(Disk::runs(dir)?, |run| run.spec.run_id().to_string(), asked)?;
    let plan = spec.plan();
    let last = |row: RowId| {
        let is_last = |checkpoint: &Checkpoint| {
            checkpoint.row == row && checkpoint.step == spec.network.steps
        };
        checkpoints.iter().find(|(checkpoint, _)| is_last(checkpoint))
    };
    let ledger = checkpoints
        .iter()
        .map(|(checkpoint, _)| {
            let chapter = plan.chapter_ending(checkpoint.step);
            Span { row: checkpoint.row, first: chapter, last: chapter, by: checkpoint.by }
        })
        .collect();
    Ok(Model::assemble(&spec, ledger, |row| last(row).map(|(_, bytes)| bytes.clone()))?)
}

async fn from_lan(args: &ExportArgs, view: &mut View) -> Result<Model, CommandError> {
    let network = super::join::network(&args.network, None)?;
    let found = match ffp2p_net::survey(network.clone(), SEARCH).await {
        Ok(found) => found,
        Err(ffp2p_net::SurveyError::Start(error)) => return Err(NodeError::from(error).into()),
        Err(error) => {
            return Err(CommandError::NothingYet(format!(
                "{error}\nstart a node with `ffp2p join`, name one with --peer HOST:PORT, or read \
                 a node's store with --store DIR"
            )));
        }
    };
    let found = choose(found, |found| found.run.to_string(), args.run.as_deref())?;
    let spec = Spec::from_canonical(&found.spec)
        .map_err(|error| CommandError::Failed(format!("run {}: {error}", found.run.short())))?;
    if spec.run_id() != found.run {
        let text = format!("peer {} gave a spec of another run", found.peer);
        return Err(CommandError::Failed(text));
    }
    view.show(&Event::Note { message: format!("found run {}", found.run.short()) });
    observe(&spec, network, args.wait).await
}

/// Joins as an observer until every row's last checkpoint is here.
async fn observe(
    spec: &Spec,
    mut network: ffp2p_net::Config,
    wait: bool,
) -> Result<Model, CommandError> {
    let store = Arc::new(Store::default());
    let blobs: Arc<dyn BlobSource> = Arc::clone(&store) as Arc<dyn BlobSource>;
    network.run = Some(ffp2p_net::RunInfo { id: spec.run_id(), spec: spec.canonical().into() });
    let (net, mut events) = ffp2p_net::spawn(network, blobs).await.map_err(NodeError::from)?;
    let started = Instant::now();
    let config = Config::default();
    let mut state = State::new(net.id(), Role::Observer, spec.plan(), config, Time(0));
    let complete = loop {
        let wakeup = started + Duration::from_millis(state.next_wakeup().0);
        let input = tokio::select! {
            event = events.recv() => {
                let event = event.ok_or(NodeError::Stopped("network"))?;
                let Ok(input) = heard(event, &store) else { continue };
                input
            }
            () = tokio::time::sleep_until(wakeup) => Input::Wakeup,
        };
        let now = Time(started.elapsed().as_millis() as u64);
        if let Some(complete) = carry_out(state.handle(input, now), &net, &store) {
            break Ok(complete);
        }
        let missing = missing(spec, &state.snapshot()).filter(|_| !wait);
        if let Some(missing) = missing.filter(|_| started.elapsed() > PATIENCE) {
            break Err(CommandError::NothingYet(missing));
        }
    };
    net.shutdown().await;
    let complete = complete?;
    let get = |row: RowId| store.get(&complete.get(usize::from(row.0))?.blob.hash);
    Ok(Model::assemble(spec, state.snapshot().ledger, get)?)
}

/// Does what an observer is asked to do: it neither trains nor scores nor keeps a folder. Returns
/// the last checkpoints once all are here.
fn carry_out(
    outputs: Vec<Output>,
    net: &ffp2p_net::Handle,
    store: &Store,
) -> Option<Vec<Checkpoint>> {
    let mut complete = None;
    for output in outputs {
        match output {
            Output::Broadcast(message) => net.broadcast(message),
            Output::Send { to, message } => net.send(to, message),
            Output::Fetch { blob, from } => net.fetch(blob, from),
            Output::Drop(hash) => store.remove(hash),
            Output::Notify(notice) => {
                if let Notice::Complete(checkpoints) = notice {
                    complete = Some(checkpoints);
                }
            }
            Output::Load { .. }
            | Output::Train { .. }
            | Output::Unload { .. }
            | Output::Keep(_)
            | Output::Evaluate { .. }
            | Output::Finished => {}
        }
    }
    complete
}

/// Which rows are not trained to the end yet, in words.
fn missing(spec: &Spec, snapshot: &Snapshot) -> Option<String> {
    let steps = spec.network.steps;
    let rows: Vec<String> = snapshot
        .rows
        .iter()
        .filter(|row| row.checkpoint.is_none_or(|(step, _)| step < steps))
        .map(|row| format!("row {} is at step {} of {steps}", row.row, row.done))
        .collect();
    let hint = "export again when the run is complete, or with --wait";
    (!rows.is_empty()).then(|| format!("{}; {hint}", rows.join(", ")))
}
