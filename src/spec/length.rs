//! How long a run is: its epochs, their steps, and its chapters.
//!
//! Rule: these are the same for all peers of a run, also where each has data of its own and knows
//! nothing of the others': there, an epoch is a number of steps, and not a pass over anybody's set.

use super::{SpecArgs, SpecArgsError, value};
use crate::spec::{MAX_EPOCHS, Placement};

/// Without `--chapter-steps`, a chapter has at most this many samples. What a checkpoint costs to
/// copy and to keep, beside the training between two of them, depends on this alone: a layer's
/// width counts in both. So few cost 3 % (docs/RECOVERY.md); a newcomer may have to wait for
/// the end of one for its first shard.
const USUAL_CHAPTER_SAMPLES: u64 = 20_000;

/// The epochs of the default run.
pub(super) const USUAL_EPOCHS: u64 = 8;

/// Steps of an epoch where each peer has data of its own: those of 60,000 samples, 100 a step.
pub(super) const USUAL_EPOCH_STEPS: u64 = 600;

/// Steps of an epoch, at most.
const MAX_EPOCH_STEPS: u64 = 1 << 32;

/// The length of a run.
pub(super) struct Length {
    pub(super) epochs: u64,
    pub(super) steps_per_epoch: u64,
    pub(super) chapter_steps: u64,
}

impl SpecArgs {
    /// The length of a run over `samples`, `batch_size` of them a step.
    pub(super) fn length(
        &self,
        placement: Placement,
        samples: u32,
        batch_size: usize,
    ) -> Result<Length, SpecArgsError> {
        let epochs = self.epochs.unwrap_or(USUAL_EPOCHS);
        if !(1..=MAX_EPOCHS).contains(&epochs) {
            return Err(value("epochs", epochs, format!("choose 1 to {MAX_EPOCHS}")));
        }
        let pass = u64::from(samples) / (batch_size as u64).max(1);
        if batch_size == 0 || pass == 0 {
            let reason = format!("choose 1 to {samples}, the training samples there are");
            return Err(value("batch-size", batch_size, reason));
        }
        let steps_per_epoch = match (placement, self.epoch_steps) {
            (Placement::Federated, given) => given.unwrap_or(USUAL_EPOCH_STEPS),
            (_, None) => pass,
            (_, Some(given)) => {
                let reason = "an epoch is a pass over the training samples, unless the placement \
                              is federated; leave it out";
                return Err(value("epoch-steps", given, reason.to_owned()));
            }
        };
        if !(1..=MAX_EPOCH_STEPS).contains(&steps_per_epoch) {
            let reason = format!("choose 1 to {MAX_EPOCH_STEPS}");
            return Err(value("epoch-steps", steps_per_epoch, reason));
        }
        let usual = || usual_chapter(steps_per_epoch, batch_size as u64);
        let chapter_steps = self.chapter_steps.unwrap_or_else(usual);
        if !(1..=steps_per_epoch).contains(&chapter_steps) {
            let reason = format!("choose 1 to {steps_per_epoch}, the steps of an epoch");
            return Err(value("chapter-steps", chapter_steps, reason));
        }
        Ok(Length { epochs, steps_per_epoch, chapter_steps })
    }
}

/// The largest divisor of an epoch that makes a short chapter.
pub(super) fn usual_chapter(steps_per_epoch: u64, batch_size: u64) -> u64 {
    let most = (USUAL_CHAPTER_SAMPLES / batch_size).clamp(1, steps_per_epoch);
    (1..=most)
        .rev()
        .find(|steps| steps_per_epoch.is_multiple_of(*steps))
        .filter(|&steps| steps * 3 >= most)
        .unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::usual_chapter;

    #[test]
    fn chapters_divide_an_epoch_where_they_can() {
        assert_eq!(usual_chapter(600, 100), 200);
        assert_eq!(usual_chapter(937, 64), 312);
        assert_eq!(usual_chapter(4, 100), 4);
        assert_eq!(usual_chapter(500, 100), 125);
        assert_eq!(usual_chapter(601, 100), 200);
        assert_eq!(usual_chapter(3, 20_000), 1);
    }
}
