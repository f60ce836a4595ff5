//! Matrix products, and the weight update that follows one.
//!
//! The rule: ndarray's product only, with factors 1 and 0. Each of its sums runs over the inner
//! dimension in an order that does not depend on which rows and columns are asked for, so a
//! product may be cut along its output, and only there.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use super::matrix;
use super::optim::{Parameter, Part, Rule};
use super::workers::{Mark, Phase, Workers, each, share};

/// Columns are shared out in multiples of the widest kernel, so that no worker has a ragged edge.
const COLUMNS: usize = 16;

/// Rows of a weight gradient that are made and used up at a time, so that it stays in the cache.
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
/// parameter. `blocks` is scratch.
pub(crate) fn update(
    parameter: &mut Parameter,
    gradient: &Gradient<'_>,
    rule: &Rule,
    blocks: &mut Vec<Array2<f32>>,
    workers: &dyn Workers,
) {
    let (rows, columns) = parameter.value.dim();
    let parts = parameter.parts(rule, share(rows, COLUMNS, workers));
    if blocks.len() < parts.len() || blocks.iter().any(|block| block.ncols() != columns) {
        *blocks = vec![Array2::zeros((BLOCK.min(rows), columns)); parts.len()];
    }
    each(workers, parts.into_iter().zip(blocks), &|(part, block)| {
        update_part(part, gradient, rule, block, workers);
    });
}

fn update_part(
    part: Part<'_>,
    gradient: &Gradient<'_>,
    rule: &Rule,
    block: &mut Array2<f32>,
    workers: &dyn Workers,
) {
    let labels = gradient.extra.nrows();
    for part in part.split(block.nrows()) {
        let from = part.first_row;
        let to = from + part.value.len() / part.columns;
        let mut block = matrix::rows_mut(block, 0..to - from);
        let inputs = matrix::columns(&gradient.inputs, from..to);
        workers.mark(Mark::Phase(Phase::Gradient));
        general_mat_mul(1.0, &inputs.t(), &gradient.directions, 0.0, &mut block);
        workers.mark(Mark::Phase(Phase::Optimizer));
        if from < labels {
            let to = to.min(labels);
            let mut slots = matrix::rows_mut(&mut block, 0..to - from);
            slots += &matrix::rows(&gradient.extra, from..to);
        }
        rule.apply(part, block.as_slice().expect("a block has whole rows"));
    }
}
