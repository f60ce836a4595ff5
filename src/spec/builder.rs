//! The settings of a spec, each given or left to its default.
//!
//! Rule: a setting has one name, which is that of its method here, of its key in TOML and, with dashes,
//! of its flag.

use std::collections::BTreeMap;

use super::{
    canonical::Spec,
    choices::{ActivationKind, Classifier, Placement, name},
};
use crate::ff::{Delta, Encoding, LabelEmbedding, Negatives, Objective, Optimizer};

macro_rules! builder {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// Builds a [`Spec`] from settings; those that are not given take their defaults.
        ///
        /// ```
        /// use ffp2p::{data::Data, ff::Objective, spec::Spec};
        ///
        /// let data = Data::open("digits:1000+100")?;
        /// let softmax = Spec::builder().objective(Objective::Softmax).epochs(3).build(&data)?;
        /// assert_eq!(softmax.network.layers, [784, 500, 500, 500, 500]);
        ///
        /// let error = Spec::builder().batch_size(2000).build(&data).unwrap_err();
        /// assert_eq!(error.setting, "batch_size");
        /// assert!(error.to_string().contains("choose 1 to 1000"));
        /// # Ok::<_, Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct SpecBuilder {
            pub(crate) layers: Option<Vec<usize>>,
            $(pub(crate) $name: Option<$type>,)*
        }

        impl SpecBuilder {
            /// Widths, the input's first. Default: the data's width, then four layers of 500.
            #[must_use]
            pub fn layers(mut self, layers: impl Into<Vec<usize>>) -> Self {
                self.layers = Some(layers.into());
                self
            }

            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = Some($name);
                    self
                }
            )*

            /// The settings that are given here, and for the rest those of `other`.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self {
                    layers: self.layers.or(other.layers),
                    $($name: self.$name.or(other.$name),)*
                }
            }

            /// The given settings as texts, by flag.
            pub(crate) fn by_flag(&self) -> BTreeMap<String, String> {
                let layers = self.layers.as_deref().map(widths);
                let all = [
                    ("layers", layers),
                    $((stringify!($name), self.$name.as_ref().map(Typed::typed)),)*
                ];
                let given = all.into_iter().filter_map(|(name, text)| Some((name, text?)));
                given.map(|(name, text)| (name.replace('_', "-"), text)).collect()
            }
        }
    };
}

builder! {
    /// Passes over the training set. Default: 8.
    epochs: u64,
    /// Samples of a step. Default: 100.
    batch_size: usize,
    /// Steps between checkpoints. Default: the largest divisor of an epoch up to 20,000 samples.
    chapter_steps: u64,
    /// Parts of a chapter that are trained from the same state and averaged. Default: 4 with the
    /// softmax objective and the all-layers placement; otherwise 1.
    branches: u16,
    /// Encoding of what a chapter changes. Default: a byte a number; as it is with the federated
    /// placement, and with refreshed activations.
    delta: Delta,
    /// Steps of an epoch, with the federated placement only. Default: 600.
    epoch_steps: u64,
    /// Number of classes, where the data lack the last ones. Default: those of the data.
    classes: usize,
    /// Rule by which tasks go to peers. Default: all-layers.
    placement: Placement,
    /// What a layer is trained for. Default: goodness.
    objective: Objective,
    /// Source of wrong labels. Default: random; none with the softmax objective.
    negatives: Negatives,
    /// Classifier whose answer comes first. Default: softmax.
    classifier: Classifier,
    /// Activations that layers output. Default: online; refreshed with the federated placement.
    activations: ActivationKind,
    /// Encoding of activations between layers. Default: one byte a value.
    wire: Encoding,
    /// Rule by which gradients change weights. Default: smoothed gradient.
    optimizer: Optimizer,
    /// Learning rate of the layers. Default: that of the objective and the optimiser; with the
    /// softmax objective times the root of the number of branches.
    lr: f32,
    /// Learning rate of the heads. Default: that of the objective and the optimiser.
    head_lr: f32,
    /// Weight decay of the layers. Default: that of the objective and the optimiser.
    weight_decay: f32,
    /// Weight decay of the heads. Default: that of the objective and the optimiser.
    head_weight_decay: f32,
    /// Strength of peer normalisation. Default: 0.03; 0 with the softmax objective.
    peer_normalization: f32,
    /// Share of a layer's units that each training pass leaves out. Default: 0.
    dropout: f32,
    /// Divisor of predictions before adaptive negatives are drawn from them. Default: 1.
    negative_temperature: f32,
    /// How labels enter the input. Default: overlay; none with the softmax objective.
    label_embedding: LabelEmbedding,
    /// Value of a label's slot, in units of a pixel. Default: 1; 0 with the softmax objective.
    label_strength: f32,
    /// Shift of each image, pixels each way at most, drawn again every epoch. Default: 0.
    shift: usize,
    /// Whether half of the images are mirrored, drawn again every epoch. Default: false.
    flip: bool,
    /// Whether images are taken as differences from their mean, in units of their root mean square.
    /// Default: false.
    contrast_normalization: bool,
    /// Shards of a layer, each with a goodness of its own. Default: 1.
    shards: usize,
    /// Seed of every random number. Default: 1.
    seed: u64,
}

/// A setting as it is typed.
trait Typed {
    fn typed(&self) -> String;
}

macro_rules! typed_as_displayed {
    ($($type:ty),*) => {
        $(impl Typed for $type {
            fn typed(&self) -> String {
                self.to_string()
            }
        })*
    };
}

macro_rules! typed_by_name {
    ($($type:ty),*) => {
        $(impl Typed for $type {
            fn typed(&self) -> String {
                name(self)
            }
        })*
    };
}

typed_as_displayed!(u16, u64, usize, f32, bool);
typed_by_name!(
    Placement,
    Objective,
    Negatives,
    Classifier,
    ActivationKind,
    Delta,
    Encoding,
    Optimizer,
    LabelEmbedding
);

/// Widths as they are typed.
pub(crate) fn widths(layers: &[usize]) -> String {
    layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Spec {
    /// Begins a spec with every setting at its default.
    #[must_use]
    pub fn builder() -> SpecBuilder {
        SpecBuilder::default()
    }
}

impl SpecBuilder {
    /// The given settings as flags for another process, in alphabetical order.
    #[must_use]
    pub fn to_flags(&self) -> Vec<String> {
        self.by_flag().into_iter().flat_map(|(flag, text)| [format!("--{flag}"), text]).collect()
    }
}
