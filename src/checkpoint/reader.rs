//! The numbers of a checkpoint, one after the other.
//!
//! Rule: the bytes may come from anyone; only numbers that training makes are taken.

use ndarray::Array2;

use super::error::CheckpointError;
use crate::ff::{Delta, Parameter, RowKind};

/// The check of a number.
pub(super) type Good = fn(f32) -> bool;

/// The numbers not read yet.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    /// The next `count` numbers, unchecked.
    fn next(&mut self, count: usize) -> Result<impl Iterator<Item = f32>, CheckpointError> {
        let head = self.cut(4 * count)?;
        let word = |word: &[u8]| f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        Ok(head.chunks_exact(4).map(word))
    }

    /// Skips numbers, checked.
    pub(super) fn skip(&mut self, count: usize, good: Good) -> Result<(), CheckpointError> {
        if self.next(count)?.all(good) { Ok(()) } else { Err(CheckpointError::Number) }
    }

    /// Skips bytes, unchecked.
    pub(super) fn pass(&mut self, bytes: usize) -> Result<(), CheckpointError> {
        self.cut(bytes).map(|_| ())
    }

    /// The next bytes.
    fn cut(&mut self, expected: usize) -> Result<&[u8], CheckpointError> {
        let found = self.0.len();
        let Some((head, tail)) = self.0.split_at_checked(expected) else {
            return Err(CheckpointError::Length { expected, found });
        };
        self.0 = tail;
        Ok(head)
    }

    /// Nothing is left over.
    pub(super) fn end(&self) -> Result<(), CheckpointError> {
        match self.0.len() {
            0 => Ok(()),
            found => Err(CheckpointError::Length { expected: 0, found }),
        }
    }

    /// The numbers of encoded rows, checked.
    pub(super) fn rows(
        &mut self,
        (rows, columns): (usize, usize),
        delta: Delta,
        kind: RowKind,
    ) -> Result<Vec<f32>, CheckpointError> {
        let len = delta.row_len(columns);
        let bytes = self.cut(rows * len)?;
        let mut numbers = Vec::with_capacity(rows * columns);
        let mut rows = bytes.chunks_exact(len.max(1));
        if rows.all(|row| delta.read_row(row, columns, kind, &mut numbers)) {
            Ok(numbers)
        } else {
            Err(CheckpointError::Number)
        }
    }

    /// The next `count` numbers, checked.
    pub(super) fn take(&mut self, count: usize, good: Good) -> Result<Vec<f32>, CheckpointError> {
        let values: Vec<f32> = self.next(count)?.collect();
        if values.iter().all(|&x| good(x)) { Ok(values) } else { Err(CheckpointError::Number) }
    }

    /// A tensor.
    pub(super) fn value(&mut self, shape: (usize, usize)) -> Result<Array2<f32>, CheckpointError> {
        let value = self.take(shape.0 * shape.1, f32::is_finite)?;
        Array2::from_shape_vec(shape, value).map_err(|_| CheckpointError::Other)
    }

    /// A tensor and its moments.
    pub(super) fn parameter(
        &mut self,
        shape: (usize, usize),
        delta: Delta,
        moments: &[RowKind],
    ) -> Result<Parameter, CheckpointError> {
        let value = self.value(shape)?;
        let moments = moments.iter().map(|kind| self.rows(shape, delta, *kind));
        let mut moments = moments.collect::<Result<Vec<_>, _>>()?.into_iter();
        let (first, second) = (moments.next(), moments.next());
        Ok(Parameter {
            value,
            first: first.unwrap_or_default(),
            second: second.unwrap_or_default(),
        })
    }
}
