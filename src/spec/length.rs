//! The length of a run: its epochs, their steps, and its chapters.
//!
//! Rule: it is the same for all peers of a run, also where each has private data and knows nothing of
//! the others': there, an epoch is a number of steps, and not a pass over anybody's set.

use super::{
    bounds::{MAX_EPOCH_STEPS, MAX_EPOCHS},
    builder::SpecBuilder,
    choices::Placement,
    defaults,
    error::{Problem, SpecError},
};

/// The length of a run.
pub(super) struct Length {
    pub(super) epochs: u64,
    pub(super) steps_per_epoch: u64,
    pub(super) chapter_steps: u64,
}

/// The length of a run over `samples` training samples, `batch_size` of them a step.
pub(super) fn length(
    settings: &SpecBuilder,
    placement: Placement,
    samples: u32,
    batch_size: usize,
) -> Result<Length, SpecError> {
    let epochs = settings.epochs.unwrap_or(defaults::EPOCHS);
    if !(1..=MAX_EPOCHS).contains(&epochs) {
        return Err(SpecError::new("epochs", epochs, Problem::Epochs));
    }
    let pass = u64::from(samples).checked_div(batch_size as u64).unwrap_or(0);
    if pass == 0 {
        return Err(SpecError::new("batch_size", batch_size, Problem::BatchSize { samples }));
    }
    let steps_per_epoch = match (placement, settings.epoch_steps) {
        (Placement::Federated, given) => given.unwrap_or(defaults::EPOCH_STEPS),
        (_, None) => pass,
        (_, Some(given)) => {
            return Err(SpecError::new("epoch_steps", given, Problem::EpochStepsUnused));
        }
    };
    if !(1..=MAX_EPOCH_STEPS).contains(&steps_per_epoch) {
        return Err(SpecError::new("epoch_steps", steps_per_epoch, Problem::EpochSteps));
    }
    let default = defaults::chapter_steps(steps_per_epoch, batch_size as u64);
    let chapter_steps = settings.chapter_steps.unwrap_or(default);
    if !(1..=steps_per_epoch).contains(&chapter_steps) {
        let problem = Problem::ChapterSteps { steps_per_epoch };
        return Err(SpecError::new("chapter_steps", chapter_steps, problem));
    }
    Ok(Length { epochs, steps_per_epoch, chapter_steps })
}
