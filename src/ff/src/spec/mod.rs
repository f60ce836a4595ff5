//! The spec: everything that determines the mathematics of a run, and nothing else.
//!
//! Rule: two equal specs give equal bytes. A spec that passes [`NetworkSpec::check`] can be
//! trained without further questions; one from a stranger is checked before anything is allocated.

mod check;

pub use check::{MAX_BRANCHES, SpecError};

use serde::{Deserialize, Serialize};

/// The objective that a layer is trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// High goodness for right labels, low for wrong ones (Hinton 2022, section 2, equation 1).
    Goodness,
    /// The shard's own softmax head is right: a local cross-entropy, without negatives and without a
    /// label in the input (the paper's Performance-Optimized network, section 4.4).
    Softmax,
}

/// The source of the wrong labels of the negative pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// One wrong label per sample for the whole run (the paper's FixedNEG).
    Fixed,
    /// A wrong label per sample and epoch (the paper's RandomNEG).
    Random,
    /// A wrong label per sample and epoch, drawn from what the network predicted earlier
    /// (the paper's AdaptiveNEG, with the draw of ffnew.m); random before that.
    Adaptive,
    /// There is no negative pass (the softmax objective).
    None,
}

/// The way in which labels enter the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelEmbedding {
    /// Over the first `classes` pixels (Hinton 2022, section 3.3).
    Overlay,
    /// Next to the pixels, in `classes` slots of their own before the first.
    Append,
    /// Not at all (the softmax objective).
    None,
}

/// The rule by which gradients change weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Smoothed gradient (Hinton's ffnew.m): g <- 0.9 g + 0.1 gradient, w += lr (g - wd w).
    Sgd,
    /// Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019).
    Adam,
}

/// The encoding of activations on their way to the next layer, and the rounding that it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As they are: 4 bytes a value.
    F32,
    /// One byte a value and one f32 scale per row.
    U8,
    /// Half a byte a value and one f32 scale per row.
    U4,
}

/// The encoding of what a chapter changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delta {
    /// The state as it is: 4 bytes a number.
    #[default]
    F32,
    /// One byte a number and one for each row.
    U8,
    /// Half a byte a number and one byte for each row.
    U4,
}

/// The unit that has its own weights: a layer, or one shard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shard {
    /// Layer, from 0.
    pub layer: usize,
    /// Shard of the layer, from 0.
    pub index: usize,
}

/// Everything that determines the mathematics of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Widths, the input's first: the pixels of an image.
    pub layers: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// Equal groups of neurons a layer is split into, each a shard of its own.
    #[serde(rename = "shards")]
    pub shards_per_layer: usize,
    /// The objective of every layer.
    pub objective: Objective,
    /// The source of wrong labels.
    pub negatives: Negatives,
    /// The divisor of the logits before adaptive negatives are drawn from their softmax; 1 for other
    /// negatives.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub negative_temperature: f32,
    /// The way in which labels enter the input.
    pub label_embedding: LabelEmbedding,
    /// The value of a label's slot, in units of a pixel, after contrast normalisation; 0 where the
    /// input has none.
    pub label_strength: f32,
    /// Each image is moved by -shift to shift pixels each way, drawn again every epoch.
    pub shift: usize,
    /// Whether half of the images are mirrored, drawn again every epoch.
    pub flip: bool,
    /// Whether each image is taken as its differences from its mean, in units of their root mean
    /// square (global contrast normalisation; Goodfellow et al. 2016, section 12.2.1.1).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contrast_normalization: bool,
    /// The rule by which gradients change weights.
    pub optimizer: Optimizer,
    /// Learning rate of the layers.
    pub lr: f32,
    /// Learning rate of the heads.
    pub head_lr: f32,
    /// Weight decay of the layers' weights (biases have none), per unit of learning rate.
    pub weight_decay: f32,
    /// Weight decay of the heads, per unit of learning rate.
    pub head_weight_decay: f32,
    /// Strength of peer normalisation (`lambda` in ffnew.m); 0 with the softmax objective.
    pub peer_normalization: f32,
    /// Share of a shard's units that each training pass leaves out.
    pub dropout: f32,
    /// The encoding of activations between layers.
    #[serde(rename = "wire")]
    pub encoding: Encoding,
    /// The encoding of what a chapter changes, and the rounding that it brings.
    #[serde(default, skip_serializing_if = "Delta::is_exact")]
    pub delta: Delta,
    /// Parts of a chapter that are trained from the same state and averaged; 1 for one after the other.
    #[serde(default = "one_branch", skip_serializing_if = "is_one_branch")]
    pub branches: u16,
    /// Samples of a step.
    pub batch_size: usize,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// The seed of every random number.
    pub seed: u64,
}

/// The temperature of a softmax that is taken as it is.
fn one() -> f32 {
    1.0
}

fn is_one(value: &f32) -> bool {
    *value == one()
}

/// A chapter that is trained step after step.
fn one_branch() -> u16 {
    1
}

fn is_one_branch(branches: &u16) -> bool {
    *branches == one_branch()
}

impl Delta {
    /// Whether nothing is rounded.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        *self == Self::F32
    }
}

impl Objective {
    /// The passes of a mini-batch: positive, negative and neutral, or the neutral one alone.
    #[must_use]
    pub fn passes(self) -> usize {
        match self {
            Self::Goodness => 3,
            Self::Softmax => 1,
        }
    }

    /// The passes, from the first, that a shard's weights learn from.
    pub(crate) fn cases(self) -> usize {
        match self {
            Self::Goodness => 2,
            Self::Softmax => 1,
        }
    }
}

impl NetworkSpec {
    /// Hinton's recipe (ffnew.m): random negatives, smoothed gradient, peer normalisation, batches
    /// of 100; one epoch of one step, to be replaced by the caller.
    #[must_use]
    pub fn hinton(layers: Vec<usize>, classes: usize) -> Self {
        Self::default_for(Objective::Goodness, Optimizer::Sgd, layers, classes)
    }

    /// The defaults of an objective and an optimiser; otherwise as [`NetworkSpec::hinton`].
    #[must_use]
    pub fn default_for(
        objective: Objective,
        optimizer: Optimizer,
        layers: Vec<usize>,
        classes: usize,
    ) -> Self {
        let contrasts = objective == Objective::Goodness;
        let label_embedding =
            if contrasts { LabelEmbedding::Overlay } else { LabelEmbedding::None };
        let [lr, head_lr, weight_decay, head_weight_decay] = objective.rates(optimizer);
        Self {
            layers,
            classes,
            shards_per_layer: 1,
            objective,
            negatives: if contrasts { Negatives::Random } else { Negatives::None },
            negative_temperature: one(),
            label_embedding,
            label_strength: if contrasts { 1.0 } else { 0.0 },
            shift: 0,
            flip: false,
            contrast_normalization: false,
            optimizer,
            lr,
            head_lr,
            weight_decay,
            head_weight_decay,
            peer_normalization: if contrasts { 0.03 } else { 0.0 },
            dropout: 0.0,
            encoding: Encoding::U8,
            delta: Delta::F32,
            branches: one_branch(),
            batch_size: 100,
            steps: 1,
            steps_per_epoch: 1,
            seed: 1,
        }
    }

    /// The factor of the learning rate where a chapter is cut into so many branches. Their mean is
    /// less noisy than each of them, by the root of their number, and they take fewer steps in a
    /// row. Goodness diverges with larger steps.
    #[must_use]
    pub fn lr_scale(&self, branches: u16) -> f32 {
        match self.objective {
            Objective::Softmax => f32::from(branches.max(1)).sqrt(),
            Objective::Goodness => 1.0,
        }
    }

    /// Number of layers above the input.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.layers.len().saturating_sub(1)
    }

    /// Every shard, layer by layer and shard by shard.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        let layer = |layer| (0..self.shards_per_layer).map(move |index| Shard { layer, index });
        (0..self.depth()).flat_map(layer).collect()
    }

    /// The shard above the last layer that draws wrong labels from its logits; it has no weights and
    /// is no part of the model.
    #[must_use]
    pub fn feedback_shard(&self) -> Option<Shard> {
        let shard = Shard { layer: self.depth(), index: 0 };
        (self.negatives == Negatives::Adaptive).then_some(shard)
    }

    /// The first shard of the last layer.
    #[must_use]
    pub fn top_shard(&self) -> Shard {
        Shard { layer: self.depth().saturating_sub(1), index: 0 }
    }

    /// Whether the outputs of a shard have states: above the last layer only logits are read.
    #[must_use]
    pub fn outputs_states(&self, shard: Shard) -> bool {
        shard.layer + 1 < self.depth() || self.feedback_shard().is_none()
    }

    /// The number of values that a shard reads per sample and pass.
    #[must_use]
    pub fn input_width(&self, shard: Shard) -> usize {
        let appended = shard.layer == 0 && self.label_embedding == LabelEmbedding::Append;
        self.layers[shard.layer] + if appended { self.classes } else { 0 }
    }

    /// The number of units of a shard; also its goodness threshold.
    #[must_use]
    pub fn width(&self, shard: Shard) -> usize {
        self.layers[shard.layer + 1] / self.shards_per_layer
    }

    /// The number of logits that a shard outputs per sample: heads that correct the layers below read
    /// the logits of those, a head that stands alone does not.
    #[must_use]
    pub fn output_logits(&self) -> usize {
        match self.objective {
            Objective::Goodness => self.classes,
            Objective::Softmax => 0,
        }
    }

    /// Whether a layer's logits and goodness count. Where labels enter the input, the first one's
    /// count only when it is alone (`minlevelsup` in ffnew.m).
    #[must_use]
    pub fn counts(&self, layer: usize) -> bool {
        layer > 0 || self.depth() == 1 || self.objective == Objective::Softmax
    }

    /// Multiply-accumulates of one step of a shard, for sharing out work. Goodness: the first layer
    /// makes two products (its three passes share one), an upper one five passes' worth, the head
    /// two. Softmax: two products, and the head three.
    #[must_use]
    pub fn step_macs(&self, shard: Shard) -> u64 {
        let (products, head) = match (self.objective, shard.layer) {
            (Objective::Goodness, 0) => (2, 2),
            (Objective::Goodness, _) => (5, 2),
            (Objective::Softmax, _) => (2, 3),
        };
        let per_unit = products * self.input_width(shard) + head * self.classes;
        self.batch_size as u64 * self.width(shard) as u64 * per_unit as u64
    }

    /// The factor of the learning rate at a step, counted from 0: 1 for the first half of
    /// the run, then down to nearly 0 in a straight line (ffnew.m, by step instead of by epoch).
    #[must_use]
    pub fn gain(&self, step: u64) -> f32 {
        let left = self.steps.saturating_sub(step) as f64 / self.steps as f64;
        (2.0 * left).min(1.0) as f32
    }
}

impl Objective {
    /// The defaults for an optimiser: learning rates of layers and heads, weight decay of both.
    fn rates(self, optimizer: Optimizer) -> [f32; 4] {
        match (self, optimizer) {
            (Self::Goodness, Optimizer::Sgd) => [0.01, 0.1, 0.001, 0.003],
            (Self::Goodness, Optimizer::Adam) => [5e-4, 5e-4, 0.001, 0.003],
            (Self::Softmax, Optimizer::Sgd) => [1.0, 0.1, 0.0, 0.0],
            (Self::Softmax, Optimizer::Adam) => [0.001, 0.001, 0.1, 0.1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_their_shapes() {
        let spec = NetworkSpec { shards_per_layer: 2, ..NetworkSpec::hinton(vec![20, 8, 6], 4) };
        assert_eq!(spec.check(), Ok(()));
        let shards = spec.shards();
        assert!(shards.is_sorted());
        let shapes: Vec<_> =
            shards.iter().map(|it| (spec.input_width(*it), spec.width(*it))).collect();
        assert_eq!(shapes, [(20, 4), (20, 4), (8, 3), (8, 3)]);
        assert_eq!(spec.step_macs(shards[0]), 100 * (20 * 4 * 2 + 4 * 4 * 2));
        assert_eq!(spec.step_macs(shards[2]), 100 * (8 * 3 * 5 + 3 * 4 * 2));
        let spec = NetworkSpec::default_for(Objective::Softmax, Optimizer::Sgd, vec![20, 8, 6], 4);
        assert_eq!(spec.step_macs(shards[0]), 100 * (20 * 8 * 2 + 8 * 4 * 3));
    }

    #[test]
    fn gain_cools_down_over_the_second_half() {
        let spec = NetworkSpec { steps: 100, ..NetworkSpec::hinton(vec![20, 8], 4) };
        assert_eq!([spec.gain(0), spec.gain(50), spec.gain(75)], [1.0, 1.0, 0.5]);
        assert!(spec.gain(99) > 0.0 && spec.gain(99) < 0.03);
        assert_eq!(spec.gain(1000), 0.0);
    }
}
