//! The softmax objective: one step against its definition in double precision, and whole runs.

use ndarray::{Array2, Axis, concatenate};

use super::{Scoped, batch, images, mask, tiny_for, trained};
use crate::{
    Activations, Buffers, Encoding, Inline, Network, NetworkSpec, Objective, Optimizer, Shard,
    ShardState, StepReport, concat, decode, encode, model_hash,
};

const BATCH: usize = 16;

/// Shards of a layer, and dropout.
const CASES: [(usize, f32); 3] = [(1, 0.0), (2, 0.0), (2, 0.25)];

fn local(optimizer: Optimizer, encoding: Encoding, shards: usize) -> NetworkSpec {
    tiny_for(Objective::Softmax, optimizer, encoding, shards)
}

/// Each row with mean square 1.
fn normalized(x: &Array2<f64>) -> Array2<f64> {
    let squares = (x * x).sum_axis(Axis(1)) / x.ncols() as f64;
    x / &squares.sqrt().insert_axis(Axis(1))
}

/// The outputs of the shard, and its logits.
fn forward(state: &ShardState, step: &Step) -> (Array2<f64>, Array2<f64>) {
    let wide = |x: &Array2<f32>| x.mapv(f64::from);
    let z = step.inputs.dot(&wide(&state.weights.value)) + wide(&state.bias.value);
    let states = normalized(&(z.mapv(|z| z.max(0.0)) * &step.mask));
    let logits = states.dot(&wide(&state.head.value));
    (states, logits)
}

/// Sum over the mini-batch of the log-likelihood of the labels by the shard's own head.
fn likelihood(state: &ShardState, step: &Step) -> f64 {
    let (_, logits) = forward(state, step);
    let case = |(row, label): (usize, &u8)| {
        let total: f64 = logits.row(row).iter().map(|x| x.exp()).sum();
        logits[[row, usize::from(*label)]] - total.ln()
    };
    step.labels.iter().enumerate().map(case).sum()
}

/// A step of a shard that has a head: before, after, its inputs, outputs and report.
struct Step {
    before: ShardState,
    after: ShardState,
    inputs: Array2<f64>,
    /// The factors of dropout.
    mask: Array2<f64>,
    labels: Vec<u8>,
    out: Activations,
    report: StepReport,
}

/// A step of every shard of two layers.
fn steps((shards, dropout): (usize, f32)) -> Vec<Step> {
    let spec = NetworkSpec { dropout, ..local(Optimizer::Sgd, Encoding::F32, shards) };
    let input = batch(&spec, 0);
    let mut buffers = Buffers::default();
    let (mut steps, mut below): (Vec<Step>, Option<Activations>) = (Vec::new(), None);
    for layer in 0..2 {
        let mut outs = Vec::new();
        for index in 0..shards {
            let shard = Shard { layer, index };
            let mut after = ShardState::init(&spec, shard);
            after.bias.value.fill(0.05);
            let value = |(unit, class): (usize, usize)| ((unit * 7 + class * 3) % 5) as f32 / 9.0;
            after.head.value = Array2::from_shape_fn(after.head.value.dim(), value);
            let before = after.clone();
            let (out, report) = match &below {
                None => after.train_first(&spec, shard, &input, &mut buffers, &Inline),
                Some(below) => {
                    after.train(&spec, shard, below, &input.labels, &mut buffers, &Inline)
                }
            };
            let inputs = below.as_ref().map_or(&input.pixels, |below| &below.states);
            let (inputs, labels) = (inputs.mapv(f64::from), input.labels.clone());
            outs.push(out.clone());
            let mask = mask(&spec, shard);
            steps.push(Step { before, after, inputs, mask, labels, out, report });
        }
        below = Some(concat(&outs));
    }
    steps
}

#[test]
fn outputs_and_reports_are_the_definition() {
    for step in CASES.into_iter().flat_map(steps) {
        assert!((&normalized(&step.inputs) - &step.inputs).iter().all(|x| x.abs() < 1e-4));
        let (states, logits) = forward(&step.before, &step);
        let near = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() < 1e-4;
        assert!(step.out.states.iter().zip(&states).all(near));
        assert_eq!(step.out.states.nrows(), BATCH, "one pass");
        assert_eq!(step.out.logits.dim(), (BATCH, 0));
        let loss = -likelihood(&step.before, &step) / BATCH as f64;
        assert!((f64::from(step.report.loss) - loss).abs() < 1e-4);
        let best = |row: usize| {
            let top = logits.row(row).iter().copied().fold(f64::MIN, f64::max);
            u32::from(logits[[row, usize::from(step.labels[row])]] >= top)
        };
        assert_eq!(step.report.correct, (0..BATCH).map(best).sum::<u32>());
    }
}

/// Checks the smoothed gradient that a step left in a tensor against the slope of the likelihood.
fn climbs(
    step: &Step,
    tensor: fn(&mut ShardState) -> &mut Array2<f32>,
    first: &[f32],
    stride: usize,
) {
    for at in (0..first.len()).step_by(stride) {
        let moved = |by: f32| {
            let mut state = step.before.clone();
            let value = &mut tensor(&mut state).as_slice_mut().unwrap()[at];
            *value += by;
            (f64::from(*value), likelihood(&state, step))
        };
        // So small that next to no unit crosses the corner of its ReLU.
        let ((up, more), (down, less)) = (moved(1e-6), moved(-1e-6));
        let (expected, found) = ((more - less) / (up - down), f64::from(first[at]) * 160.0);
        assert!((found - expected).abs() < 2e-3 * expected.abs().max(0.5), "{found} {expected}");
    }
}

#[test]
fn every_tensor_climbs_the_local_likelihood() {
    for step in CASES.into_iter().flat_map(steps) {
        climbs(&step, |state| &mut state.weights.value, &step.after.weights.first, 3);
        climbs(&step, |state| &mut state.bias.value, &step.after.bias.first, 1);
        climbs(&step, |state| &mut state.head.value, &step.after.head.first, 1);
    }
}

#[test]
fn threads_change_no_bit() {
    for shards in [1, 2] {
        let default = local(Optimizer::Adam, Encoding::U8, shards);
        let layers = vec![150, 272, 300];
        let spec = NetworkSpec { layers, steps: 5, dropout: 0.2, ..default };
        let alone = trained(&spec, &Inline);
        let (pixels, labels) = images(&spec, 99);
        let score = alone.evaluate(&pixels, &labels, &Inline);
        for count in [1, 2, 3] {
            let together = trained(&spec, &Scoped(count));
            assert_eq!(together, alone, "{shards} shards, {count} workers");
            assert_eq!(together.evaluate(&pixels, &labels, &Scoped(count)), score);
        }
    }
}

#[test]
fn shards_that_talk_in_bytes_are_the_network() {
    for (encoding, shards) in [(Encoding::F32, 1), (Encoding::U8, 2), (Encoding::U4, 1)] {
        let spec = local(Optimizer::Sgd, encoding, shards);
        let mut buffers = Buffers::default();
        let mut states: Vec<ShardState> =
            spec.shards().into_iter().map(|shard| ShardState::init(&spec, shard)).collect();
        for step in 0..spec.steps {
            let input = batch(&spec, step);
            let mut lower = Vec::new();
            for (shard, state) in spec.shards().into_iter().zip(&mut states) {
                if shard.layer == 0 {
                    let (out, _) = state.train_first(&spec, shard, &input, &mut buffers, &Inline);
                    lower.push(decode(&encode(&out, &spec, shard), &spec, shard).unwrap());
                    buffers.give(out.states);
                } else {
                    state.train(
                        &spec,
                        shard,
                        &concat(&lower),
                        &input.labels,
                        &mut buffers,
                        &Inline,
                    );
                }
            }
        }
        assert_eq!(states, trained(&spec, &Inline).shards());
    }
}

#[test]
fn a_run_is_pinned() {
    let specs = [
        local(Optimizer::Sgd, Encoding::F32, 1),
        local(Optimizer::Adam, Encoding::U8, 2),
        NetworkSpec { dropout: 0.2, ..local(Optimizer::Sgd, Encoding::U8, 1) },
    ];
    let hashes =
        specs.map(|spec| model_hash(&trained(&spec, &Inline).tensors()).to_hex()[..16].to_owned());
    assert_eq!(hashes, PINNED);
}

/// On processors with fused multiply-add.
const PINNED: [&str; 3] = ["a01fe97265eb9bf6", "e3db9ac8cbf6de2c", "f91196beebfbfa0e"];

#[test]
fn it_learns_and_says_so_layer_by_layer() {
    for (optimizer, shards) in [(Optimizer::Sgd, 1), (Optimizer::Adam, 2)] {
        let default = local(optimizer, Encoding::U8, shards);
        let (lr, head_lr) = (2.0 * default.lr, 2.0 * default.head_lr);
        let spec = NetworkSpec { lr, head_lr, steps: 300, ..default };
        let mut network = Network::init(spec.clone());
        for step in 0..spec.steps {
            network.train_step(&batch(&spec, step), &Inline);
        }
        let sets: Vec<_> = (1000..1010).map(|step| images(&spec, step)).collect();
        let views: Vec<_> = sets.iter().map(|(pixels, _)| pixels.view()).collect();
        let pixels = concatenate(Axis(0), &views).unwrap();
        let labels: Vec<u8> = sets.iter().flat_map(|(_, labels)| labels.clone()).collect();
        let score = network.evaluate(&pixels, &labels, &Inline);
        assert!(score.softmax_correct > 140, "{score:?}");
        assert!(score.layers_correct.iter().all(|&right| right > 135), "{score:?}");
        assert_eq!((score.samples, score.goodness_correct), (160, 0));
        let said = network.predict_softmax(&pixels, &Inline);
        let right = said.iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert_eq!(right as u32, score.softmax_correct);
        // The model's tensors classify the same, although each shard's head stands alone.
        let copy = Network::from_tensors(spec, &network.tensors()).unwrap();
        assert_eq!(copy.evaluate(&pixels, &labels, &Inline), score);
    }
}
