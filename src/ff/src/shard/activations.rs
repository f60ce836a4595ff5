//! Activation batches: what a layer passes to the next one in a step.
//!
//! Rule: rows come in the order positive, negative, neutral pass, each in batch order; the softmax
//! objective has the neutral pass alone.

use ndarray::Array2;

use crate::numerics::Buffers;
use crate::numerics::matrix::columns_mut;

/// The outputs of a shard, or of a whole layer, that the next layer reads in one step of B samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Activations {
    /// 3B x H outputs (B x H with the softmax objective), row-major, none below zero; each row of
    /// each shard has mean square 1 or is all zero.
    pub states: Array2<f32>,
    /// B x classes logits of the neutral pass, row-major, accumulated over the layers so far; B x 0
    /// with the softmax objective.
    pub logits: Array2<f32>,
}

/// A layer's activations from its shards': states side by side in the order given, logits averaged.
///
/// # Panics
/// If there is no shard, or the shards differ in rows or classes.
#[must_use]
pub fn concat(shards: &[Activations]) -> Activations {
    side_by_side(shards, &mut Buffers::default())
}

/// As [`concat()`], in memory that was used before, to which that of the shards is added; one shard
/// is not copied.
pub(crate) fn concat_in(mut shards: Vec<Activations>, buffers: &mut Buffers) -> Activations {
    if shards.len() == 1 {
        return shards.swap_remove(0);
    }
    let all = side_by_side(&shards, buffers);
    shards.into_iter().for_each(|shard| buffers.give(shard.states));
    all
}

fn side_by_side(shards: &[Activations], buffers: &mut Buffers) -> Activations {
    let rows = shards[0].states.nrows();
    let width = shards.iter().map(|shard| shard.states.ncols()).sum();
    let mut states = buffers.take((rows, width));
    let mut logits = Array2::zeros(shards[0].logits.dim());
    let mut start = 0;
    for shard in shards {
        let end = start + shard.states.ncols();
        columns_mut(&mut states, start..end).assign(&shard.states);
        logits += &shard.logits;
        start = end;
    }
    logits *= 1.0 / shards.len() as f32;
    Activations { states, logits }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn shards_lie_side_by_side() {
        let a = Activations { states: array![[1.0], [2.0], [3.0]], logits: array![[1.0, 4.0]] };
        let b = Activations {
            states: array![[4.0, 5.0], [6.0, 7.0], [8.0, 9.0]],
            logits: array![[3.0, 0.0]],
        };
        let both = concat(&[a.clone(), b.clone()]);
        assert_eq!(both.states, array![[1.0, 4.0, 5.0], [2.0, 6.0, 7.0], [3.0, 8.0, 9.0]]);
        assert_eq!(both.logits, array![[2.0, 2.0]]);
        assert!(both.states.is_standard_layout());
        assert_eq!(concat(std::slice::from_ref(&a)), a);
        let mut buffers = Buffers::default();
        buffers.give(Array2::from_elem(both.states.dim(), 9.0));
        assert_eq!(concat_in(vec![a.clone()], &mut buffers), a);
        assert_eq!(concat_in(vec![a, b], &mut buffers), both);
    }
}
