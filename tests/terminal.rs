//! The binary as a terminal, a pipe and a system that sends signals meet it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(unix)]

mod support;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use support::{Node, ffp2p};

const TINY: &[&str] = &["--data=digits:200+50", "--layers=784,32,32", "--epochs=2"];

/// Far more than a test waits for.
const LONG: &[&str] = &["--data=digits:2000+50", "--layers=784,64,64", "--epochs=100000"];

/// The binary with these arguments, started by a shell that ignores a signal.
fn ignoring(signal: &str, args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' {signal}; exec \"$0\" \"$@\"")]);
    shell.arg(env!("CARGO_BIN_EXE_ffp2p")).args(args).stdin(Stdio::null());
    shell
}

/// A node that ignored `ignored` from its start goes on after it and leaves at SIGTERM.
fn survives(ignored: &str) {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let network = ["join", "--json", "--store=none", "--no-mdns", "--listen=127.0.0.1:0", &meet];
    let mut node = Node::start(ignoring(ignored, &[&network, LONG].concat()));
    node.wait("training");
    node.signal(&format!("-{ignored}"));
    for _ in 0..2 {
        let said = node.wait_for("sign of life", |it| {
            let leaves = it["message"].as_str().is_some_and(|text| text.starts_with("leaving"));
            leaves || it["event"] == "progress"
        });
        assert_eq!(said["event"], "progress", "{ignored} was ignored when the node started");
    }
    node.signal("-TERM");
    node.wait_for("goodbye", |it| {
        it["message"].as_str().is_some_and(|text| text.starts_with("leaving"))
    });
    assert_eq!(node.end(), 130);
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    // As `nohup` starts it, and as a script's shell starts what runs in the background.
    survives("HUP");
    survives("INT");
}

#[test]
fn training_alone_stops_between_two_steps() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let mut command = ffp2p(&["train", "--json"]);
        command.args(LONG);
        let mut node = Node::start(command);
        node.wait_for("step", |it| it["shards"][0].as_u64() > Some(0));
        node.signal(signal);
        assert_eq!(node.end(), 130, "{signal}");
    }
}

#[test]
fn a_pipe_whose_reader_went_away_stops_nothing() {
    for flags in [&["--json"][..], &[]] {
        let mut command = ffp2p(&["train"]);
        command.args(TINY).args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains("run"), "{first}");
        // Both ends are gone now.
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let mut command = ffp2p(&["train", "--epochs=0"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(command.stderr(writer).status().unwrap().code(), Some(2));
}

#[test]
fn a_pipe_gets_lines_about_the_whole_run() {
    let (code, out, _) = support::run(&[&["train"], TINY].concat());
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(code, 0);
    let last = lines.iter().position(|line| line.starts_with("done in")).unwrap();
    assert!(lines[last - 1].starts_with("100 % of 4 steps"), "{out}");
    assert!(!out.contains('\x1b'));
}

/// The output of the binary on a terminal of this kind and size.
#[cfg(target_os = "linux")]
fn on_a_terminal(term: &str, size: &str, args: &[&str]) -> String {
    let command =
        [&[env!("CARGO_BIN_EXE_ffp2p")], args, TINY, &["--store=none"]].concat().join(" ");
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty {size}; {command}"), "/dev/null"]);
    script.env("TERM", term).env_remove("CI").env("FFP2P_LOG", "info").stdin(Stdio::null());
    let output = script.output().expect("util-linux is installed");
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn bars_where_they_can_be_drawn_and_lines_elsewhere() {
    let bars = on_a_terminal("xterm", "rows 24 cols 80", &["train"]);
    assert!(bars.contains("layer 0 [") && bars.contains("\x1b[2A"), "{bars:?}");
    for (term, size) in [
        ("dumb", "rows 24 cols 80"),
        ("", "rows 24 cols 80"),
        ("xterm", "rows 0 cols 0"),
        ("xterm", "rows 2 cols 80"),
    ] {
        let lines = on_a_terminal(term, size, &["train"]);
        assert!(lines.contains("100 % of 4 steps\r\ndone in"), "{term} {size}: {lines:?}");
        assert!(!lines.contains('\x1b') && !lines.contains("layer 0"), "{term} {size}: {lines:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn log_lines_come_above_the_bars() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (meet, out) = (path("meet"), path("m"));
    let up = ["up", "-n", "2", "--no-mdns", "--rendezvous", &meet, "--out", &out];
    let written = on_a_terminal("xterm", "rows 24 cols 80", &up);
    // A bar that is drawn is the start of a line, and so is what is logged of two nodes that meet.
    let mut logged = written.split("\r\n").filter(|line| line.contains("INFO")).peekable();
    assert!(logged.peek().is_some(), "{written:?}");
    for line in logged {
        let bare = line.rsplit("\x1b[2K").next().unwrap();
        assert!(bare.starts_with("20") && !bare.contains(" steps"), "{written:?}");
    }
}
