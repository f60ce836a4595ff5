//! Matrix products, and the weight update that follows one.
//!
//! Rule: ndarray's product only, with factors 1 and 0. Each of its sums runs over the inner
//! dimension in an order that does not depend on which rows and columns are asked for, so a
//! product may be cut along its output, and only there.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use super::optim::{Parameter, Part, Rule};
use crate::numerics::matrix;
use crate::numerics::workers::{Mark, Phase, Workers, each, share};

/// Columns are shared out in multiples of the widest kernel, so that no worker has a ragged edge.
const COLUMNS: usize = 16;

/// Rows of a weight gradient that are made and used up at a time, so that they stay in the cache.
const BLOCK: usize = 256;

/// `c = a b`, shared out by columns of `c`.
pub(crate) fn product(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    mut c: ArrayViewMut2<'_, f32>,
    workers: &dyn Workers,
) {
    let columns = share(c.ncols(), COLUMNS, workers);
    let parts = c.axis_chunks_iter_mut(Axis(1), columns).zip(b.axis_chunks_iter(Axis(1), columns));
    each(workers, parts, &|(mut c, b): (ArrayViewMut2<'_, f32>, ArrayView2<'_, f32>)| {
        general_mat_mul(1.0, &a, &b, 0.0, &mut c);
    });
}

/// An ascent direction of a parameter, not yet multiplied out: `inputs^T directions`, plus `extra`
/// on the first rows.
pub(crate) struct Gradient<'a> {
    /// K x rows of the parameter.
    pub(crate) inputs: ArrayView2<'a, f32>,
    /// K x columns of the parameter.
    pub(crate) directions: ArrayView2<'a, f32>,
    /// A few rows to add, as wide as the parameter.
    pub(crate) extra: ArrayView2<'a, f32>,
}

/// Multiplies a gradient out, block by block, and applies the rule; shared out by rows of the
/// parameter. `blocks` is memory to work in.
pub(crate) fn update(
    parameter: &mut Parameter,
    gradient: &Gradient<'_>,
    rule: &Rule,
    blocks: &mut Vec<Vec<f32>>,
    workers: &dyn Workers,
) {
    let (rows, columns) = parameter.value.dim();
    let parts = parameter.parts(rule, share(rows, COLUMNS, workers));
    let size = BLOCK.min(rows) * columns;
    blocks.resize_with(blocks.len().max(parts.len()), Vec::new);
    for block in blocks.iter_mut().filter(|block| block.len() < size) {
        block.resize(size, 0.0);
    }
    each(workers, parts.into_iter().zip(blocks), &|(part, block): (Part<'_>, &mut Vec<f32>)| {
        update_part(part, gradient, rule, &mut block[..size], workers);
    });
}

fn update_part(
    part: Part<'_>,
    gradient: &Gradient<'_>,
    rule: &Rule,
    block: &mut [f32],
    workers: &dyn Workers,
) {
    let labels = gradient.extra.nrows();
    let columns = part.columns;
    for part in part.split(block.len() / columns) {
        let from = part.first_row;
        let to = from + part.value.len() / columns;
        let block = &mut block[..part.value.len()];
        let mut product = ArrayViewMut2::from_shape((to - from, columns), &mut *block)
            .expect("a block has whole rows");
        let inputs = matrix::columns(&gradient.inputs, from..to);
        workers.mark(Mark::Phase(Phase::Gradient));
        general_mat_mul(1.0, &inputs.t(), &gradient.directions, 0.0, &mut product);
        workers.mark(Mark::Phase(Phase::Optimizer));
        if from < labels {
            let to = to.min(labels);
            let mut slots = matrix::rows_mut(&mut product, 0..to - from);
            slots += &matrix::rows(&gradient.extra, from..to);
        }
        rule.apply(part, block);
    }
}
