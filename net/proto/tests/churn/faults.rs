//! Faults of honest machines and of the network: late joins, leaves, losses, cuts, stalls, crashes.
//!
//! Rule: they delay a run and never change or stop it.

use ffp2p_proto::Role;
use ffp2p_proto::sim::{Fault, Scenario, When, World};

use crate::support::{any_fault, draws, each, late};

/// Steps of training that scoring an epoch takes as long as, in the simulator.
const SCORING_STEPS: u64 = 10;

/// Epochs whose checkpoints are kept until they are scored.
const KEPT_EPOCHS: u64 = 8;

#[test]
fn one_node_alone_finishes() {
    let alone = |seed| {
        let mut scenario = Scenario::drawn(seed, 1);
        if scenario.plan.is_by_chapter() {
            // Every chapter begins with reading, and is done again where that fails.
            scenario.unreadable = 0;
        }
        scenario
    };
    let runs = each("one_node_alone_finishes", 50, alone);
    runs.check("nothing is trained twice", |_, report| report.trained == report.steps);
    runs.check("all epochs are scored that are not made faster than that", |seed, report| {
        let is_slow = alone(seed).plan.epoch_steps >= SCORING_STEPS;
        let least = if is_slow { report.epochs } else { report.epochs.min(KEPT_EPOCHS) };
        report.scored >= least
    });
}

#[test]
fn four_start_together() {
    let quiet = |seed| {
        let mut plan = Scenario::drawn(seed, 1).plan;
        // Chapters of a step or two make checkpoints faster than any peer asks to score them.
        plan.chapter_steps = plan.chapter_steps.max(3).min(plan.epoch_steps);
        Scenario::quiet(seed, plan, 4)
    };
    let runs = each("four_start_together", 100, quiet);
    runs.check("epochs are scored", |_, report| report.scored >= report.epochs.min(KEPT_EPOCHS));
    let (trained, steps) = (runs.sum(|report| report.trained), runs.sum(|report| report.steps));
    let is_once = trained <= steps * 21 / 20;
    assert!(!runs.is_sample() || is_once, "{trained} steps are trained for {steps}");
}

#[test]
fn all_stop_when_done() {
    each("all_stop_when_done", 100, |seed| {
        let mut scenario = Scenario::drawn(seed, 1 + (seed % 4) as usize);
        scenario.config.exit_when_done = true;
        scenario
    });
}

#[test]
fn late_joins() {
    each("late_joins", 100, |seed| {
        let rng = &mut draws(seed);
        let first = rng.between(1, 2) as usize;
        let scenario = Scenario::drawn(seed, first);
        let shares = (0..rng.between(1, 4)).map(|part| part * 200 + rng.below(200));
        let shares: Vec<u64> = shares.collect();
        shares.into_iter().fold(scenario, |scenario, share| {
            let speed = rng.between(60, 240);
            late(scenario, share, speed)
        })
    });
}

#[test]
fn one_joins_and_one_leaves() {
    each("one_joins_and_one_leaves", 200, |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(2, 5);
        let leaver = rng.below(workers) as usize;
        let scenario = Scenario::drawn(seed, workers as usize);
        let (join, leave) = (rng.between(50, 600), rng.between(50, 600));
        if join < leave {
            late(scenario, join, 150).then(When::Done(leave), Fault::Leave(leaver))
        } else {
            late(scenario.then(When::Done(leave), Fault::Leave(leaver)), join, 150)
        }
    });
}

#[test]
fn a_cut_network_heals() {
    each("a_cut_network_heals", 100, |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(2, 6) as usize;
        let mut scenario = Scenario::drawn(seed, workers);
        for _ in 0..rng.between(1, 3) {
            let cut = rng.between(1, workers as u64 - 1) as usize;
            let (one, other): (Vec<_>, Vec<_>) = ((0..cut).collect(), (cut..workers).collect());
            let begin = When::Done(rng.between(50, 900));
            scenario = scenario.then(begin, Fault::Cut(one.clone(), other.clone()));
            if rng.hit(700) {
                scenario = scenario.then(When::After(0), Fault::Cut(other, one));
            }
            scenario = scenario.then(When::After(rng.between(200, 12_000)), Fault::Heal);
        }
        scenario
    });
}

#[test]
fn a_stalled_node_comes_back() {
    each("a_stalled_node_comes_back", 100, |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(2, 5);
        let mut scenario = Scenario::drawn(seed, workers as usize);
        for _ in 0..rng.between(1, 3) {
            let who = rng.below(workers) as usize;
            let stall = Fault::Stall(who, rng.between(100, 9_000));
            scenario = scenario.then(When::Done(rng.between(50, 900)), stall);
        }
        scenario.then(When::After(9_000), Fault::Heal)
    });
}

#[test]
fn crashes() {
    each("crashes", 100, |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(1, 6);
        let mut scenario = Scenario::drawn(seed, workers as usize);
        for _ in 0..rng.between(1, 3) {
            let machine = rng.below(workers) as usize;
            let (at, back) = (rng.between(20, 900), rng.between(0, 8_000));
            let start = Fault::Start { machine, disk: rng.hit(500) };
            scenario =
                scenario.then(When::Done(at), Fault::Crash(machine)).then(When::After(back), start);
        }
        scenario
    });
}

#[test]
fn observers_get_the_model() {
    each("observers_get_the_model", 100, |seed| {
        let rng = &mut draws(seed);
        let mut scenario = Scenario::drawn(seed, rng.between(1, 3) as usize);
        for share in [rng.below(900), 1_000] {
            let machine = scenario.add(Role::Observer, 100);
            let start = Fault::Start { machine, disk: false };
            scenario = scenario.then(When::Done(share), start);
        }
        scenario
    });
}

#[test]
fn heavy_loss_delays_but_does_not_stop() {
    each("heavy_loss_delays_but_does_not_stop", 30, |seed| {
        let mut scenario = Scenario::drawn(seed, 4);
        scenario.weather.loss = 300;
        scenario.calm = scenario.weather.clone();
        scenario
    });
}

/// Two machines that cannot reach each other, while all others reach both.
#[test]
fn a_broken_link_stops_nothing() {
    each("a_broken_link_stops_nothing", 100, broken_link);
}

fn broken_link(seed: u64) -> Scenario {
    let rng = &mut draws(seed);
    let workers = rng.between(3, 6);
    let mut scenario = Scenario::drawn(seed, workers as usize);
    let one = rng.below(workers) as usize;
    let other = (one + 1 + rng.below(workers - 1) as usize) % workers as usize;
    let begin = When::Done(rng.between(0, 500));
    scenario = scenario.then(begin, Fault::Cut(vec![one], vec![other]));
    if rng.hit(700) {
        scenario = scenario.then(When::After(0), Fault::Cut(vec![other], vec![one]));
    }
    // Nothing heals before the work is done.
    scenario.then(When::Done(1_000), Fault::Heal)
}

/// The same with shards taken sooner or later.
#[test]
fn a_broken_link_stops_nothing_however_long_peers_listen() {
    each("a_broken_link_stops_nothing_however_long_peers_listen", 100, |seed| {
        let mut scenario = broken_link(seed);
        scenario.config.listen_ms = draws(!seed).between(300, 3_000);
        scenario
    });
}

#[test]
fn anything_goes() {
    each("anything_goes", 200, |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(1, 5) as usize;
        let mut scenario = Scenario::drawn(seed, workers);
        if rng.hit(300) {
            scenario.calm = scenario.weather.clone();
        }
        scenario.config.exit_when_done = rng.hit(200);
        if workers > 1 && rng.hit(300) {
            scenario.machines[rng.below(workers as u64) as usize].lies = true;
            scenario.forgeries = rng.below(3);
        }
        for _ in 0..rng.between(1, 8) {
            scenario = any_fault(scenario, rng);
        }
        scenario.lost = if rng.hit(700) { 0 } else { rng.below(5) };
        // Machines that are away come back, so that a node is there to finish.
        for machine in 0..scenario.machines.len() {
            let start = Fault::Start { machine, disk: rng.hit(500) };
            scenario = scenario.then(When::After(0), start);
        }
        scenario
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..10 {
        let rng = &mut draws(seed);
        let mut scenario = Scenario::drawn(seed, 3);
        for _ in 0..3 {
            scenario = any_fault(scenario, rng);
        }
        let run = || World::new(scenario.clone(), Some(0)).run().map_err(|failure| failure.rule);
        let (one, other) = (run(), run());
        assert_eq!(one, other);
        assert!(one.is_err() || one.is_ok_and(|report| report.trace.is_some()));
    }
}
