//! What determines a run: the spec, its canonical bytes, and its name.
//!
//! Rule: equal specs have equal bytes, hence equal run ids; a spec from a stranger passes the
//! same bounds as one typed here before anything is allocated for it.

use std::fmt;

pub use ffp2p_proto::Placement;
use ffp2p_proto::{Hash, LayerPlan, MAX_SHARDS, Plan};
use serde::{Deserialize, Serialize};

use crate::data::{Data, PRIVATE};
use crate::ff::{NetworkSpec, Objective, Shard, SpecError};
use crate::text::shown;

/// Grows when the same spec would give other bytes.
pub(crate) const SPEC_FORMAT: u32 = 3;

/// A canonical spec is at most this long, bytes.
pub const MAX_SPEC_BYTES: usize = 64 * 1024;

/// Characters of a stranger's error that are shown.
const MAX_SHOWN: usize = 200;

/// Weights of one run, at most: a stranger's spec must not take all memory.
pub(crate) const MAX_WEIGHTS: usize = 1 << 30;

/// The most epochs of one run.
pub(crate) const MAX_EPOCHS: u64 = 100_000;

/// Which activations a shard hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandedOn {
    /// Those of the training pass itself (Hinton 2022).
    Online,
    /// Made anew after each chapter, with the weights at its end (the paper, algorithm 1).
    Refreshed,
}

/// Whose answer is shown first, and given by `predict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classifier {
    /// Every label hypothesis, the one with the largest goodness.
    Goodness,
    /// One neutral pass through the heads.
    Softmax,
}

impl Classifier {
    /// Whether the objective trains it.
    pub fn suits(self, objective: Objective) -> bool {
        self == Self::Softmax || objective == Objective::Goodness
    }
}

/// What a sample looks like, and what its label means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleForm {
    /// Planes of an image: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows of an image, pixels.
    pub height: usize,
    /// Columns of an image, pixels.
    pub width: usize,
    /// The classes' names, by label; empty where they are called by their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

impl SampleForm {
    /// The form of a data set.
    pub(crate) fn of(data: &Data) -> Self {
        let shape = data.shape();
        let is_numbered = data.names().iter().enumerate().all(|(i, name)| *name == i.to_string());
        let classes = if is_numbered { Vec::new() } else { data.names().to_vec() };
        let (channels, height, width) = (shape.channels, shape.height, shape.columns());
        Self { channels, height, width, classes }
    }

    /// The names of `count` classes, by label: those that have no name are called by their number.
    pub fn names(&self, count: usize) -> Vec<String> {
        let number = |label: usize| label.to_string();
        let name = |label| self.classes.get(label).cloned().unwrap_or_else(|| number(label));
        (0..count).map(name).collect()
    }

    /// Whether a network of such an input and so many classes can be meant.
    fn fits(&self, network: &NetworkSpec) -> bool {
        let pixels = self.height.checked_mul(self.width).and_then(|n| n.checked_mul(self.channels));
        let mut names: Vec<_> = self.classes.iter().filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        pixels.is_some_and(|pixels| network.layers.first() == Some(&pixels))
            && names.len() == self.classes.len()
            && names.len() <= network.classes
    }
}

impl fmt::Display for SampleForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.channels == 1 { "grey" } else { "RGB" };
        write!(f, "{} x {} {kind}", self.width, self.height)
    }
}

/// Everything that determines a run. Its canonical bytes are its JSON in this order of fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Version of the mathematics.
    pub format: u32,
    /// The data set's content id; where each peer has data of its own, their form.
    pub data: String,
    /// What its samples look like and its labels mean.
    pub form: SampleForm,
    /// By which rule cells go to peers.
    pub placement: Placement,
    /// Which activations are handed on.
    pub activations: HandedOn,
    /// Whose answer leads.
    pub classifier: Classifier,
    /// Passes over the training set.
    pub epochs: u64,
    /// Steps of a chapter.
    pub chapter_steps: u64,
    /// The mathematics.
    pub network: NetworkSpec,
}

/// What a spec of any version has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Weights of the layers, heads and biases aside.
pub(crate) fn weights(network: &NetworkSpec) -> usize {
    let layer = |layer| {
        let inputs = network.input_width(Shard { layer, index: 0 });
        inputs.saturating_mul(network.layers[layer + 1])
    };
    (0..network.depth()).map(layer).sum()
}

/// Why bytes are not a spec that this program can run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignSpecError {
    /// Not a spec at all.
    #[error("its spec is none that this version of ffp2p knows: {0}")]
    Syntax(String),
    /// Another version of the mathematics.
    #[error("its spec has format {0}, this program knows {SPEC_FORMAT}; use the same version")]
    Format(u32),
    /// A network that cannot be trained.
    #[error(transparent)]
    Network(#[from] SpecError),
    /// A classifier that the objective does not train.
    #[error("the softmax objective has no goodness classifier")]
    Classifier,
    /// Private data whose samples others would hear of.
    #[error(
        "with the federated placement, data are private, activations refreshed and negatives not adaptive; no other placement has private data"
    )]
    Private,
    /// Numbers that do not fit together.
    #[error("the spec's epochs, chapters, shards, weights, images or classes are out of range")]
    Range,
}

/// What an error says of a stranger's bytes, whose words may be in it, not all of a long one.
fn start_of(error: &serde_json::Error) -> String {
    shown(&error.to_string()).chars().take(MAX_SHOWN).collect()
}

impl Spec {
    /// The bytes that name the run.
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A spec from somebody else's canonical bytes.
    ///
    /// # Errors
    /// If they are not such, or what they say is out of range.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, ForeignSpecError> {
        if bytes.len() > MAX_SPEC_BYTES {
            return Err(ForeignSpecError::Range);
        }
        let syntax = |error: serde_json::Error| ForeignSpecError::Syntax(start_of(&error));
        let Format { format } = serde_json::from_slice(bytes).map_err(syntax)?;
        if format != SPEC_FORMAT {
            return Err(ForeignSpecError::Format(format));
        }
        let spec: Self = serde_json::from_slice(bytes).map_err(syntax)?;
        spec.network.check()?;
        if !spec.classifier.suits(spec.network.objective) {
            return Err(ForeignSpecError::Classifier);
        }
        let network = &spec.network;
        let is_private = spec.data.starts_with(PRIVATE);
        let keeps = spec.activations == HandedOn::Refreshed && network.feedback_shard().is_none();
        if is_private != (spec.placement == Placement::Federated) || (is_private && !keeps) {
            return Err(ForeignSpecError::Private);
        }
        let in_range = (1..=MAX_EPOCHS).contains(&spec.epochs)
            && (1..=network.steps_per_epoch).contains(&spec.chapter_steps)
            && network.steps == spec.epochs.saturating_mul(network.steps_per_epoch)
            && network.shards().len() + usize::from(network.feedback_shard().is_some())
                <= MAX_SHARDS
            && weights(network) <= MAX_WEIGHTS
            && spec.form.fits(network);
        if in_range { Ok(spec) } else { Err(ForeignSpecError::Range) }
    }

    /// The run's name: BLAKE3 of the canonical bytes.
    pub fn run_id(&self) -> Hash {
        Hash::of(&self.canonical())
    }

    /// The run as the decisions see it.
    pub fn plan(&self) -> Plan {
        let network = &self.network;
        let first = network.shards().into_iter().filter(|shard| shard.index == 0);
        let layers = first.map(|shard| LayerPlan {
            shards: network.shards_per_layer as u16,
            step_cost: (network.step_macs(shard) / 1000).max(1),
        });
        let feedback = network.feedback_shard().map(|_| LayerPlan { shards: 1, step_cost: 1 });
        Plan {
            run: self.run_id(),
            layers: layers.chain(feedback).collect(),
            steps: network.steps,
            epoch_steps: network.steps_per_epoch,
            chapter_steps: self.chapter_steps,
            placement: self.placement,
            feedback: self.network.feedback_shard().is_some(),
            refreshed: self.activations == HandedOn::Refreshed,
        }
    }
}
