//! Real training in virtual time, each machine on data of its own: everything that any of them
//! sends is recorded and searched, and the record of who trained what is replayed.
//!
//! Rule: whatever can be searched for is searched for in the bytes; messages, which have no room for
//! it, are held to the kinds that a federated run has a use for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod real;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use ffp2p::{
    checkpoint,
    data::{Data, Images},
    ff::Inline,
    schedule::Schedule,
    sequential::Sequential,
    spec::{Checked, Placement, Spec},
};
use ffp2p_proto::{
    Hash, Message, ShardId,
    sim::{Fault, Mathematics, Report, Scenario, Sent, When, World, model_hash},
};
use real::Real;

/// Machines of a run.
const MACHINES: usize = 3;

/// Consecutive bytes that are no coincidence when they are found again.
const WINDOW: usize = 12;

/// If they are not all alike.
const DISTINCT: usize = 6;

/// A run of 36 steps of three layers, on a machine's own digits.
fn own(machine: usize) -> Checked {
    let settings = Spec::builder().layers([784, 8, 6, 6]).shards(2).placement(Placement::Federated);
    let settings = settings.epochs(3).batch_size(20).epoch_steps(12).chapter_steps(2);
    let data = Data::open(&format!("digits:{}+20:{machine}", 200 + 40 * machine)).unwrap();
    settings.check(data).unwrap()
}

/// The real training, and what it has made that must stay.
#[derive(Debug)]
struct Noted {
    real: Real,
    made: RefCell<Vec<Vec<u8>>>,
}

impl Noted {
    fn note(&self, batch: &[u8]) {
        self.made.borrow_mut().push(batch.to_vec());
    }
}

impl Mathematics for Noted {
    fn initial(&self, shard: ShardId) -> Vec<u8> {
        self.real.initial(shard)
    }

    fn train(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> (Vec<u8>, Vec<u8>) {
        let (state, batch) = self.real.train(shard, step, state, inputs, feedback);
        self.note(&batch);
        (state, batch)
    }

    fn refresh(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> Vec<u8> {
        let batch = self.real.refresh(shard, step, state, inputs, feedback);
        self.note(&batch);
        batch
    }

    fn begin(&self, shard: ShardId, step: u64, start: &[u8]) -> Vec<u8> {
        self.real.begin(shard, step, start)
    }

    fn change(&self, shard: ShardId, start: &[u8], end: &[u8]) -> Vec<u8> {
        self.real.change(shard, start, end)
    }

    fn merge(
        &self,
        shard: ShardId,
        step: u64,
        start: &[u8],
        changes: &[&[u8]],
    ) -> Result<(Vec<u8>, Vec<u8>), usize> {
        self.real.merge(shard, step, start, changes)
    }

    fn is_state(&self, shard: ShardId, step: u64, state: &[u8]) -> bool {
        self.real.is_state(shard, step, state)
    }
}

/// Bytes that must not be found in anything that was sent.
#[derive(Default)]
struct Secrets(BTreeSet<[u8; WINDOW]>);

impl Secrets {
    fn add(&mut self, bytes: &[u8]) {
        let windows = bytes.windows(WINDOW).filter_map(|window| window.try_into().ok());
        let tells = |window: &[u8; WINDOW]| {
            window.iter().copied().collect::<BTreeSet<u8>>().len() >= DISTINCT
        };
        self.0.extend(windows.filter(tells));
    }

    /// Images as they lie on disk, and as a batch has them.
    fn add_images(&mut self, images: &Images) {
        for image in (0..images.count()).map(|i| images.row(i)) {
            self.add(image);
            let scaled = image.iter().map(|pixel| f32::from(*pixel) / 255.0);
            self.add(&scaled.flat_map(f32::to_le_bytes).collect::<Vec<u8>>());
        }
    }

    /// Everything that a machine has of its own.
    fn add_machine(&mut self, checked: &Checked, noted: &Noted) {
        let mut schedule = Schedule::new(checked, 1).unwrap();
        (0..checked.spec.network.steps).for_each(|step| self.add(&schedule.labels(step)));
        self.add(checked.data.train_labels());
        self.add_images(checked.data.train(1));
        noted.made.borrow().iter().for_each(|batch| self.add(batch));
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        let mut windows = bytes.windows(WINDOW).filter_map(|window| window.try_into().ok());
        windows.any(|window: [u8; WINDOW]| self.0.contains(&window))
    }
}

/// A run of machines that start together, one of which ends halfway; with everything they sent.
fn run(seed: u64, checked: &[Checked], noted: &[Rc<Noted>]) -> (Report, Vec<Sent>) {
    let mut plan = checked[0].spec.plan();
    plan.layers.iter_mut().for_each(|layer| layer.step_cost = 2_000);
    let tap = Rc::new(RefCell::new(Vec::new()));
    let mut scenario = Scenario::quiet(seed, plan, MACHINES);
    scenario.private = noted.iter().map(|it| Rc::<Noted>::clone(it) as Rc<_>).collect();
    scenario.tap = Some(Rc::clone(&tap));
    if seed % 2 == 1 {
        let machine = seed as usize % MACHINES;
        scenario = scenario.then(When::Done(400), Fault::Crash(machine));
    }
    let report = World::new(scenario, None).run().unwrap_or_else(|failure| panic!("{failure}"));
    let sent = tap.take();
    (report, sent)
}

/// The machine that trained each chapter, if each is one machine's.
fn owners(report: &Report) -> Option<Vec<usize>> {
    let mut owners: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for (_, chapter, machine) in &report.ledger {
        owners.entry(*chapter).or_default().insert(*machine);
    }
    let one = |all: BTreeSet<usize>| all.first().copied().filter(|_| all.len() == 1);
    owners.into_values().map(one).collect::<Option<Vec<_>>>().filter(|_| report.rivals == 0)
}

/// The model that the record gives with all data at hand.
fn replayed(checked: &[Checked], owners: &[usize]) -> Hash {
    let schedule = |machine: usize| Schedule::new(&checked[machine], 1).unwrap();
    let mut run = Sequential::new(checked[0].spec.clone(), schedule(0));
    for (chapter, &machine) in owners.iter().enumerate() {
        run.take_up(schedule(machine));
        run.chapter(chapter as u64, &Inline).unwrap();
    }
    let spec = &checked[0].spec.network;
    let shards = spec.shards().into_iter().zip(run.network().shards());
    let shards = shards.map(|(shard, state)| Hash::of(&checkpoint::encode(state, spec, shard)));
    model_hash(&shards.collect::<Vec<_>>())
}

/// Whether a message is of a kind that says nothing about a sample.
fn is_harmless(message: &Message) -> bool {
    match message {
        Message::Heartbeat(beat) => beat.batches.is_empty(),
        Message::Checkpoints(_)
        | Message::Changes(_)
        | Message::Merged { .. }
        | Message::Score(_)
        | Message::Provenance(_)
        | Message::Leases(_)
        | Message::Goodbye => true,
        Message::Request { .. } | Message::Announce(_) => false,
    }
}

#[test]
fn nothing_of_a_sample_leaves_its_machine_and_the_record_replays() {
    let checked: Vec<Checked> = (0..MACHINES).map(own).collect();
    let note = |checked: &Checked| {
        let (real, made) = (Real::new(checked), RefCell::default());
        Rc::new(Noted { real, made })
    };
    let noted: Vec<Rc<Noted>> = checked.iter().map(note).collect();
    let (mut replays, mut blobs) = (0, Vec::new());
    for seed in 0..8 {
        let (report, sent) = run(seed, &checked, &noted);
        if let Some(owners) = owners(&report) {
            assert_eq!(report.model, replayed(&checked, &owners), "seed {seed}");
            replays += 1;
        }
        for it in sent {
            match it {
                Sent::Message(message) => assert!(is_harmless(&message), "{message:?}"),
                Sent::Blob(bytes) => blobs.push(bytes),
            }
        }
    }
    assert!(replays > 1 && blobs.len() > 100, "{replays} replays, {} blobs", blobs.len());
    let mut secrets = Secrets::default();
    checked.iter().zip(&noted).for_each(|(checked, noted)| secrets.add_machine(checked, noted));
    let batch = noted[0].made.borrow()[0].clone();
    assert!(secrets.are_in(&[vec![0; 5], batch].concat()), "a leak would be found");
    for bytes in blobs {
        assert!(!secrets.are_in(&bytes), "a blob of {} bytes has a part of a sample", bytes.len());
    }
}
