//! The numbers of a checkpoint, one after the other.
//!
//! Rule: the bytes may come from anyone; only numbers that training makes are taken.

use ndarray::Array2;

use super::error::CheckpointError;
use crate::ff::{Delta, Parameter, RowKind};

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
    pub(super) fn skip(&mut self, count: usize) -> Result<(), CheckpointError> {
        if self.next(count)?.all(f32::is_finite) { Ok(()) } else { Err(CheckpointError::Number) }
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
    fn rows(
        &mut self,
        (rows, columns): (usize, usize),
        delta: Delta,
        kind: RowKind,
    ) -> Result<Vec<f32>, CheckpointError> {
        let mut numbers = Vec::with_capacity(rows * columns);
        self.each_row((rows, columns), delta, |row| {
            delta.read_row(row, columns, kind, &mut numbers)
        })?;
        Ok(numbers)
    }

    /// Skips encoded rows, checked.
    pub(super) fn skip_rows(
        &mut self,
        shape: (usize, usize),
        delta: Delta,
        kind: RowKind,
    ) -> Result<(), CheckpointError> {
        let mut numbers = Vec::with_capacity(shape.1);
        self.each_row(shape, delta, |row| {
            numbers.clear();
            delta.read_row(row, shape.1, kind, &mut numbers)
        })
    }

    /// Cuts off the bytes of encoded rows, each of which has to pass a check.
    fn each_row(
        &mut self,
        (rows, columns): (usize, usize),
        delta: Delta,
        check: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), CheckpointError> {
        let len = delta.row_len(columns);
        let mut rows = self.cut(rows * len)?.chunks_exact(len.max(1));
        if rows.all(check) { Ok(()) } else { Err(CheckpointError::Number) }
    }

    /// The next `count` numbers, checked.
    pub(super) fn take(&mut self, count: usize) -> Result<Vec<f32>, CheckpointError> {
        let values: Vec<f32> = self.next(count)?.collect();
        if values.iter().all(|x| x.is_finite()) { Ok(values) } else { Err(CheckpointError::Number) }
    }

    /// A tensor.
    pub(super) fn value(
        &mut self,
        shape: (usize, usize),
        delta: Delta,
    ) -> Result<Array2<f32>, CheckpointError> {
        let value = self.rows(shape, delta, RowKind::Signed)?;
        Array2::from_shape_vec(shape, value).map_err(|_| CheckpointError::Other)
    }

    /// A tensor, encoded in the first way, and its moments, in the second.
    pub(super) fn parameter(
        &mut self,
        shape: (usize, usize),
        (value, moment): (Delta, Delta),
        moments: &[RowKind],
    ) -> Result<Parameter, CheckpointError> {
        let value = self.value(shape, value)?;
        let moments = moments.iter().map(|kind| self.rows(shape, moment, *kind));
        let mut moments = moments.collect::<Result<Vec<_>, _>>()?.into_iter();
        let (first, second) = (moments.next(), moments.next());
        Ok(Parameter {
            value,
            first: first.unwrap_or_default(),
            second: second.unwrap_or_default(),
        })
    }
}
