//! How fast this machine trains.
//!
//! Rule: what was trained counts; a machine without work looks for itself, so that who was slow
//! once need not be slow for ever. One busy second moves nothing.

use std::time::{Duration, Instant};

use ndarray::Array2;

use crate::ff::{Activations, NetworkSpec, RowState, Workers};

/// Steps between two reports.
const STEPS: u32 = 32;

/// Share of the newest measurement in what is reported.
const SHARE: f64 = 0.2;

/// A trainer without work looks after this long, and again each time after so long.
const IDLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// It looks so often, for so long at least; the best counts, because others may be busy, too.
const GLANCES: (u32, Duration) = (4, Duration::from_millis(20));

/// The speed, and what was done since it was last reported.
#[derive(Debug, Default)]
pub(super) struct Speed {
    steps: u32,
    /// Multiply-accumulates.
    work: u64,
    seconds: f64,
    /// Multiply-accumulates a second, smoothed; 0 before the first measurement.
    smoothed: f64,
    /// Whether it had anything to do yet, or looked.
    is_known: bool,
}

impl Speed {
    /// A step of so many multiply-accumulates, begun then, is done.
    pub(super) fn trained(&mut self, work: u64, begin: Instant) {
        self.steps += 1;
        self.work += work;
        self.seconds += begin.elapsed().as_secs_f64();
    }

    /// For how long to wait for work before [`Speed::glance`].
    pub(super) fn patience(&mut self) -> Duration {
        if std::mem::replace(&mut self.is_known, true) { IDLE.1 } else { IDLE.0 }
    }

    /// Millions of multiply-accumulates a second, every so many steps.
    pub(super) fn report(&mut self) -> Option<u64> {
        if self.steps < STEPS || self.seconds <= 0.0 {
            return None;
        }
        let measured = self.work as f64 / self.seconds;
        let old = if self.smoothed > 0.0 { self.smoothed } else { measured };
        Some(self.renew(old + SHARE * (measured - old)))
    }

    /// The same of a machine that trains nothing: from steps of a row of the last layer on made-up
    /// numbers. Bare products would be up to twice as fast. None if images are all that is read.
    pub(super) fn glance(&mut self, spec: &NetworkSpec, workers: &dyn Workers) -> Option<u64> {
        let row = spec.rows().into_iter().rfind(|row| row.layer > 0)?;
        let shape = (spec.objective.passes() * spec.batch_size, spec.input_width(row));
        let states = Array2::from_shape_fn(shape, |(i, j)| ((i + 7 * j) % 3) as f32);
        let logits = Array2::zeros((spec.batch_size, spec.logits_handed_on()));
        let (input, labels) = (Activations { states, logits }, vec![0; spec.batch_size]);
        let mut state = RowState::init(spec, row);
        // Memory that is used for the first time is slow.
        state.train(spec, row, &input, &labels, workers);
        let mut look = || {
            let (begin, mut work) = (Instant::now(), 0);
            while begin.elapsed() < GLANCES.1 {
                state.train(spec, row, &input, &labels, workers);
                work += spec.step_macs(row);
            }
            work as f64 / begin.elapsed().as_secs_f64()
        };
        let best = (0..GLANCES.0).map(|_| look()).fold(0.0, f64::max);
        Some(self.renew(best))
    }

    fn renew(&mut self, smoothed: f64) -> u64 {
        *self = Self { smoothed, is_known: true, ..Self::default() };
        (smoothed / 1e6) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ff::{Inline, Objective, Optimizer};

    #[test]
    fn a_machine_says_how_fast_it_is_with_work_and_without() {
        let spec = NetworkSpec::usual(Objective::Goodness, Optimizer::Sgd, vec![20, 30, 30], 4);
        let mut speed = Speed::default();
        assert_eq!((speed.report(), speed.patience()), (None, IDLE.0));
        assert!(speed.glance(&spec, &Inline).is_some_and(|found| found > 0));
        assert_eq!(speed.patience(), IDLE.1);
        let begin = Instant::now();
        (1..STEPS).for_each(|_| speed.trained(1_000_000_000_000, begin));
        assert_eq!(speed.report(), None);
        speed.trained(1_000_000_000_000, begin);
        assert!(speed.report().is_some_and(|found| found > 0));
        assert_eq!(speed.report(), None);
    }
}
