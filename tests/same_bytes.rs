//! The rule of the whole system, with real processes: the model of a run is the same bytes
//! whether one process trained it or four nodes, whatever the threads, and whichever nodes came or left.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;

use support::{Node, model_of};

/// A run of 60 steps in chapters of 5.
const SMALL: &[&str] = &[
    "--data=digits:1000+100",
    "--layers=784,64,64,64",
    "--epochs=3",
    "--batch-size=50",
    "--chapter-steps=5",
    "--placement=single-layer",
];

/// Trains alone with one and two threads, and with one, two and four nodes.
fn check(flags: &[&str]) {
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
}

/// The model of the default run, with changes rounded and as they are. If this changes, so does every model
/// that anybody has trained.
#[test]
fn the_default_run_makes_the_model_that_it_always_made() {
    let model = "13ebeede0d0e17af456fb1883ae5740fee8bb5770b9da2da57f63da220d2298a";
    assert_eq!(model_of(&["train", "--json", "--delta=f32"]), model);
    let rounded = "a30493788f7f70ee535cac026d5fbdecb98898df048fc77b24f06eb1abcc832f";
    assert_eq!(model_of(&["train", "--json"]), rounded);
}

#[test]
fn f32_one_shard() {
    check(&["--wire=f32", "--shards=1", "--delta=f32"]);
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
    check(&["--wire=u8", "--shards=2", "--label-embedding=append", "--contrast-normalization"]);
}

#[test]
fn u8_softmax_objective_of_moved_images() {
    check(&["--wire=u8", "--objective=softmax", "--shift=2", "--flip"]);
}

#[test]
fn u4_with_adaptive_negatives() {
    check(&["--wire=u4", "--negatives=adaptive", "--negative-temperature=3"]);
}

/// A run of 36 steps in chapters of 4: long enough for tables of three layers ago.
const SHORT: &[&str] = &[
    "--data=digits:600+100",
    "--layers=784,48,48,48",
    "--epochs=3",
    "--batch-size=50",
    "--chapter-steps=4",
];

/// Trains alone, and with three nodes by every placement; returns the model's hash.
fn check_placements(flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let out = format!("--out={}", folder.path().join("model").display());
    let spec = [SHORT, &["--json", "--branches=1"], flags].concat();
    let alone = model_of(&[&["train"], &spec[..]].concat());
    for placement in ["single-layer", "all-layers", "sequential"] {
        let placement = format!("--placement={placement}");
        let up = ["up", "--no-mdns", "-n", "3", "--threads", "1", &meet, &out, &placement];
        assert_eq!(model_of(&[&up, &spec[..]].concat()), alone, "{placement} {flags:?}");
    }
    alone
}

/// Branches of chapters: one process alone, and as many nodes as there are branches, fewer, and more.
fn check_branches(flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let out = format!("--out={}", folder.path().join("model").display());
    let spec = [SHORT, &["--json", "--placement=all-layers", "--branches=3"], flags].concat();
    let alone = model_of(&[&["train"], &spec[..]].concat());
    for nodes in ["1", "3", "5"] {
        let up = ["up", "--no-mdns", "-n", nodes, "--threads", "1", &meet, &out];
        assert_eq!(model_of(&[&up, &spec[..]].concat()), alone, "{nodes} nodes, {flags:?}");
    }
}

#[test]
fn branches_of_chapters() {
    check_branches(&["--objective=softmax", "--delta=u8"]);
}

#[test]
fn branches_whose_changes_go_as_they_are() {
    check_branches(&["--delta=f32", "--negatives=fixed", "--dropout=0.1"]);
}

#[test]
fn branches_of_refreshed_shards_with_second_moments() {
    let softmax = ["--objective=softmax", "--optimizer=adam"];
    let more = ["--delta=u4", "--shards=2", "--activations=refreshed"];
    check_branches(&[&softmax[..], &more].concat());
}

#[test]
fn placements_with_changes_of_half_a_byte() {
    check_placements(&["--objective=softmax", "--delta=u4"]);
}

/// Three nodes that own chapters in turn: with the same data each, they make what one alone makes.
fn check_federated(flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let out = format!("--out={}", folder.path().join("model").display());
    let spec = [SHORT, &["--json"], flags].concat();
    let alone = model_of(&[&["train", "--activations=refreshed"], &spec[..]].concat());
    let own = ["--placement=federated", "--epoch-steps=12"];
    let up = ["up", "--no-mdns", "-n", "3", "--threads", "1", &meet, &out];
    assert_eq!(model_of(&[&up, &own[..], &spec[..]].concat()), alone, "{flags:?}");
}

#[test]
fn federated_nodes_with_the_same_data() {
    check_federated(&["--negatives=random", "--dropout=0.1"]);
    check_federated(&["--negatives=fixed", "--shards=2"]);
    check_federated(&["--objective=softmax", "--shift=2"]);
}

#[test]
fn federated_nodes_with_data_of_their_own_end_with_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let node = ["--no-mdns", "--threads=1", "--exit-when-done", "--placement=federated", &meet];
    let sets = ["--data=digits:600+100:1", "--data=digits:500+50:2", "--data=digits:300+20:3"];
    let length = ["--epoch-steps=12", "--layers=784,48,48,48", "--epochs=3", "--batch-size=50"];
    let join = |set: &&str| Node::join(&[&node[..], &length, &["--chapter-steps=2", set]].concat());
    let mut nodes: Vec<Node> = sets.iter().map(join).collect();
    let done: Vec<_> = nodes.iter_mut().map(|node| node.wait("done")).collect();
    let models: BTreeSet<&str> = done.iter().filter_map(|done| done["model"].as_str()).collect();
    assert_eq!(models.len(), 1, "{models:?}");
    for node in nodes {
        assert_eq!(node.end(), 0);
    }
}

/// Every kind of negatives and of activations makes its own model, in every placement.
#[test]
fn placements_with_the_goodness_objective() {
    let mut models = BTreeSet::new();
    for negatives in ["--negatives=adaptive", "--negatives=random", "--negatives=fixed"] {
        for activations in ["--activations=online", "--activations=refreshed"] {
            models.insert(check_placements(&[negatives, activations]));
        }
    }
    assert_eq!(models.len(), 6);
}

#[test]
fn placements_with_the_softmax_objective() {
    for activations in ["--activations=online", "--activations=refreshed"] {
        check_placements(&["--objective=softmax", activations]);
    }
}

#[test]
fn placements_with_shards_and_dropout() {
    let flags = ["--negatives=adaptive", "--activations=refreshed", "--shards=2"];
    check_placements(&[&flags[..], &["--dropout=0.1"]].concat());
}

/// Long enough that a node can join and others leave in the middle. The two lowest shards cost next to
/// nothing and the other four the same, so that each of four nodes has a use.
const LONG: &[&str] = &[
    "--data=digits:4000+100",
    "--layers=784,8,160,160,160,160,160",
    "--epochs=30",
    "--batch-size=40",
    "--chapter-steps=20",
];

/// With one other node left, whose speed counts for the newcomer's, the newcomer has to have shards.
#[cfg(unix)]
#[test]
fn a_fifth_joins_and_three_of_four_leave() {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let node = ["--no-mdns", "--threads=1", "--exit-when-done", &meet];
    let args = [&node[..], LONG].concat();
    let mut nodes: Vec<Node> = (0..4).map(|_| Node::join(&args)).collect();
    for node in &mut nodes {
        node.wait("training");
    }
    let mut fifth = Node::join(&args);
    fifth.wait_for("somebody", |event| event["event"] == "peer" && event["state"] == "joined");
    for mut leaver in nodes.drain(1..) {
        leaver.signal("-INT");
        leaver.wait_for("leaving", |event| event["event"] == "note");
        assert_eq!(leaver.end(), 130);
    }
    fifth.wait("training");
    let alone = model_of(&[&["train", "--json"], LONG].concat());
    for mut node in nodes.into_iter().chain([fifth]) {
        assert_eq!(node.wait("done")["model"], alone.as_str());
        assert_eq!(node.end(), 0);
    }
}
