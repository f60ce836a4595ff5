//! What the tests of churn share: running seeds, and faults to draw from.
//!
//! Rule: a failing seed says how to replay it, in whichever test.

use ffp2p_proto::Role;
use ffp2p_proto::sim::{Failure, Fault, Report, Rng, Scenario, When, World};

/// Lines of the trace of a failed run to show.
const LINES: usize = 100;

/// Characters of each of them to show.
const WIDTH: usize = 240;

/// Runs the seeds of a test, or the one that the environment names.
#[expect(clippy::disallowed_methods, reason = "the environment names the seeds")]
pub(crate) fn each(name: &str, seeds: u64, scenario: impl Fn(u64) -> Scenario) -> Vec<Report> {
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
             --test {} {name}",
            seeds.len(),
            first.seed,
            env!("CARGO_CRATE_NAME")
        );
    }
    good.into_iter().filter_map(Result::ok).collect()
}

/// Draws for a test's own part of a scenario.
pub(crate) fn draws(seed: u64) -> Rng {
    Rng::new(seed, "test")
}

/// A worker on a new machine that starts once this share of the work is done, per mille.
pub(crate) fn late(scenario: Scenario, share: u64, speed: u64) -> Scenario {
    let mut scenario = scenario;
    let machine = scenario.add(Role::Worker, speed);
    scenario.then(When::Done(share), Fault::Start { machine, disk: false })
}

/// Anything that can happen to a machine or to the network, and its end.
pub(crate) fn any_fault(scenario: Scenario, chance: &mut Rng) -> Scenario {
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
