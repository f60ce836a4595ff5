//! The speed of a run as `progress` events say it.
//!
//! Rule: steps are those of the slowest shard, over the time since the last event.

use std::time::{Duration, Instant};

/// Time between two `progress` events.
pub(crate) const PROGRESS: Duration = Duration::from_secs(1);

/// Measures how fast the slowest shard was between two `progress` events.
#[derive(Debug)]
pub(crate) struct StepRate {
    slowest: u64,
    at: Instant,
}

impl StepRate {
    /// Starts now, with no step done.
    pub(crate) fn start() -> Self {
        Self { slowest: 0, at: Instant::now() }
    }

    /// Time since the last report.
    pub(crate) fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// Reports the steps a second since the last report.
    pub(crate) fn report(&mut self, shards: &[u64]) -> f64 {
        let slowest = shards.iter().copied().min().unwrap_or(0);
        let before = std::mem::replace(self, Self { slowest, at: Instant::now() });
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(1e-3);
        slowest.saturating_sub(before.slowest) as f64 / seconds
    }
}
