//! Runs whose numbers go out of range, with real processes: training alone and every node end with one
//! line that says where and why, and leave no model behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    process::{Child, Stdio},
    sync::mpsc::sync_channel,
    thread,
    time::{Duration, Instant},
};

use support::{ffp2p, run};

/// All nodes have ended by then, or the test fails.
const BOUND: Duration = Duration::from_secs(120);

/// A run of 100 steps in chapters of 10 with two layers.
const SMALL: &[&str] = &["--data=digits:2000+100", "--layers=784,24,24", "--epochs=5"];

#[test]
fn training_alone_names_the_layer_and_the_flags() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.safetensors");
    let out = format!("--out={}", file.display());
    for (flags, says) in [
        (&["--head-weight-decay=3000"][..], "lower --head-weight-decay (3000)"),
        (
            &["--head-weight-decay=3000", "--activations=refreshed", "--shards=2"],
            "shard 0 diverged",
        ),
        (&["--head-weight-decay=3000", "--negatives=adaptive"], "its head is not finite"),
        (&["--head-lr=1e30"], "lower --head-lr (1e30)"),
        (&["--lr=1e30"], "lower --lr (1e30)"),
        (&["--lr=1e30", "--wire=u4"], "its weights are not finite"),
        (&["--weight-decay=1e5"], "lower --weight-decay (100000)"),
        (&["--peer-normalization=1e30"], "lower --peer-normalization (1e30)"),
        (&["--optimizer=adam", "--lr=1e30"], "lower --lr (1e30)"),
        (&["--optimizer=adam", "--head-weight-decay=1e5"], "--head-weight-decay (100000)"),
        (&["--objective=softmax", "--lr=1e30"], "lower --lr (1e30)"),
        (&["--objective=softmax", "--head-lr=1e30", "--wire=u8"], "lower --head-lr (1e30)"),
    ] {
        let (code, _, err) = run(&[&["train", &out], SMALL, flags].concat());
        assert_eq!((code, err.lines().count()), (1, 1), "{flags:?}: {err}");
        assert!(err.contains("layer ") && err.contains(" diverged at step "), "{flags:?}: {err}");
        assert!(err.contains(says), "{flags:?} should say {says}: {err}");
        assert!(!file.exists(), "{flags:?} left a model");
    }
}

/// The standard error of `nodes` nodes with these flags, once all have ended with code 1.
fn all_end(nodes: usize, flags: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let meet = format!("--rendezvous={}", folder.path().display());
    let out = folder.path().join("m.safetensors");
    let write = format!("--out={}", out.display());
    let join = ["join", "--no-mdns", "--listen=127.0.0.1:0", "--threads=1", &meet, &write];
    let start = |_| {
        let mut command = ffp2p(&[&join, SMALL, flags].concat());
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..nodes).map(start).collect();
    let ids: Vec<u32> = children.iter().map(Child::id).collect();
    let (say, ended) = sync_channel(nodes);
    for child in children {
        let say = say.clone();
        thread::spawn(move || say.send(child.wait_with_output().unwrap()));
    }
    let until = Instant::now() + BOUND;
    let said = ids.iter().map(|_| {
        let Ok(output) = ended.recv_timeout(until.saturating_duration_since(Instant::now())) else {
            for id in &ids {
                let _ = std::process::Command::new("kill").args(["-9", &id.to_string()]).status();
            }
            panic!("{flags:?}: a node does not end");
        };
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {err}");
        err
    });
    let said = said.collect();
    assert!(!out.exists(), "{flags:?} left a model");
    said
}

#[test]
fn every_node_ends_in_every_placement() {
    for flags in [
        &[][..],
        &["--exit-when-done"],
        &["--activations=refreshed", "--shards=2"],
        &["--placement=all-layers"],
        &["--placement=all-layers", "--negatives=adaptive"],
        &["--placement=sequential"],
        &["--placement=federated", "--epoch-steps=20"],
    ] {
        let wrong = [flags, &["--head-weight-decay=3000"]].concat();
        for err in all_end(3, &wrong) {
            let line = err.lines().last().unwrap_or_default();
            assert!(line.contains(" diverged at step "), "{flags:?}: {err}");
            assert!(line.contains("--head-weight-decay (3000)"), "{flags:?}: {err}");
            assert!(!err.contains("ERROR") && !err.contains("panicked"), "{flags:?}: {err}");
        }
    }
}

/// Some chapters are done, and others hold their checkpoints, when numbers go out of range.
#[test]
fn every_node_ends_where_a_run_diverges_late() {
    for err in all_end(3, &["--head-weight-decay=50", "--chapter-steps=5"]) {
        assert!(err.contains(" diverged at step "), "{err}");
    }
}
