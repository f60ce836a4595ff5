//! Dropout: units left out at random, drawn again in every training pass; evaluation leaves none out.
//!
//! Rule: whether a unit is left out follows from the seed, the shard, the step, the pass, the
//! sample's place in the mini-batch and the unit, so threads and owners cannot change it.
//!
//! It comes after the ReLU and before goodness and normalisation. What stays is scaled by
//! 1 / sqrt(1 - p), which keeps the expected goodness, hence the threshold's meaning. The softmax
//! objective reads normalised outputs only, where any scale cancels.

use crate::rng::{Key, Purpose, Stream};
use crate::spec::{NetworkSpec, Shard};

/// Draws of a unit are 16 bits, so probabilities are multiples of 2^-16.
const DRAWS: f32 = 65_536.0;

/// The dropout of a shard in one step.
#[derive(Debug)]
pub(crate) struct Dropout {
    stream: Stream,
    /// Draws below this leave a unit out.
    below: u16,
    scale: f32,
}

impl Dropout {
    /// The dropout of a shard in a step.
    pub(crate) fn new(spec: &NetworkSpec, shard: Shard, step: u64) -> Self {
        let (layer, shard) = (shard.layer as u32, shard.index as u32);
        let key = Key { layer, shard, epoch: step, ..Key::new(spec.seed, Purpose::Dropout) };
        let below = (spec.dropout * DRAWS + 0.5) as u16;
        let scale = 1.0 / (1.0 - f32::from(below) / DRAWS).sqrt();
        Self { stream: key.stream(), below, scale }
    }

    /// The dropout of evaluation: every unit stays as it is.
    pub(crate) fn none() -> Self {
        Self { stream: Key::new(0, Purpose::Dropout).stream(), below: 0, scale: 1.0 }
    }

    /// The factor of the units that stay.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// The mask that one thread applies to rows of `width` units.
    pub(crate) fn mask(&self, width: usize) -> Mask {
        let draws = if self.below > 0 { vec![[0; 2]; width] } else { Vec::new() };
        Mask { stream: self.stream.clone(), below: self.below, scale: self.scale, draws }
    }
}

/// A dropout with room for the draws of one row.
pub(crate) struct Mask {
    stream: Stream,
    below: u16,
    scale: f32,
    draws: Vec<[u8; 2]>,
}

impl Mask {
    /// Leaves units of a row out and scales the others; `index` is the row's place in the batch of
    /// all passes.
    pub(crate) fn apply(&mut self, index: usize, row: &mut [f32]) {
        if self.below == 0 {
            return;
        }
        self.stream.fill(index, self.draws.as_flattened_mut());
        for (x, draw) in row.iter_mut().zip(&self.draws) {
            *x = if u16::from_le_bytes(*draw) < self.below { 0.0 } else { *x * self.scale };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(dropout: f32, shard: Shard, step: u64, index: usize) -> Vec<f32> {
        let spec = NetworkSpec { dropout, ..NetworkSpec::hinton(vec![20, 1000], 4) };
        let mut ones = vec![1.0; 1000];
        Dropout::new(&spec, shard, step).mask(1000).apply(index, &mut ones);
        ones
    }

    #[test]
    fn the_expected_goodness_stays() {
        let shard = Shard { layer: 0, index: 0 };
        for p in [0.1, 0.5] {
            let rows: Vec<f32> = (0..300).flat_map(|index| masked(p, shard, 3, index)).collect();
            let dropped = rows.iter().filter(|&&x| x == 0.0).count() as f32 / rows.len() as f32;
            assert!((dropped - p).abs() < 0.005, "{dropped}");
            let goodness = rows.iter().map(|x| x * x).sum::<f32>() / rows.len() as f32;
            assert!((goodness - 1.0).abs() < 0.01, "{goodness}");
        }
        assert_eq!(masked(0.0, shard, 3, 7), [1.0; 1000]);
        assert!(masked(0.9, shard, 3, 7).iter().all(|x| x.is_finite()));
    }

    #[test]
    fn masks_are_independent_and_repeat() {
        let shard = Shard { layer: 1, index: 0 };
        let one = masked(0.5, shard, 5, 7);
        assert_eq!(masked(0.5, shard, 5, 7), one);
        let others = [
            masked(0.5, Shard { layer: 2, index: 0 }, 5, 7),
            masked(0.5, Shard { layer: 1, index: 1 }, 5, 7),
            masked(0.5, shard, 6, 7),
            masked(0.5, shard, 5, 8),
        ];
        for other in others {
            let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!((400..600).contains(&same), "{same}");
        }
    }

    #[test]
    fn evaluation_keeps_all() {
        let mut row = [1.5; 3];
        Dropout::none().mask(3).apply(0, &mut row);
        assert_eq!(row, [1.5; 3]);
    }
}
