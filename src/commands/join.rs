//! `ffp2p join`: one node, until the run is complete or the person stops it.

use std::ops::RangeInclusive;

use tokio::sync::mpsc;

use super::{
    CommandError, check_out,
    keeping::{self, OpenStore},
    run_info, runtime,
    signals::{STOPS, Signals},
    tell_found, threads,
};
use crate::{
    about::about_data,
    cli::{JoinArgs, KeepArgs},
    node::{Ending, Node, NodeError, Pool, Settings, Stop, StoreUser},
    view,
};

/// A node may be taken for gone after so many seconds: a few heartbeats at least.
const SILENCE: RangeInclusive<f64> = 1.0..=3600.0;

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

pub(super) fn run(args: JoinArgs) -> Result<(), CommandError> {
    let signals = Signals::listen()?;
    let threads = threads(args.threads, Pool::usual_threads(1))?;
    let mut network = args.network.node()?;
    network.name = args.node_name.unwrap_or(network.name);
    network.check().map_err(NodeError::from)?;
    let config = decisions(&args.keep)?;
    let checked = args.spec.check()?;
    check_out(args.output.out.as_deref(), &checked.spec)?;
    let mut sink = view::for_stdout(args.output.json);
    tell_found(&mut *sink, &checked.data);
    let store = args.store.as_deref();
    let OpenStore { disk, durability } =
        keeping::open(store, &checked.spec, StoreUser::Node, &mut *sink)?;
    network.remembered = disk.as_ref().map(|disk| disk.store().join("peers"));
    network.run = Some(run_info(&checked.spec, Some(about_data(&checked))));
    let config = ffp2p_proto::Config {
        on_disk: disk.is_some(),
        exit_when_done: args.exit_when_done,
        ..config
    };
    let settings = Settings { threads, config, out: args.output.out, durability };
    let runtime = runtime()?;
    let ending = runtime.block_on(async {
        let node = Node::start(checked, network, settings, disk, sink).await?;
        let (stop, stops) = mpsc::channel(STOPS);
        signals.watch(stop.clone());
        if args.leave_on_eof {
            std::thread::spawn(move || wait_for_eof(&stop));
        }
        node.run(stops).await
    })?;
    // The thread that reads standard input may still wait for it.
    runtime.shutdown_background();
    match ending {
        Ending::Done => Ok(()),
        Ending::Interrupted if args.leave_on_eof => Err(CommandError::Abandoned),
        Ending::Interrupted => Err(CommandError::Interrupted),
    }
}

/// The program that started this node is gone when standard input ends.
fn wait_for_eof(stop: &mpsc::Sender<Stop>) {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let _ = stop.blocking_send(Stop::Abandoned);
}

/// The decisions' settings from flags.
pub(super) fn decisions(args: &KeepArgs) -> Result<ffp2p_proto::Config, CommandError> {
    let usual = ffp2p_proto::Config::default();
    if !SILENCE.contains(&args.silence) {
        let (least, most) = (SILENCE.start(), SILENCE.end());
        let text = format!("--silence {}: choose {least} to {most} seconds", args.silence);
        return Err(CommandError::Usage(text));
    }
    let silent_ms = (args.silence * 1e3) as u64;
    Ok(ffp2p_proto::Config {
        silent_ms,
        disconnected_ms: usual.disconnected_ms.min(silent_ms),
        replicas: args.replicas,
        batch_bytes: args.batch_space.saturating_mul(MIB),
        copy_bytes: args.copy_space.saturating_mul(MIB),
        ..usual
    })
}
