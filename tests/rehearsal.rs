//! Faults in virtual time, with the real mathematics in the cells: what the simulated nodes end
//! with is, byte for byte, what one process alone would have trained.
//!
//! Rule: as in the simulator's own tests, a seed gives everything; `SEED=n` replays one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use ffp2p::{
    checkpoint,
    config::{Checked, SpecArgs},
    course::Course,
    ff::{Activations, FirstInput, Inline, Network, Row, RowState, concat, decode, encode},
};
use ffp2p_proto::{
    Hash, RowId,
    sim::{Chance, Fault, Mathematics, Scenario, When, World},
};

/// Seeds without one in the environment.
const SEEDS: u64 = 40;

/// Lines of the trace of a failed run to show.
const LINES: usize = 400;

/// A run of 36 steps of three layers.
fn tiny() -> Checked {
    let args = SpecArgs {
        data: Some("digits:240+20".to_owned()),
        layers: Some(vec![784, 8, 6, 6]),
        epochs: Some(3),
        batch_size: Some(20),
        chapter_steps: Some(4),
        shards: Some(2),
        ..SpecArgs::default()
    };
    args.check().unwrap()
}

/// The real training, a step at a time, from canonical bytes to canonical bytes.
#[derive(Debug)]
struct Real {
    course: RefCell<Course>,
    places: Vec<Row>,
    /// What the first layer reads in each step, once drawn.
    inputs: RefCell<BTreeMap<u64, FirstInput>>,
}

impl Real {
    fn new(checked: &Checked) -> Self {
        let course = Course::new(checked, 1).unwrap();
        let places = course.network().rows();
        Self { course: RefCell::new(course), places, inputs: RefCell::default() }
    }

    fn input(&self, step: u64) -> FirstInput {
        let draw = || self.course.borrow_mut().first_input(step, None);
        self.inputs.borrow_mut().entry(step).or_insert_with(draw).clone()
    }

    fn state(&self, row: RowId, bytes: &[u8]) -> RowState {
        let place = self.places[usize::from(row.0)];
        checkpoint::decode(bytes, self.course.borrow().network(), place).unwrap()
    }
}

impl Mathematics for Real {
    fn initial(&self, row: RowId) -> Vec<u8> {
        let (course, place) = (self.course.borrow(), self.places[usize::from(row.0)]);
        checkpoint::encode(&RowState::init(course.network(), place), course.network(), place)
    }

    fn train(
        &self,
        row: RowId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        _feedback: Option<&[u8]>,
    ) -> (Vec<u8>, Vec<u8>) {
        let (mut state, input) = (self.state(row, state), self.input(step));
        let (course, place) = (self.course.borrow(), self.places[usize::from(row.0)]);
        let spec = course.network();
        let (handed_on, _) = if place.layer == 0 {
            state.train_first(spec, place, &input, &Inline)
        } else {
            let below = Row { layer: place.layer - 1, shard: 0 };
            let read = |bytes: &&[u8]| decode(bytes, spec, below);
            let shards: Vec<Activations> = inputs.iter().map(|it| read(it).unwrap()).collect();
            state.train(spec, place, &concat(&shards), &input.labels, &Inline)
        };
        (checkpoint::encode(&state, spec, place), encode(&handed_on, spec, place))
    }

    fn refresh(
        &self,
        _row: RowId,
        _step: u64,
        _state: &[u8],
        _inputs: &[&[u8]],
        _feedback: Option<&[u8]>,
    ) -> Vec<u8> {
        unimplemented!("no plan of a real spec is refreshed yet")
    }

    fn is_state(&self, row: RowId, step: u64, state: &[u8]) -> bool {
        let place = self.places[usize::from(row.0)];
        let state = checkpoint::decode(state, self.course.borrow().network(), place);
        state.is_ok_and(|state| state.step == step)
    }
}

/// The rows' last checkpoints when the network is trained in one piece.
fn alone(checked: &Checked) -> Vec<Hash> {
    let mut course = Course::new(checked, 1).unwrap();
    let spec = &checked.spec.network;
    let mut network = Network::init(spec.clone());
    for step in 0..spec.steps {
        network.train_step(&course.first_input(step, None), &Inline);
    }
    let rows = spec.rows().into_iter().zip(network.rows());
    rows.map(|(row, state)| Hash::of(&checkpoint::encode(state, spec, row))).collect()
}

/// A run with a late node, a liar, a cut, and crashes with and without a disk.
fn scenario(seed: u64, checked: &Checked, mathematics: &Rc<Real>) -> Scenario {
    let chance = &mut Chance::new(seed, "rehearsal");
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

#[test]
fn real_training_survives_every_fault() {
    let checked = tiny();
    let (right, mathematics) = (alone(&checked), Rc::new(Real::new(&checked)));
    let model = ffp2p_proto::sim::model_hash(&right);
    let only = std::env::var("SEED").ok().and_then(|text| text.parse::<u64>().ok());
    for seed in only.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let lines = only.map(|_| LINES);
        let world = World::new(scenario(seed, &checked, &mathematics), lines);
        let report = world.run().unwrap_or_else(|failure| {
            let lines = failure.lines.join("\n");
            panic!("{lines}\n{failure}\nreplay: SEED={seed} cargo test --test rehearsal")
        });
        assert_eq!(report.model, model, "SEED={seed}");
    }
}
