//! Runs in which each machine trains on data of its own, in rotation.
//!
//! Rule: there is no sequential run to compare with, so the record of who trained what takes its
//! place: all the data and the record together give the same bytes. Nothing but checkpoints is ever
//! given away; the simulator refuses anything else in every run.

use std::collections::BTreeMap;
use std::rc::Rc;

use ffp2p_proto::sim::{
    FakeTraining, Fault, Mathematics, Report, Scenario, Trained, When, World, model_hash,
};
use ffp2p_proto::{Hash, Placement, Plan, ShardId};

use crate::support::{any_fault, draws, each, late};

/// Chapters that may pass before the machines have found each other.
const START: u64 = 6;

/// More machines than any scenario here has.
const MACHINES: u64 = 16;

/// A drawn scenario of `workers` that are federated.
fn federated(seed: u64, workers: usize) -> Scenario {
    let mut scenario = Scenario::drawn(seed, workers);
    let plan = &mut scenario.plan;
    plan.placement = Placement::Federated;
    (plan.branches, plan.merged) = (1, false);
    if std::mem::take(&mut plan.feedback) {
        plan.layers.pop();
    }
    plan.refreshed = true;
    scenario.unreadable /= 20;
    scenario.private = (0..MACHINES).map(|data| Rc::new(FakeTraining { data }) as Rc<_>).collect();
    scenario
}

/// A run that is repeated from all the data and the record of who trained what.
struct Replay<'a> {
    plan: &'a Plan,
    owners: BTreeMap<(ShardId, u64), usize>,
    mathematics: Vec<FakeTraining>,
    states: Vec<Vec<u8>>,
}

impl Replay<'_> {
    /// The activation batches of the shards below `shard` for a step, on a machine's data.
    fn inputs(&self, shard: ShardId, step: u64, machine: usize) -> Vec<Vec<u8>> {
        let sources = self.plan.inputs(shard).into_iter();
        let batch = |source| {
            let inputs = self.inputs(source, step, machine);
            let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            let state = &self.states[usize::from(source.0)];
            self.mathematics[machine].refresh(source, step, state, &inputs, None)
        };
        sources.map(batch).collect()
    }

    fn chapter(&mut self, chapter: u64) {
        for shard in self.plan.shards() {
            let machine = self.owners[&(shard, chapter)];
            for step in self.plan.chapter_start(chapter)..self.plan.chapter_start(chapter + 1) {
                let inputs = self.inputs(shard, step, machine);
                let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
                let state = &mut self.states[usize::from(shard.0)];
                let (next, _) = self.mathematics[machine].train(shard, step, state, &inputs, None);
                *state = next;
            }
        }
    }
}

/// The model that a record of who trained what gives.
fn replayed(plan: &Plan, ledger: &[Trained]) -> Hash {
    let owners =
        ledger.iter().map(|&(shard, chapter, machine)| ((shard, chapter), machine)).collect();
    let mathematics: Vec<FakeTraining> = (0..MACHINES).map(|data| FakeTraining { data }).collect();
    let states = plan.shards().map(|shard| mathematics[0].initial(shard)).collect();
    let mut replay = Replay { plan, owners, mathematics, states };
    (0..plan.chapters()).for_each(|chapter| replay.chapter(chapter));
    let hashes: Vec<Hash> = replay.states.iter().map(|state| Hash::of(state)).collect();
    model_hash(&hashes)
}

/// Chapters of the lowest shard by machine, once all have found each other.
fn shares(report: &Report) -> BTreeMap<usize, u64> {
    let mut shares = BTreeMap::new();
    let cells = report
        .ledger
        .iter()
        .filter(|(shard, chapter, _)| *shard == ShardId(0) && *chapter >= START);
    for (_, _, machine) in cells {
        *shares.entry(*machine).or_default() += 1;
    }
    shares
}

#[test]
fn chapters_go_round() {
    let quiet = |seed| {
        let (plan, private) = (federated(seed, 1).plan, federated(seed, 1).private);
        Scenario { private, ..Scenario::quiet(seed, plan, 3) }
    };
    each("chapters_go_round", 50, quiet).check("shares are equal", |_, report| {
        let shares = shares(report);
        let (least, most) = (shares.values().min(), shares.values().max());
        let all = shares.len() as u64 == shares.values().sum::<u64>().min(3);
        all && most.zip(least).is_none_or(|(most, least)| most - least <= 1)
    });
}

#[test]
fn the_record_replays() {
    let scenario = |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(2, 4);
        let mut scenario = federated(seed, workers as usize);
        let calm = Scenario::quiet(seed, scenario.plan.clone(), 1);
        (scenario.weather, scenario.calm) = (calm.weather, calm.calm);
        for _ in 0..rng.between(1, 3) {
            let machine = rng.below(workers) as usize;
            let (at, back) = (rng.between(20, 900), rng.between(0, 8_000));
            let start = Fault::Start { machine, disk: false };
            scenario = match rng.below(3) {
                0 => late(scenario, at, rng.between(60, 240)),
                1 => scenario
                    .then(When::Done(at), Fault::Leave(machine))
                    .then(When::After(back), start),
                _ => scenario
                    .then(When::Done(at), Fault::Crash(machine))
                    .then(When::After(back), start),
            };
        }
        scenario
    };
    let runs = each("the_record_replays", 100, scenario);
    runs.check("the record gives the model", |seed, report| {
        report.rivals > 0 || report.model == replayed(&scenario(seed).plan, &report.ledger)
    });
    let replayed: Vec<bool> = runs.measure(|report| report.rivals == 0);
    let count = replayed.iter().filter(|it| **it).count();
    assert!(!runs.is_sample() || 2 * count > replayed.len(), "{count} of {}", replayed.len());
}

#[test]
fn all_agree_whatever_happens() {
    each("all_agree_whatever_happens", 200, |seed| {
        let rng = &mut draws(seed);
        let workers = rng.between(1, 5) as usize;
        let mut scenario = federated(seed, workers);
        for _ in 0..rng.between(1, 6) {
            scenario = any_fault(scenario, rng);
        }
        for machine in 0..scenario.machines.len() {
            let start = Fault::Start { machine, disk: rng.hit(500) };
            scenario = scenario.then(When::After(0), start);
        }
        scenario
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = || World::new(federated(7, 3), Some(0)).run().map_err(|failure| failure.rule);
    assert_eq!(run(), run());
}
