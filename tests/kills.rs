//! Nothing is lost: real nodes are killed, stopped and robbed of their folders at any moment, and
//! the model is still the same bytes.
//!
//! Rule: the time and the victim of a kill follow from a seed and from the nodes' events, never from a
//! clock. `SEED`
//! in the environment replays another one; `FFP2P_MNIST` names a folder with the real MNIST.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{
    cluster::{Cluster, Said},
    ffp2p,
    lan::Lan,
    model_of, run,
};

/// Cells that the others must finish while one is cut off.
const CELLS_APART: usize = 8;

/// Kills in one run.
const KILLS: u32 = 10;

/// Shards of the run.
const SHARDS: usize = 4;

/// A run of four shards of `width` units, with epochs of 1,200 steps.
fn spec(width: u32, epochs: u32, chapter_steps: u32) -> Vec<String> {
    placed("single-layer", width, epochs, chapter_steps)
}

fn placed(placement: &str, width: u32, epochs: u32, chapter_steps: u32) -> Vec<String> {
    let data = std::env::var("FFP2P_MNIST")
        .map_or_else(|_| "digits:60000+2000".to_owned(), |folder| format!("mnist:{folder}"));
    let flags = [
        format!("--data={data}"),
        format!("--layers=784,{width},{width},{width},{width}"),
        "--batch-size=50".to_owned(),
        format!("--epochs={epochs}"),
        format!("--chapter-steps={chapter_steps}"),
        format!("--placement={placement}"),
    ];
    flags.into()
}

/// The model's hash when one process trains it.
fn alone(spec: &[String]) -> String {
    let args = ["train", "--json"].into_iter().chain(spec.iter().map(String::as_str));
    model_of(&args.collect::<Vec<_>>())
}

/// Numbers that follow from a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    /// The seed of this test run.
    fn from_env() -> Self {
        let seed = std::env::var("SEED").map_or(1, |text| text.parse().unwrap());
        eprintln!("SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn pick(&mut self, from: &[usize]) -> usize {
        from[self.below(from.len())]
    }
}

/// The cells that the nodes reported: the only clock here.
#[derive(Default)]
struct Cells(BTreeSet<(u64, u64)>);

impl Cells {
    /// Takes in an event; how many cells are known.
    fn see(&mut self, said: &Said) -> usize {
        if said.event["event"] == "chapter" {
            let number = |name: &str| said.event[name].as_u64().unwrap();
            self.0.insert((number("shard"), number("chapter")));
        }
        self.0.len()
    }
}

/// Waits until all living nodes are done and have ended well; what they said last.
fn finish(cluster: &mut Cluster) -> Vec<Value> {
    let mut done = Vec::new();
    while !cluster.living().is_empty() {
        let said = cluster.hear();
        if !cluster.is_current(&said) {
            continue;
        }
        if said.event["event"] == "done" {
            done.push(said.event);
        } else if said.event["event"] == "ended" {
            assert_eq!(cluster.end(said.slot), 0, "node {}: {}", said.slot, cluster.report());
        }
    }
    done
}

/// Waits until all living nodes are done; each has the model of a process alone.
fn finish_alike(cluster: &mut Cluster, spec: &[String]) -> Vec<Value> {
    let (living, done, alone) = (cluster.living().len(), finish(cluster), alone(spec));
    let alike = done.iter().filter(|done| done["model"] == alone.as_str()).count();
    assert_eq!((alike, done.len()), (living, living), "{}", cluster.report());
    done
}

/// Kills or starts nodes: mostly one, sometimes two at once, sometimes with an empty or a
/// damaged folder.
fn act(cluster: &mut Cluster, chance: &mut Chance) -> u32 {
    let (living, dead) = (cluster.living(), cluster.dead());
    if dead.is_empty() || (living.len() > 1 && chance.below(2) == 0) {
        let kills = if living.len() > 2 { 1 + chance.below(3) / 2 } else { 1 };
        for _ in 0..kills {
            let slot = chance.pick(&cluster.living());
            cluster.kill(slot);
        }
        return kills as u32;
    }
    let slot = chance.pick(&dead);
    match chance.below(6) {
        0 => cluster.empty(slot),
        1 => cluster.damage(slot),
        _ => {}
    }
    cluster.revive(slot);
    0
}

/// Kills and starts nodes until `kills` were killed.
fn kill_some(cluster: &mut Cluster, cells: &mut Cells, chance: &mut Chance, kills: u32) {
    let (mut killed, mut due) = (0, cells.0.len() + SHARDS);
    while killed < kills {
        let said = hear_on(cluster);
        if cells.see(&said) >= due {
            killed += act(cluster, chance);
            due = cells.see(&said) + 1 + chance.below(2 * SHARDS);
        }
    }
}

/// The next thing that is said in a run that must not be over yet.
fn hear_on(cluster: &mut Cluster) -> Said {
    let said = cluster.hear();
    let is_over = said.event["event"] == "ended" && cluster.is_current(&said);
    assert!(!is_over, "the run was over too early; {}", cluster.report());
    said
}

#[test]
fn ten_kills_change_nothing() {
    kill_ten_of(&spec(64, 1, 20));
}

#[test]
fn ten_kills_of_chapter_owners_change_nothing() {
    kill_ten_of(&placed("all-layers", 64, 1, 20));
}

#[test]
fn ten_kills_of_branch_owners_change_nothing() {
    let mut spec = placed("all-layers", 128, 1, 40);
    let flags = ["--objective=softmax", "--branches=4", "--delta=u8"];
    spec.extend(flags.map(str::to_owned));
    kill_ten_of(&spec);
}

/// Four nodes, ten kills, and the dead ones are started again in the end.
fn kill_ten_of(spec: &[String]) {
    let mut chance = Chance::from_env();
    let mut cluster = Cluster::start(4, spec);
    kill_some(&mut cluster, &mut Cells::default(), &mut chance, KILLS);
    cluster.dead().into_iter().for_each(|slot| cluster.revive(slot));
    finish_alike(&mut cluster, spec);
}

/// Waits until something is said that `is_it`.
fn wait_until(cluster: &mut Cluster, cells: &mut Cells, is_it: impl Fn(&Said) -> bool) {
    loop {
        let said = hear_on(cluster);
        cells.see(&said);
        if is_it(&said) {
            return;
        }
    }
}

/// Whether a node reports that a peer has come, or fell silent.
fn reports_peer(said: &Said, state: &str) -> bool {
    said.event["event"] == "peer" && said.event["state"] == state
}

/// Whether a node reports an owner other than `name` for each shard.
fn reports_other_owners(said: &Said, name: &str) -> bool {
    let owners = said.event["owners"].as_array();
    let is_other = |owner: &Value| *owner != "" && *owner != name;
    owners.is_some_and(|owners| owners.iter().all(is_other))
}

/// Pulls the cable of an owner, lets the others go on without it, and puts it back.
fn cut_one_off(cluster: &mut Cluster, cells: &mut Cells, chance: &mut Chance) {
    cluster.dead().into_iter().for_each(|slot| cluster.revive(slot));
    let owners = loop {
        let said = hear_on(cluster);
        cells.see(&said);
        let owners = cluster.owners(&said);
        if !owners.is_empty() {
            break owners;
        }
    };
    let (_, slot) = owners[chance.below(owners.len())];
    let name = cluster.name(slot).unwrap().to_owned();
    cluster.cut(slot);
    wait_until(cluster, cells, |said| said.slot != slot && reports_other_owners(said, &name));
    for _ in 0..CELLS_APART {
        wait_until(cluster, cells, |said| said.slot != slot && said.event["event"] == "chapter");
    }
    cluster.heal(slot);
    let healed = cluster.seconds();
    let (mut hears, mut is_heard) = (false, false);
    while !(hears && is_heard) {
        let said = hear_on(cluster);
        cells.see(&said);
        hears |= said.slot == slot && reports_peer(&said, "joined");
        is_heard |= said.event["peer"] == name.as_str() && reports_peer(&said, "joined");
    }
    eprintln!("together again {:.2} s after healing", cluster.seconds() - healed);
}

/// Four hosts in a LAN: kills, one pulled cable, kills.
#[test]
fn kills_and_a_cut_change_nothing() {
    let Some(lan) = Lan::new(4) else { return };
    // Long enough that a cut is noticed and healed in the middle of it.
    let spec = spec(200, 4, 20);
    let mut chance = Chance::from_env();
    let mut cluster = Cluster::start_in(Some(lan), 4, &spec);
    let mut cells = Cells::default();
    kill_some(&mut cluster, &mut cells, &mut chance, KILLS / 2);
    cut_one_off(&mut cluster, &mut cells, &mut chance);
    kill_some(&mut cluster, &mut cells, &mut chance, KILLS / 2);
    cluster.dead().into_iter().for_each(|slot| cluster.revive(slot));
    finish_alike(&mut cluster, &spec);
}

/// Exports from a dead node's folder; exit code and what was said.
fn export(cluster: &Cluster, slot: usize) -> (i32, String, String) {
    let (store, file) = (cluster.store(slot), cluster.file("offline.safetensors"));
    run(&["export", "--json", "--store", store.to_str().unwrap(), "--out", file.to_str().unwrap()])
}

#[test]
fn all_are_killed_and_two_go_on() {
    const CHAPTERS: u64 = 6;
    // A chapter takes much longer than copying its checkpoint and writing it to disk.
    let spec = spec(200, 2, 400);
    let mut chance = Chance::from_env();
    let mut cluster = Cluster::start(4, &spec);
    let mut cells = Cells::default();
    while cells.see(&cluster.hear()) < SHARDS * CHAPTERS as usize / 2 {}
    (0..4).for_each(|slot| cluster.kill(slot));
    let mut ended = 0;
    while ended < 4 {
        let said = cluster.hear();
        cells.see(&said);
        ended += u32::from(said.event["event"] == "ended");
    }
    let (code, _, err) = export(&cluster, 0);
    assert!(code == 3 && err.contains("shard"), "{code}: {err}");
    // Each checkpoint has two holders besides its maker, so any two have all but the newest.
    let one = chance.below(4);
    let other = (one + 1 + chance.below(3)) % 4;
    [one, other].into_iter().for_each(|slot| cluster.revive(slot));
    let done = finish_alike(&mut cluster, &spec);
    for shard in 0..SHARDS {
        let trained: u64 = done.iter().map(|done| done["trained"][shard].as_u64().unwrap()).sum();
        let before = cells.0.iter().filter(|(of, _)| *of == shard as u64).count() as u64;
        eprintln!("shard {shard}: {before} chapters before, {trained} after, of {CHAPTERS}");
        assert!(trained <= CHAPTERS - before + 1, "shard {shard}; {}", cluster.report());
    }
}

#[test]
fn a_dead_nodes_folder_has_the_model() {
    let spec = spec(64, 1, 60);
    let mut cluster = Cluster::start(2, &spec);
    let (slot, model) = loop {
        let said = cluster.hear();
        if said.event["event"] == "done" {
            break (said.slot, said.event["model"].clone());
        }
    };
    cluster.kill(slot);
    let (code, out, err) = export(&cluster, slot);
    assert_eq!(code, 0, "{err}");
    let saved: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!(saved["model"], model);
    finish_alike(&mut cluster, &spec);
}

#[test]
fn a_stopped_owner_comes_back_and_yields() {
    let spec = spec(64, 1, 20);
    let mut cluster = Cluster::start(4, &spec);
    loop {
        let (shard, slot) = stop_an_owner(&mut cluster);
        let name = cluster.name(slot).unwrap().to_owned();
        // One that had just given the shard away has told so already.
        let gave =
            wait_for_owner(&mut cluster, shard, |said| said.slot != slot, &name).contains(&slot);
        cluster.signal(slot, "-CONT");
        if !gave {
            // It hears from the others that the shard is theirs.
            wait_for_owner(&mut cluster, shard, |said| said.slot == slot, &name);
            break;
        }
    }
    finish_alike(&mut cluster, &spec);
}

/// Stops an owner of a shard, as soon as one reports so of itself: reports of others may be old.
fn stop_an_owner(cluster: &mut Cluster) -> (usize, usize) {
    let owned = loop {
        let said = hear_on(cluster);
        let mut owners = said.event["owners"].as_array().into_iter().flatten();
        let name = cluster.name(said.slot);
        if let Some(shard) = owners.position(|owner| name.is_some_and(|name| owner == name)) {
            break (shard, said.slot);
        }
    };
    cluster.signal(owned.1, "-STOP");
    owned
}

/// Waits until such a node reports another owner of `shard` than `name`; the nodes that did so before.
fn wait_for_owner(
    cluster: &mut Cluster,
    shard: usize,
    is_it: impl Fn(&Said) -> bool,
    name: &str,
) -> Vec<usize> {
    let mut told = Vec::new();
    loop {
        let said = cluster.hear();
        if said.event["event"] == "owner"
            && said.event["shard"] == shard
            && said.event["peer"] != name
        {
            if is_it(&said) {
                return told;
            }
            told.push(said.slot);
        }
    }
}

/// A limit on the size of files does what a full disk does, and needs no rights.
#[test]
fn a_folder_that_takes_no_more_stops_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("--store={}", folder.path().join("store").display());
    let own = ["join", "--json", "--no-mdns", "--threads=1", "--exit-when-done"];
    let node = ffp2p(&[&own[..], &[&store]].concat());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -f 8192; trap '' XFSZ; exec \"$@\"", "sh"]).arg(node.get_program());
    shell.args(node.get_args()).args(["--data=digits:400+50", "--layers=784,3000,16"]);
    shell.args(["--epochs=2", "--batch-size=20", "--chapter-steps=2"]);
    shell.arg("--rendezvous").arg(folder.path().join("meet"));
    let output = shell.stdin(std::process::Stdio::null()).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}\n{err}");
    assert!(err.contains("free space") && !err.contains("panicked"), "{err}");
    assert!(!out.contains("\"done\""), "{out}");
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let store = format!("--store={}", file.join("store").display());
    let (code, _, err) = run(&["join", "--no-mdns", "--data=digits:400+50", &store]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("permissions") && !err.contains("panicked"), "{err}");
}
