//! Goodness, the objective of a shard, and the outputs that follow from it.
//!
//! Rule: a shard needs nothing from its siblings. Its threshold is its own width, its outputs
//! are normalised by its own length, and its goodness is taken before that.
//!
//! Hinton 2022, section 2, equation 1: p = sigmoid(g - theta), g the sum of the squared outputs.
//! The directions climb ln p for positive and ln (1 - p) for negative samples. The factor 2 of
//! d(h^2) is dropped, as in ffnew.m, so they are half the gradient.

use super::dropout::Dropout;
use crate::numerics::reductions::{dot, inverse_rms, relu, sigmoid, softplus, sum, sum_squares};
use crate::numerics::workers::{Workers, each, share};

/// Share of the running mean that stays at each step (ffnew.m).
const PEER_MEMORY: f32 = 0.9;

/// `h = relu(z + b)` in place, with some of it left out, and `goodness` = sum of h^2, per row of
/// `z`.
pub(crate) fn activate(
    z: &mut [f32],
    bias: &[f32],
    dropout: &Dropout,
    goodness: &mut [f32],
    workers: &dyn Workers,
) {
    let rows = share(goodness.len(), 1, workers);
    let parts = z.chunks_mut(rows * bias.len()).zip(goodness.chunks_mut(rows)).enumerate();
    each(workers, parts, &|(part, (z, goodness)): (usize, (&mut [f32], &mut [f32]))| {
        let mut mask = dropout.mask(bias.len());
        for (k, (row, goodness)) in z.chunks_exact_mut(bias.len()).zip(goodness).enumerate() {
            for (x, b) in row.iter_mut().zip(bias) {
                *x = relu(*x + b);
            }
            mask.apply(part * rows + k, row);
            *goodness = sum_squares(row);
        }
    });
}

/// `outputs` = h / rms(h), per row.
pub(crate) fn normalize(h: &[f32], goodness: &[f32], outputs: &mut [f32], workers: &dyn Workers) {
    let width = h.len() / goodness.len();
    let rows = share(goodness.len(), 1, workers);
    let inputs = h.chunks(rows * width).zip(goodness.chunks(rows));
    let parts = outputs.chunks_mut(rows * width).zip(inputs);
    each(workers, parts, &|(outputs, (h, goodness)): (&mut [f32], (&[f32], &[f32]))| {
        let rows = h.chunks_exact(width).zip(goodness);
        for (output, (h, &goodness)) in outputs.chunks_exact_mut(width).zip(rows) {
            let scale = inverse_rms(goodness, width);
            for (y, x) in output.iter_mut().zip(h) {
                *y = x * scale;
            }
        }
    });
}

/// Back through [`normalize`], dropout and the ReLU, per row and in place: `directions` d of the
/// outputs become those of the pre-activations. With y = h / r of mean square 1 over n units, and
/// `slope` the scale of what dropout left, slope (d - y (d y) / n) / r where h > 0, 0 elsewhere.
pub(crate) fn unnormalize(
    outputs: &[f32],
    goodness: &[f32],
    slope: f32,
    directions: &mut [f32],
    workers: &dyn Workers,
) {
    let width = outputs.len() / goodness.len();
    let rows = share(goodness.len(), 1, workers);
    let inputs = outputs.chunks(rows * width).zip(goodness.chunks(rows));
    let parts = directions.chunks_mut(rows * width).zip(inputs);
    each(workers, parts, &|(directions, (outputs, goodness)): (&mut [f32], (&[f32], &[f32]))| {
        let rows = outputs.chunks_exact(width).zip(goodness);
        for (row, (outputs, &goodness)) in directions.chunks_exact_mut(width).zip(rows) {
            let scale = slope * inverse_rms(goodness, width);
            let along = dot(row, outputs) / width as f32;
            for (d, &y) in row.iter_mut().zip(outputs) {
                *d = if y > 0.0 { (*d - y * along) * scale } else { 0.0 };
            }
        }
    });
}

/// The sum of each column, row after row, added to `sums`.
pub(crate) fn add_columns(matrix: &[f32], sums: &mut [f32]) {
    for row in matrix.chunks_exact(sums.len()) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

/// Peer normalisation (ffnew.m): takes the batch mean of the positive pass, `positive` = B x width,
/// into the running mean, and returns what is added to the direction of every positive sample:
/// lambda (mean over units - own mean). Not gated by the ReLU, so that dead units come back.
pub(crate) fn peer_term(running_means: &mut [f32], positive: &[f32], strength: f32) -> Vec<f32> {
    let mut means = vec![0.0; running_means.len()];
    add_columns(positive, &mut means);
    let share = (1.0 - PEER_MEMORY) * (running_means.len() as f32 / positive.len() as f32);
    for (running, mean) in running_means.iter_mut().zip(&means) {
        *running = PEER_MEMORY * *running + share * mean;
    }
    let mean = sum(running_means) / running_means.len() as f32;
    running_means.iter().map(|own| strength * (mean - own)).collect()
}

/// Turns the outputs of the positive and the negative pass (2B x width, positives first) into
/// ascent directions: (1 - p) h + peer term, and -p h; h times `slope`, the scale of what dropout
/// left.
pub(crate) fn directions(
    h: &mut [f32],
    goodness: &[f32],
    slope: f32,
    peer_term: &[f32],
    workers: &dyn Workers,
) {
    let width = peer_term.len();
    let threshold = width as f32;
    let (positive, negative) = h.split_at_mut(h.len() / 2);
    let (good, bad) = goodness.split_at(goodness.len() / 2);
    let rows = share(good.len(), 1, workers);
    let samples = good.chunks(rows).zip(bad.chunks(rows));
    let parts =
        positive.chunks_mut(rows * width).zip(negative.chunks_mut(rows * width)).zip(samples);
    each(workers, parts, &|((positive, negative), (good, bad)): Directed<'_>| {
        for (row, goodness) in positive.chunks_exact_mut(width).zip(good) {
            let factor = slope * sigmoid(threshold - goodness);
            for (x, peer) in row.iter_mut().zip(peer_term) {
                *x = factor * *x + peer;
            }
        }
        for (row, goodness) in negative.chunks_exact_mut(width).zip(bad) {
            let factor = -slope * sigmoid(goodness - threshold);
            for x in row {
                *x *= factor;
            }
        }
    });
}

/// Some positive and negative samples, and their goodness.
type Directed<'a> = ((&'a mut [f32], &'a mut [f32]), (&'a [f32], &'a [f32]));

/// The mean loss of the 2B cases, -ln p and -ln (1 - p), summed in batch order.
pub(crate) fn loss(goodness: &[f32], width: usize) -> f32 {
    let (good, bad) = goodness.split_at(goodness.len() / 2);
    let threshold = width as f32;
    let good: f64 = good.iter().map(|g| f64::from(softplus(threshold - g))).sum();
    let bad: f64 = bad.iter().map(|g| f64::from(softplus(g - threshold))).sum();
    ((good + bad) / goodness.len() as f64) as f32
}

/// The mean of some values, summed in order.
pub(crate) fn mean(values: &[f32]) -> f32 {
    let total: f64 = values.iter().map(|&x| f64::from(x)).sum();
    (total / values.len() as f64) as f32
}
