//! Scenarios drawn from a seed: plan, machines, weather and at times settings.
//!
//! Rule: a seed alone names a whole scenario; one that was found to fail fails again.

use crate::sim::faults::When;
use crate::sim::network::weather::{STRAY_MS, Weather};
use crate::sim::rng::Rng;
use crate::sim::scenario::{Scenario, TIGHT};
use crate::{Config, Hash, LayerPlan, Placement, Plan};

/// Milliseconds that a drawn clock counts in a second, at least: much worse than real clocks.
const SLOWEST_CLOCK: u64 = 950;

/// The same, at most.
const FASTEST_CLOCK: u64 = 1_050;

impl Scenario {
    /// A run drawn from `seed`: plan, speeds, weather and at times settings; `workers` nodes start
    /// one by one.
    pub fn drawn(seed: u64, workers: usize) -> Self {
        let rng = &mut Rng::new(seed, "scenario");
        let plan = draw_plan(rng);
        let mut scenario = Self::quiet(seed, plan, workers);
        for machine in &mut scenario.machines {
            machine.speed = rng.between(60, 240);
            if rng.hit(100) {
                machine.speed /= 10;
            }
            machine.clock_rate = rng.between(SLOWEST_CLOCK, FASTEST_CLOCK);
        }
        scenario.weather = draw_weather(rng);
        scenario.unreadable = if rng.hit(800) { 0 } else { rng.below(100) };
        if scenario.plan.is_by_chapter() {
            // Every chapter loads every shard, and one that fails costs all chapters since.
            scenario.unreadable /= 20;
        }
        if rng.hit(300) {
            scenario.config.window = rng.between(1, 40);
            scenario.config.replicas = rng.below(3) as usize;
        }
        for machine in &mut scenario.machines {
            machine.config = rng.hit(200).then(|| draw_config(&scenario.config, rng));
        }
        scenario.rot = if rng.hit(700) { 0 } else { rng.below(400) };
        for (when, _) in &mut scenario.schedule {
            *when = When::After(if rng.hit(500) { 0 } else { rng.below(1_500) });
        }
        scenario
    }
}

/// Settings of one machine that differ from the others': its window, and what it keeps.
fn draw_config(default: &Config, rng: &mut Rng) -> Config {
    Config {
        window: rng.between(1, default.window),
        replicas: rng.below(4) as usize,
        batch_bytes: if rng.hit(500) { default.batch_bytes } else { rng.below(TIGHT) },
        copy_bytes: if rng.hit(500) { default.copy_bytes } else { rng.below(400) },
        silent_ms: rng.between(2_000, 5_000),
        on_disk: rng.hit(500),
        ..default.clone()
    }
}

/// A plan of 1 to 4 layers, 1 to 3 shards each, whose steps take some 5 to 30 ms; some with a feedback
/// shard on top, some refreshed, some with chapters of one step.
fn draw_plan(rng: &mut Rng) -> Plan {
    let layers = rng.between(1, 4);
    let mut layer =
        || LayerPlan { shards: rng.between(1, 3) as u16, step_cost: rng.between(500, 3_000) };
    let mut layers: Vec<LayerPlan> = (0..layers).map(|_| layer()).collect();
    let chapter_steps = rng.between(3, 10);
    let steps = rng.between(30, 120);
    let placement = match rng.below(10) {
        0..=5 => Placement::SingleLayer,
        6..=7 => Placement::AllLayers,
        8 => Placement::Federated,
        _ => Placement::Sequential,
    };
    let epoch_steps = rng.between(chapter_steps, steps);
    let (feedback, refreshed) = (rng.hit(400), rng.hit(400));
    let is_private = placement == Placement::Federated;
    let (feedback, refreshed) = (feedback && !is_private, refreshed || is_private);
    let is_cut = placement == Placement::AllLayers;
    let chapter_steps = if rng.hit(120) { rng.between(1, 2) } else { chapter_steps };
    if feedback {
        layers.push(LayerPlan { shards: 1, step_cost: rng.between(100, 1_500) });
    }
    let run = Hash::of(&rng.any().to_le_bytes());
    let branches = if is_cut && !feedback { rng.between(1, 5) as u16 } else { 1 };
    let merged = branches > 1 || is_cut && rng.hit(300);
    Plan {
        run,
        layers,
        steps,
        epoch_steps,
        chapter_steps,
        branches,
        merged,
        placement,
        feedback,
        refreshed,
    }
}

/// Weather between a good LAN and a bad one: up to a fifth lost, up to a tenth repeated, some of
/// it seconds late.
fn draw_weather(rng: &mut Rng) -> Weather {
    let slow = rng.between(1, 40);
    Weather {
        loss: if rng.hit(300) { 0 } else { rng.below(200) },
        repeats: rng.below(100),
        latency: (1_000, slow * 1_000),
        jitter: rng.below(60) * 1_000,
        stray_ms: STRAY_MS,
        stray: if rng.hit(500) { 0 } else { rng.below(30) },
        bytes_per_ms: if rng.hit(700) { 0 } else { rng.between(5, 40) },
    }
}
