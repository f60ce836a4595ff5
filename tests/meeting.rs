//! Nodes of several hosts find each other, whatever stands between them.
//!
//! Rule: the hosts are network namespaces of this machine. Where those cannot be made, a test says
//! that it has tested nothing. `FFP2P_STARTS` in the environment is how often two nodes are started
//! where chance decides which of them dials first.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use support::{
    Node, ffp2p,
    lan::{Addresses, Lan, Wall},
};

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
    if lan.firewall(1, Wall::Incoming) {
        meet_often(&lan, [&[], &[]]);
    }
}

/// The same without multicast: both were given the other's address.
#[test]
fn a_firewall_does_not_keep_given_addresses_apart() {
    let Some(lan) = Lan::new(2) else { return };
    if lan.firewall(1, Wall::Incoming) {
        let one = ["--no-mdns", "--listen=10.77.0.1:4001", "--peer=10.77.0.2:4001"];
        let other = ["--no-mdns", "--listen=10.77.0.2:4001", "--peer=10.77.0.1:4001"];
        meet_often(&lan, [&one, &other]);
    }
}

/// Hosts without IPv4 listen and look around by IPv6, also where only link-local addresses are.
#[test]
fn hosts_with_ipv6_only_meet() {
    for addresses in [Addresses::V6, Addresses::LinkLocal] {
        let Some(lan) = Lan::with(2, addresses) else { return };
        meet(&lan, [&[], &["--listen=[::]:0"]]);
        let peer = ["--no-mdns", "--peer=[fe80::1%eth0]:4477"];
        meet(&lan, [&["--no-mdns"], &peer]);
        if lan.firewall(1, Wall::Incoming) {
            meet(&lan, [&[], &[]]);
        }
    }
}

/// The first node of a host has the default port, and `ready` names all addresses of the LAN.
#[test]
fn a_node_says_where_others_can_reach_it() {
    let Some(lan) = Lan::with(1, Addresses::V6) else { return };
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let listen = || {
        let mut node = Node::join_in(&lan, 0, &[RUN, &[&meet]].concat());
        let ready = node.wait_for("any event", |_| true);
        assert_eq!(ready["event"], "ready");
        (node, ready["listen"].as_array().unwrap().clone())
    };
    let (_first, all) = listen();
    assert_eq!(all, ["[fd77::1]:4477", "[fe80::1]:4477"]);
    let (_second, all) = listen();
    let port = all[0].as_str().unwrap().rsplit_once(':').unwrap().1;
    assert_ne!(port, "4477");
    assert_eq!(all, [format!("[fd77::1]:{port}"), format!("[fe80::1]:{port}")]);
}

/// The message of `status` on a host where it finds nobody; no line of the log is allowed.
fn status(lan: &Lan, number: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let (mut command, status) = (lan.enter(number), ffp2p(&["status", &meet]));
    let output = command.arg(status.get_program()).args(status.get_args()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(!said.contains("libp2p") && !said.contains("ERROR"), "{said}");
    said
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

/// No connection can be made at all: each hears the other, and learns what to open.
#[test]
fn firewalls_on_both_sides_are_told() {
    let Some(lan) = Lan::new(2) else { return };
    if (0..2).all(|number| lan.firewall(number, Wall::Incoming)) {
        let folder = tempfile::tempdir().unwrap();
        let meet = format!("--rendezvous={}", folder.path().display());
        let mut node = Node::join_in(&lan, 1, &[RUN, &[&meet]].concat());
        node.wait("ready");
        let said = status(&lan, 0);
        says(&said, &["10.77.0.2:4477: timed out", "heard by mDNS", "machine let TCP 4477 in"]);
    }
}

#[test]
fn multicast_that_is_kept_back_is_told_once() {
    let Some(lan) = Lan::new(1) else { return };
    if lan.firewall(0, Wall::Multicast) {
        let said = status(&lan, 0);
        says(&said, &["mDNS", "does not work here: operation not permitted", "let UDP 5353 out"]);
        assert_eq!(said.matches("not permitted").count(), 1, "{said}");
    }
}

#[test]
fn a_host_without_network_is_told_so() {
    let Some(lan) = Lan::with(1, Addresses::Nothing) else { return };
    says(
        &status(&lan, 0),
        &["no network interface but loopback is up", "nodes of this host find each other"],
    );
}
