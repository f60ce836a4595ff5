//! Nodes' reports of each other: peers, peers of other runs, observers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::Value;
use support::{Node, run};

/// A run that outlasts the test.
const LONG: &[&str] =
    &["--data=digits:400+50", "--layers=784,32,32", "--epochs=90000", "--batch-size=20"];

/// The network of one test: nobody else's nodes are in it.
fn network(folder: &tempfile::TempDir) -> [String; 4] {
    let meet = format!("--rendezvous={}", folder.path().join("meet").display());
    ["--no-mdns".to_owned(), "--listen=127.0.0.1:0".to_owned(), meet, "--threads=1".to_owned()]
}

fn join(network: &[String], name: &str, flags: &[&str]) -> Node {
    let network = network.iter().map(String::as_str);
    let name = format!("--node-name={name}");
    let args: Vec<&str> = network
        .chain([&name[..], "--placement=single-layer"])
        .chain(flags.iter().copied())
        .collect();
    Node::join(&args)
}

/// A note that says all of this.
fn note(node: &mut Node, says: &[&str]) -> Value {
    node.wait_for(&says.join(" ... "), |event| {
        let message = event["message"].as_str().unwrap_or_default();
        event["event"] == "note" && says.iter().all(|word| message.contains(word))
    })
}

#[test]
fn nodes_of_two_runs_say_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let network = network(&folder);
    let mut attic = join(&network, "attic", LONG);
    attic.wait("ready");
    let mut kitchen = join(&network, "kitchen", &[&LONG[..3], &["--batch-size=25"]].concat());
    note(
        &mut kitchen,
        &["attic", "--batch-size is 20 there, 25 here", "again with --batch-size 20"],
    );
    note(&mut attic, &["kitchen", "--batch-size is 25 there, 20 here"]);
    let data = ["--data=digits:401+50", LONG[1], LONG[2], LONG[3], "--lr=0.5"];
    let mut cellar = join(&network, "cellar", &data);
    let says = ["attic", "--lr is 0.01 there, 0.5 here", "400 images there, 401 here"];
    let advice = "again with --data digits:400+50 and without --lr";
    note(&mut cellar, &[&says[..], &[advice]].concat());
    // Each run once, however many train it.
    let mut second = join(&network, "second", &data);
    second.wait_for("the other node of its run", |event| event["state"] == "joined");
    note(&mut attic, &["401 images there, 400 here"]);
    let mut third = join(&network, "third", &[&LONG[..3], &["--batch-size=10"]].concat());
    third.wait("ready");
    let mut told = 0;
    attic.wait_for("the third run", |event| {
        let message = event["message"].as_str().unwrap_or_default();
        told += usize::from(message.contains("401 images"));
        message.contains("--batch-size is 10 there")
    });
    assert_eq!(told, 0);
}

/// `status --json`.
fn status(network: &[String]) -> Value {
    let network: Vec<&str> = network[..3].iter().map(String::as_str).collect();
    let (code, out, err) = run(&[&["status", "--json"], &network[..]].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn looking_at_a_finished_run_takes_no_model_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let network = network(&folder);
    let flags = ["--data=digits:200+50", "--layers=784,1000,1000", "--epochs=1"];
    let mut attic = join(&network, "attic", &flags);
    attic.wait("done");
    let status = status(&network);
    let peer = &status["peers"][0];
    assert!(peer["checkpoint_bytes"].as_u64().unwrap() > 7_000_000, "{status}");
    assert!(status["bytes_in"].as_u64().unwrap() < 20_000, "{status}");
    assert_eq!([&peer["name"], &status["shards"][1]["name"]], ["attic"; 2]);
    let data = &status["data"];
    assert_eq!([&data["train"], &data["test"], &data["classes"]], [200, 50, 10]);
    assert_eq!([&data["kind"], &data["form"]], ["digits", "28 x 28 grey"]);
    assert_eq!(status["layers"], serde_json::json!([784, 1_000, 1_000]));
    assert_eq!(status["objective"], "goodness");
    let flags = serde_json::json!({"data": "digits:200+50", "layers": "784,1000,1000", "epochs": "1", "placement": "single-layer"});
    assert_eq!(status["flags"], flags);
    assert!(status["age_seconds"].as_u64().unwrap() < 120);
    let network: Vec<&str> = network[..3].iter().map(String::as_str).collect();
    let (code, out, _) = run(&[&["status"], &network[..]].concat());
    assert_eq!(code, 0);
    for says in ["digits, 200 + 50 images", "layers 784,1000,1000", "--epochs 1", "node attic "] {
        assert!(out.contains(says), "{says}:\n{out}");
    }
}

#[test]
fn an_observer_is_not_reported() {
    let folder = tempfile::tempdir().unwrap();
    let network = network(&folder);
    let mut attic = join(&network, "attic", LONG);
    attic.wait("chapter");
    status(&network);
    let mut kitchen = join(&network, "kitchen", LONG);
    kitchen.wait("ready");
    // The first one reported is the second that works.
    let joined = attic.wait("peer");
    assert_eq!((&joined["state"], &joined["name"]), (&"joined".into(), &"kitchen".into()));
    kitchen.signal("-KILL");
    let gone = attic.wait("peer");
    assert_eq!((&gone["state"], &gone["peer"]), (&"silent".into(), &joined["peer"]));
}

#[test]
fn a_takeover_is_reported_in_words_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let network = network(&folder);
    let mut attic = join(&network, "attic", LONG);
    let ready = attic.wait("ready");
    assert_eq!(ready["name"], "attic");
    let first = attic.wait("takeover");
    assert_eq!((&first["name"], &first["own"]), (&"attic".into(), &true.into()));
    assert_eq!((&first["places"], &first["from"]), (&serde_json::json!(["0", "1"]), &Value::Null));
    let owner = attic.wait_for("progress", |event| event["event"] == "progress");
    assert_eq!(owner["names"], serde_json::json!(["attic", "attic"]));
    assert_eq!(owner["peer"], ready["peer"]);
    let mut kitchen = join(&network, "kitchen", LONG);
    // The kitchen is given a shard, at a chapter's end.
    let given = kitchen.wait_for("a shard of its own", |event| {
        event["event"] == "takeover" && event["name"] == "kitchen"
    });
    assert_eq!((&given["own"], &given["from"]["name"]), (&true.into(), &"attic".into()));
    assert_eq!(given["from"]["reason"], Value::Null);
    attic.signal("-KILL");
    let lost = kitchen.wait_for("the rest", |event| {
        event["event"] == "takeover" && event["from"]["reason"] == "silent"
    });
    assert_eq!((&lost["name"], &lost["from"]["name"]), (&"kitchen".into(), &"attic".into()));
}

#[test]
fn two_nodes_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let network = network(&folder);
    let mut one = join(&network, "attic", LONG);
    let own = one.wait("ready")["peer"].as_str().unwrap().to_owned();
    let mut other = join(&network, "attic", LONG);
    let id = other.wait("ready")["peer"].as_str().unwrap().to_owned();
    let joined = one.wait("peer");
    assert_eq!(joined["name"], format!("attic ({id})"));
    one.wait_for("its own name", |event| {
        event["names"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|name| *name == format!("attic ({own})"))
    });
}
