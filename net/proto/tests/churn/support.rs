//! Seeds, and faults to draw from: shared by all tests of churn.
//!
//! Rule: a failing seed says how to replay it, in every test.

use ffp2p_proto::Role;
use ffp2p_proto::sim::{Fault, Report, Rng, Scenario, When, World};

/// Lines of the trace of a failed run to show.
const LINES: usize = 100;

/// Characters of each of them to show.
const WIDTH: usize = 240;

/// Runs from which on they are a sample: fewer say nothing about a sum.
const SAMPLE: usize = 16;

/// The runs of a test, by seed.
pub(crate) struct Runs {
    name: &'static str,
    runs: Vec<(u64, Report)>,
}

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "the environment names the seeds")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Fails with the seeds for which a test does not hold, the first one's reason, and how to replay it.
fn fail(name: &str, first: &str, seeds: &[u64]) -> ! {
    panic!(
        "{first}\n{} failed: {seeds:?}\nreplay: SEED={} cargo test -p ffp2p-proto --test churn {name}",
        seeds.len(),
        seeds[0],
    )
}

/// Runs the seeds of a test, or the one that the environment names.
pub(crate) fn each(name: &'static str, seeds: u64, scenario: impl Fn(u64) -> Scenario) -> Runs {
    let only = number("SEED");
    let lines = only.map(|_| number("LINES").map_or(LINES, |lines| lines as usize));
    let seeds = only.map_or(0..number("SEEDS").unwrap_or(seeds), |seed| seed..seed + 1);
    let (mut runs, mut bad) = (Vec::new(), Vec::new());
    for seed in seeds {
        match World::new(scenario(seed), lines).run() {
            Ok(report) => runs.push((seed, report)),
            Err(failure) => bad.push(failure),
        }
    }
    if let Some(first) = bad.first() {
        let width = number("WIDTH").map_or(WIDTH, |width| width as usize);
        let lines = first.lines.iter().map(|line| line.chars().take(width).chain(['\n']));
        let lines: String = lines.flatten().collect();
        let seeds: Vec<u64> = bad.iter().map(|failure| failure.seed).collect();
        fail(name, &format!("{lines}{first}"), &seeds);
    }
    Runs { name, runs }
}

impl Runs {
    /// Checks every run; `rule` is what must hold, in words.
    pub(crate) fn check(&self, rule: &str, holds: impl Fn(u64, &Report) -> bool) {
        let bad: Vec<_> = self.runs.iter().filter(|(seed, report)| !holds(*seed, report)).collect();
        if let Some((seed, report)) = bad.first() {
            let seeds: Vec<u64> = bad.iter().map(|(seed, _)| *seed).collect();
            fail(self.name, &format!("seed {seed}: not so that {rule}: {report:?}"), &seeds);
        }
    }

    /// A measure of every run.
    pub(crate) fn measure<T>(&self, of: impl Fn(&Report) -> T) -> Vec<T> {
        self.runs.iter().map(|(_, report)| of(report)).collect()
    }

    /// A measure of all runs together.
    pub(crate) fn sum(&self, of: impl Fn(&Report) -> u64) -> u64 {
        self.runs.iter().map(|(_, report)| of(report)).sum()
    }

    /// Whether there are enough runs to say something of all of them together.
    pub(crate) fn is_sample(&self) -> bool {
        self.runs.len() >= SAMPLE
    }
}

/// Steps that a run trained again.
pub(crate) fn again(report: &Report) -> u64 {
    report.trained.saturating_sub(report.steps)
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
pub(crate) fn any_fault(scenario: Scenario, rng: &mut Rng) -> Scenario {
    let machines = scenario.machines.len() as u64;
    let machine = rng.below(machines) as usize;
    let begin = match rng.hit(700) {
        true => When::Done(rng.below(1_000)),
        false => When::After(rng.below(4_000)),
    };
    let later = When::After(rng.below(7_000));
    let start = Fault::Start { machine, disk: rng.hit(500) };
    match rng.below(8) {
        0..=2 => scenario.then(begin, Fault::Crash(machine)).then(later, start),
        3 => scenario.then(begin, Fault::Leave(machine)).then(later, start),
        4 => scenario.then(begin, Fault::Stall(machine, rng.between(50, 6_000))),
        5 => {
            let (one, other): (Vec<_>, _) = (0..machines as usize).partition(|_| rng.hit(500));
            scenario.then(begin, Fault::Cut(one, other)).then(later, Fault::Heal)
        }
        6 => {
            let other = rng.below(machines) as usize;
            let cut = Fault::Cut(vec![machine], vec![other]);
            scenario.then(begin, cut).then(later, Fault::Heal)
        }
        _ => {
            let speed = rng.between(20, 240);
            late(scenario, rng.below(1_000), speed)
        }
    }
}
