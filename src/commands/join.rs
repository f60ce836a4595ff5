//! `ffp2p join`: one node, until the run is complete or the user stops it.
//!
//! Rule: everything that can be wrong with the flags is refused before the node is started.

use std::{io, thread};

use ffp2p_proto::Config;
use tokio::sync::mpsc;

use super::{
    checks::{check_out, threads},
    decisions::decisions,
    entry::{Said, enter},
    error::CommandError,
    keeping::{self, OpenStore},
    runtime::runtime,
    signals::{STOPS, Signals},
};
use crate::{
    cli::{JoinArgs, NodeArgs},
    node::{Ending, Node, NodeError, Settings, Stop},
    pool::Pool,
    store::StoreUser,
    view,
};

pub(super) fn run(args: JoinArgs) -> Result<(), CommandError> {
    let JoinArgs { node: args, run, new, exit_when_done, leave_on_eof } = args;
    let NodeArgs { spec, network, keep, output, name, node_name, store, threads: asked } = args;
    let signals = Signals::listen()?;
    let threads = threads(asked, Pool::default_threads(1))?;
    let visitor = network.visitor()?;
    let mut network = network.node()?;
    network.name = node_name.unwrap_or(network.name);
    network.check().map_err(NodeError::from)?;
    let config = Config { exit_when_done, ..decisions(&keep)? };
    let mut sink = view::for_stdout(output.json);
    let runtime = runtime()?;
    let said = Said { given: spec.read()?, run, new, name, json: output.json };
    let (checked, name) = runtime.block_on(enter(said, &visitor, &mut *sink))?;
    check_out(output.out.as_deref(), &checked.spec)?;
    keeping::report_found(&mut *sink, &checked.data);
    keeping::report_served(&mut *sink, &checked);
    let OpenStore { disk, durability } =
        keeping::open(store.as_deref(), &checked.spec, StoreUser::Node, &mut *sink)?;
    let config = Config { on_disk: disk.is_some(), ..config };
    let settings = Settings { threads, name, config, out: output.out, disk, durability };
    let (stop, stops) = mpsc::channel(STOPS);
    let reading = leave_on_eof.then(|| {
        let stop = stop.clone();
        thread::spawn(move || wait_for_eof(&stop))
    });
    let ending = runtime.block_on(async {
        let node = Node::start(checked, network, settings, sink).await?;
        signals.watch(stop);
        node.run(stops).await
    })?;
    // The thread that reads standard input may still wait for it, and ends with the process.
    let read = reading.filter(thread::JoinHandle::is_finished).map(thread::JoinHandle::join);
    if read.is_some_and(|read| read.is_err()) {
        return Err(NodeError::Panicked("thread that reads standard input").into());
    }
    match ending {
        Ending::Done(_) => Ok(()),
        Ending::Interrupted if leave_on_eof => Err(CommandError::Abandoned),
        Ending::Interrupted => Err(CommandError::Interrupted),
    }
}

/// The program that started this node is gone when standard input ends.
fn wait_for_eof(stop: &mpsc::Sender<Stop>) {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    // The node may have ended meanwhile.
    let _ = stop.blocking_send(Stop::Abandoned);
}
