//! The accuracy of a network on a data set.
//!
//! Rule: only the last epoch of a run is scored on the whole test set.

use ffp2p_proto::Score;

use crate::{
    data::{Data, gather},
    events::Event,
    ff::{self, Evaluation, Layers, Objective, Workers},
    spec::Spec,
};

/// Test samples that are scored after an epoch; after the last one, all are.
const PROGRESS_SAMPLES: usize = 2_000;

/// Test samples in memory as floating point at once.
const BLOCK: usize = 1_000;

/// Scores a network at the end of `epoch`, on a part of the test set; after the last epoch, on all.
///
/// # Errors
/// If a layer cannot be had.
pub(crate) fn score<L: Layers>(
    layers: &mut L,
    spec: &Spec,
    data: &Data,
    epoch: u64,
    workers: &dyn Workers,
) -> Result<Score, L::Error> {
    let found = evaluate(layers, data, data.test_labels(), scored_samples(spec, epoch), workers)?;
    Ok(Score {
        epoch,
        samples: found.samples,
        softmax_correct: found.softmax_correct,
        other_correct: other_correct(spec, &found),
    })
}

/// Number of test samples that are scored after an epoch, if there are that many.
pub(crate) fn scored_samples(spec: &Spec, epoch: u64) -> usize {
    if epoch == spec.epochs { usize::MAX } else { PROGRESS_SAMPLES }
}

/// Right answers of the other classifier than softmax: goodness, or the last layer alone where the
/// objective has no goodness to compare.
#[must_use]
pub fn other_correct(spec: &Spec, found: &Evaluation) -> u32 {
    match spec.network.objective {
        Objective::Goodness => found.goodness_correct,
        Objective::Softmax => found.layers_correct.last().copied().unwrap_or(0),
    }
}

/// Scores a network on the first `samples` test samples of `data`, of which these are the labels.
pub(super) fn evaluate<L: Layers>(
    layers: &mut L,
    data: &Data,
    labels: &[u8],
    samples: usize,
    workers: &dyn Workers,
) -> Result<Evaluation, L::Error> {
    let (images, _) = data.test(workers.count());
    let count = samples.min(labels.len());
    let mut total = Evaluation::default();
    for start in (0..count).step_by(BLOCK) {
        let end = (start + BLOCK).min(count);
        let samples: Vec<u32> = (start as u32..end as u32).collect();
        let pixels = gather(images, &samples);
        total = total.and(&ff::evaluate(layers, &pixels, &labels[start..end], workers)?);
    }
    Ok(total)
}

/// A score as an event.
pub(crate) fn eval_event(spec: &Spec, score: &Score) -> Event {
    let fraction = |correct: u32| f64::from(correct) / f64::from(score.samples.max(1));
    let other =
        |objective| (spec.network.objective == objective).then(|| fraction(score.other_correct));
    Event::Eval {
        epoch: score.epoch,
        samples: score.samples,
        softmax_accuracy: fraction(score.softmax_correct),
        goodness_accuracy: other(Objective::Goodness),
        last_layer_accuracy: other(Objective::Softmax),
    }
}
