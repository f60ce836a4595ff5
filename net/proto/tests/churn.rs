//! Runs with everything that happens to a run: late joins, leaves, losses, cuts, crashes.
//!
//! Rule: every run ends with the sequential run's model. A failing seed says how to replay it;
//! `SEED=n` runs one seed alone and shows its last events
//! (`LINES=n` of them, `WIDTH=n` characters of each); `SEEDS=n` runs another number of seeds.

use ffp2p_proto::sim::{Chance, Failure, Fault, Report, Scenario, When, World};
use ffp2p_proto::{Placement, Role};

/// Lines of the trace of a failed run to show.
const LINES: usize = 100;

/// Characters of each of them to show.
const WIDTH: usize = 240;

/// Runs the seeds of a test, or the one that the environment names.
fn each(name: &str, seeds: u64, scenario: impl Fn(u64) -> Scenario) -> Vec<Report> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let only = number("SEED");
    let lines = only.map(|_| number("LINES").map_or(LINES, |lines| lines as usize));
    let run = |seed| World::new(scenario(seed), lines).run();
    let seeds = number("SEEDS").unwrap_or(seeds);
    let runs = only.map_or(0..seeds, |seed| seed..seed + 1).map(run);
    let (good, bad): (Vec<_>, Vec<_>) = runs.partition(Result::is_ok);
    let bad: Vec<Failure> = bad.into_iter().filter_map(Result::err).collect();
    if let Some(first) = bad.first() {
        let width = number("WIDTH").map_or(WIDTH, |width| width as usize);
        let lines = first.lines.iter().map(|line| line.chars().take(width).chain(['\n']));
        let lines: String = lines.flatten().collect();
        let seeds: Vec<u64> = bad.iter().map(|failure| failure.seed).collect();
        panic!(
            "{lines}{first}\n{} failed: {seeds:?}\nreplay: SEED={} cargo test -p ffp2p-proto \
             --test churn {name}",
            seeds.len(),
            first.seed
        );
    }
    good.into_iter().filter_map(Result::ok).collect()
}

/// Draws for a test's own part of a scenario.
fn draws(seed: u64) -> Chance {
    Chance::new(seed, "test")
}

/// A worker on a new machine that starts once this share of the work is done, per mille.
fn late(scenario: Scenario, share: u64, speed: u64) -> Scenario {
    let mut scenario = scenario;
    let machine = scenario.add(Role::Worker, speed);
    scenario.then(When::Done(share), Fault::Start { machine, disk: false })
}

#[test]
fn one_node_alone_finishes() {
    let alone = |seed| {
        let mut scenario = Scenario::drawn(seed, 1);
        if scenario.plan.placement == Placement::AllLayers {
            // Every chapter begins with reading, and is done again where that fails.
            scenario.unreadable = 0;
        }
        scenario
    };
    for report in each("one_node_alone", 50, alone) {
        assert_eq!((report.trained, report.scored), (report.steps, report.epochs));
    }
}

#[test]
fn four_start_together() {
    let quiet = |seed| {
        let mut plan = Scenario::drawn(seed, 1).plan;
        // Chapters of a step or two make checkpoints faster than anybody asks to score them.
        plan.chapter_steps = plan.chapter_steps.max(3).min(plan.epoch_steps);
        Scenario::quiet(seed, plan, 4)
    };
    let reports = each("four_start_together", 100, quiet);
    for report in &reports {
        assert!(report.scored >= report.epochs.min(8), "epochs go unscored: {report:?}");
    }
    let trained: u64 = reports.iter().map(|report| report.trained).sum();
    let steps: u64 = reports.iter().map(|report| report.steps).sum();
    assert!(trained <= steps * 21 / 20, "work is done twice: {trained} steps for {steps}");
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
        let chance = &mut draws(seed);
        let first = chance.between(1, 2) as usize;
        let scenario = Scenario::drawn(seed, first);
        let shares = (0..chance.between(1, 4)).map(|part| part * 200 + chance.below(200));
        let shares: Vec<u64> = shares.collect();
        shares.into_iter().fold(scenario, |scenario, share| {
            let speed = chance.between(60, 240);
            late(scenario, share, speed)
        })
    });
}

#[test]
fn one_joins_and_one_leaves() {
    each("one_joins_and_one_leaves", 200, |seed| {
        let chance = &mut draws(seed);
        let workers = chance.between(2, 5);
        let leaver = chance.below(workers) as usize;
        let scenario = Scenario::drawn(seed, workers as usize);
        let (join, leave) = (chance.between(50, 600), chance.between(50, 600));
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
        let chance = &mut draws(seed);
        let workers = chance.between(2, 6) as usize;
        let mut scenario = Scenario::drawn(seed, workers);
        for _ in 0..chance.between(1, 3) {
            let cut = chance.between(1, workers as u64 - 1) as usize;
            let (one, other): (Vec<_>, Vec<_>) = ((0..cut).collect(), (cut..workers).collect());
            let begin = When::Done(chance.between(50, 900));
            scenario = scenario.then(begin, Fault::Cut(one.clone(), other.clone()));
            if chance.hit(700) {
                scenario = scenario.then(When::After(0), Fault::Cut(other, one));
            }
            scenario = scenario.then(When::After(chance.between(200, 12_000)), Fault::Heal);
        }
        scenario
    });
}

#[test]
fn a_stalled_node_comes_back() {
    each("a_stalled_node_comes_back", 100, |seed| {
        let chance = &mut draws(seed);
        let workers = chance.between(2, 5);
        let mut scenario = Scenario::drawn(seed, workers as usize);
        for _ in 0..chance.between(1, 3) {
            let who = chance.below(workers) as usize;
            let stall = Fault::Stall(who, chance.between(100, 9_000));
            scenario = scenario.then(When::Done(chance.between(50, 900)), stall);
        }
        scenario.then(When::After(9_000), Fault::Heal)
    });
}

#[test]
fn crashes() {
    each("crashes", 100, |seed| {
        let chance = &mut draws(seed);
        let workers = chance.between(1, 6);
        let mut scenario = Scenario::drawn(seed, workers as usize);
        for _ in 0..chance.between(1, 3) {
            let machine = chance.below(workers) as usize;
            let (at, back) = (chance.between(20, 900), chance.between(0, 8_000));
            let start = Fault::Start { machine, disk: chance.hit(500) };
            scenario =
                scenario.then(When::Done(at), Fault::Crash(machine)).then(When::After(back), start);
        }
        scenario
    });
}

#[test]
fn observers_get_the_model() {
    each("observers_get_the_model", 100, |seed| {
        let chance = &mut draws(seed);
        let mut scenario = Scenario::drawn(seed, chance.between(1, 3) as usize);
        for share in [chance.below(900), 1_000] {
            let machine = scenario.add(Role::Observer, 100);
            let start = Fault::Start { machine, disk: false };
            scenario = scenario.then(When::Done(share), start);
        }
        scenario
    });
}

#[test]
fn heavy_loss_delays_but_does_not_stop() {
    each("heavy_loss", 30, |seed| {
        let mut scenario = Scenario::drawn(seed, 4);
        scenario.weather.loss = 300;
        scenario.calm = scenario.weather.clone();
        scenario
    });
}

#[test]
fn a_liar_changes_nothing() {
    each("a_liar_changes_nothing", 100, |seed| {
        let chance = &mut draws(seed);
        let workers = chance.between(2, 5);
        let mut scenario = Scenario::drawn(seed, workers as usize);
        scenario.machines[chance.below(workers) as usize].lies = true;
        scenario.then(When::Done(chance.between(200, 1_000)), Fault::Heal)
    });
}

/// One machine that comes and goes all the time costs its own work and little else.
#[test]
fn a_flapping_node_moves_few_rows() {
    const FLAPS: u64 = 12;
    let flapping = |seed| {
        let chance = &mut draws(seed);
        let mut plan = Scenario::drawn(seed, 1).plan;
        plan.steps = 1_500;
        plan.epoch_steps = 1_500;
        let mut scenario = Scenario::quiet(seed, plan, 4);
        for _ in 0..FLAPS {
            let start = Fault::Start { machine: 3, disk: false };
            scenario = scenario
                .then(When::After(chance.between(2_000, 4_000)), Fault::Crash(3))
                .then(When::After(chance.between(100, 4_000)), start);
        }
        scenario
    };
    for report in each("a_flapping_node_moves_few_rows", 8, flapping) {
        let most = 6 * report.rows + 4 * FLAPS;
        assert!(report.terms <= most, "rows move to and fro: {report:?}");
        let wasted = report.trained - report.steps;
        assert!(wasted * 4 <= report.steps, "work is done twice: {report:?}");
    }
}

/// Two machines that cannot reach each other, while all others reach both.
#[test]
fn a_broken_link_stops_nothing() {
    each("a_broken_link_stops_nothing", 100, |seed| {
        let chance = &mut draws(seed);
        let workers = chance.between(3, 6);
        let mut scenario = Scenario::drawn(seed, workers as usize);
        let one = chance.below(workers) as usize;
        let other = (one + 1 + chance.below(workers - 1) as usize) % workers as usize;
        let begin = When::Done(chance.between(0, 500));
        scenario = scenario.then(begin, Fault::Cut(vec![one], vec![other]));
        if chance.hit(700) {
            scenario = scenario.then(When::After(0), Fault::Cut(vec![other], vec![one]));
        }
        // Nothing heals before the work is done.
        scenario.then(When::Done(1_000), Fault::Heal)
    });
}

/// Anything that can happen to a machine or to the network, and its end.
fn any_fault(scenario: Scenario, chance: &mut Chance) -> Scenario {
    let machines = scenario.machines.len() as u64;
    let machine = chance.below(machines) as usize;
    let begin = match chance.hit(700) {
        true => When::Done(chance.below(1_000)),
        false => When::After(chance.below(4_000)),
    };
    let later = When::After(chance.below(7_000));
    let start = Fault::Start { machine, disk: chance.hit(500) };
    match chance.below(8) {
        0..=2 => scenario.then(begin, Fault::Crash(machine)).then(later, start),
        3 => scenario.then(begin, Fault::Leave(machine)).then(later, start),
        4 => scenario.then(begin, Fault::Stall(machine, chance.between(50, 6_000))),
        5 => {
            let (one, other): (Vec<_>, _) = (0..machines as usize).partition(|_| chance.hit(500));
            scenario.then(begin, Fault::Cut(one, other)).then(later, Fault::Heal)
        }
        6 => {
            let other = chance.below(machines) as usize;
            let cut = Fault::Cut(vec![machine], vec![other]);
            scenario.then(begin, cut).then(later, Fault::Heal)
        }
        _ => {
            let speed = chance.between(20, 240);
            late(scenario, chance.below(1_000), speed)
        }
    }
}

#[test]
fn anything_goes() {
    each("anything_goes", 200, |seed| {
        let chance = &mut draws(seed);
        let workers = chance.between(1, 5) as usize;
        let mut scenario = Scenario::drawn(seed, workers);
        if chance.hit(300) {
            scenario.calm = scenario.weather.clone();
        }
        scenario.config.exit_when_done = chance.hit(200);
        if workers > 1 && chance.hit(300) {
            scenario.machines[chance.below(workers as u64) as usize].lies = true;
        }
        for _ in 0..chance.between(1, 8) {
            scenario = any_fault(scenario, chance);
        }
        // Whoever is away comes back, so that somebody is there to finish.
        for machine in 0..scenario.machines.len() {
            let start = Fault::Start { machine, disk: chance.hit(500) };
            scenario = scenario.then(When::After(0), start);
        }
        scenario
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..10 {
        let chance = &mut draws(seed);
        let mut scenario = Scenario::drawn(seed, 3);
        for _ in 0..3 {
            scenario = any_fault(scenario, chance);
        }
        let run = || World::new(scenario.clone(), Some(0)).run().map_err(|failure| failure.rule);
        let (one, other) = (run(), run());
        assert_eq!(one, other);
        assert!(one.is_err() || one.is_ok_and(|report| report.trace.is_some()));
    }
}
