//! Nodes of several hosts find each other, whatever stands between them.
//!
//! Rule: the hosts are network namespaces of this machine. Where those cannot be made, a test says
//! that it has tested nothing. `FFP2P_STARTS` in the environment is how often two nodes are started
//! where chance decides which of them dials first.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use support::{Node, lan::Lan};

/// Starts, if the environment does not say.
const STARTS: usize = 10;

/// Two nodes that are not together by then never would be: those that met took 3 s at most.
const LATE: Duration = Duration::from_secs(20);

/// A run that is not over before the test is.
const RUN: &[&str] = &["--threads=1", "--data=digits:200+50", "--layers=784,16", "--epochs=90000"];

fn starts() -> usize {
    std::env::var("FFP2P_STARTS").map_or(STARTS, |text| text.parse().unwrap())
}

/// Starts a node on each of two hosts that share no folder; how long it took until each knew of the
/// other, from when both were up.
fn meet(lan: &Lan, args: [&[&str]; 2]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes: Vec<Node> = (0..2)
        .map(|number| {
            let meet = format!("--rendezvous={}", folder.path().join(number.to_string()).display());
            Node::join_in(lan, number, &[RUN, args[number], &[&meet]].concat())
        })
        .collect();
    for node in &mut nodes {
        node.wait("ready");
    }
    let begun = Instant::now();
    for node in &mut nodes {
        node.wait_for("joined peer", |event| {
            event["event"] == "peer" && event["state"] == "joined"
        });
    }
    begun.elapsed()
}

/// Starts two nodes again and again, and tells the times.
fn meet_often(lan: &Lan, args: [&[&str]; 2]) {
    let mut times: Vec<Duration> = (0..starts()).map(|_| meet(lan, args)).collect();
    times.sort();
    let soon = times.iter().filter(|time| **time < Duration::from_secs(5)).count();
    eprintln!("{soon} of {} met within 5 s; {times:.2?}", times.len());
    assert!(times.iter().all(|time| *time < LATE), "{times:.2?}");
}

/// Both dial, and only one of them can be reached.
#[test]
fn a_firewall_on_one_side_keeps_nobody_apart() {
    let Some(lan) = Lan::new(2) else { return };
    if lan.firewall(1) {
        meet_often(&lan, [&[], &[]]);
    }
}

/// The same without multicast: both were given the other's address.
#[test]
fn a_firewall_does_not_keep_given_addresses_apart() {
    let Some(lan) = Lan::new(2) else { return };
    if lan.firewall(1) {
        let one = ["--no-mdns", "--listen=10.77.0.1:4001", "--peer=10.77.0.2:4001"];
        let other = ["--no-mdns", "--listen=10.77.0.2:4001", "--peer=10.77.0.1:4001"];
        meet_often(&lan, [&one, &other]);
    }
}
