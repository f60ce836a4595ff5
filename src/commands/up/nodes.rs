//! The nodes of `up`: child processes, and what they print.
//!
//! Rule: a node is an ordinary `ffp2p join`; what it prints goes into one bounded queue, its end last.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
    task::JoinSet,
};

use super::super::{
    error::CommandError,
    keeping::NOTHING,
    naming::{host_name, numbered},
};
use crate::{cli::NodeArgs, events::Event};

/// Lines of the nodes that wait to be shown.
const LINES: usize = 1024;

/// Stands for the exit code of a node that a signal ended.
const KILLED: i32 = -1;

/// An item of a node's output.
pub(super) enum Said {
    Event(Box<Event>),
    /// A line of its standard error.
    Line(String),
    /// The node of this number prints no more.
    Ended(usize),
}

/// A node that has ended badly.
pub(super) struct BadEnd {
    pub(super) code: i32,
    /// In words.
    pub(super) status: String,
}

/// Running nodes, and the tasks that read what they print.
pub(super) struct Nodes {
    children: Vec<Child>,
    said: mpsc::Receiver<Said>,
    readers: JoinSet<()>,
}

impl Nodes {
    /// Starts `count` nodes with the spec that these flags give.
    pub(super) fn start(
        args: &NodeArgs,
        spec: &[String],
        count: usize,
    ) -> Result<Self, CommandError> {
        let (say, said) = mpsc::channel(LINES);
        let mut nodes = Self { children: Vec::new(), said, readers: JoinSet::new() };
        for number in 0..count {
            let mut child = command(args, spec, number)?.spawn().map_err(cannot_start)?;
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            nodes.children.push(child);
            let say = say.clone();
            nodes.readers.spawn(async move {
                let event = |line: String| Some(Said::Event(serde_json::from_str(&line).ok()?));
                let (events, lines) =
                    (read(stdout, &say, event), read(stderr, &say, |line| Some(Said::Line(line))));
                tokio::join!(events, lines);
                // The reader of the queue is gone only when the program is.
                let _ = say.send(Said::Ended(number)).await;
            });
        }
        Ok(nodes)
    }

    /// Waits for what a node prints.
    pub(super) async fn next(&mut self) -> Option<Said> {
        self.said.recv().await
    }

    /// Asks all nodes to leave: they do when their standard input closes.
    pub(super) fn leave(&mut self) {
        self.children.iter_mut().for_each(|node| drop(node.stdin.take()));
    }

    /// Kills all nodes.
    pub(super) fn kill(&mut self) {
        // One may have ended by itself meanwhile.
        self.children.iter_mut().for_each(|node| drop(node.start_kill()));
    }

    /// Waits for the end of a node. Returns how it ended, unless that is well.
    pub(super) async fn end(&mut self, number: usize) -> Option<BadEnd> {
        let status = self.children[number].wait().await.ok().filter(|status| !status.success())?;
        Some(BadEnd { code: status.code().unwrap_or(KILLED), status: status.to_string() })
    }

    /// Waits for the end of the tasks, once all nodes have ended.
    ///
    /// # Errors
    /// If one of them panicked.
    pub(super) async fn close(mut self) -> Result<(), CommandError> {
        while let Some(ended) = self.readers.join_next().await {
            ended.map_err(|error| {
                CommandError::Failed(format!("the output of a node was not read: {error}"))
            })?;
        }
        Ok(())
    }
}

fn cannot_start(error: std::io::Error) -> CommandError {
    CommandError::Failed(format!("cannot start a node: {error}"))
}

/// The command line of a node.
fn command(args: &NodeArgs, spec: &[String], number: usize) -> Result<Command, CommandError> {
    let program = std::env::current_exe().map_err(cannot_start)?;
    let mut command = Command::new(program);
    command.args(["join", "--new", "--json", "--exit-when-done", "--leave-on-eof"]);
    command.args(args.name.iter().flat_map(|name| ["--name", name]));
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
    Ok(command)
}

/// Reads the lines of a stream, each of which `item` makes an item, until it ends or nobody listens.
async fn read(
    stream: Option<impl AsyncRead + Unpin>,
    say: &mpsc::Sender<Said>,
    item: impl Fn(String) -> Option<Said>,
) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Some(item) = item(line) else { continue };
        if say.send(item).await.is_err() {
            return;
        }
    }
}
