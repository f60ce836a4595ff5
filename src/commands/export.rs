//! `ffp2p export`: the trained model as a file, from a node's store or from any peer of the LAN.

use std::{path::Path, time::Duration};

use ffp2p_net::BlobSource;
use ffp2p_proto::{Checkpoint, RowId, Snapshot, Span};

use super::{
    CommandError, check_out,
    observer::{Observer, choose, find},
    runtime,
};
use crate::{
    cli::ExportArgs,
    export::Model,
    node::{Disk, StoredRun},
    report::Event,
    spec::Spec,
    view::View,
};

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

/// Joins as an observer until every row's last checkpoint is here.
async fn from_lan(args: &ExportArgs, view: &mut View) -> Result<Model, CommandError> {
    let network = super::join::network(&args.network, None)?;
    let spec = find(&network, args.run.as_deref()).await?;
    view.show(&Event::Note { message: format!("found run {}", spec.run_id().short()) });
    let mut observer = Observer::join(&spec, network).await?;
    let complete = loop {
        if let Some(complete) = observer.step().await? {
            break complete;
        }
        let missing = missing(&spec, &observer.snapshot()).filter(|_| !args.wait);
        if let Some(missing) = missing.filter(|_| observer.elapsed() > PATIENCE) {
            observer.leave().await;
            return Err(CommandError::NothingYet(missing));
        }
    };
    let ledger = observer.snapshot().ledger;
    let get = |row: RowId| observer.store().get(&complete.get(usize::from(row.0))?.blob.hash);
    let model = Model::assemble(&spec, ledger, get)?;
    observer.leave().await;
    Ok(model)
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
