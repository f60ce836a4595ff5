//! Memory that one step uses and the next one uses again.
//!
//! Rule: it changes nothing but the time a step takes. Large matrices are made once and used by
//! every shard in turn; what one held before is never read.

use ndarray::Array2;

/// Matrices that wait to be used again, at most: the outputs of the shards of two layers.
const SPARE: usize = 32;

/// Memory for the steps of any shards, one after the other.
#[derive(Debug, Default)]
pub struct Buffers {
    /// All passes x out: pre-activations, then outputs, then directions.
    pub(crate) h: Array2<f32>,
    /// Labelled images only, B x out: shared product, then shared directions.
    pub(crate) shared: Array2<f32>,
    /// Labelled images only, classes x out: directions of the label slots.
    pub(crate) slots: Array2<f32>,
    /// One for each row of `h`.
    pub(crate) goodness: Vec<f32>,
    /// One for each worker: a piece of a gradient.
    pub(crate) blocks: Vec<Vec<f32>>,
    spare: Vec<Array2<f32>>,
}

/// Not part of what a network is: equal to any other.
impl PartialEq for Buffers {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A copy makes its own.
impl Clone for Buffers {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Buffers {
    /// A row-major matrix whose values are all to be written.
    pub(crate) fn take(&mut self, shape: (usize, usize)) -> Array2<f32> {
        match self.spare.iter().position(|matrix| matrix.dim() == shape) {
            Some(at) => self.spare.swap_remove(at),
            None => Array2::zeros(shape),
        }
    }

    /// Takes a row-major matrix that is not read any more, for the next one of its shape.
    pub fn give(&mut self, matrix: Array2<f32>) {
        if self.spare.len() >= SPARE {
            self.spare.remove(0);
        }
        self.spare.push(matrix);
    }

    /// Makes room for the passes of a shard.
    pub(crate) fn fit(&mut self, rows: usize, width: usize) {
        if self.h.dim() != (rows, width) {
            let room = self.take((rows, width));
            let old = std::mem::replace(&mut self.h, room);
            self.give(old);
        }
        self.goodness.resize(rows, 0.0);
    }

    /// Makes room for what labelled images need in addition.
    pub(crate) fn fit_first(&mut self, batch: usize, width: usize, classes: usize) {
        if self.shared.dim() != (batch, width) || self.slots.dim() != (classes, width) {
            self.shared = Array2::zeros((batch, width));
            self.slots = Array2::zeros((classes, width));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_lies_where_one_of_its_shape_lay() {
        let mut buffers = Buffers::default();
        let places: Vec<*const f32> = (1..4)
            .map(|rows| {
                let matrix = buffers.take((rows, 5));
                let place = matrix.as_ptr();
                buffers.give(matrix);
                place
            })
            .collect();
        for rows in 1..4 {
            let matrix = buffers.take((rows, 5));
            assert_eq!((matrix.as_ptr(), matrix.dim()), (places[rows - 1], (rows, 5)));
        }
        (0..2 * SPARE).for_each(|rows| buffers.give(Array2::zeros((rows, 1))));
        assert_eq!(buffers.spare.len(), SPARE);
    }
}
