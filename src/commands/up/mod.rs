//! `ffp2p up`: several nodes on this host, each a process like `ffp2p join`, in one view.
//!
//! Rule: the nodes are ordinary ones and share nothing but the host; this process only starts
//! them, merges what they tell, and lets them leave when it goes.

mod merged;

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    sync::mpsc,
};

use super::{
    CommandError, check_out,
    keeping::NOTHING,
    naming::{host_name, numbered},
    runtime,
    signals::{STOPS, Signals},
    threads,
};
use crate::{cli::UpArgs, events::Event, node::Pool, view};
use merged::Merged;

/// Nodes on one host, at most.
const MAX_NODES: usize = 64;

/// Lines of the nodes that wait to be shown.
const LINES: usize = 1024;

/// The exit code of a node that was given something wrong.
const WRONG_INPUT: i32 = 2;

/// Stands for the exit code of a node that a signal ended.
const KILLED: i32 = -1;

/// The model's file when none is named.
const DEFAULT_OUT: &str = "model.safetensors";

/// What a node's output stream gave.
enum Said {
    Event(Box<Event>),
    /// A line of its standard error.
    Line(String),
    /// The node of this number says no more.
    Ended(usize),
}

pub(super) fn run(mut args: UpArgs) -> Result<(), CommandError> {
    let signals = Signals::listen()?;
    if !(1..=MAX_NODES).contains(&args.nodes) {
        let text = format!("--nodes {}: choose 1 to {MAX_NODES}", args.nodes);
        return Err(CommandError::Usage(text));
    }
    args.threads = Some(threads(args.threads, Pool::usual_threads(args.nodes))?);
    // Chosen once, so that what is wrong with it is told once.
    args.network.rendezvous = args.network.node()?.rendezvous;
    super::join::decisions(&args.keep)?;
    // A wrong spec is told once, here, not by every node.
    let given = args.spec.clone().read()?;
    let spec = given.check()?.spec;
    match &args.output.out {
        Some(_) => check_out(args.output.out.as_deref(), &spec)?,
        None => {
            // Nobody asked for this file: that it cannot be written is no wrong usage.
            let refused = |error: CommandError| CommandError::Failed(error.to_string());
            check_out(Some(Path::new(DEFAULT_OUT)), &spec).map_err(refused)?;
            args.output.out = Some(DEFAULT_OUT.into());
        }
    }
    let runtime = runtime()?;
    runtime.block_on(watch(&args, &given.to_flags(), &signals))
}

/// Starts the nodes and shows what they say until the last one has ended.
async fn watch(args: &UpArgs, spec: &[String], signals: &Signals) -> Result<(), CommandError> {
    let (say, mut said) = mpsc::channel(LINES);
    let mut nodes = Vec::new();
    for number in 0..args.nodes {
        nodes.push(start(args, spec, number, say.clone())?);
    }
    drop(say);
    let (stop, mut stops) = mpsc::channel(STOPS);
    signals.watch(stop);
    let mut merged = Merged::new(view::for_stdout(args.output.json));
    let (mut running, mut asked) = (nodes.len(), 0u32);
    let mut failed = None;
    while running > 0 {
        tokio::select! {
            Some(said) = said.recv() => match said {
                Said::Event(event) => merged.show(*event),
                Said::Line(line) => merged.pass_on(line),
                Said::Ended(number) => {
                    running -= 1;
                    let code = ended(&mut nodes[number], number, asked > 0, &mut merged).await;
                    failed = failed.or(code);
                    if code == Some(WRONG_INPUT) {
                        leave(&mut nodes);
                    }
                }
            },
            Some(_) = stops.recv() => {
                asked += 1;
                leave(&mut nodes);
                if asked > 1 {
                    // It may have ended by itself meanwhile.
                    nodes.iter_mut().for_each(|node| drop(node.start_kill()));
                }
            }
        }
    }
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

/// A node leaves when its standard input closes.
fn leave(nodes: &mut [Child]) {
    nodes.iter_mut().for_each(|node| drop(node.stdin.take()));
}

/// Takes note of a node that has ended. Its exit code, unless that is a good one.
async fn ended(node: &mut Child, number: usize, asked: bool, merged: &mut Merged) -> Option<i32> {
    let status = node.wait().await.ok().filter(|status| !status.success())?;
    if !asked {
        let message = format!("node {number} of this host ended early ({status})");
        merged.show(Event::Note { message });
    }
    status.code().or(Some(KILLED))
}

/// Starts one node and a task that reads its events.
fn start(
    args: &UpArgs,
    spec: &[String],
    number: usize,
    say: mpsc::Sender<Said>,
) -> Result<Child, CommandError> {
    let cannot = |error| CommandError::Failed(format!("cannot start a node: {error}"));
    let program = std::env::current_exe().map_err(cannot)?;
    let mut command = Command::new(program);
    command.args(["join", "--json", "--exit-when-done", "--leave-on-eof"]);
    command.args(spec);
    command.args(args.keep.to_flags());
    command.arg("--threads").arg(args.threads.unwrap_or(1).to_string());
    let name = args.node_name.clone().unwrap_or_else(host_name);
    command.arg("--node-name").arg(numbered(&name, number));
    command.arg("--swarm").arg(&args.network.swarm);
    for peer in &args.network.peer {
        command.arg("--peer").arg(peer);
    }
    for mut at in args.network.listen()? {
        if number > 0 {
            // One port serves one node.
            at.set_port(0);
        }
        command.arg("--listen").arg(at.to_string());
    }
    if args.network.no_mdns {
        command.arg("--no-mdns");
    }
    if let Some(dir) = &args.network.rendezvous {
        command.arg("--rendezvous").arg(dir);
    }
    match args.store.as_deref() {
        Some(none) if none == Path::new(NOTHING) => {
            command.arg("--store").arg(none);
        }
        Some(dir) => {
            command.arg("--store").arg(dir.join(format!("node-{number}")));
        }
        None => {}
    }
    if let Some(out) = &args.output.out {
        command.arg("--out").arg(out);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut node = command.spawn().map_err(cannot)?;
    let stdout = node.stdout.take();
    let complaints = tokio::spawn(pass_on(node.stderr.take(), say.clone()));
    tokio::spawn(async move {
        if let Some(stdout) = stdout {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(event) = serde_json::from_str(&line) else { continue };
                if say.send(Said::Event(Box::new(event))).await.is_err() {
                    return;
                }
            }
        }
        // What it said of its end comes before that. It does not panic.
        let _ = complaints.await;
        // The watcher is gone only when the program is.
        let _ = say.send(Said::Ended(number)).await;
    });
    Ok(node)
}

/// A node's log lines are ours, so that they come above the bars.
async fn pass_on(stderr: Option<ChildStderr>, say: mpsc::Sender<Said>) {
    let Some(stderr) = stderr else { return };
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if say.send(Said::Line(line)).await.is_err() {
            return;
        }
    }
}
