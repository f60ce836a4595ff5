//! Faults in virtual time, with the real mathematics in the cells: what the simulated nodes end
//! with is, byte for byte, what one process alone would have trained.
//!
//! Rule: as in the simulator's own tests, a seed gives everything; `SEED=n` replays one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod real;

use std::rc::Rc;

use ffp2p::{
    checkpoint,
    data::Data,
    ff::{Delta, Inline, Negatives},
    schedule::Schedule,
    sequential::Sequential,
    spec::{ActivationKind, Checked, Spec},
};
use ffp2p_proto::{
    Hash, Placement,
    sim::{Fault, Mathematics, Rng, Scenario, When, World},
};
use real::Real;

/// Seeds without one in the environment.
const SEEDS: u64 = 60;

/// Lines of the trace of a failed run to show.
const LINES: usize = 400;

/// A run of 36 steps of three layers.
fn tiny(negatives: Negatives, activations: ActivationKind) -> Checked {
    let settings = Spec::builder().layers([784, 8, 6, 6]).shards(2);
    let settings = settings.epochs(3).batch_size(20).chapter_steps(4).delta(Delta::F32);
    let data = Data::open("digits:240+20").unwrap();
    settings.negatives(negatives).activations(activations).check(data).unwrap()
}

/// The shards' last checkpoints when the network is trained in one piece.
fn alone(checked: &Checked) -> Vec<Hash> {
    let schedule = Schedule::new(checked, 1).unwrap();
    let mut run = Sequential::new(checked.spec.clone(), schedule);
    for chapter in 0..checked.spec.plan().chapters() {
        run.chapter(chapter, &Inline).unwrap();
    }
    let spec = &checked.spec.network;
    let shards = spec.shards().into_iter().zip(run.network().shards());
    shards.map(|(shard, state)| Hash::of(&checkpoint::encode(state, spec, shard))).collect()
}

/// A run with a late node, a liar, a cut, and crashes with and without a disk.
fn scenario(seed: u64, checked: &Checked, mathematics: &Rc<Real>) -> Scenario {
    let chance = &mut Rng::new(seed, "rehearsal");
    let mut scenario = Scenario::drawn(seed, 4);
    scenario.plan = checked.spec.plan();
    // A step of the plan takes microseconds; of a real one some milliseconds.
    scenario.plan.layers.iter_mut().for_each(|layer| layer.step_cost = chance.between(500, 3_000));
    // And its blobs are some hundred times as large as the stand-in's.
    scenario.weather.bytes_per_ms *= 500;
    scenario.mathematics = Rc::<Real>::clone(mathematics) as Rc<dyn Mathematics>;
    scenario.machines[3].lies = chance.hit(500);
    for _ in 0..3 {
        let machine = chance.below(4) as usize;
        let start = Fault::Start { machine, disk: chance.hit(600) };
        scenario = scenario
            .then(When::Done(chance.between(50, 900)), Fault::Crash(machine))
            .then(When::After(chance.below(6_000)), start);
    }
    let (one, other) = (vec![chance.below(2) as usize], vec![2, 3]);
    scenario
        .then(When::Done(chance.between(50, 900)), Fault::Cut(one, other))
        .then(When::After(chance.below(8_000)), Fault::Heal)
}

/// Runs that placements may not change, each with its reference and its mathematics.
fn variants() -> Vec<(Checked, Hash, Rc<Real>)> {
    use {ActivationKind::*, Negatives::*};
    let kinds = [(Random, Online), (Adaptive, Online), (Random, Refreshed), (Adaptive, Refreshed)];
    let variant = |(negatives, activations)| {
        let checked = tiny(negatives, activations);
        let model = ffp2p_proto::sim::model_hash(&alone(&checked));
        let mathematics = Rc::new(Real::new(&checked));
        (checked, model, mathematics)
    };
    kinds.into_iter().map(variant).collect()
}

#[test]
fn real_training_survives_every_fault() {
    let variants = variants();
    let placements = [Placement::SingleLayer, Placement::AllLayers, Placement::Sequential];
    let only = std::env::var("SEED").ok().and_then(|text| text.parse::<u64>().ok());
    for seed in only.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let lines = only.map(|_| LINES);
        let (checked, model, mathematics) = &variants[(seed % 4) as usize];
        let mut scenario = scenario(seed, checked, mathematics);
        scenario.plan.placement = placements[(seed / 4 % 3) as usize];
        let report = World::new(scenario, lines).run().unwrap_or_else(|failure| {
            let lines = failure.lines.join("\n");
            panic!("{lines}\n{failure}\nreplay: SEED={seed} cargo test --test rehearsal")
        });
        assert_eq!(report.model, *model, "SEED={seed}");
    }
}
