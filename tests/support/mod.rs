//! Real nodes for tests: processes of the binary, read event by event.
//!
//! Rule: no test sleeps. It waits for an event, and the only clock is a bound after which a test
//! fails and prints what the processes said.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod cluster;
pub(crate) mod lan;

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    time::{Duration, Instant},
};

use serde_json::Value;

/// After this long without the awaited event a test fails.
const BOUND: Duration = Duration::from_secs(120);

/// Lines kept for the report of a failure.
const KEPT: usize = 40;

/// Nothing is kept here.
const NO_HOME: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/nothing");

/// The binary with these arguments. What would keep its work in the user's home keeps nothing, unless
/// a test says where.
pub(crate) fn ffp2p(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffp2p"));
    command.args(args).stdin(Stdio::null()).env("XDG_STATE_HOME", NO_HOME);
    let keeps = args.first().is_some_and(|first| ["join", "train", "up"].contains(first));
    if keeps && !args.iter().any(|arg| arg.starts_with("--store")) {
        command.arg("--store=none");
    }
    command
}

/// The binary as a user has it, with `home` for the user's state directory.
pub(crate) fn at_home(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffp2p"));
    command.args(args).stdin(Stdio::null()).env("XDG_STATE_HOME", home);
    command
}

/// Runs to the end; exit code, standard output and standard error.
pub(crate) fn run(args: &[&str]) -> (i32, String, String) {
    said(ffp2p(args))
}

/// Runs a command to the end, as [`run`].
pub(crate) fn said(mut command: Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// Runs to the end, which must be good, and returns the model's hash from the last `done` event.
pub(crate) fn model_of(args: &[&str]) -> String {
    let (code, out, err) = run(args);
    assert_eq!(code, 0, "{args:?}\n{out}\n{err}");
    assert!(!err.contains("ERROR"), "an error was logged by {args:?}:\n{err}");
    let mut done = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let done = done.rfind(|event| event["event"] == "done");
    done.unwrap_or_else(|| panic!("no done event from {args:?}:\n{out}"))["model"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A running node.
pub(crate) struct Node {
    pub(crate) child: Child,
    lines: Receiver<String>,
    seen: VecDeque<String>,
}

impl Node {
    /// Starts `ffp2p join --json` with these arguments more.
    pub(crate) fn join(args: &[&str]) -> Self {
        Self::start(ffp2p(&[&["join", "--json"], args].concat()))
    }

    /// The same as host `number` of a LAN.
    pub(crate) fn join_in(lan: &lan::Lan, number: usize, args: &[&str]) -> Self {
        let node = ffp2p(&[&["join", "--json"], args].concat());
        let mut command = lan.enter(number);
        command.arg(node.get_program()).args(node.get_args()).stdin(Stdio::null());
        Self::start(command)
    }

    /// Starts a command that ends in the binary and prints its events.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (say, lines) = sync_channel(4096);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: VecDeque::new() }
    }

    /// Waits for an event that `is_it`; everything before it is gone.
    pub(crate) fn wait_for(&mut self, what: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let until = Instant::now() + BOUND;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let state = self.child.try_wait();
                panic!("no {what} from {:?} ({state:?}); last:\n{:#?}", self.child.id(), self.seen);
            };
            let event: Value = serde_json::from_str(&line).unwrap();
            self.seen.push_back(line);
            if self.seen.len() > KEPT {
                self.seen.pop_front();
            }
            if is_it(&event) {
                return event;
            }
        }
    }

    /// Waits for an event of this name.
    pub(crate) fn wait(&mut self, name: &str) -> Value {
        self.wait_for(name, |event| event["event"] == name)
    }

    /// Sends a signal, as `kill` does.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for the end; the exit code.
    pub(crate) fn end(mut self) -> i32 {
        while self.lines.recv_timeout(BOUND).is_ok() {}
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that failed must not leave its nodes behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
