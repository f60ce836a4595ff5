//! What determines the mathematics of a run, and nothing else.
//!
//! The rule: two equal specs give equal bytes. A spec that passes [`NetworkSpec::check`] can be
//! trained without further questions; one from a stranger is checked before anything is allocated.

use serde::{Deserialize, Serialize};

/// The widest layer and the widest input.
const MAX_WIDTH: usize = 1 << 16;
/// The most layers above the input.
const MAX_LAYERS: usize = 256;
/// The largest mini-batch.
const MAX_BATCH: usize = 1 << 16;
/// Labels are one byte.
const MAX_CLASSES: usize = 256;

/// What a layer is trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// High goodness for right labels, low for wrong ones (Hinton 2022, section 2, equation 1).
    Goodness,
}

/// Where the wrong labels of the negative pass come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// One wrong label per sample for the whole run (the paper's FixedNEG).
    Fixed,
    /// A wrong label per sample and epoch (the paper's RandomNEG).
    Random,
}

/// How gradients become weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Smoothed gradient (Hinton's ffnew.m): g <- 0.9 g + 0.1 gradient, w += lr (g - wd w).
    Sgd,
    /// Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019).
    Adam,
}

/// How activations are rounded on their way to the next layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    /// As they are: 4 bytes a value.
    F32,
    /// One byte a value and one f32 scale per row.
    U8,
}

/// The unit that has its own weights: a layer, or one shard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row {
    /// Layer, from 0.
    pub layer: usize,
    /// Shard of the layer, from 0.
    pub shard: usize,
}

/// Everything that determines the mathematics of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Widths, the input's first.
    pub layers: Vec<usize>,
    /// Number of classes; the first `classes` pixels of the input are the label slots.
    pub classes: usize,
    /// Equal groups of neurons a layer is split into, each a row of its own.
    pub shards: usize,
    /// What a layer is trained for.
    pub objective: Objective,
    /// Where wrong labels come from.
    pub negatives: Negatives,
    /// The value of a label's slot, in units of a pixel.
    pub label_strength: f32,
    /// How gradients become weights.
    pub optimizer: Optimizer,
    /// Learning rate of the layers.
    pub lr: f32,
    /// Learning rate of the heads.
    pub head_lr: f32,
    /// Weight decay of the layers' weights (biases have none), per unit of learning rate.
    pub weight_decay: f32,
    /// Weight decay of the heads, per unit of learning rate.
    pub head_weight_decay: f32,
    /// Strength of peer normalisation (`lambda` in ffnew.m).
    pub peer_normalization: f32,
    /// How activations are rounded on their way up.
    pub wire: Wire,
    /// Samples of a step.
    pub batch_size: usize,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// The seed of every random number.
    pub seed: u64,
}

/// Why a spec cannot be trained.
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
    /// A number that is negative, infinite or none.
    #[error("{0} is a finite number, not below zero")]
    Number(&'static str),
}

impl NetworkSpec {
    /// Hinton's recipe (ffnew.m): random negatives, smoothed gradient, peer normalisation, batches
    /// of 100; one epoch of one step, to be replaced by the caller.
    #[must_use]
    pub fn hinton(layers: Vec<usize>, classes: usize) -> Self {
        Self {
            layers,
            classes,
            shards: 1,
            objective: Objective::Goodness,
            negatives: Negatives::Random,
            label_strength: 1.0,
            optimizer: Optimizer::Sgd,
            lr: Optimizer::Sgd.default_lr(),
            head_lr: Optimizer::Sgd.default_head_lr(),
            weight_decay: 0.001,
            head_weight_decay: 0.003,
            peer_normalization: 0.03,
            wire: Wire::F32,
            batch_size: 100,
            steps: 1,
            steps_per_epoch: 1,
            seed: 0,
        }
    }

    /// Whether the spec can be trained, and if not, why.
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
        if self.layers[0] < self.classes {
            return Err(SpecError::LabelSlots { input: self.layers[0], classes: self.classes });
        }
        let splits = |width: usize| self.shards > 0 && width.is_multiple_of(self.shards);
        if let Some(&width) = self.layers[1..].iter().find(|width| !splits(**width)) {
            return Err(SpecError::Shards { width, shards: self.shards });
        }
        if !(1..=MAX_BATCH).contains(&self.batch_size) {
            return Err(SpecError::BatchSize(self.batch_size));
        }
        if self.steps == 0 || self.steps_per_epoch == 0 {
            return Err(SpecError::Steps);
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> Result<(), SpecError> {
        let numbers = [
            ("label_strength", self.label_strength),
            ("lr", self.lr),
            ("head_lr", self.head_lr),
            ("weight_decay", self.weight_decay),
            ("head_weight_decay", self.head_weight_decay),
            ("peer_normalization", self.peer_normalization),
        ];
        match numbers.iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            Some((name, _)) => Err(SpecError::Number(name)),
            None => Ok(()),
        }
    }

    /// Number of layers above the input.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.layers.len().saturating_sub(1)
    }

    /// Every row, layer by layer and shard by shard.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let layer = |layer| (0..self.shards).map(move |shard| Row { layer, shard });
        (0..self.depth()).flat_map(layer).collect()
    }

    /// How many values a row reads per sample and pass.
    #[must_use]
    pub fn input_width(&self, row: Row) -> usize {
        self.layers[row.layer]
    }

    /// How many units a row has; also its goodness threshold.
    #[must_use]
    pub fn width(&self, row: Row) -> usize {
        self.layers[row.layer + 1] / self.shards
    }

    /// Whether a layer's logits and goodness count: the first one's only when it is alone
    /// (`minlevelsup` in ffnew.m).
    #[must_use]
    pub fn counts(&self, layer: usize) -> bool {
        layer > 0 || self.depth() == 1
    }

    /// Multiply-accumulates of one step of a row, for sharing out work: the first layer makes two
    /// products (its three passes share one), an upper one five passes' worth; the head two.
    #[must_use]
    pub fn step_macs(&self, row: Row) -> u64 {
        let passes = if row.layer == 0 { 2 } else { 5 };
        let per_unit = passes * self.input_width(row) + 2 * self.classes;
        self.batch_size as u64 * self.width(row) as u64 * per_unit as u64
    }

    /// What the learning rate is multiplied by at a step, counted from 0: 1 for the first half of
    /// the run, then down to nearly 0 in a straight line (ffnew.m, by step instead of by epoch).
    #[must_use]
    pub fn gain(&self, step: u64) -> f32 {
        let left = self.steps.saturating_sub(step) as f64 / self.steps as f64;
        (2.0 * left).min(1.0) as f32
    }
}

impl Optimizer {
    /// The learning rate of the layers that suits this optimiser.
    #[must_use]
    pub fn default_lr(self) -> f32 {
        match self {
            Self::Sgd => 0.01,
            Self::Adam => 5e-4,
        }
    }

    /// The learning rate of the heads that suits this optimiser.
    #[must_use]
    pub fn default_head_lr(self) -> f32 {
        match self {
            Self::Sgd => 0.1,
            Self::Adam => 5e-4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_their_shapes() {
        let spec = NetworkSpec { shards: 2, ..NetworkSpec::hinton(vec![20, 8, 6], 4) };
        assert_eq!(spec.check(), Ok(()));
        let rows = spec.rows();
        assert!(rows.is_sorted());
        let shapes: Vec<_> = rows.iter().map(|r| (spec.input_width(*r), spec.width(*r))).collect();
        assert_eq!(shapes, [(20, 4), (20, 4), (8, 3), (8, 3)]);
        assert_eq!(spec.step_macs(rows[0]), 100 * (20 * 4 * 2 + 4 * 4 * 2));
        assert_eq!(spec.step_macs(rows[2]), 100 * (8 * 3 * 5 + 3 * 4 * 2));
    }

    #[test]
    fn a_bad_spec_is_refused() {
        let good = NetworkSpec::hinton(vec![20, 8, 6], 4);
        let bad = [
            NetworkSpec { layers: vec![20], ..good.clone() },
            NetworkSpec { layers: vec![20, 0], ..good.clone() },
            NetworkSpec { layers: vec![3, 8], ..good.clone() },
            NetworkSpec { layers: vec![20, usize::MAX], ..good.clone() },
            NetworkSpec { classes: 1, ..good.clone() },
            NetworkSpec { classes: 257, ..good.clone() },
            NetworkSpec { shards: 0, ..good.clone() },
            NetworkSpec { shards: 4, ..good.clone() },
            NetworkSpec { batch_size: 0, ..good.clone() },
            NetworkSpec { steps: 0, ..good.clone() },
            NetworkSpec { steps_per_epoch: 0, ..good.clone() },
            NetworkSpec { lr: f32::NAN, ..good.clone() },
            NetworkSpec { label_strength: -1.0, ..good.clone() },
        ];
        assert!(bad.iter().all(|spec| spec.check().is_err()));
    }

    #[test]
    fn gain_cools_down_over_the_second_half() {
        let spec = NetworkSpec { steps: 100, ..NetworkSpec::hinton(vec![20, 8], 4) };
        assert_eq!([spec.gain(0), spec.gain(50), spec.gain(75)], [1.0, 1.0, 0.5]);
        assert!(spec.gain(99) > 0.0 && spec.gain(99) < 0.03);
        assert_eq!(spec.gain(1000), 0.0);
    }
}
