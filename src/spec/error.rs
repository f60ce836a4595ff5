//! The reasons why there is no spec.
//!
//! Rule: an error names the setting that is wrong, its value, and what would be right.

use ffp2p_proto::MAX_SHARDS;

use super::bounds::{MAX_CLASSES, MAX_EPOCH_STEPS, MAX_EPOCHS, MAX_WEIGHTS, SPEC_FORMAT};
use crate::ff;

/// A setting from which no spec can be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{setting}{}{value}: {problem}", if value.is_empty() { "" } else { " " })]
pub struct SpecError {
    /// The setting, by the name of its method in [`SpecBuilder`](super::SpecBuilder), or `data`.
    pub setting: &'static str,
    /// Its value; empty where none was given.
    pub value: String,
    /// The problem.
    pub problem: Problem,
}

/// The problem of a setting.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No epoch, or too many.
    #[error("choose 1 to {MAX_EPOCHS}")]
    Epochs,
    /// An empty mini-batch, or one larger than the training set.
    #[error("choose 1 to {samples}, the training samples there are")]
    BatchSize {
        /// Size of the training set.
        samples: u32,
    },
    /// A number of steps for an epoch that is a pass over the training samples.
    #[error(
        "an epoch is a pass over the training samples, unless the placement is federated; leave it out"
    )]
    EpochStepsUnused,
    /// An epoch without steps, or with too many.
    #[error("choose 1 to {MAX_EPOCH_STEPS}")]
    EpochSteps,
    /// A chapter without steps, or longer than an epoch.
    #[error("choose 1 to {steps_per_epoch}, the steps of an epoch")]
    ChapterSteps {
        /// Steps of an epoch.
        steps_per_epoch: u64,
    },
    /// More branches than a chapter has steps.
    #[error("choose 1 to {steps}, the steps of a chapter, or longer chapters with --chapter-steps")]
    BranchSteps {
        /// Steps of a chapter.
        steps: u64,
    },
    /// Branches where peers do not own any.
    #[error("only the placement all-layers cuts chapters into branches; choose it")]
    BranchPlacement,
    /// Rounded changes where shards are handed on again.
    #[error("refreshed activations need f32, or the placement all-layers")]
    RefreshedDelta,
    /// Fewer classes than the data have, or too many.
    #[error("choose {least}, the classes of the data, to {MAX_CLASSES}")]
    Classes {
        /// The classes of the data.
        least: usize,
    },
    /// An input that is not as wide as the data.
    #[error("the first width must be {width}, the pixels of {data}")]
    InputWidth {
        /// Pixels of a sample.
        width: usize,
        /// Id of the data.
        data: String,
    },
    /// A shift that moves images out of sight.
    #[error("choose less than {side}, the smaller side of an image")]
    Shift {
        /// The smaller side of an image, pixels.
        side: usize,
    },
    /// Too many shards in all.
    #[error("{found} shards (layers times shards of a layer) are more than {MAX_SHARDS}")]
    Shards {
        /// Shards in all.
        found: usize,
    },
    /// A network too large.
    #[error("more than {MAX_WEIGHTS} weights")]
    Weights,
    /// A network that cannot be trained.
    #[error(transparent)]
    Network(#[from] ff::SpecError),
    /// A classifier that the objective does not train.
    #[error("the softmax objective has no goodness classifier; leave it out")]
    NoGoodness,
    /// Adaptive negatives of private data.
    #[error(
        "the network's answer for each sample would have to go to the peers that train later \
         chapters, and nothing about a sample leaves a peer; choose random or fixed"
    )]
    PrivateNegatives,
    /// Merged checkpoints of private data.
    #[error("peers with data of their own hand on checkpoints as they are; choose f32")]
    PrivateDelta,
    /// Online activations of private data.
    #[error(
        "a peer that takes over computes the activations again, from its own data; choose refreshed"
    )]
    PrivateActivations,
    /// A spec too long to be sent.
    #[error("the names of its classes are too long; rename the folders")]
    ClassNames,
}

impl SpecError {
    /// `setting` has the wrong value `value`.
    pub(super) fn new(setting: &'static str, value: impl ToString, problem: Problem) -> Self {
        Self { setting, value: value.to_string(), problem }
    }
}

/// The reason why bytes are not a spec that this program can run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignSpecError {
    /// Not a spec at all.
    #[error("its spec is unknown to this version of ffp2p: {0}")]
    Syntax(String),
    /// Another version of the mathematics.
    #[error("its spec has format {0}, this program knows {SPEC_FORMAT}; use the same version")]
    Format(u32),
    /// A network that cannot be trained.
    #[error(transparent)]
    Network(#[from] ff::SpecError),
    /// More branches than a chapter has steps, branches where peers do not own any, or rounded
    /// changes where shards are handed on again.
    #[error(
        "the placement does not cut chapters into that many branches, or does not round what they change"
    )]
    Branches,
    /// A classifier that the objective does not train.
    #[error("the softmax objective has no goodness classifier")]
    Classifier,
    /// Private data about whose samples others would learn something.
    #[error(
        "with the federated placement, data are private, activations refreshed and negatives not adaptive; no other placement has private data"
    )]
    Private,
    /// Numbers that do not fit together.
    #[error("the spec's epochs, chapters, shards, weights, images or classes are out of range")]
    Range,
}

/// The reason why a data set is not that of a spec.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnfitError {
    /// It is another one.
    #[error("the run trains on another data set ({wanted}) than this one ({given})")]
    Data {
        /// The id of the data set.
        given: String,
        /// The id that the spec names.
        wanted: String,
    },
    /// No such run can be begun with it.
    #[error("its data set does not fit: {0}")]
    Spec(SpecError),
    /// What the spec says of its data set is not so.
    #[error("its spec says of its data set what is not so")]
    Form,
}
