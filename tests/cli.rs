//! The binary as a script meets it: events, exit codes, and one clear line for wrong input.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::Value;
use support::{Node, run};

const TINY: &[&str] =
    &["--data=digits:200+50", "--layers=784,32,32", "--epochs=2", "--batch-size=20"];

fn events(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One line, no panic, code 2.
#[track_caller]
fn refused(args: &[&str], says: &[&str]) {
    let (code, out, err) = run(args);
    assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
    assert!(!err.contains("panicked"), "{err}");
    for word in says {
        assert!(err.contains(word), "{args:?} should say {word}: {err}");
    }
}

#[test]
fn train_export_eval_agree() {
    train_export_eval(&[], "goodness_accuracy");
    train_export_eval(&["--objective=softmax"], "last_layer_accuracy");
}

/// `other` is the accuracy besides the softmax classifier's.
fn train_export_eval(flags: &[&str], other: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.safetensors");
    let file = file.to_str().unwrap();
    let (code, out, _) = run(&[&["train", "--json", "--out", file], TINY, flags].concat());
    assert_eq!(code, 0);
    let events = events(&out);
    let named = |name: &str| events.iter().filter(|e| e["event"] == name).collect::<Vec<_>>();
    assert_eq!(named("ready").len(), 1);
    assert_eq!(named("eval").len(), 2);
    assert_eq!(named("chapter").len(), 2 * 2);
    let done = named("done")[0];
    let (code, out, _) = run(&["eval", file, "--data=digits:200+50", "--json"]);
    assert_eq!(code, 0);
    let eval: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!(eval["model"], done["model"]);
    assert_eq!(eval["softmax_accuracy"], named("eval")[1]["softmax_accuracy"]);
    assert!(eval[other].is_f64());
    assert_eq!(eval[other], named("eval")[1][other]);
}

#[test]
fn a_step_is_timed_by_layer_and_phase() {
    let bench = |flags: &[&str]| run(&[&["bench", "step", "--rounds=1"], TINY, flags].concat());
    for (flags, phases) in [(&["--threads=1"][..], 7), (&["--threads=3", "--wire=f32"], 7)] {
        let (code, out, err) = bench(&[flags, &["--json"]].concat());
        assert_eq!(code, 0, "{err}");
        let found: Value = serde_json::from_str(out.trim()).unwrap();
        let ratio = found["ratio"].as_f64().unwrap();
        let speeds = [&found["gflops"], &found["products_gflops"]].map(|x| x.as_f64().unwrap());
        assert!(ratio > 0.0 && (speeds[0] / speeds[1] / ratio - 1.0).abs() < 1e-6, "{out}");
        assert_eq!(found["phases"].as_array().unwrap().len(), 2 * phases);
        assert_eq!(found["activation_batches"].as_array().unwrap().len(), 2);
    }
    let (code, out, _) = bench(&["--objective=softmax"]);
    assert_eq!((code, out.lines().filter(|line| line.starts_with("layer ")).count()), (0, 2));
    refused(&["bench", "step", "--layers=7,8"], &["--layers", "784"]);
    refused(&["bench", "step", "--rounds=0"], &["--rounds"]);
}

#[test]
fn a_run_is_rehearsed_on_machines_that_nobody_has() {
    let spec = &["--layers=784,400,400", "--data=digits:2000+50", "--epochs=20"];
    let sim =
        |flags: &[&str]| run(&[&["sim", "--nodes=2,1", "--gflops=50"], &spec[..], flags].concat());
    let (code, out, err) = sim(&["--json", "--placement=all-layers"]);
    assert_eq!(code, 0, "{err}");
    let found = events(&out);
    let nodes = found.iter().map(|it| it["nodes"].as_u64()).collect::<Vec<_>>();
    assert_eq!(nodes, [Some(1), Some(2), None]);
    assert_eq!(found[2]["event"], "pays");
    let speeds = [&found[0], &found[1]].map(|it| it["speed_up"].as_f64().unwrap());
    assert!(speeds[0] > 0.8 && speeds[0] <= 1.0 && speeds[1] > speeds[0], "{out}");
    assert_eq!(sim(&["--json", "--placement=all-layers"]).1, out, "equal questions, equal answers");
    let (code, out, _) = sim(&["--link=10/5/1", "--churn=5"]);
    assert_eq!((code, out.lines().count()), (0, 6), "{out}");
    refused(&["sim", "--link=fast", "--gflops=1"], &["--link", "MBIT/MS"]);
    refused(&["sim", "--nodes=0", "--gflops=1"], &["--nodes", "1024"]);
    refused(&["sim", "--gflops=0"], &["--gflops"]);
    refused(&["sim", "--churn=-1", "--gflops=1"], &["--churn"]);
    refused(&["sim", "--gflops=1", "--layers=7,8"], &["--layers", "784"]);
}

#[test]
fn a_node_keeps_its_model_and_an_observer_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (store, meet) = (path("store"), path("meet"));
    let network = ["--no-mdns", "--rendezvous", &meet];
    let mut node = Node::join(&[&network[..], &["--store", &store], TINY].concat());
    let model = node.wait("done")["model"].clone();
    // From the network, while the node stays.
    let lan = path("lan.safetensors");
    let (code, out, err) = run(&[&["export", "--json", "--out", &lan], &network[..]].concat());
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(model.as_str().unwrap()));
    // A second node on the same store is told so.
    refused(&[&["join", "--store", &store][..], &network, TINY].concat(), &["in use", "--store"]);
    // From the folder, after it went.
    node.signal("-INT");
    assert_eq!(node.end(), 0);
    let disk = path("disk.safetensors");
    let (code, out, err) = run(&["export", "--json", "--out", &disk, "--store", &store]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(model.as_str().unwrap()));
}

#[test]
fn an_unfinished_run_is_not_exported() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (meet, out) = (path("meet"), path("m"));
    let network = ["--no-mdns", "--rendezvous", &meet];
    let long = ["--data=digits:2000+50", "--layers=784,256,256", "--epochs=1000"];
    let long = [&long[..], &["--placement=single-layer"]].concat();
    let store = format!("--store={}", folder.path().join("store").display());
    let keep = [&store[..], "--replicas=1", "--batch-space=1", "--copy-space=0"];
    let mut node = Node::join(&[&network[..], &long, &keep].concat());
    // Somebody who looks later knows of the checkpoints then.
    node.wait("chapter");
    let (code, status, err) = run(&[&["status", "--json"], &network[..]].concat());
    assert_eq!(code, 0, "{err}");
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["shards"].as_array().unwrap().len(), 2);
    let peer = &status["peers"][0];
    assert_eq!(status["shards"][0]["peer"], peer["peer"]);
    assert!(peer["checkpoint_bytes"].as_u64().unwrap() > 0, "{status}");
    assert!(peer["batch_bytes"].as_u64().unwrap() < 2 << 20, "{status}");
    assert_eq!((&peer["on_disk"], &peer["full"]), (&true.into(), &true.into()));
    let (code, _, err) = run(&[&["export", "--out", &out], &network[..]].concat());
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("shard 0 is at step") && err.contains("--wait"), "{err}");
    assert!(!std::path::Path::new(&out).exists());
}

#[test]
fn nothing_to_export_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (meet, out) = (path("meet"), path("m"));
    let (code, _, err) = run(&["export", "--out", &out, "--no-mdns", "--rendezvous", &meet]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("ffp2p join"), "{err}");
}

#[test]
fn a_lonely_node_says_what_it_tried() {
    let folder = tempfile::tempdir().unwrap();
    let meet = folder.path().join("meet");
    let long = ["--data=digits:2000+50", "--layers=784,256,256", "--epochs=1000"];
    let meet = meet.to_str().unwrap();
    let mut node = Node::join(&[&["--no-mdns", "--rendezvous", meet], &long[..]].concat());
    let note = node.wait("note");
    let message = note["message"].as_str().unwrap();
    assert!(message.contains(meet), "{message}");
}

#[test]
fn wrong_values_are_refused_with_the_way_out() {
    refused(&["train", "--wire=u7"], &["'u7'", "--wire", "f32", "u8", "u4"]);
    refused(&["train", "--layers=700,10"], &["--layers 700,10", "784"]);
    refused(&["train", "--layers=784,10", "--shards=3"], &["3 equal shards"]);
    refused(&["train", "--data=mnist:/no/such/folder"], &["/no/such/folder"]);
    refused(&["train", "--data=cats"], &["cats", "digits"]);
    refused(&["train", "--epochs=0"], &["--epochs 0"]);
    refused(&["train", "--threads=0"], &["--threads 0"]);
    refused(&["train", "--out=/no/such/folder/m"], &["--out"]);
    refused(&["train", "--out=/dev/null"], &["--out /dev/null"]);
    refused(&["train", "--lr", "-1"], &["--lr", "not below zero"]);
    refused(&["train", "--shift=28"], &["--shift 28", "less than 28"]);
    refused(&["train", "--dropout=0.95"], &["--dropout 0.95", "0.9"]);
    refused(&["train", "--label-embedding=beside"], &["'beside'", "--label-embedding", "append"]);
    refused(&["up", "-n", "0"], &["--nodes 0"]);
    refused(&["up", "--silence=0"], &["--silence 0", "1 to 3600"]);
    refused(&["up", "--negatives=none"], &["--negatives none", "random", "fixed"]);
    let softmax = |flag| ["train", "--objective=softmax", flag];
    refused(&softmax("--negatives=random"), &["--negatives random", "softmax objective"]);
    refused(&softmax("--classifier=goodness"), &["--classifier goodness", "softmax objective"]);
    refused(&["join", "--listen=nowhere"], &["--listen nowhere", "IP:PORT"]);
    refused(&["join", "--no-such-flag"], &["--no-such-flag"]);
    refused(&["export", "--out=x", "--store=/no/such/folder"], &["/no/such/folder"]);
}

#[test]
fn a_cut_data_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train-images-idx3-ubyte");
    std::fs::write(&file, [0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3]).unwrap();
    for name in ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        std::fs::write(folder.path().join(name), []).unwrap();
    }
    let data = format!("--data=mnist:{}", folder.path().display());
    refused(&["train", &data], &["train-images-idx3-ubyte", "16"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = format!("--listen={address}");
    let port = taken.local_addr().unwrap().port().to_string();
    refused(&[&["join", "--no-mdns", &listen], TINY].concat(), &[&port]);
    // One of several nodes that cannot start is no success of the others.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (meet, out) = (path("meet"), path("m"));
    let up = ["up", "-n", "2", "--no-mdns", "--rendezvous", &meet, "--out", &out, &listen];
    let (code, _, err) = run(&[&up[..], TINY].concat());
    assert_eq!(code, 2, "{err}");
    assert!(err.contains(&port), "{err}");
}

#[test]
fn a_diverging_run_is_told_by_train_and_by_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (meet, out) = (path("meet"), path("m"));
    let wild = [TINY, &["--lr=1e30"]].concat();
    let up = ["up", "-n", "2", "--no-mdns", "--rendezvous", &meet, "--out", &out];
    for command in [&["train"][..], &["train", "--objective=softmax"], &up] {
        let (code, _, err) = run(&[command, &wild[..]].concat());
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("lower --lr (1e30)") && !err.contains("ERROR"), "{err}");
    }
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m");
    for bytes in [&b""[..], b"hello", &[255; 64]] {
        std::fs::write(&file, bytes).unwrap();
        let (code, _, err) = run(&["eval", file.to_str().unwrap(), "--data=digits:200+50"]);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("not a model") && !err.contains("panicked"), "{err}");
    }
}
