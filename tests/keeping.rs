//! The trained model is never lost: what is kept without being asked for, what is refused before the
//! first step, and what goes on where it was stopped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{Node, at_home, ffp2p, run, said};

const TINY: &[&str] =
    &["--data=digits:200+50", "--layers=784,32,32", "--epochs=2", "--batch-size=20"];

/// A run of some seconds, in many chapters.
const LONG: &[&str] = &[
    "--data=digits:2000+50",
    "--layers=784,128,128",
    "--epochs=40",
    "--chapter-steps=20",
    "--delta=f32",
];

fn events(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// The `done` event of a run that must be good.
#[track_caller]
fn done(home: &Path, args: &[&str]) -> Value {
    let (code, out, err) = said(at_home(home, args));
    assert_eq!(code, 0, "{args:?}\n{out}{err}");
    events(&out).into_iter().find(|event| event["event"] == "done").unwrap()
}

#[test]
fn a_model_outlives_the_node_that_trained_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let (meet, out, reference) = (path(home, "meet"), path(home, "m.st"), path(home, "r.st"));
    let network = ["--no-mdns", "--rendezvous", &meet, "--listen=127.0.0.1:0"];
    let mut node = Node::start(at_home(home, &[&["join", "--json"], &network[..], TINY].concat()));
    let done = node.wait("done");
    let kept = done["store"].as_str().unwrap();
    assert!(Path::new(kept).starts_with(home) && Path::new(kept).is_dir(), "{kept}");
    // A process that works in a store is no obstacle, and is named.
    let (code, listed, _) = said(at_home(home, &["runs", "--kept", "--json"]));
    assert_eq!((code, &events(&listed)[0]["in_use"]), (0, &true.into()));
    node.signal("-INT");
    assert_eq!(node.end(), 0);
    // Nobody is on the network any more.
    let export = ["export", "--json", "--out", &out];
    let (code, said_, err) = said(at_home(home, &[&export[..], &network].concat()));
    assert_eq!(code, 0, "{said_}{err}");
    assert!(said_.contains(done["model"].as_str().unwrap()), "{said_}");
    // The reference trains it again, and makes the same file.
    let alone = ["train", "--json", "--out", &reference];
    let trained = self::done(home, &[&alone[..], TINY].concat());
    assert_eq!(trained["trained"], serde_json::json!([2, 2]));
    assert_eq!(fs::read(&out).unwrap(), fs::read(&reference).unwrap());
    let (_, listed, _) = said(at_home(home, &["runs", "--kept", "--json"]));
    let listed = events(&listed);
    assert_eq!((listed.len(), &listed[0]["complete"]), (1, &true.into()));
    let id = listed[0]["run"].as_str().unwrap();
    let (code, _, err) = said(at_home(home, &["runs", "rm", &id[..8]]));
    assert_eq!(code, 0, "{err}");
    assert!(!Path::new(kept).exists());
    let (code, text, _) = said(at_home(home, &["runs", "--kept"]));
    assert!(code == 0 && text.contains("no run is kept"), "{text}");
}

#[test]
fn nodes_of_one_host_each_keep_their_work() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let (meet, out) = (path(home, "meet"), path(home, "m.st"));
    let up = ["up", "-n=2", "--json", "--no-mdns", "--rendezvous", &meet, "--out", &out];
    let first = done(home, &[&up[..], TINY].concat());
    let stores = fs::read_dir(Path::new(first["store"].as_str().unwrap()).parent().unwrap());
    assert_eq!(stores.unwrap().count(), 2);
    // Started again, nothing is left to train.
    let again = done(home, &[&up[..], TINY].concat());
    assert_eq!(again["model"], first["model"]);
    assert_eq!(again["trained"], serde_json::json!([0, 0]));
}

#[test]
fn a_training_goes_on_where_it_was_killed_or_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let store = path(folder.path(), "store");
    let train = [&["train", "--json", "--threads=1"], LONG].concat();
    let (code, out, err) = run(&train);
    assert_eq!(code, 0, "{err}");
    let whole = events(&out).pop().unwrap();
    let stored = [&train[..], &["--store", &store]].concat();
    let chapters_until = |signal: &str, code: i32| {
        let mut training = Node::start(ffp2p(&stored));
        training.wait("chapter");
        training.wait("chapter");
        training.signal(signal);
        if signal == "-INT" {
            let stopped = training.wait("stopped");
            // A chapter that is not whole is kept as well.
            assert_eq!(stopped["shards"], stopped["kept"]);
            assert_eq!(
                (&stopped["alone"], stopped["store"].as_str()),
                (&true.into(), Some(&*store))
            );
        }
        assert_eq!(training.end(), code);
    };
    chapters_until("-KILL", -1);
    chapters_until("-INT", 130);
    let (code, out, err) = run(&stored);
    assert_eq!(code, 0, "{err}");
    let events = events(&out);
    assert!(events.iter().any(|event| event["event"] == "restored"), "{out}");
    let last = events.iter().find(|event| event["event"] == "done").unwrap();
    assert_eq!(last["model"], whole["model"]);
    assert!(last["trained"][0].as_u64() < whole["trained"][0].as_u64(), "{last}");
}

#[test]
fn a_lone_node_that_is_stopped_says_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (meet, store) = (path(folder.path(), "meet"), path(folder.path(), "store"));
    let network = ["--no-mdns", "--rendezvous", &meet, "--listen=127.0.0.1:0"];
    for (store, says) in [(&*store, true), ("none", false)] {
        let mut node = Node::join(&[&network[..], LONG, &["--store", store]].concat());
        node.wait("chapter");
        node.wait("chapter");
        node.signal("-INT");
        let stopped = node.wait("stopped");
        let kept = |shard: usize| stopped["kept"][shard].as_u64().unwrap();
        assert_eq!((kept(0) > 0, stopped["store"].is_string()), (says, says), "{stopped}");
        assert!(kept(0) <= stopped["shards"][0].as_u64().unwrap());
        assert_eq!((&stopped["alone"], node.end()), (&true.into(), 130));
    }
}

/// Refused with this code before anything is trained; nothing is left in `folder`.
#[track_caller]
fn refused(folder: &Path, command: &[&str], out: &str, code: i32, says: &str) {
    let before = fs::read_dir(folder).unwrap().count();
    let (found, said, err) = run(&[command, &["--out", out]].concat());
    assert_eq!((found, said.as_str()), (code, ""), "{out}: {err}");
    assert!(err.contains(says) && err.contains("--out"), "{err}");
    assert_eq!(fs::read_dir(folder).unwrap().count(), before);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_written_is_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let link = path(folder, "link");
    std::os::unix::fs::symlink(folder.join("nothing"), &link).unwrap();
    fs::create_dir(folder.join("folder")).unwrap();
    fs::write(folder.join("file"), b"text").unwrap();
    let long = path(folder, &"x".repeat(300));
    let cases = [
        (link, "does not exist"),
        (long, "too long"),
        (path(folder, "folder"), "no file"),
        (path(folder, "none/m"), "No such file"),
        (path(folder, "file/m"), "ot a directory"),
        (format!("{}/", path(folder, "new")), "names no file"),
    ];
    let elsewhere = tempfile::tempdir().unwrap();
    let meet = path(elsewhere.path(), "meet");
    let network = ["--no-mdns", "--rendezvous", &meet, "--listen=127.0.0.1:0"];
    for command in ["train", "join", "up"] {
        let network = if command == "train" { &[][..] } else { &network };
        let command = [&[command][..], network, TINY].concat();
        for (out, says) in &cases {
            refused(folder, &command, out, 2, says);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_ends_up() {
    let folder = tempfile::tempdir().unwrap();
    let meet = path(folder.path(), "meet");
    let mut up = ffp2p(&[&["up", "-n=2", "--no-mdns", "--rendezvous", &meet], TINY].concat());
    up.current_dir("/proc");
    let (code, out, err) = said(up);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("model.safetensors") && err.contains("--out"), "{err}");
    refused(folder.path(), &[&["train"], TINY].concat(), "/proc/m.safetensors", 2, "/proc");
}

#[test]
fn a_home_that_cannot_be_used_is_no_reason_not_to_train() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("file");
    fs::write(&home, b"text").unwrap();
    let (code, out, err) = said(at_home(&home, &[&["train", "--json"], TINY].concat()));
    assert!(code == 1 && err.contains("--out"), "{code}: {err}");
    let events = events(&out);
    let note = events.iter().find(|event| event["event"] == "note").unwrap();
    assert!(note["message"].as_str().unwrap().contains("nothing is kept on disk"), "{note}");
    assert!(events.last().unwrap()["store"].is_null());
    let out = path(folder.path(), "m.st");
    let (code, _, err) = said(at_home(&home, &[&["train", "--out", &out], TINY].concat()));
    assert!(code == 0 && Path::new(&out).is_file(), "{err}");
    // A folder that was named has to be used.
    let store = path(&home, "store");
    let (code, _, err) = run(&[&["train", "--store", &store], TINY].concat());
    assert!(code == 2 && err.contains(&store), "{code}: {err}");
}

#[test]
fn the_run_that_was_trained_last_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let (meet, out) = (path(home, "meet"), path(home, "m.st"));
    let train = |seed: &str| done(home, &[&["train", "--json", "--seed", seed], TINY].concat());
    let last = ["3", "1", "2"].map(train)[2]["model"].clone();
    let export = || {
        let network = ["--no-mdns", "--rendezvous", &meet, "--listen=127.0.0.1:0"];
        let args = [&["export", "--json", "--out", &out], &network[..]].concat();
        let (code, said, err) = said(at_home(home, &args));
        assert_eq!(code, 0, "{said}{err}");
        events(&said).into_iter().find(|event| event["event"] == "saved").unwrap()
    };
    assert_eq!(export()["model"], last);
    // Looking at what is kept makes nothing younger.
    let (_, listed, _) = said(at_home(home, &["runs", "--kept", "--json"]));
    assert_eq!(export()["model"], last);
    // No id, or too little of one, names no run.
    for id in ["", "0", "zzzz", &"0".repeat(65)] {
        let (code, out, err) = said(at_home(home, &["runs", "rm", id]));
        assert_eq!((code, out.as_str()), (2, ""), "{id}: {err}");
    }
    assert_eq!(
        said(at_home(home, &["runs", "--kept", "--json"])).1.lines().count(),
        listed.lines().count()
    );
}
