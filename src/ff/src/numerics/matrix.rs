//! Views of matrices.
//!
//! Rule: a matrix made here is row-major and owned, so its values are one slice.

use std::ops::Range;

use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2, Axis, Slice};

use super::reductions;

/// The values of a matrix of this crate's making, row by row.
///
/// # Panics
/// If the matrix is not in row-major order.
pub(crate) fn flat(matrix: &Array2<f32>) -> &[f32] {
    matrix.as_slice().expect("matrices here are row-major")
}

/// As [`flat`], to write to.
pub(crate) fn flat_mut(matrix: &mut Array2<f32>) -> &mut [f32] {
    matrix.as_slice_mut().expect("matrices here are row-major")
}

/// Some rows.
pub(crate) fn rows(matrix: &ArrayRef2<f32>, range: Range<usize>) -> ArrayView2<'_, f32> {
    matrix.slice_axis(Axis(0), Slice::from(range))
}

/// Some rows, to write to.
pub(crate) fn rows_mut(matrix: &mut ArrayRef2<f32>, range: Range<usize>) -> ArrayViewMut2<'_, f32> {
    matrix.slice_axis_mut(Axis(0), Slice::from(range))
}

/// Some columns.
pub(crate) fn columns(matrix: &ArrayRef2<f32>, range: Range<usize>) -> ArrayView2<'_, f32> {
    matrix.slice_axis(Axis(1), Slice::from(range))
}

/// Some columns, to write to.
pub(crate) fn columns_mut(
    matrix: &mut ArrayRef2<f32>,
    range: Range<usize>,
) -> ArrayViewMut2<'_, f32> {
    matrix.slice_axis_mut(Axis(1), Slice::from(range))
}

/// The index of the largest value of each row, the first of equals.
pub(crate) fn argmax_rows(matrix: &Array2<f32>) -> Vec<u8> {
    flat(matrix).chunks_exact(matrix.ncols()).map(|row| reductions::argmax(row) as u8).collect()
}
