//! `ffp2p export`: the trained model as a file, from any peer of the LAN, from what is kept on this
//! machine, or from a node's store.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use ffp2p_net::BlobSource;
use ffp2p_proto::{Checkpoint, Hash, NodeId, Role, ShardId, Snapshot, Span};

use super::{
    checks::{check_out, check_run, choose},
    error::CommandError,
    found::find,
    observer::Observer,
    runtime::runtime,
};
use crate::{
    atomic_file,
    cli::ExportArgs,
    events::{Event, EventSink},
    export::Model,
    sequential::NO_NODE,
    spec::Spec,
    store::{Disk, KeptRun, StateDir, StoredRun},
    text::shown_path,
    view,
};

/// Time for peers to say what they hold.
const PATIENCE: Duration = Duration::from_secs(4);

/// Other places of a model.
const ELSEWHERE: &str = "`ffp2p runs` lists what is, and --store DIR reads another folder";

pub(super) fn run(args: ExportArgs) -> Result<(), CommandError> {
    check_places(&args)?;
    let mut sink = view::for_stdout(args.json);
    let model = match &args.store {
        Some(dir) => from_store(dir, &args)?,
        None => from_anywhere(&args, &mut *sink)?,
    };
    let save = || {
        model.save(&args.out)?;
        args.trained_by.as_deref().map_or(Ok(()), |path| model.save_trained_by(path))
    };
    save()?;
    let (file, model) = (args.out.display().to_string(), model.hash().to_string());
    sink.on_event(&Event::Saved { file, model: model.clone() });
    if !args.json {
        sink.on_event(&Event::Note { message: format!("model {model}") });
    }
    Ok(())
}

/// Refuses files that cannot be written, whatever their size, before anything is looked for.
fn check_places(args: &ExportArgs) -> Result<(), CommandError> {
    let places = [("--out", Some(&args.out)), ("--trained-by", args.trained_by.as_ref())];
    for (flag, path) in places.into_iter().filter_map(|(flag, path)| Some((flag, path?))) {
        atomic_file::check(path, 0).map_err(|error| {
            CommandError::Usage(format!("{flag} {}: {error}; name another file", shown_path(path)))
        })?;
    }
    if args.trained_by.as_deref().is_some_and(|path| atomic_file::are_one(path, &args.out)) {
        let text = "--trained-by: this is the file of --out; name another";
        return Err(CommandError::Usage(text.to_owned()));
    }
    args.run.as_deref().map_or(Ok(()), check_run)
}

/// From a store, or from the stores in a folder, as `up --store` and the user's runs have them.
fn from_store(dir: &Path, args: &ExportArgs) -> Result<Model, CommandError> {
    let mut runs: BTreeMap<Hash, Vec<StoredRun>> = BTreeMap::new();
    for store in Disk::stores(dir) {
        for run in Disk::runs(&store)? {
            runs.entry(run.spec.run_id()).or_default().push(run);
        }
    }
    let runs: Vec<_> = runs.into_iter().collect();
    let (_, parts) = choose(runs, |(id, _)| (id.to_string(), None), args.run.as_deref())?;
    if let Some(run) = parts.first() {
        check_out(Some(&args.out), &run.spec)?;
    }
    assemble(parts)
}

/// The model of one run, of which `parts` were kept.
fn assemble(parts: Vec<StoredRun>) -> Result<Model, CommandError> {
    let Some(spec) = parts.first().map(|run| run.spec.clone()) else {
        return Err(CommandError::NothingYet("no run was found".to_owned()));
    };
    let plan = spec.plan();
    let checkpoints: Vec<(Checkpoint, Bytes)> =
        parts.into_iter().flat_map(|run| run.checkpoints).collect();
    let last = |shard: ShardId| {
        let is_last = |checkpoint: &Checkpoint| {
            checkpoint.shard == shard && checkpoint.step == spec.network.steps
        };
        checkpoints.iter().find(|(checkpoint, _)| is_last(checkpoint))
    };
    // Each store has a copy, and `train` has no name.
    let trained: BTreeMap<(ShardId, u64), NodeId> = checkpoints
        .iter()
        .filter(|(it, _)| it.by != NO_NODE && plan.model_shards().any(|shard| shard == it.shard))
        .map(|(it, _)| ((it.shard, plan.chapter_ending(it.step)), it.by))
        .collect();
    let span = |((shard, chapter), by)| Span { shard, first: chapter, last: chapter, by };
    let provenance = trained.into_iter().map(span).collect();
    Ok(Model::assemble(&spec, provenance, |shard| last(shard).map(|(_, bytes)| bytes.clone()))?)
}

/// From the LAN, or from what is kept on this machine where nobody is there.
fn from_anywhere(args: &ExportArgs, sink: &mut dyn EventSink) -> Result<Model, CommandError> {
    let network = args.network.visitor()?;
    let runtime = runtime()?;
    let nobody = match runtime.block_on(find(&network, args.run.as_deref())) {
        Ok(run) => return runtime.block_on(from_lan(run.spec()?, network, args, sink)),
        Err(CommandError::NothingYet(reason)) => reason,
        Err(error) => return Err(error),
    };
    let kept = StateDir::of_user().map(|state| state.runs()).unwrap_or_default();
    let Some(run) = choose_kept(kept, args.run.as_deref(), sink) else {
        let kept = match args.run.as_deref() {
            Some(id) => format!("no complete run that is kept here begins with {id}"),
            None => "no complete run is kept here".to_owned(),
        };
        return Err(CommandError::NothingYet(format!("{nobody}\n{kept}; {ELSEWHERE}")));
    };
    check_out(Some(&args.out), &run.spec)?;
    let parts = run.stores.iter().map(|store| Disk::runs(store));
    assemble(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The complete run that changed last, of those whose ids begin with `asked`; says which it is, and
/// why the others are not.
fn choose_kept(
    runs: Vec<KeptRun>,
    asked: Option<&str>,
    sink: &mut dyn EventSink,
) -> Option<KeptRun> {
    let mut note = |message: String| sink.on_event(&Event::Note { message });
    let is_asked = |run: &KeptRun| asked.is_none_or(|id| run.id().to_string().starts_with(id));
    let (usable, others): (Vec<_>, Vec<_>) =
        runs.into_iter().filter(is_asked).partition(|run| run.is_complete() && !run.in_use);
    // Of one that never came to its first checkpoint nobody expects a model.
    let begun = |run: &&KeptRun| run.in_use || run.steps.iter().any(|step| *step > 0);
    for run in others.iter().filter(begun) {
        let done = run.steps.iter().min().unwrap_or(&0);
        let why = match run.in_use {
            true => "a process works on it; it exports with the same --rendezvous or --peer".into(),
            false => format!("it is kept up to step {done} of {}", run.spec.network.steps),
        };
        note(format!("run {} is not complete here: {why}", run.id().short()));
    }
    let more = usable.len().saturating_sub(1);
    let run = usable.into_iter().next()?;
    let rest = match more {
        0 => String::new(),
        more => format!(", the latest of {} (--run ID takes another)", more + 1),
    };
    note(format!("run {} as kept in {}{rest}", run.id().short(), run.folder.display()));
    Some(run)
}

/// Joins as an observer until every shard's last checkpoint is here.
async fn from_lan(
    spec: &Spec,
    network: ffp2p_net::Config,
    args: &ExportArgs,
    sink: &mut dyn EventSink,
) -> Result<Model, CommandError> {
    check_out(Some(&args.out), spec)?;
    sink.on_event(&Event::Note { message: format!("found run {}", spec.run_id().short()) });
    let mut observer = Observer::join(spec, Role::Observer, network).await?;
    let complete = loop {
        if let Some(complete) = observer.step().await? {
            break complete;
        }
        let missing = missing(spec, &observer.snapshot()).filter(|_| !args.wait);
        if let Some(missing) = missing.filter(|_| observer.elapsed() > PATIENCE) {
            observer.leave().await;
            return Err(CommandError::NothingYet(missing));
        }
    };
    let provenance = observer.snapshot().provenance;
    let get = |shard: ShardId| observer.store().get(&complete.get(usize::from(shard.0))?.blob.hash);
    let model = Model::assemble(spec, provenance, get)?;
    observer.leave().await;
    Ok(model)
}

/// The shards that are not trained to the end yet, in words.
fn missing(spec: &Spec, snapshot: &Snapshot) -> Option<String> {
    let steps = spec.network.steps;
    let shards: Vec<String> = snapshot
        .shards
        .iter()
        .filter(|shard| shard.checkpoint.is_none_or(|(step, _)| step < steps))
        .map(|shard| format!("shard {} is at step {} of {steps}", shard.shard, shard.done))
        .collect();
    let hint = "export again when the run is complete, or with --wait";
    (!shards.is_empty()).then(|| format!("{}; {hint}", shards.join(", ")))
}
