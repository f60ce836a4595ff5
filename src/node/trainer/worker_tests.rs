//! Tests of the trainer's work, command by command: what it does, and what it refuses.

use super::*;
use crate::{
    data::Data,
    ff::{FeedbackTable, Negatives},
    spec::{ActivationKind, Placement, Spec, SpecBuilder},
};

/// Shards of the plan: one of each layer.
const LOWEST: ShardId = ShardId(0);
const UPPER: ShardId = ShardId(1);

/// Two layers, 8 steps in chapters of 4.
fn spec() -> SpecBuilder {
    let settings = Spec::builder().layers([784, 12, 10]).epochs(2).batch_size(20);
    settings.chapter_steps(4).placement(Placement::SingleLayer)
}

fn with_worker(settings: &SpecBuilder, work: impl FnOnce(&mut Worker<'_>)) {
    let checked = settings.check(Data::open("digits:80+10").unwrap()).unwrap();
    let schedule = Schedule::new(&checked, 1).unwrap();
    work(&mut Worker::new(schedule, &ComputeGate::new(1)));
}

fn load(worker: &mut Worker<'_>, shard: ShardId, step: u64, checkpoint: Option<Bytes>) -> bool {
    let answer = worker.answer(Command::Load { shard, load: 1, step, begin: step, checkpoint });
    matches!(answer, Some(Done::Loaded { ok: true, load: 1, .. }))
}

fn train(worker: &mut Worker<'_>, shard: ShardId, step: u64, inputs: &[&Bytes]) -> Done {
    let inputs = inputs.iter().copied().cloned().collect();
    let checkpoint = worker.plan.is_boundary(step + 1);
    let (load, feedback, emit) = (1, None, true);
    let train = Command::Train { shard, load, step, inputs, feedback, emit, checkpoint };
    worker.answer(train).unwrap()
}

fn refresh(worker: &mut Worker<'_>, shard: ShardId, step: u64) -> Done {
    let (load, inputs, feedback) = (1, Vec::new(), None);
    worker.answer(Command::Refresh { shard, load, step, inputs, feedback }).unwrap()
}

#[track_caller]
fn is_refused(done: &Done, at: u64) {
    assert!(matches!(done, Done::Refused { step, bad: None, .. } if *step == at), "{done:?}");
}

/// The step is refused because of these bytes.
#[track_caller]
fn is_bad(done: &Done, at: u64, bytes: &Bytes) {
    let Done::Refused { step, bad: Some(bad), .. } = done else { panic!("{done:?}") };
    assert_eq!((*step, *bad), (at, Hash::of(bytes)));
}

/// The batch and the checkpoint of a step that was done.
#[track_caller]
fn trained(done: Done) -> (Bytes, Option<Bytes>) {
    let Done::Trained { batch: Some((_, batch)), checkpoint, .. } = done else {
        panic!("{done:?}")
    };
    (batch, checkpoint.map(|((_, bytes), _)| bytes))
}

/// The batches of the lowest shard, and its checkpoints at 4 and 8 steps.
fn lowest(worker: &mut Worker<'_>) -> (Vec<Bytes>, Vec<Bytes>) {
    assert!(load(worker, LOWEST, 0, None));
    let (batches, checkpoints): (Vec<_>, Vec<_>) =
        (0..8).map(|step| trained(train(worker, LOWEST, step, &[]))).unzip();
    (batches, checkpoints.into_iter().flatten().collect())
}

#[test]
fn steps_behind_a_refused_one_are_refused() {
    with_worker(&spec(), |worker| {
        let (batches, _) = lowest(worker);
        let ends = |worker: &mut Worker<'_>, faults: bool| {
            assert!(load(worker, UPPER, 0, None));
            let mut last = None;
            for step in 0..8 {
                if faults && step % 3 == 1 {
                    is_bad(&train(worker, UPPER, step, &[&Bytes::new()]), step, &Bytes::new());
                    is_refused(&train(worker, UPPER, step + 1, &[&batches[0]]), step + 1);
                }
                last = trained(train(worker, UPPER, step, &[&batches[step as usize]])).1;
            }
            is_refused(&train(worker, UPPER, 8, &[&batches[7]]), 8);
            last.unwrap()
        };
        let straight = ends(worker, false);
        assert_eq!(ends(worker, true), straight, "a refusal leaves no trace");
    });
}

#[test]
fn an_invalid_batch_is_named() {
    with_worker(&spec().shards(2), |worker| {
        let (batches, _) = lowest(worker);
        let good = &batches[0];
        let mut nan = good.to_vec();
        nan[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        let (junk, nan) = (Bytes::from_static(b"junk"), Bytes::from(nan));
        let top = ShardId(2);
        assert!(load(worker, top, 0, None));
        for bad in [&junk, &nan] {
            is_bad(&train(worker, top, 0, &[good, bad]), 0, bad);
            is_bad(&train(worker, top, 0, &[bad, good]), 0, bad);
        }
        trained(train(worker, top, 0, &[good, good]));
    });
}

#[test]
fn only_the_next_step_of_the_load_is_done() {
    with_worker(&spec(), |worker| {
        is_refused(&train(worker, LOWEST, 0, &[]), 0);
        assert!(load(worker, LOWEST, 0, None));
        trained(train(worker, LOWEST, 0, &[]));
        for step in [0, 2, 7, u64::MAX - 1] {
            is_refused(&train(worker, LOWEST, step, &[]), step);
        }
        let (inputs, feedback, emit, checkpoint) = (Vec::new(), None, true, false);
        let (shard, load) = (LOWEST, 9);
        let other = Command::Train { shard, load, step: 1, inputs, feedback, emit, checkpoint };
        is_refused(&worker.answer(other).unwrap(), 1);
        trained(train(worker, LOWEST, 1, &[]));
    });
}

#[test]
fn a_checkpoint_of_another_step_is_not_loaded() {
    with_worker(&spec(), |worker| {
        let (batches, checkpoints) = lowest(worker);
        let at = |number: usize| Some(checkpoints[number].clone());
        assert!(!load(worker, LOWEST, 8, at(0)) && !load(worker, LOWEST, 3, at(0)));
        is_refused(&train(worker, LOWEST, 4, &[]), 4);
        assert!(load(worker, LOWEST, 4, at(0)));
        assert_eq!(trained(train(worker, LOWEST, 4, &[])).0, batches[4]);
    });
}

#[test]
fn a_chapter_is_handed_on_at_its_end_alone() {
    with_worker(&spec().activations(ActivationKind::Refreshed), |worker| {
        assert!(load(worker, LOWEST, 0, None));
        for step in 0..4 {
            is_refused(&refresh(worker, LOWEST, 0), 0);
            trained(train(worker, LOWEST, step, &[]));
        }
        is_refused(&refresh(worker, LOWEST, 4), 4);
        for step in 0..4 {
            assert!(matches!(refresh(worker, LOWEST, step), Done::Refreshed { .. }));
        }
        trained(train(worker, LOWEST, 4, &[]));
        is_refused(&refresh(worker, LOWEST, 3), 3);
    });
}

#[test]
fn a_table_of_another_step_is_refused() {
    with_worker(&spec().negatives(Negatives::Adaptive).epochs(4), |worker| {
        assert!(load(worker, LOWEST, 0, None));
        (0..8).for_each(|step| drop(trained(train(worker, LOWEST, step, &[]))));
        let (spec, samples) = (worker.schedule.network().clone(), worker.schedule.samples());
        let mut with_table = |of: u64| {
            let table = FeedbackTable::from_parts(&spec, vec![1; samples], of).unwrap();
            let feedback = Some(Bytes::from(checkpoint::encode_table(&table, &spec)));
            let (shard, load, step, inputs) = (LOWEST, 1, 8, Vec::new());
            let (emit, checkpoint) = (true, false);
            let train = Command::Train { shard, load, step, inputs, feedback, emit, checkpoint };
            worker.answer(train).unwrap()
        };
        for of in [8, 0] {
            let done = with_table(of);
            assert!(matches!(done, Done::Refused { step: 8, bad: Some(_), .. }), "{done:?}");
        }
        trained(with_table(4));
    });
}

/// The first answer of the lowest shard that is not that of a step done.
fn first_fault(settings: &SpecBuilder) -> Done {
    let mut found = None;
    with_worker(settings, |worker| {
        assert!(load(worker, LOWEST, 0, None));
        let mut done = (0..8).map(|step| train(worker, LOWEST, step, &[]));
        found = done.find(|done| !matches!(done, Done::Trained { .. }));
    });
    found.unwrap()
}

#[test]
fn a_shard_that_cannot_be_trained_on_says_so() {
    let place = Shard { layer: 0, index: 0 };
    let head = first_fault(&spec().head_weight_decay(f32::MAX));
    let Done::Diverged { place: at, fault: Fault::Head, step: 2..=4 } = head else {
        panic!("{head:?}")
    };
    assert_eq!(at, place);
    let weights = first_fault(&spec().lr(f32::MAX));
    assert!(matches!(weights, Done::Diverged { fault: Fault::Weights, .. }), "{weights:?}");
}
