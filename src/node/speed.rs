//! How fast this machine trains.
//!
//! Rule: what was trained counts; a machine without work looks for itself, so that who was slow
//! once need not be slow for ever. One busy second moves nothing.

use std::time::{Duration, Instant};

use crate::ff::{BareProducts, NetworkSpec, Workers};

/// Steps between two reports.
const STEPS: u32 = 32;

/// Share of the newest measurement in what is reported.
const SHARE: f64 = 0.2;

/// A trainer without work looks after this long, and again each time after so long.
const IDLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// For so long at least it looks.
const GLANCE: Duration = Duration::from_millis(60);

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

    /// The same of a machine that trains nothing: from the products of a step of the largest row.
    pub(super) fn glance(&mut self, spec: &NetworkSpec, workers: &dyn Workers) -> Option<u64> {
        let largest = spec.rows().into_iter().max_by_key(|row| spec.step_macs(*row))?;
        let mut products = BareProducts::of(spec, largest);
        // Memory that is used for the first time is slow.
        products.run(workers);
        let (begin, mut work) = (Instant::now(), 0);
        while begin.elapsed() < GLANCE {
            products.run(workers);
            work += products.macs();
        }
        Some(self.renew(work as f64 / begin.elapsed().as_secs_f64()))
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
