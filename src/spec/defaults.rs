//! The defaults of a spec: the only place where they are.
//!
//! Rule: a default is a constant, or follows from other settings and from the data; so two specs of
//! the same data differ in a setting that was given, or are equal. The recipe of an objective and an
//! optimiser is [`NetworkSpec::default_for`].

use super::choices::{ActivationKind, Classifier, Placement};
use crate::ff::{Delta, NetworkSpec, Objective, Optimizer};

/// Widths of the layers above the input, which is as wide as the data.
const LAYERS: [usize; 4] = [500; 4];

/// Passes over the training set.
pub(super) const EPOCHS: u64 = 8;

/// Steps of an epoch where each peer has private data: those of 60,000 samples, 100 a step.
pub(super) const EPOCH_STEPS: u64 = 600;

/// Samples of a chapter, at most. What a checkpoint costs to copy and to keep, compared with the
/// training between two of them, depends on this alone: a layer's width counts in both. 20,000 samples
/// cost 3 % (docs/RECOVERY.md); a newcomer may have to wait for the end of a chapter for its first
/// shard.
const CHAPTER_SAMPLES: u64 = 20_000;

/// The rule by which tasks go to peers: the one that is faster on a LAN (docs/PERFORMANCE.md).
pub(super) const PLACEMENT: Placement = Placement::AllLayers;

/// Branches of a chapter where a mean of them loses little accuracy (docs/TRAINING.md, "Branches").
const BRANCHES: u16 = 4;

/// The objective of a layer.
pub(super) const OBJECTIVE: Objective = Objective::Goodness;

/// The optimiser.
pub(super) const OPTIMIZER: Optimizer = Optimizer::Sgd;

/// The classifier whose answer comes first.
pub(super) const CLASSIFIER: Classifier = Classifier::Softmax;

/// The activations that layers output.
pub(super) fn activations(placement: Placement) -> ActivationKind {
    if placement == Placement::Federated {
        ActivationKind::Refreshed
    } else {
        ActivationKind::Online
    }
}

/// The mathematics of a run, its steps aside, for samples of `input` pixels.
pub(super) fn network(
    objective: Objective,
    optimizer: Optimizer,
    input: usize,
    classes: usize,
) -> NetworkSpec {
    let layers = [&[input], &LAYERS[..]].concat();
    NetworkSpec::default_for(objective, optimizer, layers, classes)
}

/// Steps of a chapter: the largest divisor of an epoch of at most [`CHAPTER_SAMPLES`], unless that is
/// less than a third of them.
pub(super) fn chapter_steps(steps_per_epoch: u64, batch_size: u64) -> u64 {
    let most = (CHAPTER_SAMPLES / batch_size.max(1)).clamp(1, steps_per_epoch.max(1));
    (1..=most)
        .rev()
        .find(|steps| steps_per_epoch.is_multiple_of(*steps))
        .filter(|&steps| steps * 3 >= most)
        .unwrap_or(most)
}

/// Branches of a chapter of so many steps: several where the objective bears that, the placement hands them
/// out, and what they change is rounded.
pub(super) fn branches(
    objective: Objective,
    placement: Placement,
    activations: ActivationKind,
    chapter_steps: u64,
) -> u16 {
    let is_rounded = !delta(placement, activations).is_exact();
    if objective == Objective::Softmax && placement.cuts(BRANCHES) && is_rounded {
        BRANCHES.min(u16::try_from(chapter_steps).unwrap_or(u16::MAX)).max(1)
    } else {
        1
    }
}

/// The encoding of what a chapter changes: a byte a number, which loses no accuracy (docs/TRAINING.md,
/// "Branches"), except where each has data of its own or layers are computed again after a chapter.
pub(super) fn delta(placement: Placement, activations: ActivationKind) -> Delta {
    let is_exact = placement == Placement::Federated || activations == ActivationKind::Refreshed;
    if is_exact { Delta::F32 } else { Delta::U8 }
}

#[cfg(test)]
mod tests {
    use super::{branches, chapter_steps};
    use crate::{
        ff::Objective,
        spec::{ActivationKind, Placement},
    };

    #[test]
    fn only_what_bears_it_is_cut() {
        let (online, refreshed) = (ActivationKind::Online, ActivationKind::Refreshed);
        let all = |steps| branches(Objective::Softmax, Placement::AllLayers, online, steps);
        assert_eq!([all(200), all(3), all(0)], [4, 3, 1]);
        assert_eq!(branches(Objective::Softmax, Placement::AllLayers, refreshed, 200), 1);
        assert_eq!(branches(Objective::Goodness, Placement::AllLayers, online, 200), 1);
        assert_eq!(branches(Objective::Softmax, Placement::SingleLayer, online, 200), 1);
    }

    #[test]
    fn chapters_divide_an_epoch_where_they_can() {
        assert_eq!(chapter_steps(600, 100), 200);
        assert_eq!(chapter_steps(937, 64), 312);
        assert_eq!(chapter_steps(4, 100), 4);
        assert_eq!(chapter_steps(500, 100), 125);
        assert_eq!(chapter_steps(601, 100), 200);
        assert_eq!(chapter_steps(3, 20_000), 1);
    }
}
