//! One step against the definition, written out in double precision without any sharing.

use ndarray::{Array2, Axis, concatenate};

use super::{batch, mask, tiny};
use crate::numerics::matrix::rows;
use crate::{
    Activations, Buffers, Encoding, FirstInput, Inline, LabelEmbedding, NetworkSpec, Optimizer,
    Shard, ShardState, StepReport,
};

const BATCH: usize = 16;

/// Shards of a layer, dropout, and where the labels are.
const CASES: [(usize, f32, LabelEmbedding); 3] = [
    (1, 0.0, LabelEmbedding::Overlay),
    (2, 0.0, LabelEmbedding::Append),
    (2, 0.25, LabelEmbedding::Overlay),
];

/// The inputs of the three passes of the first layer, label by label.
fn overlay(spec: &NetworkSpec, input: &FirstInput) -> Array2<f64> {
    let slot = |pass: usize, image: usize, k: usize| match pass {
        0 => f64::from(u8::from(usize::from(input.labels[image]) == k)),
        1 => f64::from(u8::from(usize::from(input.negatives[image]) == k)),
        _ => 1.0 / spec.classes as f64,
    };
    let strength = f64::from(spec.label_strength);
    let value = |(row, k): (usize, usize)| match k < spec.classes {
        true => strength * slot(row / BATCH, row % BATCH, k),
        false => f64::from(input.pixels[[row % BATCH, k]]),
    };
    normalized(&Array2::from_shape_fn((3 * BATCH, input.pixels.ncols()), value))
}

fn normalized(x: &Array2<f64>) -> Array2<f64> {
    let squares = (x * x).sum_axis(Axis(1)) / x.ncols() as f64;
    x / &squares.sqrt().insert_axis(Axis(1))
}

/// The inputs of a step: the input of the shard, and the factors of dropout.
struct Given {
    inputs: Array2<f64>,
    mask: Array2<f64>,
}

/// Outputs before normalisation.
fn outputs(state: &ShardState, given: &Given) -> Array2<f64> {
    let z = given.inputs.dot(&state.weights.value.mapv(f64::from));
    let z = z + state.bias.value.mapv(f64::from);
    z.mapv(|z| z.max(0.0)) * &given.mask
}

/// Sum over the mini-batch of ln p(positive) + ln (1 - p(negative)).
fn likelihood(state: &ShardState, given: &Given) -> f64 {
    let h = outputs(state, given);
    let margins = (&h * &h).sum_axis(Axis(1)) - h.ncols() as f64;
    let case = |(row, margin): (usize, &f64)| match row / BATCH {
        0 => -(-margin).exp().ln_1p(),
        1 => -margin.exp().ln_1p(),
        _ => 0.0,
    };
    margins.iter().enumerate().map(case).sum()
}

/// Sum over the mini-batch of the log-likelihood of the labels.
fn head_likelihood(state: &ShardState, given: &Given, below: &Array2<f32>, y: &[u8]) -> f64 {
    let states = normalized(&outputs(state, given));
    let neutral = states.select(Axis(0), &(2 * BATCH..3 * BATCH).collect::<Vec<_>>());
    let logits = neutral.dot(&state.head.value.mapv(f64::from)) + below.mapv(f64::from);
    let case = |(row, y): (usize, &u8)| {
        let total: f64 = logits.row(row).iter().map(|x| x.exp()).sum();
        logits[[row, usize::from(*y)]] - total.ln()
    };
    y.iter().enumerate().map(case).sum()
}

/// The direction a step took, from the smoothed gradient it left behind at step 0.
fn direction(first: &[f32], at: usize) -> f64 {
    f64::from(first[at]) * 10.0 * BATCH as f64
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 2e-3 * expected.abs().max(0.5), "{found} {expected}");
}

/// The slope of `f` where a value of a tensor moves.
fn slope(
    tensor: fn(&mut ShardState) -> &mut Array2<f32>,
    at: usize,
    state: &ShardState,
    f: &dyn Fn(&ShardState) -> f64,
) -> f64 {
    let (mut more, mut less) = (state.clone(), state.clone());
    let step = 1e-4;
    let values = [&mut more, &mut less].map(|s| &mut tensor(s).as_slice_mut().unwrap()[at]);
    let [up, down] = values;
    (*up, *down) = (*up + step, *down - step);
    let moved = f64::from(*up) - f64::from(*down);
    (f(&more) - f(&less)) / moved
}

struct Step {
    before: ShardState,
    after: ShardState,
    given: Given,
    below: Array2<f32>,
    labels: Vec<u8>,
    out: Activations,
    report: StepReport,
}

/// A new shard whose bias and head are not zero.
fn awake(spec: &NetworkSpec, shard: Shard) -> ShardState {
    let mut state = ShardState::init(spec, shard);
    state.bias.value.fill(0.05);
    let value = |(unit, class): (usize, usize)| ((unit * 7 + class * 3) % 5) as f32 / 9.0;
    state.head.value = Array2::from_shape_fn(state.head.value.dim(), value);
    state
}

/// A step of the first and one of the second layer, of every shard, with a head that is not zero.
fn steps((shards, dropout, label_embedding): (usize, f32, LabelEmbedding)) -> Vec<Step> {
    let spec = NetworkSpec {
        peer_normalization: 0.0,
        label_strength: 1.5,
        dropout,
        label_embedding,
        ..tiny(Optimizer::Sgd, Encoding::F32, shards)
    };
    let input = batch(&spec, 0);
    let nothing = Array2::zeros((BATCH, spec.classes));
    let (mut buffers, mut below) = (Buffers::default(), None::<Activations>);
    let mut steps = Vec::new();
    for layer in 0..2 {
        let mut outs = Vec::new();
        for index in 0..shards {
            let shard = Shard { layer, index };
            let mut after = awake(&spec, shard);
            let before = after.clone();
            let (out, report) = match &below {
                None => after.train_first(&spec, shard, &input, &mut buffers, &Inline),
                Some(below) => {
                    after.train(&spec, shard, below, &input.labels, &mut buffers, &Inline)
                }
            };
            let inputs = match &below {
                None => overlay(&spec, &input),
                Some(below) => below.states.mapv(f64::from),
            };
            outs.push(out.clone());
            let below = below.as_ref().map_or_else(|| nothing.clone(), |b| b.logits.clone());
            steps.push(Step {
                before,
                after,
                given: Given { inputs, mask: mask(&spec, shard) },
                below,
                labels: input.labels.clone(),
                out,
                report,
            });
        }
        let mut whole = crate::concat(&outs);
        whole.logits +=
            &Array2::from_shape_fn(whole.logits.dim(), |(i, k)| ((i + k) % 3) as f32 / 4.0);
        below = Some(whole);
    }
    steps
}

#[test]
fn outputs_logits_and_reports_are_the_definition() {
    for (k, step) in CASES.into_iter().flat_map(|case| steps(case).into_iter().enumerate()) {
        let h = outputs(&step.before, &step.given);
        let states = normalized(&h);
        let near = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() < 1e-4;
        assert!(step.out.states.iter().zip(&states).all(near));
        let pairs = -likelihood(&step.before, &step.given) / (2 * BATCH) as f64;
        close(f64::from(step.report.loss), pairs);
        let head = head_likelihood(&step.before, &step.given, &step.below, &step.labels);
        close(f64::from(step.report.head_loss), -head / BATCH as f64);
        let positive = (&h * &h).sum_axis(Axis(1)).iter().take(BATCH).sum::<f64>() / BATCH as f64;
        close(f64::from(step.report.positive_goodness), positive);
        if h.ncols() == 32 && k == 0 {
            assert_eq!(step.out.logits, step.below, "the first layer adds nothing");
        }
    }
}

#[test]
fn directions_are_half_the_slope_of_the_likelihood() {
    for step in CASES.into_iter().flat_map(steps) {
        let f = |state: &ShardState| likelihood(state, &step.given) / 2.0;
        for at in (0..step.before.weights.value.len()).step_by(3) {
            let expected = slope(|s| &mut s.weights.value, at, &step.before, &f);
            close(direction(&step.after.weights.first, at), expected);
        }
        for at in 0..step.before.bias.value.len() {
            let expected = slope(|s| &mut s.bias.value, at, &step.before, &f);
            close(direction(&step.after.bias.first, at), expected);
        }
    }
}

#[test]
fn the_head_climbs_its_likelihood() {
    for step in CASES.into_iter().flat_map(steps) {
        let f = |state: &ShardState| head_likelihood(state, &step.given, &step.below, &step.labels);
        for at in 0..step.before.head.value.len() {
            let expected = slope(|s| &mut s.head.value, at, &step.before, &f);
            close(direction(&step.after.head.first, at), expected);
        }
    }
}

#[test]
fn peers_pull_towards_their_mean_even_when_dead() {
    let spec = tiny(Optimizer::Sgd, Encoding::F32, 1);
    let off = NetworkSpec { peer_normalization: 0.0, ..spec.clone() };
    let (shard, input) = (Shard { layer: 0, index: 0 }, batch(&spec, 0));
    let (mut with, mut buffers) = (ShardState::init(&spec, shard), Buffers::default());
    with.bias.value[[0, 3]] = -100.0;
    let mut without = with.clone();
    with.train_first(&spec, shard, &input, &mut buffers, &Inline);
    without.train_first(&off, shard, &input, &mut buffers, &Inline);
    assert_eq!(with.running_means, without.running_means);
    assert!((with.running_means[3] - 0.45).abs() < 1e-6, "0.9 of 0.5 and no output");
    let mean = with.running_means.iter().sum::<f32>() / 32.0;
    for (k, peer) in with.running_means.iter().enumerate() {
        let pull = direction(&with.bias.first, k) - direction(&without.bias.first, k);
        close(pull, f64::from(0.03 * (mean - peer)) * BATCH as f64);
    }
    assert_eq!(without.bias.first[3], 0.0);
    assert!(with.bias.first[3] > 0.0);
}

#[test]
fn rows_keep_the_order_of_the_passes() {
    let spec = tiny(Optimizer::Sgd, Encoding::F32, 1);
    let mut input = batch(&spec, 0);
    input.negatives.clone_from(&input.labels);
    let shard = Shard { layer: 0, index: 0 };
    let buffers = &mut Buffers::default();
    let (out, _) =
        ShardState::init(&spec, shard).train_first(&spec, shard, &input, buffers, &Inline);
    let part = |k: usize| rows(&out.states, k * BATCH..(k + 1) * BATCH);
    assert_eq!(part(0), part(1));
    assert_ne!(part(0), part(2));
    let both = concatenate(Axis(0), &[part(0), part(1)]).unwrap();
    assert_eq!(both, rows(&out.states, 0..2 * BATCH));
}
