//! The rule of the whole system, with real processes: the model of a run is the same bytes
//! whether one process trained it or four nodes, whatever the threads, and whoever came or left.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{Node, model_of};

/// A run of 60 steps in chapters of 5.
const SMALL: &[&str] = &[
    "--data=digits:1000+100",
    "--layers=784,64,64,64",
    "--epochs=3",
    "--batch-size=50",
    "--chapter-steps=5",
];

/// Trains alone with one and two threads, and with one, two and four nodes; returns the model's
/// hash.
fn check(flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let out = format!("--out={}", folder.path().join("model").display());
    let spec = [SMALL, &["--json"], flags].concat();
    let alone = model_of(&[&["train", "--threads=1"], &spec[..]].concat());
    assert_eq!(model_of(&[&["train", "--threads=2"], &spec[..]].concat()), alone);
    for (nodes, threads) in [("1", "2"), ("2", "1"), ("4", "1")] {
        let up = ["up", "--no-mdns", "-n", nodes, "--threads", threads, &meet, &out];
        assert_eq!(model_of(&[&up, &spec[..]].concat()), alone, "up -n {nodes}");
    }
    alone
}

#[test]
fn f32_one_shard() {
    check(&["--wire=f32", "--shards=1"]);
}

#[test]
fn f32_two_shards_with_dropout() {
    check(&["--wire=f32", "--shards=2", "--dropout=0.1"]);
}

#[test]
fn u8_one_shard() {
    check(&["--wire=u8", "--shards=1"]);
}

#[test]
fn u8_two_shards_with_labels_beside_the_pixels() {
    check(&["--wire=u8", "--shards=2", "--label-embedding=append"]);
}

#[test]
fn u8_softmax_objective_of_moved_images() {
    check(&["--wire=u8", "--objective=softmax", "--shift=2", "--flip"]);
}

#[test]
fn all_layers_and_a_hot_standby() {
    let single = model_of(&[&["train", "--json"], SMALL].concat());
    for placement in ["--placement=all-layers", "--placement=sequential"] {
        assert_eq!(check(&["--wire=u8", placement]), single, "{placement}");
    }
    check(&["--shards=2", "--placement=all-layers"]);
}

/// Long enough that a node can join and another leave in the middle.
const LONG: &[&str] = &[
    "--data=digits:4000+100",
    "--layers=784,96,96,96,96,96",
    "--epochs=30",
    "--batch-size=40",
    "--chapter-steps=20",
];

#[cfg(unix)]
#[test]
fn a_fifth_joins_and_one_of_four_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let node = ["--no-mdns", "--threads=1", "--exit-when-done", &meet];
    let args = [&node[..], LONG].concat();
    let mut nodes: Vec<Node> = (0..4).map(|_| Node::join(&args)).collect();
    for node in &mut nodes {
        node.wait("training");
    }
    let mut fifth = Node::join(&args);
    let ready = fifth.wait("ready");
    let id = ready["peer"].as_str().unwrap();
    fifth.wait("training");
    // Whoever still has a row leaves; somebody who has none would prove little.
    let mut owner = String::new();
    nodes[0].wait_for("an owner", |event| {
        owner = event["owners"][0].as_str().unwrap_or_default().to_owned();
        event["event"] == "progress" && !owner.is_empty() && owner != id
    });
    let mut leaver = nodes.swap_remove(0);
    leaver.signal("-INT");
    leaver.wait_for("leaving", |event| event["event"] == "note");
    assert_eq!(leaver.end(), 130);
    let alone = model_of(&[&["train", "--json"], LONG].concat());
    for mut node in nodes.into_iter().chain([fifth]) {
        assert_eq!(node.wait("done")["model"], alone.as_str());
        assert_eq!(node.end(), 0);
    }
}
