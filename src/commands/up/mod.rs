//! `ffp2p up`: several nodes on this host, each a process like `ffp2p join`, in one view.
//!
//! Rule: the nodes are ordinary ones and share nothing but the host; this process only starts them,
//! merges their events, and lets them leave when it goes.

mod merged;
mod nodes;

use std::path::Path;

use tokio::sync::mpsc;

use super::{
    checks::{check_out, threads},
    decisions::decisions,
    error::CommandError,
    runtime::runtime,
    signals::{STOPS, Signals},
};
use crate::{
    cli::{NodeArgs, UpArgs},
    pool::Pool,
    view,
};
use merged::Merged;
use nodes::{Nodes, Said};

/// Nodes on one host, at most.
const MAX_NODES: usize = 64;

/// The exit code of a node that was given something wrong.
const WRONG_INPUT: i32 = 2;

/// The model's file when none is named.
const DEFAULT_OUT: &str = "model.safetensors";

pub(super) fn run(args: UpArgs) -> Result<(), CommandError> {
    let UpArgs { nodes, node: mut args } = args;
    let signals = Signals::listen()?;
    if !(1..=MAX_NODES).contains(&nodes) {
        return Err(CommandError::Usage(format!("--nodes {nodes}: choose 1 to {MAX_NODES}")));
    }
    args.threads = Some(threads(args.threads, Pool::default_threads(nodes))?);
    // Chosen once, so that a problem with it is reported once.
    args.network.rendezvous = args.network.node()?.rendezvous;
    decisions(&args.keep)?;
    // A wrong spec is reported once, here, not by every node.
    let given = args.spec.clone().read()?;
    let spec = given.check()?.spec;
    match &args.output.out {
        Some(_) => check_out(args.output.out.as_deref(), &spec)?,
        None => {
            // The user did not ask for this file: that it cannot be written is no wrong usage.
            let refused = |error: CommandError| CommandError::Failed(error.to_string());
            check_out(Some(Path::new(DEFAULT_OUT)), &spec).map_err(refused)?;
            args.output.out = Some(DEFAULT_OUT.into());
        }
    }
    let runtime = runtime()?;
    runtime.block_on(watch(&args, &given.to_flags(), nodes, &signals))
}

/// Starts the nodes and shows their events until the last one has ended.
async fn watch(
    args: &NodeArgs,
    spec: &[String],
    count: usize,
    signals: &Signals,
) -> Result<(), CommandError> {
    let mut nodes = Nodes::start(args, spec, count)?;
    let (stop, mut stops) = mpsc::channel(STOPS);
    signals.watch(stop);
    let mut merged = Merged::new(view::for_stdout(args.output.json));
    let (mut running, mut asked, mut failed) = (count, 0u32, None);
    while running > 0 {
        tokio::select! {
            said = nodes.next() => match said {
                Some(Said::Event(event)) => merged.show(*event),
                Some(Said::Line(line)) => merged.pass_on(line),
                Some(Said::Ended(number)) => {
                    running -= 1;
                    let end = nodes.end(number).await;
                    if let Some(end) = end.as_ref().filter(|_| asked == 0) {
                        merged.note_early_end(number, &end.status);
                    }
                    let code = end.map(|end| end.code);
                    failed = failed.or(code);
                    if code == Some(WRONG_INPUT) {
                        nodes.leave();
                    }
                }
                // A task that reads has failed: it is looked at below.
                None => {
                    nodes.kill();
                    break;
                }
            },
            Some(_) = stops.recv() => {
                asked += 1;
                nodes.leave();
                if asked > 1 {
                    nodes.kill();
                }
            }
        }
    }
    nodes.close().await?;
    match (merged.finish()?, asked, failed) {
        (_, _, Some(WRONG_INPUT)) => {
            Err(CommandError::Usage("a node could not be started; see above".to_owned()))
        }
        (true, _, _) => Ok(()),
        (false, 1.., _) => Err(CommandError::Interrupted),
        (false, 0, _) => {
            let text = "the nodes stopped before the run was complete";
            Err(CommandError::Failed(text.to_owned()))
        }
    }
}
