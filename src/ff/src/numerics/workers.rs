//! Threads as an argument: the caller owns them, the mathematics only names independent work.
//!
//! Rule: work is split along independent outputs only, so a result never depends on how many
//! workers there are or on which of them finishes first.

/// One independent piece of work.
pub type Task<'a> = Box<dyn FnOnce() + Send + 'a>;

/// The kind of work that a thread does from now on, for a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Work for this layer.
    Layer(usize),
    /// This part of a step.
    Phase(Phase),
}

/// The parts of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Products with the weights, and the labels' share of them.
    Forward,
    /// Bias, ReLU, dropout, goodness, and outputs of mean square 1.
    Normalization,
    /// Directions of the pre-activations, bias and peer normalisation.
    Directions,
    /// The logits of the head, and their error.
    Head,
    /// Products that give the gradient of weights and head.
    Gradient,
    /// The update of weights and head.
    Optimizer,
    /// Activations as bytes, or rounded as bytes would be.
    Encoding,
}

/// Runs independent pieces of work; the result never depends on how.
pub trait Workers: Sync {
    /// Called by a thread that begins another kind of work. Changes nothing.
    fn mark(&self, _mark: Mark) {}

    /// Called where a thread may be made to wait while others compute. Changes nothing.
    fn turn(&self) {}

    /// The number of pieces worth making: the number of threads, at least 1.
    fn count(&self) -> usize;

    /// Runs every task to its end, in any order, before it returns.
    fn run<'a>(&self, tasks: Vec<Task<'a>>);
}

/// The calling thread alone, in order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Workers for Inline {
    fn count(&self) -> usize {
        1
    }

    fn run<'a>(&self, tasks: Vec<Task<'a>>) {
        for task in tasks {
            task();
        }
    }
}

/// The size of an equal share of `total` items, rounded up to a multiple of `unit`.
pub(crate) fn share(total: usize, unit: usize, workers: &dyn Workers) -> usize {
    let share = total.div_ceil(workers.count().max(1));
    share.next_multiple_of(unit).max(1)
}

/// Does `work` on every part; on one worker without a box, a queue or a thread.
pub(crate) fn each<'a, T, W>(
    workers: &dyn Workers,
    parts: impl Iterator<Item = T> + 'a,
    work: &'a W,
) where
    T: Send + 'a,
    W: Fn(T) + Sync,
{
    if workers.count() <= 1 {
        parts.for_each(work);
    } else {
        workers.run(parts.map(|part| Box::new(move || work(part)) as Task<'a>).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Scoped;

    #[test]
    fn every_part_is_done_once() {
        for count in 1..4 {
            let mut marks = [0u32; 37];
            let size = share(marks.len(), 4, &Scoped(count));
            assert_eq!(size % 4, 0);
            each(&Scoped(count), marks.chunks_mut(size), &|part: &mut [u32]| {
                part.iter_mut().for_each(|mark| *mark += 1);
            });
            assert!(marks.iter().all(|&mark| mark == 1));
        }
    }

    #[test]
    fn inline_keeps_the_order() {
        let order = std::sync::Mutex::new(Vec::new());
        let (first, second) = (|| order.lock().unwrap().push(1), || order.lock().unwrap().push(2));
        Inline.run(vec![Box::new(first), Box::new(second)]);
        assert_eq!(order.into_inner().unwrap(), [1, 2]);
    }
}
