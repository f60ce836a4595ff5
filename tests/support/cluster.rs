//! A cluster of real nodes with folders of their own, that a test kills and starts again.
//!
//! Rule: the output of all nodes comes in one stream, and the test acts on that alone. A node that panics
//! or logs an error fails the test at once.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    ffp2p,
    lan::{Lan, address},
};

/// A node whose test was killed must not go on for ever.
const LEAVES: &str = "--leave-on-eof";

/// After this long a cluster that is not through has failed.
const BOUND: Duration = Duration::from_secs(240);

/// Lines kept for the report of a failure.
const KEPT: usize = 120;

/// Lines that wait to be read.
const LINES: usize = 4096;

/// One line of one node.
#[derive(Debug)]
pub(crate) struct Said {
    /// The node's place in the cluster.
    pub(crate) slot: usize,
    /// The number of the node's start.
    pub(crate) life: u32,
    /// The event; `ended` when the node's output has ended.
    pub(crate) event: Value,
}

struct Running {
    child: Child,
    life: u32,
    /// By which the others know it, once it has said so.
    name: Option<String>,
}

/// The nodes.
pub(crate) struct Cluster {
    args: Vec<String>,
    lan: Option<Lan>,
    folder: TempDir,
    slots: Vec<Option<Running>>,
    lives: u32,
    say: SyncSender<Said>,
    said: Receiver<Said>,
    log: VecDeque<String>,
    begun: Instant,
}

impl Cluster {
    /// `nodes` nodes of the run that `spec` describes, started on this host.
    pub(crate) fn start(nodes: usize, spec: &[String]) -> Self {
        Self::start_in(None, nodes, spec)
    }

    /// The same, each a host of its own in a LAN.
    pub(crate) fn start_in(lan: Option<Lan>, nodes: usize, spec: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let meet = format!("--rendezvous={}", folder.path().join("meet").display());
        let own = ["join", "--json", "--no-mdns", "--threads=1", "--exit-when-done", LEAVES, &meet];
        let args = own.iter().map(ToString::to_string).chain(spec.iter().cloned()).collect();
        let (say, said) = sync_channel(LINES);
        let slots = (0..nodes).map(|_| None).collect();
        let (log, begun) = (VecDeque::new(), Instant::now());
        let mut cluster = Self { args, lan, folder, slots, lives: 0, say, said, log, begun };
        (0..nodes).for_each(|slot| cluster.revive(slot));
        cluster
    }

    /// The folder of a node.
    pub(crate) fn store(&self, slot: usize) -> PathBuf {
        self.folder.path().join(format!("node-{slot}"))
    }

    /// A file next to the nodes' folders.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The nodes that run.
    pub(crate) fn living(&self) -> Vec<usize> {
        (0..self.slots.len()).filter(|&slot| self.slots[slot].is_some()).collect()
    }

    /// The nodes that do not.
    pub(crate) fn dead(&self) -> Vec<usize> {
        (0..self.slots.len()).filter(|&slot| self.slots[slot].is_none()).collect()
    }

    /// Whether these are words of the node as it runs now, not of an earlier life.
    pub(crate) fn is_current(&self, said: &Said) -> bool {
        self.slots[said.slot].as_ref().is_some_and(|running| running.life == said.life)
    }

    /// Starts a node that does not run, with whatever its folder holds.
    pub(crate) fn revive(&mut self, slot: usize) {
        assert!(self.slots[slot].is_none(), "node {slot} runs already");
        self.note(slot, "started");
        self.lives += 1;
        let life = self.lives;
        let store = format!("--store={}", self.store(slot).display());
        let args: Vec<&str> = self.args.iter().map(String::as_str).chain([&store[..]]).collect();
        let mut command = self.command(slot, &args);
        command.env("FFP2P_LOG", "warn").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = move |event| Said { slot, life, event };
        read(child.stdout.take().unwrap(), self.say.clone(), said, |line| {
            line.map_or(Some(json!({"event": "ended"})), |line| serde_json::from_str(&line).ok())
        });
        read(child.stderr.take().unwrap(), self.say.clone(), said, |line| {
            line.map(|line| json!({"event": "stderr", "line": line}))
        });
        self.slots[slot] = Some(Running { child, life, name: None });
    }

    /// The binary with these arguments, in its own place when there is a LAN.
    fn command(&self, slot: usize, args: &[&str]) -> Command {
        let node = ffp2p(args);
        let Some(lan) = &self.lan else { return node };
        let mut command = lan.enter(slot);
        command.arg(node.get_program()).args(node.get_args());
        command.arg(format!("--listen={}:0", address(slot)));
        command
    }

    /// Pulls a node's cable.
    pub(crate) fn cut(&mut self, slot: usize) {
        self.note(slot, "cut");
        self.lan.as_ref().unwrap().cut(slot);
    }

    /// Puts a node's cable back.
    pub(crate) fn heal(&mut self, slot: usize) {
        self.note(slot, "healed");
        self.lan.as_ref().unwrap().heal(slot);
    }

    /// Kills a node: nothing in it runs again.
    pub(crate) fn kill(&mut self, slot: usize) {
        let mut running = self.slots[slot].take().unwrap();
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        self.note(slot, "killed");
    }

    /// Empties the folder of a node that does not run.
    pub(crate) fn empty(&mut self, slot: usize) {
        assert!(self.slots[slot].is_none(), "node {slot} runs");
        self.note(slot, "emptied");
        // One that was killed early enough never made a folder.
        let gone = std::fs::remove_dir_all(self.store(slot));
        assert!(gone.is_ok() || !self.store(slot).exists(), "{gone:?}");
    }

    /// Changes a byte of every blob in the folder of a node that does not run, and cuts off half
    /// of its database.
    pub(crate) fn damage(&mut self, slot: usize) {
        assert!(self.slots[slot].is_none(), "node {slot} runs");
        self.note(slot, "damaged");
        for run in std::fs::read_dir(self.store(slot).join("runs")).into_iter().flatten() {
            let run = run.unwrap().path();
            damage_blobs(&run.join("blobs"));
            if let Ok(facts) = std::fs::read(run.join("facts.redb")) {
                std::fs::write(run.join("facts.redb"), &facts[..facts.len() / 2]).unwrap();
            }
        }
    }

    /// Sends a signal, as `kill` does.
    pub(crate) fn signal(&mut self, slot: usize, signal: &str) {
        self.note(slot, signal);
        let pid = self.slots[slot].as_ref().unwrap().child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// The next thing that any of them says.
    pub(crate) fn hear(&mut self) -> Said {
        loop {
            let left = BOUND.saturating_sub(self.begun.elapsed());
            let Ok(said) = self.said.recv_timeout(left) else {
                panic!("not through in time; {:?} live; {}", self.living(), self.report());
            };
            let is_error = |line: &str| line.contains("panicked") || line.contains("ERROR");
            let line = said.event["line"].as_str().unwrap_or_default();
            let is_error = is_error(line);
            self.note(said.slot, &said.event.to_string());
            assert!(!is_error, "node {} failed: {}", said.slot, self.report());
            if said.event["event"] != "stderr" {
                self.learn_name(&said);
                return said;
            }
        }
    }

    /// Takes in by which name a node goes.
    fn learn_name(&mut self, said: &Said) {
        if said.event["event"] == "ready" && self.is_current(said) {
            let name = said.event["peer"].as_str().map(str::to_owned);
            self.slots[said.slot].iter_mut().for_each(|running| running.name.clone_from(&name));
        }
    }

    /// By which name the others know a node, once it has said so.
    pub(crate) fn name(&self, slot: usize) -> Option<&str> {
        self.slots[slot].as_ref()?.name.as_deref()
    }

    /// The shards that living nodes other than the speaker own, each with its owner.
    pub(crate) fn owners(&self, said: &Said) -> Vec<(usize, usize)> {
        let owners = said.event["owners"].as_array().into_iter().flatten().enumerate();
        let slot = |owner: &Value| {
            let known = |slot: &usize| self.name(*slot).is_some_and(|name| *owner == name);
            self.living().into_iter().find(known).filter(|slot| *slot != said.slot)
        };
        owners.filter_map(|(shard, owner)| Some((shard, slot(owner)?))).collect()
    }

    /// Waits until a node has ended by itself; its exit code.
    pub(crate) fn end(&mut self, slot: usize) -> i32 {
        let mut running = self.slots[slot].take().unwrap();
        running.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Since the cluster was started.
    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn note(&mut self, slot: usize, what: &str) {
        let at = self.seconds();
        self.log.push_back(format!("{at:7.2} node {slot}: {what}"));
        if self.log.len() > KEPT {
            self.log.pop_front();
        }
    }

    /// The last lines of all nodes.
    pub(crate) fn report(&self) -> String {
        self.log.iter().fold("the last lines:\n".to_owned(), |text, line| text + line + "\n")
    }
}

/// Changes a byte in every file.
fn damage_blobs(folder: &std::path::Path) {
    for blob in std::fs::read_dir(folder).into_iter().flatten() {
        let blob = blob.unwrap().path();
        let mut bytes = std::fs::read(&blob).unwrap();
        let middle = bytes.len() / 2;
        bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
        std::fs::write(&blob, &bytes).unwrap();
    }
}

/// Reads lines on a thread of its own, until they end or the test does.
fn read(
    from: impl Read + Send + 'static,
    say: SyncSender<Said>,
    said: impl Fn(Value) -> Said + Send + 'static,
    event: impl Fn(Option<String>) -> Option<Value> + Send + 'static,
) {
    std::thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok).map(Some);
        for line in lines.chain([None]) {
            if event(line).is_some_and(|event| say.send(said(event)).is_err()) {
                return;
            }
        }
    });
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A test that failed must not leave its nodes behind.
        for running in self.slots.iter_mut().flatten() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}
