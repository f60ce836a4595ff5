//! The numbers of a checkpoint, one after the other.
//!
//! Rule: the bytes may come from anyone; only numbers that training makes are taken.

use ndarray::Array2;

use super::error::CheckpointError;
use crate::ff::Parameter;

/// The check of a number.
pub(super) type Good = fn(f32) -> bool;

/// The numbers not read yet.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    /// The next `count` numbers, unchecked.
    fn next(&mut self, count: usize) -> Result<impl Iterator<Item = f32>, CheckpointError> {
        let found = self.0.len();
        let expected = 4 * count;
        let Some((head, tail)) = self.0.split_at_checked(expected) else {
            return Err(CheckpointError::Length { expected, found });
        };
        self.0 = tail;
        let word = |word: &[u8]| f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        Ok(head.chunks_exact(4).map(word))
    }

    /// Skips numbers, checked.
    pub(super) fn skip(&mut self, count: usize, good: Good) -> Result<(), CheckpointError> {
        if self.next(count)?.all(good) { Ok(()) } else { Err(CheckpointError::Number) }
    }

    /// Skips numbers, unchecked.
    pub(super) fn pass(&mut self, count: usize) -> Result<(), CheckpointError> {
        self.next(count).map(|_| ())
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
        [first, second]: [(usize, Good); 2],
    ) -> Result<Parameter, CheckpointError> {
        let value = self.value(shape)?;
        let first = self.take(first.0, first.1)?;
        let second = self.take(second.0, second.1)?;
        Ok(Parameter { value, first, second })
    }
}
