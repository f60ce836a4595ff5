//! The start of a node: its disk, its key, and the first reports of its trainer.
//!
//! Rule: a disk may have rotted meanwhile; what lost its hash is not used, as in a real folder.

use crate::sim::events::Event;
use crate::sim::machine::node::{Disk, Node};
use crate::sim::mathematics::blob;
use crate::sim::network::byzantine::damage;
use crate::sim::stage::Stage;
use crate::{Checkpoint, Input};

/// The time in which a trainer benchmarks itself at its start, ms.
const BENCHMARK_MS: u64 = 300;

/// The time after which a checked run's trainer first reports its speed, ms.
const MEASURE_MS: (u64, u64) = (50, 600);

/// The time after which it reports its speed again, ms.
const MEASURE_AGAIN_MS: (u64, u64) = (3_000, 9_000);

/// Starts a node on `machine`, which keeps its disk or lost it; returns its number and the
/// checkpoints that it found. Does nothing where a node is running.
///
/// # Errors
/// If there is no such machine.
pub(crate) fn boot(
    stage: &mut Stage,
    machine: usize,
    disk: bool,
) -> Result<Option<(usize, Vec<Checkpoint>)>, String> {
    if stage.nodes.running(machine).is_some() {
        return Ok(None);
    }
    let what = stage.scenario.machines.get(machine).cloned();
    let what = what.ok_or_else(|| format!("there is no machine {machine}"))?;
    let old = stage.nodes.take_disk(machine);
    let mut kept = if disk { old } else { Disk::default() };
    spoil(stage, &mut kept);
    let restored = kept.values().map(|(checkpoint, _)| *checkpoint).collect();
    let number = stage.nodes.len();
    let node = Node::new(&stage.scenario, (number, machine), &what, kept, stage.now());
    if what.lies {
        stage.facts.liars.insert(node.id);
    }
    stage.nodes.add(node);
    plan_speed(stage, number, what.speed);
    Ok(Some((number, restored)))
}

/// Damages some of the bytes on a disk.
fn spoil(stage: &mut Stage, kept: &mut Disk) {
    for (_, bytes) in kept.values_mut() {
        if stage.rng.hit(stage.scenario.rot) {
            damage(bytes, &mut stage.rng);
        }
    }
    let mathematics = &*stage.scenario.mathematics;
    kept.retain(|_, (checkpoint, bytes)| blob(mathematics, bytes) == checkpoint.blob);
}

/// Plans the reports of a trainer's speed: by a benchmark where the run is predicted, for then the
/// trainer measures its steps; otherwise at some time, about right.
fn plan_speed(stage: &mut Stage, node: usize, speed: u64) {
    if stage.is_predicted() {
        stage.events.push(stage.now().after(BENCHMARK_MS), Event::Benchmarked { node });
        return;
    }
    for (low, high) in [MEASURE_MS, MEASURE_AGAIN_MS] {
        let at = stage.now().after(stage.rng.between(low, high));
        let speed = speed * stage.rng.between(900, 1_100) / 1_000;
        let input = Box::new(Input::Speed(speed.max(1)));
        stage.events.push(at, Event::Input { node, input });
    }
}
