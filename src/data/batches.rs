//! The samples of a step.
//!
//! Steps are numbered over the whole run; an epoch is a permutation of the samples, cut into
//! batches of one size.
//!
//! Rule: a step's samples follow from its number and the epoch's order alone, so any peer can begin
//! at any step. The few samples that do not fill a batch are left out of their epoch; another order
//! leaves out others.

/// The batches of a run over `n` samples.
///
/// `F` gives the order of an epoch: a permutation of `0..n`. The latest epoch's is kept, so
/// walking through the steps asks for each order once.
pub struct Batches<F> {
    n: u32,
    batch_size: u32,
    order: F,
    kept: Option<(u64, Vec<u32>)>,
}

/// A batch size that cannot make a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch of {batch_size} from {n} samples: choose a batch size from 1 to {n}")]
pub struct BatchSizeError {
    /// The size that was asked for.
    pub batch_size: u32,
    /// The samples there are.
    pub n: u32,
}

impl<F: Fn(u64) -> Vec<u32>> Batches<F> {
    /// Batches of `batch_size` out of `n` samples, ordered by `order(epoch)`.
    ///
    /// # Errors
    /// [`BatchSizeError`] unless `1 <= batch_size <= n`.
    pub fn new(n: u32, batch_size: u32, order: F) -> Result<Self, BatchSizeError> {
        if batch_size == 0 || batch_size > n {
            return Err(BatchSizeError { batch_size, n });
        }
        Ok(Self { n, batch_size, order, kept: None })
    }

    /// Full batches in an epoch, at least one.
    pub fn steps_per_epoch(&self) -> u64 {
        u64::from(self.n / self.batch_size)
    }

    /// The pass over the samples that a step is part of.
    pub fn epoch(&self, step: u64) -> u64 {
        step / self.steps_per_epoch()
    }

    /// The sample numbers of a step, `batch_size` of them, in the order they are trained.
    ///
    /// # Panics
    /// If `order` gives an epoch of another length than `n`.
    pub fn samples(&mut self, step: u64) -> Vec<u32> {
        let epoch = self.epoch(step);
        let start = (step % self.steps_per_epoch()) as usize * self.batch_size as usize;
        let order = match self.kept.take() {
            Some((kept, order)) if kept == epoch => order,
            _ => (self.order)(epoch),
        };
        assert_eq!(order.len(), self.n as usize, "an epoch's order holds every sample once");
        let samples = order[start..start + self.batch_size as usize].to_vec();
        self.kept = Some((epoch, order));
        samples
    }
}

impl<F> std::fmt::Debug for Batches<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches")
            .field("n", &self.n)
            .field("batch_size", &self.batch_size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn turned(epoch: u64) -> Vec<u32> {
        (0..10).map(|i| (i + epoch as u32) % 10).collect()
    }

    #[test]
    fn an_epoch_is_cut_into_full_batches_and_the_rest_is_dropped() {
        let mut batches = Batches::new(10, 4, turned).unwrap();
        assert_eq!(batches.steps_per_epoch(), 2);
        assert_eq!(batches.samples(0), [0, 1, 2, 3]);
        assert_eq!(batches.samples(1), [4, 5, 6, 7]);
        assert_eq!(batches.samples(2), [1, 2, 3, 4]);
        assert_eq!(batches.samples(7), [7, 8, 9, 0]);
    }

    #[test]
    fn a_step_is_the_same_wherever_one_begins() {
        let walk: Vec<_> = {
            let mut batches = Batches::new(10, 3, turned).unwrap();
            (0..12).map(|step| batches.samples(step)).collect()
        };
        for step in (0..12).rev() {
            let mut batches = Batches::new(10, 3, turned).unwrap();
            assert_eq!(batches.samples(step), walk[step as usize]);
        }
    }

    #[test]
    fn the_order_is_asked_for_once_an_epoch() {
        let asked = Cell::new(0);
        let order = |epoch| {
            asked.set(asked.get() + 1);
            turned(epoch)
        };
        let mut batches = Batches::new(10, 2, order).unwrap();
        (0..15).for_each(|step| assert_eq!(batches.samples(step).len(), 2));
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert_eq!(
            Batches::new(10, 0, turned).unwrap_err(),
            BatchSizeError { batch_size: 0, n: 10 }
        );
        let error = Batches::new(10, 11, turned).unwrap_err();
        assert!(error.to_string().contains("from 1 to 10"), "{error}");
        assert!(Batches::new(10, 10, turned).is_ok());
    }
}
