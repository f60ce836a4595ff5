//! `ffp2p up`: several nodes on this host, each a process like `ffp2p join`, in one view.
//!
//! Rule: the nodes are ordinary ones and share nothing but the host; this process only starts
//! them, merges what they tell, and lets them leave when it goes.

use std::{collections::BTreeSet, io::Write, path::Path, process::Stdio, time::Instant};

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
use crate::{
    cli::UpArgs,
    node::Pool,
    report::{Event, PROGRESS, Pace, Stopped},
    view::{Log, View},
};

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
    args.spec = args.spec.with_file()?;
    // Chosen once, so that what is wrong with it is told once.
    args.network.rendezvous = args.network.node()?.rendezvous;
    super::join::decisions(&args.keep)?;
    // A wrong spec is told once, here, not by every node.
    let spec = args.spec.clone().check()?.spec;
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
    runtime.block_on(watch(&args, &signals))
}

/// Starts the nodes and shows what they say until the last one has ended.
async fn watch(args: &UpArgs, signals: &Signals) -> Result<(), CommandError> {
    let (say, mut said) = mpsc::channel(LINES);
    let mut nodes = Vec::new();
    for number in 0..args.nodes {
        nodes.push(start(args, number, say.clone())?);
    }
    drop(say);
    let (stop, mut stops) = mpsc::channel(STOPS);
    signals.watch(stop);
    let mut merged = Merged::new(View::new(args.output.json));
    let (mut running, mut asked) = (nodes.len(), 0u32);
    let mut failed = None;
    while running > 0 {
        tokio::select! {
            Some(said) = said.recv() => match said {
                Said::Event(event) => merged.show(*event),
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
fn start(args: &UpArgs, number: usize, say: mpsc::Sender<Said>) -> Result<Child, CommandError> {
    let cannot = |error| CommandError::Failed(format!("cannot start a node: {error}"));
    let program = std::env::current_exe().map_err(cannot)?;
    let mut command = Command::new(program);
    command.args(["join", "--json", "--exit-when-done", "--leave-on-eof"]);
    command.args(args.spec.to_flags());
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
    let complaints = tokio::spawn(pass_on(node.stderr.take()));
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
async fn pass_on(stderr: Option<ChildStderr>) {
    let Some(stderr) = stderr else { return };
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // Nobody may be there to read it.
        let _ = Log.write_all((line + "\n").as_bytes());
    }
}

/// Keeps what stands at the places that are marked.
fn keep<T>(list: &mut Vec<T>, marked: &[bool]) {
    let mut marks = marked.iter();
    list.retain(|_| marks.next().copied().unwrap_or(false));
}

/// What all nodes said, each thing once.
struct Merged {
    view: View,
    shown: BTreeSet<String>,
    started: Instant,
    rows: Vec<u64>,
    pace: Pace,
    models: BTreeSet<String>,
    /// Bytes in, bytes out, and of those in what was said to all.
    traffic: [u64; 3],
    /// Chapters trained, per row.
    trained: Vec<u64>,
    /// A node's folder with the model, and whether some node wrote it to the file.
    store: Option<String>,
    is_saved: bool,
    /// What nodes said that were stopped, together.
    stopped: Option<Stopped>,
}

impl Merged {
    fn new(view: View) -> Self {
        Self {
            view,
            shown: BTreeSet::new(),
            started: Instant::now(),
            rows: Vec::new(),
            pace: Pace::start(),
            models: BTreeSet::new(),
            traffic: [0; 3],
            trained: Vec::new(),
            store: None,
            is_saved: false,
            stopped: None,
        }
    }

    fn show(&mut self, event: Event) {
        let mut event = event.for_all();
        if let Event::Takeover { rows, places, terms, .. } = &mut event {
            self.keep_new(rows, places, terms);
            if rows.is_empty() {
                return;
            }
        }
        let key = match &event {
            Event::Progress { rows, owners, names, peers, .. } => {
                return self.progress(rows, owners, names, *peers);
            }
            Event::Stopped(stopped) => return self.stop(stopped.clone()),
            Event::Done { model, bytes_in, bytes_out, gossip_in, trained, store, .. } => {
                self.store = self.store.take().or_else(|| store.clone());
                self.trained.resize(trained.len(), 0);
                self.trained.iter_mut().zip(trained).for_each(|(sum, more)| *sum += more);
                self.models.insert(model.clone());
                let more = [bytes_in, bytes_out, gossip_in];
                self.traffic.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                return;
            }
            // Each node does its own first step.
            Event::Training { .. }
            | Event::Taken { .. }
            | Event::Takeover { .. }
            | Event::Ready { .. } => None,
            // What each folder had concerns its node alone.
            Event::Restored { .. } => return,
            Event::Chapter { row, chapter, .. } => Some(format!("chapter {row} {chapter}")),
            Event::Eval { epoch, .. } => Some(format!("eval {epoch}")),
            Event::Saved { .. } => {
                self.is_saved = true;
                Some(event.to_json())
            }
            // Nodes may call others differently, until all have met.
            Event::Peer { peer, state, .. } => Some(format!("peer {peer} {state}")),
            Event::Owner { row, peer, term, .. } => Some(format!("owner {row} {peer} {term}")),
            Event::Turn { chapter, peer, term, .. } => {
                Some(format!("turn {chapter} {peer} {term}"))
            }
            Event::Note { .. } => Some(event.to_json()),
        };
        if key.is_none_or(|key| self.shown.insert(key)) {
            self.view.show(&event);
        }
    }

    /// Keeps those rows of a takeover that no node told of.
    fn keep_new(&mut self, rows: &mut Vec<u16>, places: &mut Vec<String>, terms: &mut Vec<u64>) {
        let shown = &mut self.shown;
        let is_new: Vec<bool> = rows
            .iter()
            .zip(&*terms)
            .map(|(row, term)| shown.insert(format!("takeover {row} {term}")))
            .collect();
        keep(rows, &is_new);
        keep(places, &is_new);
        keep(terms, &is_new);
    }

    /// A row is as far as the best informed node says.
    fn progress(&mut self, rows: &[u64], owners: &[String], names: &[String], peers: usize) {
        self.rows.resize(rows.len(), 0);
        for (known, &said) in self.rows.iter_mut().zip(rows) {
            *known = said.max(*known);
        }
        if self.pace.elapsed() < PROGRESS.mul_f64(0.9) {
            return;
        }
        self.view.show(&Event::Progress {
            rows: self.rows.clone(),
            peer: String::new(),
            owners: owners.to_vec(),
            names: names.to_vec(),
            peers,
            steps_per_second: self.pace.report(&self.rows),
            own_steps: Vec::new(),
        });
    }

    /// A node was stopped. What all of them have is as good as what one has, and nobody goes on.
    fn stop(&mut self, said: Stopped) {
        let Some(known) = &mut self.stopped else {
            self.stopped = Some(Stopped { alone: true, ..said });
            return;
        };
        let further = |known: &mut [u64], said: &[u64]| {
            known.iter_mut().zip(said).for_each(|(known, said)| *known = *said.max(known));
        };
        further(&mut known.rows, &said.rows);
        further(&mut known.kept, &said.kept);
        known.store = known.store.take().or(said.store);
    }

    /// Tells the end. False when no node completed the run.
    fn finish(mut self) -> Result<bool, CommandError> {
        let Some(model) = self.models.pop_first() else {
            if let Some(stopped) = self.stopped.take() {
                self.view.show(&Event::Stopped(stopped));
            }
            return Ok(false);
        };
        if let Some(other) = self.models.pop_first() {
            let text = format!("the nodes disagree on the model: {model} and {other}");
            return Err(CommandError::Failed(text));
        }
        let [bytes_in, bytes_out, gossip_in] = self.traffic;
        let seconds = self.started.elapsed().as_secs_f64();
        let (trained, store) = (self.trained, self.store);
        let done = Event::Done { model, seconds, bytes_in, bytes_out, gossip_in, trained, store };
        self.view.show(&done);
        if self.is_saved {
            return Ok(true);
        }
        let text = "no node could write the model; `ffp2p export --out FILE` writes what is kept";
        Err(CommandError::Failed(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_that_several_nodes_tell_of_is_shown_once() {
        let mut merged = Merged::new(View::new(true));
        let mut told = |rows: &[u16], term: u64| {
            let (mut rows, mut terms) = (rows.to_vec(), vec![term; rows.len()]);
            let mut places = rows.iter().map(ToString::to_string).collect();
            merged.keep_new(&mut rows, &mut places, &mut terms);
            assert_eq!(places, rows.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(terms, vec![term; rows.len()]);
            rows
        };
        assert_eq!(told(&[1, 2], 1), [1, 2]);
        assert_eq!(told(&[0, 1, 2, 3], 1), [0, 3]);
        assert!(told(&[1, 2], 1).is_empty());
        assert_eq!(told(&[1, 2], 2), [1, 2]);
    }
}
