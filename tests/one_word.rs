//! One word on every other machine: `ffp2p join` finds the run, its settings and its data.
//!
//! Rule: what is joined is found; nothing of it is typed here but on the first machine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{Node, lan::Lan, model_of, said};
use tempfile::TempDir;

/// Files in MNIST's form, of which the images need several pieces.
fn files(folder: &Path) -> String {
    let put = |name: &str, magic: &[u8], sizes: &[u32], content: &dyn Fn(usize) -> u8| {
        let count = sizes.iter().product::<u32>() as usize;
        let mut bytes = magic.to_vec();
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend((0..count).map(content));
        std::fs::write(folder.join(name), bytes).unwrap();
    };
    let pixel = |n: usize| if n / 784 % 10 == n % 784 / 78 { 200 } else { (n * n % 61) as u8 };
    for (half, count) in [("train", 3000), ("t10k", 200)] {
        put(&format!("{half}-images-idx3-ubyte"), &[0, 0, 8, 3], &[count, 28, 28], &pixel);
        put(&format!("{half}-labels-idx1-ubyte"), &[0, 0, 8, 1], &[count], &|n| (n % 10) as u8);
    }
    format!("--data=mnist:{}", folder.display())
}

/// The network of the first machine; the others do not know it.
const NETWORK: [&str; 5] =
    ["--layers=784,48,40", "--objective=softmax", "--branches=2", "--epochs=40", "--seed=5"];

/// Machines that share nothing.
struct Machines {
    lan: Option<Lan>,
    place: TempDir,
}

impl Machines {
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.place.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// `ffp2p` with these words on machine `number`.
    fn command(&self, number: usize, words: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_ffp2p");
        let mut command = match &self.lan {
            Some(lan) => lan.enter(number),
            None => Command::new("env"),
        };
        command.arg(program).args(words).stdin(Stdio::null());
        let home = self.folder(&format!("home-{number}"));
        command.env("XDG_STATE_HOME", &home).env("XDG_CACHE_HOME", home.join("cache"));
        let meet = match &self.lan {
            Some(_) => home.join("meet"),
            None => self.folder("meet"),
        };
        command.arg(format!("--rendezvous={}", meet.display()));
        if self.lan.is_none() {
            command.arg("--no-mdns");
        }
        command
    }

    fn join(&self, number: usize, words: &[&str]) -> Node {
        let own = ["join", "--json", "--threads=1"];
        Node::start(self.command(number, &[&own, words].concat()))
    }
}

/// The first machine knows everything, the other four nothing.
fn all_learn_it(machines: &Machines) {
    let data = files(&machines.folder("files"));
    let words = [&[&data[..], "--name=pets"], &NETWORK[..]].concat();
    let mut first = machines.join(0, &words);
    first.wait("ready");
    let mut others: Vec<Node> = (1..5).map(|number| machines.join(number, &[])).collect();
    let mut models = Vec::new();
    for node in &mut others {
        node.wait_for("note", |it| {
            it["message"].as_str().is_some_and(|text| text.starts_with("joining run pets ("))
        });
        let fetched = node.wait_for("end of the fetching", |it| {
            it["event"] == "fetching" && it["bytes"] == it["of"]
        });
        assert_eq!(fetched["of"], 3200 * 785);
    }
    for node in others.iter_mut().chain([&mut first]) {
        models.push(node.wait("done")["model"].as_str().unwrap().to_owned());
    }
    for node in others.into_iter().chain([first]) {
        node.signal("-INT");
        assert_eq!(node.end(), 0);
    }
    let alone = model_of(&[&["train", "--json", "--threads=1", &data[..]], &NETWORK[..]].concat());
    assert!(models.iter().all(|model| *model == alone), "{models:?} {alone}");
}

#[test]
fn four_machines_need_the_word_alone() {
    if let Some(lan) = Lan::new(5) {
        all_learn_it(&Machines { lan: Some(lan), place: tempfile::tempdir().unwrap() });
    }
}

#[test]
fn several_runs_are_listed_and_one_is_chosen_by_name() {
    let machines = Machines { lan: None, place: tempfile::tempdir().unwrap() };
    let long = ["--layers=784,16", "--epochs=90000", "--data=digits:200+50"];
    let named = |name: &'static str, seed: &'static str| [&[name, seed], &long[..]].concat();
    let mut cats = machines.join(0, &named("--name=cats", "--seed=1"));
    let mut dogs = machines.join(1, &named("--name=dogs", "--seed=2"));
    cats.wait("training");
    dogs.wait("training");
    let (code, _, err) = said(machines.command(2, &["join"]));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("choose one with --run") && err.contains("cats") && err.contains("dogs"));
    let (code, out, _) = said(machines.command(2, &["runs"]));
    assert_eq!(code, 0);
    let lines: Vec<&str> = out.lines().filter(|line| line.contains("digits")).collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("1 peer; open")), "{out}");
    let mut third = machines.join(2, &["--run=dogs"]);
    let ready = third.wait("ready");
    dogs.wait_for("third", |it| it["event"] == "peer" && it["peer"] == ready["peer"]);
    for (words, says) in [
        (&["join", "--run=mice"][..], "no run is mice; there are: "),
        (&["join", "--run=my mice"], "write the run's name"),
        (&["join", "--run=cats", "--epochs=3"], "its settings come from the run"),
        (&["join", "--run=cats", "--data=digits:200+60"], "trains on another data set"),
        (&["join", "--run=cats", "--new"], "cannot be used with"),
    ] {
        let (code, _, err) = said(machines.command(3, words));
        assert!([2, 3].contains(&code) && err.contains(says), "{words:?} {code} {err}");
    }
}

/// Where data are private nobody is given any, and who joins names data of its own.
#[test]
fn private_data_are_given_to_nobody() {
    let machines = Machines { lan: None, place: tempfile::tempdir().unwrap() };
    let data = files(&machines.folder("files"));
    let words = [&data[..], "--layers=784,16", "--epochs=90000", "--placement=federated"];
    let mut first = machines.join(0, &words);
    first.wait("training");
    let (code, _, err) = said(machines.command(1, &["join"]));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("on data of its own"), "{err}");
    let (_, out, _) = said(machines.command(1, &["runs", "--json"]));
    let run: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    let id = run["run"].as_str().unwrap();
    let mut second = machines.join(1, &[&data, &format!("--run={id}")]);
    second.wait("ready");
    first.wait_for("second", |it| it["event"] == "peer" && it["state"] == "joined");
}

/// What a killed machine has fetched is not fetched again, and a set that is here is never fetched.
#[test]
fn a_set_is_fetched_once() {
    let machines = Machines { lan: None, place: tempfile::tempdir().unwrap() };
    let data = files(&machines.folder("files"));
    let words = [&data[..], "--layers=784,16", "--epochs=90000"];
    let mut first = machines.join(0, &words);
    first.wait("training");
    let mut second = machines.join(1, &[]);
    second.wait("fetching");
    second.wait("training");
    second.signal("-KILL");
    drop(second);
    let cache = machines.folder("home-1/cache/ffp2p/data");
    let set = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let content = set.join("content");
    let mut bytes = std::fs::read(&content).unwrap();
    // As after a kill in the middle: the first piece is not there, the file has its whole length.
    bytes[..1 << 20].fill(0);
    std::fs::remove_file(&content).unwrap();
    std::fs::write(set.join("content.part"), &bytes).unwrap();
    let mut third = machines.join(1, &[]);
    let fetched = third.wait("fetching");
    assert_eq!(fetched["bytes"], fetched["of"]);
    third.wait("training");
    third.signal("-KILL");
    drop(third);
    let list = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ffp2p"));
        command.args(words).env("XDG_CACHE_HOME", machines.folder("home-1/cache"));
        said(command)
    };
    let (code, out, _) = list(&["data"]);
    assert!(code == 0 && out.starts_with("mnist-") && out.contains("2.5 MB, in "), "{out}");
    let mut fourth = machines.join(1, &[]);
    fourth.wait_for("training, without fetching", |it| {
        assert_ne!(it["event"], "fetching");
        it["event"] == "training"
    });
    let (code, out, _) = list(&["data", "rm", "mnist"]);
    assert!(code == 0 && out.starts_with("removed mnist-"), "{out}");
    let (code, _, err) = list(&["data", "rm", "mnist"]);
    assert!(code == 2 && err.contains("no cached set"), "{err}");
}
