//! Runs with everything that happens to a run: late joins, leaves, losses, cuts, crashes.
//!
//! Rule: every run ends with the sequential run's model. A failing seed says how to replay it;
//! `SEED=n` runs one seed alone and shows its last events
//! (`LINES=n` of them, `WIDTH=n` characters of each); `SEEDS=n` runs another number of seeds.

mod support;

use ffp2p_proto::sim::{Fault, Scenario, When, World};
use ffp2p_proto::{LayerPlan, Placement, Plan, Role};
use support::{any_fault, draws, each, late};

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

/// A liar announces states of other steps, which only reading them tells from the right ones.
#[test]
fn a_forged_checkpoint_is_found_out() {
    each("a_forged_checkpoint_is_found_out", 100, |seed| {
        let chance = &mut draws(seed);
        let workers = chance.between(2, 5);
        let mut scenario = Scenario::drawn(seed, workers as usize);
        scenario.machines[chance.below(workers) as usize].lies = true;
        scenario.forgeries = chance.between(1, 4);
        scenario.then(When::Done(chance.between(200, 1_000)), Fault::Heal)
    });
}

/// Stores lose blobs that trainers, scorers and other peers are about to read.
#[test]
fn lost_blobs_are_fetched_or_made_again() {
    let reports = each("lost_blobs_are_fetched_or_made_again", 100, |seed| {
        let chance = &mut draws(seed);
        let workers = chance.between(1, 5) as usize;
        let mut scenario = Scenario::drawn(seed, workers);
        scenario.lost = chance.between(1, 6);
        scenario.then(When::Done(chance.between(300, 1_000)), Fault::Heal)
    });
    let again: u64 = reports.iter().map(|it| it.trained.saturating_sub(it.steps)).sum();
    assert!(again > 0, "nothing was lost");
}

/// One machine that comes and goes all the time costs its own work and little else.
#[test]
fn a_flapping_node_moves_few_shards() {
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
    for report in each("a_flapping_node_moves_few_shards", 8, flapping) {
        let most = 6 * report.shards + 4 * FLAPS;
        assert!(report.terms <= most, "shards move to and fro: {report:?}");
        let wasted = report.trained - report.steps;
        assert!(wasted * 4 <= report.steps, "work is done twice: {report:?}");
    }
}

/// Shards go to whoever comes later, and hardly a chapter is trained twice for that.
#[test]
fn a_shard_that_moves_goes_on_where_it_was() {
    const CHAPTER: u64 = 100;
    let joined = |seed| {
        let chance = &mut draws(seed);
        let plan = Scenario::drawn(seed, 1).plan;
        let steps = 20 * CHAPTER;
        let plan = Plan { steps, epoch_steps: steps, chapter_steps: CHAPTER, ..plan };
        let plan = Plan { placement: Placement::SingleLayer, ..plan };
        let scenario = Scenario::quiet(seed, plan, chance.between(1, 3) as usize);
        let share = chance.between(100, 400);
        let scenario = late(scenario, share, 100);
        late(scenario, share + chance.between(100, 400), 100)
    };
    let reports = each("a_shard_that_moves_goes_on_where_it_was", 16, joined);
    let moves: u64 = reports.iter().map(|it| it.terms.saturating_sub(it.shards)).sum();
    let again: u64 = reports.iter().map(|it| it.trained.saturating_sub(it.steps)).sum();
    assert!(again * 50 <= moves * CHAPTER, "{moves} moves, {again} steps again: {reports:?}");
}

/// All die at once, and two of four come back. Chapters take half a second, fetching takes a tenth of
/// one and more; yet any two have all checkpoints but the newest, and that one too when the next
/// chapter is half done.
#[test]
fn any_two_of_four_go_on_from_the_last_chapters() {
    const CHAPTER: u64 = 200;
    let layer = LayerPlan { shards: 1, step_cost: 250 };
    let plan = Plan { layers: vec![layer; 4], ..Scenario::drawn(0, 1).plan };
    let plan =
        Plan { steps: 8 * CHAPTER, epoch_steps: 8 * CHAPTER, chapter_steps: CHAPTER, ..plan };
    let placement = Placement::SingleLayer;
    let plan = Plan { placement, feedback: false, refreshed: false, ..plan };
    let all_die = |seed| {
        let chance = &mut draws(seed);
        let mut scenario = Scenario::quiet(seed, plan.clone(), 4);
        (scenario.weather.latency, scenario.weather.jitter) = ((25_000, 50_000), 100_000);
        let (share, one) = (chance.between(300, 800), chance.below(4) as usize);
        let other = (one + 1 + chance.below(3) as usize) % 4;
        let crashes = (0..4).map(Fault::Crash);
        let starts = [one, other].map(|machine| Fault::Start { machine, disk: true });
        for fault in crashes.chain(starts) {
            let is_first = matches!(fault, Fault::Crash(0));
            let when = if is_first { When::Done(share) } else { When::After(0) };
            scenario = scenario.then(when, fault);
        }
        scenario
    };
    let reports = each("any_two_of_four_go_on_from_the_last_chapters", 20, all_die);
    let again: Vec<u64> = reports.iter().map(|it| it.trained - it.steps).collect();
    let most = CHAPTER * 3 / 2 * plan.shard_count() as u64;
    assert!(again.iter().all(|it| *it <= most), "steps again, by seed: {again:?}");
}

/// A fifth machine gets all its shards at one chapter's end, and makes up for the stop that this is.
#[test]
fn a_newcomer_soon_makes_a_run_faster() {
    let layer = LayerPlan { shards: 8, step_cost: 3_000 };
    let plan =
        Plan { layers: vec![layer; 4], steps: 480, epoch_steps: 480, ..Scenario::drawn(0, 1).plan };
    let plan = Plan { chapter_steps: 40, placement: Placement::SingleLayer, ..plan };
    let plan = Plan { feedback: false, refreshed: false, ..plan };
    let run = |seed| Scenario::quiet(seed, plan.clone(), 4);
    let four = each("a_newcomer_soon_makes_a_run_faster", 1, run);
    let five = each("a_newcomer_soon_makes_a_run_faster", 1, |seed| late(run(seed), 333, 100));
    for (four, five) in four.iter().zip(&five) {
        // The best there is: 1/3 + 2/3 * 7/8, with seven shards at most on each of five.
        assert!(five.done_ms * 100 <= four.done_ms * 95, "{} of {} ms", five.done_ms, four.done_ms);
    }
}

/// Two machines that cannot reach each other, while all others reach both.
#[test]
fn a_broken_link_stops_nothing() {
    each("a_broken_link_stops_nothing", 100, broken_link);
}

fn broken_link(seed: u64) -> Scenario {
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
        let chance = &mut draws(seed);
        let workers = chance.between(1, 5) as usize;
        let mut scenario = Scenario::drawn(seed, workers);
        if chance.hit(300) {
            scenario.calm = scenario.weather.clone();
        }
        scenario.config.exit_when_done = chance.hit(200);
        if workers > 1 && chance.hit(300) {
            scenario.machines[chance.below(workers as u64) as usize].lies = true;
            scenario.forgeries = chance.below(3);
        }
        for _ in 0..chance.between(1, 8) {
            scenario = any_fault(scenario, chance);
        }
        scenario.lost = if chance.hit(700) { 0 } else { chance.below(5) };
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
