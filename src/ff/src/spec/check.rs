//! The check of a spec: whether it can be trained, and if not, why.
//!
//! Rule: everything is checked here, by number and by name, before anything is allocated. A
//! field that the objective has no use for has one value only, so that equal runs are equal specs.

use super::{LabelEmbedding, Negatives, NetworkSpec, Objective};

/// The widest layer and the widest input.
const MAX_WIDTH: usize = 1 << 16;
/// The most layers above the input.
const MAX_LAYERS: usize = 256;
/// The largest mini-batch.
const MAX_BATCH: usize = 1 << 16;
/// Labels are one byte.
const MAX_CLASSES: usize = 256;
/// The largest share of units that is left out.
const MAX_DROPOUT: f32 = 0.9;
/// The largest value of a label's slot: its square has to be a number, too.
const MAX_LABEL_STRENGTH: f32 = 1e6;
/// The least temperature: logits over it have to be numbers.
const MIN_TEMPERATURE: f32 = 1e-6;
/// The most branches of a chapter.
pub const MAX_BRANCHES: u16 = 64;
/// The largest shift of an image.
const MAX_SHIFT: usize = 64;

/// The reason why a spec cannot be trained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Too few or too many layers.
    #[error("a network has an input and 1 to {MAX_LAYERS} layers, not {0} widths")]
    Layers(usize),
    /// A width of nothing or of too much.
    #[error("a layer has 1 to {MAX_WIDTH} units, not {0}")]
    Width(usize),
    /// Too few or too many classes.
    #[error("there are 2 to {MAX_CLASSES} classes, not {0}")]
    Classes(usize),
    /// No room for the label.
    #[error("an input of {input} values has no room for {classes} label slots")]
    LabelSlots {
        /// Width of the input.
        input: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A layer that does not split.
    #[error("a layer of {width} units does not split into {shards} equal shards")]
    Shards {
        /// Width of the layer.
        width: usize,
        /// Number of shards.
        shards: usize,
    },
    /// An empty or a huge mini-batch.
    #[error("a mini-batch has 1 to {MAX_BATCH} samples, not {0}")]
    BatchSize(usize),
    /// A run or an epoch without steps.
    #[error("a run and its epochs have at least one step")]
    Steps,
    /// No branch, or too many.
    #[error("a chapter has 1 to {MAX_BRANCHES} branches, not {0}")]
    Branches(u16),
    /// Branches whose tables would have to be averaged.
    #[error(
        "with adaptive negatives a chapter has one branch: the labels that they are drawn from have no \
         mean"
    )]
    BranchesOfLabels,
    /// An image that would be moved out of sight.
    #[error("images are shifted by 0 to {MAX_SHIFT} pixels, not {0}")]
    Shift(usize),
    /// Too few units left.
    #[error("a share of 0 to {MAX_DROPOUT} of the units is left out, no more")]
    Dropout,
    /// A label that outshines its image beyond measure.
    #[error("label_strength is 0 to {MAX_LABEL_STRENGTH}, no more")]
    LabelStrength,
    /// A number that is negative, infinite or NaN.
    #[error("{0} is a finite number, not below zero")]
    Number(&'static str),
    /// The goodness objective without wrong labels.
    #[error("the goodness objective needs negatives: choose adaptive, random or fixed")]
    NoNegatives,
    /// A temperature that is NaN or too low, or that nothing has a use for.
    #[error(
        "a temperature is a finite number of {MIN_TEMPERATURE} or more, and only adaptive negatives have one"
    )]
    Temperature,
    /// The goodness objective without labels.
    #[error("the goodness objective needs labels in its input: choose overlay or append")]
    NoLabels,
    /// A field that the objective has no use for.
    #[error("the softmax objective has no use for {0}; leave it out")]
    Unused(&'static str),
}

impl NetworkSpec {
    /// Whether the spec can be trained, and if not, why.
    ///
    /// ```
    /// use ffp2p_ff::{NetworkSpec, SpecError};
    ///
    /// let spec = NetworkSpec::hinton(vec![784, 500, 500], 10);
    /// assert_eq!(spec.check(), Ok(()));
    /// let spec = NetworkSpec { shards_per_layer: 3, ..spec };
    /// assert_eq!(spec.check(), Err(SpecError::Shards { width: 500, shards: 3 }));
    /// ```
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the fields.
    pub fn check(&self) -> Result<(), SpecError> {
        if !(2..=MAX_LAYERS + 1).contains(&self.layers.len()) {
            return Err(SpecError::Layers(self.layers.len()));
        }
        if let Some(&width) = self.layers.iter().find(|width| !(1..=MAX_WIDTH).contains(*width)) {
            return Err(SpecError::Width(width));
        }
        if !(2..=MAX_CLASSES).contains(&self.classes) {
            return Err(SpecError::Classes(self.classes));
        }
        if self.label_embedding == LabelEmbedding::Overlay && self.layers[0] < self.classes {
            return Err(SpecError::LabelSlots { input: self.layers[0], classes: self.classes });
        }
        let splits =
            |width: usize| self.shards_per_layer > 0 && width.is_multiple_of(self.shards_per_layer);
        if let Some(&width) = self.layers[1..].iter().find(|width| !splits(**width)) {
            return Err(SpecError::Shards { width, shards: self.shards_per_layer });
        }
        if !(1..=MAX_BATCH).contains(&self.batch_size) {
            return Err(SpecError::BatchSize(self.batch_size));
        }
        if self.steps == 0 || self.steps_per_epoch == 0 {
            return Err(SpecError::Steps);
        }
        if !(1..=MAX_BRANCHES).contains(&self.branches) {
            return Err(SpecError::Branches(self.branches));
        }
        if self.branches > 1 && self.feedback_shard().is_some() {
            return Err(SpecError::BranchesOfLabels);
        }
        if self.shift > MAX_SHIFT {
            return Err(SpecError::Shift(self.shift));
        }
        self.check_objective()?;
        self.check_numbers()
    }

    fn check_objective(&self) -> Result<(), SpecError> {
        let unused = match self.objective {
            Objective::Goodness if self.negatives == Negatives::None => {
                return Err(SpecError::NoNegatives);
            }
            Objective::Goodness if self.label_embedding == LabelEmbedding::None => {
                return Err(SpecError::NoLabels);
            }
            Objective::Goodness => [("", false); 4],
            Objective::Softmax => [
                ("negatives", self.negatives != Negatives::None),
                ("label_embedding", self.label_embedding != LabelEmbedding::None),
                ("label_strength", self.label_strength != 0.0),
                ("peer_normalization", self.peer_normalization != 0.0),
            ],
        };
        let (adaptive, temperature) = (self.feedback_shard().is_some(), self.negative_temperature);
        let is_one = temperature.is_finite() && temperature >= MIN_TEMPERATURE;
        if !is_one || !(adaptive || temperature == 1.0) {
            return Err(SpecError::Temperature);
        }
        match unused.iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) => Err(SpecError::Unused(name)),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), SpecError> {
        let numbers = [
            ("label_strength", self.label_strength),
            ("lr", self.lr),
            ("head_lr", self.head_lr),
            ("weight_decay", self.weight_decay),
            ("head_weight_decay", self.head_weight_decay),
            ("peer_normalization", self.peer_normalization),
            ("dropout", self.dropout),
        ];
        match numbers.iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            Some((name, _)) => Err(SpecError::Number(name)),
            None if self.dropout > MAX_DROPOUT => Err(SpecError::Dropout),
            None if self.label_strength > MAX_LABEL_STRENGTH => Err(SpecError::LabelStrength),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Optimizer;

    #[test]
    fn what_an_objective_has_no_use_for_is_refused() {
        let goodness = NetworkSpec::hinton(vec![20, 8], 4);
        let without = NetworkSpec { negatives: Negatives::None, ..goodness.clone() };
        assert_eq!(without.check(), Err(SpecError::NoNegatives));
        let without = NetworkSpec { label_embedding: LabelEmbedding::None, ..goodness.clone() };
        assert_eq!(without.check(), Err(SpecError::NoLabels));
        let append = LabelEmbedding::Append;
        let narrow = NetworkSpec { label_embedding: append, layers: vec![3, 8], ..goodness };
        assert_eq!(narrow.check(), Ok(()), "the slots are no pixels");
        let softmax = NetworkSpec::default_for(Objective::Softmax, Optimizer::Adam, vec![3, 8], 4);
        assert_eq!(softmax.check(), Ok(()), "no label slots, so three pixels are enough");
        let bad = [
            NetworkSpec { negatives: Negatives::Random, ..softmax.clone() },
            NetworkSpec { label_embedding: LabelEmbedding::Append, ..softmax.clone() },
            NetworkSpec { label_strength: 1.0, ..softmax.clone() },
            NetworkSpec { peer_normalization: 0.03, ..softmax.clone() },
        ];
        assert!(bad.iter().all(|spec| matches!(spec.check(), Err(SpecError::Unused(_)))));
    }

    #[test]
    fn a_bad_spec_is_refused() {
        let good = NetworkSpec::hinton(vec![20, 8, 6], 4);
        let adaptive = NetworkSpec { negatives: Negatives::Adaptive, ..good.clone() };
        let warm = NetworkSpec { negative_temperature: 2.0, ..adaptive.clone() };
        assert_eq!(warm.check(), Ok(()));
        let bad = [
            NetworkSpec { layers: vec![20], ..good.clone() },
            NetworkSpec { layers: vec![20, 0], ..good.clone() },
            NetworkSpec { layers: vec![3, 8], ..good.clone() },
            NetworkSpec { layers: vec![20, usize::MAX], ..good.clone() },
            NetworkSpec { classes: 1, ..good.clone() },
            NetworkSpec { classes: 257, ..good.clone() },
            NetworkSpec { shards_per_layer: 0, ..good.clone() },
            NetworkSpec { shards_per_layer: 4, ..good.clone() },
            NetworkSpec { batch_size: 0, ..good.clone() },
            NetworkSpec { steps: 0, ..good.clone() },
            NetworkSpec { steps_per_epoch: 0, ..good.clone() },
            NetworkSpec { lr: f32::NAN, ..good.clone() },
            NetworkSpec { label_strength: -1.0, ..good.clone() },
            NetworkSpec { branches: 0, ..good.clone() },
            NetworkSpec { branches: 65, ..good.clone() },
            NetworkSpec { branches: 2, ..adaptive.clone() },
            NetworkSpec { shift: 65, ..good.clone() },
            NetworkSpec { negative_temperature: 2.0, ..good.clone() },
            NetworkSpec { negative_temperature: 0.0, ..adaptive.clone() },
            NetworkSpec { negative_temperature: f32::NAN, ..adaptive.clone() },
            NetworkSpec { negative_temperature: 1e-40, ..adaptive.clone() },
            NetworkSpec { label_strength: 1e30, ..good.clone() },
            NetworkSpec { head_lr: f32::INFINITY, ..good.clone() },
            NetworkSpec { peer_normalization: f32::NAN, ..good.clone() },
            NetworkSpec { dropout: 0.95, ..good.clone() },
        ];
        assert!(bad.iter().all(|spec| spec.check().is_err()));
    }
}
