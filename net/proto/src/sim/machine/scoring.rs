//! Scoring an epoch, in the time that training leaves.
//!
//! Rule: it advances in short slices; while there is something to train, it gets a small part of the
//! time, and a larger one where other epochs wait for their scores.

use crate::Output;

/// The time that scoring gets at once, microseconds.
const SLICE_US: u64 = 20_000;

/// Parts of the time that training gets for each one of scoring, and the same where others wait.
const TRAINING_PARTS: (u64, u64) = (8, 1);

/// The epoch that is being scored.
#[derive(Debug, Default)]
pub(crate) struct Scoring {
    /// The job, and the time that it still takes alone, microseconds.
    current: Option<(Output, u64)>,
    /// Whether other epochs wait for it.
    hurries: bool,
    /// The time by which it has delayed the current training job, microseconds.
    delay: u64,
}

impl Scoring {
    /// Begins with an epoch, which takes `us` microseconds alone.
    pub(crate) fn begin(&mut self, epoch: Output, us: u64) {
        self.current = Some((epoch, us));
        self.hurries = false;
    }

    /// Other epochs wait for this one.
    pub(crate) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// Scores for a slice; returns the time until the next one, microseconds, and `None` once all
    /// is scored.
    pub(crate) fn slice(&mut self, trains: bool) -> Option<u64> {
        let (_, left) = self.current.as_mut()?;
        let slice = (*left).min(SLICE_US);
        *left -= slice;
        let parts = if self.hurries { TRAINING_PARTS.1 } else { TRAINING_PARTS.0 };
        self.delay += if trains { slice } else { 0 };
        (slice > 0).then_some(if trains { (1 + parts) * slice } else { slice })
    }

    /// Takes the epoch that was scored.
    pub(crate) fn take(&mut self) -> Option<Output> {
        self.current.take().map(|(epoch, _)| epoch)
    }

    /// Takes the time by which training was delayed since it was last asked for, microseconds.
    pub(crate) fn take_delay(&mut self) -> u64 {
        std::mem::take(&mut self.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scoring_leaves_training_most_of_the_time_until_others_wait() {
        let mut scoring = Scoring::default();
        assert_eq!(scoring.slice(true), None);
        scoring.begin(Output::Evaluate { epoch: 1, checkpoints: Vec::new() }, 3 * SLICE_US);
        assert_eq!((scoring.slice(true), scoring.take_delay()), (Some(9 * SLICE_US), SLICE_US));
        scoring.hurry();
        assert_eq!((scoring.slice(true), scoring.take_delay()), (Some(2 * SLICE_US), SLICE_US));
        assert_eq!((scoring.slice(false), scoring.take_delay()), (Some(SLICE_US), 0));
        assert_eq!(scoring.slice(false), None);
        assert!(scoring.take().is_some() && scoring.take().is_none());
    }
}
