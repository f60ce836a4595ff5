//! The work and the time that churn costs.
//!
//! Rule: a machine that comes, goes or dies costs little beyond its own share, and the tests say how
//! much.

use ffp2p_proto::sim::{Fault, Report, Scenario, When};
use ffp2p_proto::{Config, LayerPlan, Placement, Plan};

use crate::support::{again, draws, each, late};

/// One machine that comes and goes all the time costs its own work and little else.
#[test]
fn a_flapping_node_moves_few_shards() {
    const FLAPS: u64 = 12;
    let flapping = |seed| {
        let rng = &mut draws(seed);
        let mut plan = Scenario::drawn(seed, 1).plan;
        plan.steps = 1_500;
        plan.epoch_steps = 1_500;
        let mut scenario = Scenario::quiet(seed, plan, 4);
        for _ in 0..FLAPS {
            let start = Fault::Start { machine: 3, disk: false };
            scenario = scenario
                .then(When::After(rng.between(2_000, 4_000)), Fault::Crash(3))
                .then(When::After(rng.between(100, 4_000)), start);
        }
        scenario
    };
    let runs = each("a_flapping_node_moves_few_shards", 8, flapping);
    let moves_few = |_, report: &Report| report.terms <= 6 * report.shards + 4 * FLAPS;
    runs.check("few shards move", moves_few);
    runs.check("little is trained twice", |_, report| again(report) * 4 <= report.steps);
}

/// Shards go to machines that come later, and hardly a chapter is trained twice for that.
#[test]
fn a_shard_that_moves_goes_on_where_it_was() {
    const CHAPTER: u64 = 100;
    let joined = |seed| {
        let rng = &mut draws(seed);
        let plan = Scenario::drawn(seed, 1).plan;
        let steps = 20 * CHAPTER;
        let plan = Plan { steps, epoch_steps: steps, chapter_steps: CHAPTER, ..plan };
        let plan = Plan { placement: Placement::SingleLayer, branches: 1, merged: false, ..plan };
        let scenario = Scenario::quiet(seed, plan, rng.between(1, 3) as usize);
        let share = rng.between(100, 400);
        let scenario = late(scenario, share, 100);
        late(scenario, share + rng.between(100, 400), 100)
    };
    let runs = each("a_shard_that_moves_goes_on_where_it_was", 16, joined);
    let (moves, again) = (runs.sum(|it| it.terms.saturating_sub(it.shards)), runs.sum(again));
    let is_little = again * 50 <= moves * CHAPTER;
    assert!(!runs.is_sample() || is_little, "{again} steps again for {moves} moves");
}

/// All die at once, and two of four come back. Any two have all checkpoints but the newest, and that
/// one too when the next chapter is half done: copies are spread over that time, so that they hold up
/// no step. Every shard goes back to the furthest checkpoint that is left of the one that has the
/// least, because batches died with their makers; so each shard loses its lead over that one, too: at
/// most a window a layer.
#[test]
fn any_two_of_four_go_on_from_the_last_chapters() {
    const CHAPTER: u64 = 200;
    let layer = LayerPlan { shards: 1, step_cost: 250 };
    let plan = Plan { layers: vec![layer; 4], ..Scenario::drawn(0, 1).plan };
    let plan =
        Plan { steps: 8 * CHAPTER, epoch_steps: 8 * CHAPTER, chapter_steps: CHAPTER, ..plan };
    let placement = Placement::SingleLayer;
    let plan = Plan { placement, feedback: false, refreshed: false, ..plan };
    let plan = Plan { branches: 1, merged: false, ..plan };
    let all_die = |seed| {
        let rng = &mut draws(seed);
        let mut scenario = Scenario::quiet(seed, plan.clone(), 4);
        (scenario.weather.latency, scenario.weather.jitter) = ((25_000, 50_000), 100_000);
        let (share, one) = (rng.between(300, 800), rng.below(4) as usize);
        let other = (one + 1 + rng.below(3) as usize) % 4;
        let crashes = (0..4).map(Fault::Crash);
        let starts = [one, other].map(|machine| Fault::Start { machine, disk: true });
        for fault in crashes.chain(starts) {
            let is_first = matches!(fault, Fault::Crash(0));
            let when = if is_first { When::Done(share) } else { When::After(0) };
            scenario = scenario.then(when, fault);
        }
        scenario
    };
    let runs = each("any_two_of_four_go_on_from_the_last_chapters", 20, all_die);
    let lead: u64 =
        (0..plan.layers.len() as u64).map(|layers| layers * Config::default().window).sum();
    let most = CHAPTER * 3 / 2 * plan.shard_count() as u64 + lead;
    runs.check("little is trained again", |_, report| again(report) <= most);
    let (count, again) = (runs.measure(|_| ()).len() as u64, runs.sum(again));
    let is_less = again <= count * CHAPTER * plan.shard_count() as u64;
    assert!(!runs.is_sample() || is_less, "{again} steps again in {count} runs");
}

/// A fifth machine gets all its shards at one chapter's end, and makes up for the stop that this is.
#[test]
fn a_newcomer_soon_makes_a_run_faster() {
    let layer = LayerPlan { shards: 8, step_cost: 3_000 };
    let plan =
        Plan { layers: vec![layer; 4], steps: 480, epoch_steps: 480, ..Scenario::drawn(0, 1).plan };
    let plan = Plan { chapter_steps: 40, placement: Placement::SingleLayer, ..plan };
    let plan = Plan { feedback: false, refreshed: false, branches: 1, merged: false, ..plan };
    let run = |seed| Scenario::quiet(seed, plan.clone(), 4);
    let done = |scenario: &dyn Fn(u64) -> Scenario| {
        each("a_newcomer_soon_makes_a_run_faster", 1, scenario).measure(|report| report.done_ms)
    };
    let (four, five) = (done(&run), done(&|seed| late(run(seed), 333, 100)));
    // The best there is: 1/3 + 2/3 * 7/8, with seven shards at most on each of five.
    let mut percent: Vec<u64> =
        four.iter().zip(&five).map(|(four, five)| five * 100 / four).collect();
    percent.sort_unstable();
    assert!(percent[percent.len() / 2] <= 95, "percent of the time of four, sorted: {percent:?}");
}
