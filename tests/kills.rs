//! Nothing is lost: real nodes are killed at any moment, and the model is still the same bytes.
//!
//! Rule: when and whom follows from a seed and from what the nodes say, never from a clock. `SEED`
//! in the environment replays another one; `FFP2P_MNIST` names a folder with the real MNIST.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;

use support::{
    herd::{Herd, Said},
    model_of,
};

/// Kills in one run.
const KILLS: u32 = 10;

/// Rows of the run.
const ROWS: usize = 4;

/// A run of four rows: one epoch of 1,200 steps.
fn spec(chapter_steps: u32) -> Vec<String> {
    let data = std::env::var("FFP2P_MNIST")
        .map_or_else(|_| "digits:60000+2000".to_owned(), |folder| format!("mnist:{folder}"));
    let flags = ["--layers=784,64,64,64,64", "--epochs=1", "--batch-size=50"];
    let own = [format!("--data={data}"), format!("--chapter-steps={chapter_steps}")];
    own.into_iter().chain(flags.map(str::to_owned)).collect()
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

/// The cells that the nodes told of: the only clock here.
#[derive(Default)]
struct Cells(BTreeSet<(u64, u64)>);

impl Cells {
    /// Takes in an event; how many cells are known.
    fn see(&mut self, said: &Said) -> usize {
        if said.event["event"] == "chapter" {
            let number = |name: &str| said.event[name].as_u64().unwrap();
            self.0.insert((number("row"), number("chapter")));
        }
        self.0.len()
    }
}

/// Waits until all living nodes are done and have ended well; their models.
fn finish(herd: &mut Herd) -> Vec<String> {
    let mut models = Vec::new();
    while !herd.living().is_empty() {
        let said = herd.hear();
        if !herd.is_current(&said) {
            continue;
        }
        if said.event["event"] == "done" {
            models.push(said.event["model"].as_str().unwrap().to_owned());
        } else if said.event["event"] == "ended" {
            assert_eq!(herd.end(said.slot), 0, "node {}: {}", said.slot, herd.report());
        }
    }
    models
}

/// Kills or starts somebody: mostly one, sometimes two at once, sometimes with an empty folder.
fn act(herd: &mut Herd, chance: &mut Chance) -> u32 {
    let (living, dead) = (herd.living(), herd.dead());
    if dead.is_empty() || (living.len() > 1 && chance.below(2) == 0) {
        let kills = if living.len() > 2 { 1 + chance.below(3) / 2 } else { 1 };
        for _ in 0..kills {
            let slot = chance.pick(&herd.living());
            herd.kill(slot);
        }
        return kills as u32;
    }
    let slot = chance.pick(&dead);
    if chance.below(4) == 0 {
        herd.empty(slot);
    }
    herd.revive(slot);
    0
}

#[test]
fn ten_kills_change_nothing() {
    let spec = spec(20);
    let mut chance = Chance::from_env();
    let mut herd = Herd::start(4, &spec);
    let (mut cells, mut kills, mut due) = (Cells::default(), 0, 4);
    while kills < KILLS {
        let said = herd.hear();
        let is_over = said.event["event"] == "ended" && herd.is_current(&said);
        assert!(!is_over, "the run was over after {kills} kills; {}", herd.report());
        if cells.see(&said) >= due {
            kills += act(&mut herd, &mut chance);
            due = cells.see(&said) + 1 + chance.below(2 * ROWS);
        }
    }
    herd.dead().into_iter().for_each(|slot| herd.revive(slot));
    let models = finish(&mut herd);
    assert_eq!(models, vec![alone(&spec); 4], "{}", herd.report());
}
