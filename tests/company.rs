//! What nodes tell of each other: who is here, who trains another run, who only looks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::Value;
use support::Node;

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
    let args: Vec<&str> = network.chain([&name[..]]).chain(flags.iter().copied()).collect();
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
fn nodes_of_two_runs_tell_what_differs() {
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
    // Each run once, whoever else trains it.
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
