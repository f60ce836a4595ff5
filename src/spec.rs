//! What determines a run: the spec, its canonical bytes, and its name.
//!
//! Rule: equal specs have equal bytes, hence equal run ids; a spec from a stranger passes the
//! same bounds as one typed here before anything is allocated for it.

pub use ffp2p_proto::Placement;
use ffp2p_proto::{Hash, LayerPlan, MAX_ROWS, Plan};
use serde::{Deserialize, Serialize};

use crate::data::PRIVATE;
use crate::ff::{NetworkSpec, Objective, Row, SpecError};

/// Grows when the same spec would give other bytes.
pub(crate) const SPEC_FORMAT: u32 = 2;

/// A canonical spec is at most this long, bytes.
pub const MAX_SPEC_BYTES: usize = 64 * 1024;

/// Characters of a stranger's error that are shown.
const MAX_SHOWN: usize = 200;

/// Weights of one run, at most: a stranger's spec must not take all memory.
pub(crate) const MAX_WEIGHTS: usize = 1 << 30;

/// The most epochs of one run.
pub(crate) const MAX_EPOCHS: u64 = 100_000;

/// Which activations a row hands on.
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

/// Everything that determines a run. Its canonical bytes are its JSON in this order of fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Version of the mathematics.
    pub format: u32,
    /// The data set's content id; where each peer has data of its own, their form.
    pub data: String,
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
        let inputs = network.input_width(Row { layer, shard: 0 });
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
    #[error("the spec's epochs, chapters, rows or weights are out of range")]
    Range,
}

/// What an error says of a stranger's bytes, whose words may be in it, for a terminal.
fn shown(error: &str) -> String {
    let visible = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    error.chars().take(MAX_SHOWN).map(visible).collect()
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
        let syntax = |error: serde_json::Error| ForeignSpecError::Syntax(shown(&error.to_string()));
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
        let keeps = spec.activations == HandedOn::Refreshed && network.feedback_row().is_none();
        if is_private != (spec.placement == Placement::Federated) || (is_private && !keeps) {
            return Err(ForeignSpecError::Private);
        }
        let in_range = (1..=MAX_EPOCHS).contains(&spec.epochs)
            && (1..=network.steps_per_epoch).contains(&spec.chapter_steps)
            && network.steps == spec.epochs.saturating_mul(network.steps_per_epoch)
            && network.rows().len() + usize::from(network.feedback_row().is_some()) <= MAX_ROWS
            && weights(network) <= MAX_WEIGHTS;
        if in_range { Ok(spec) } else { Err(ForeignSpecError::Range) }
    }

    /// The run's name: BLAKE3 of the canonical bytes.
    pub fn run_id(&self) -> Hash {
        Hash::of(&self.canonical())
    }

    /// The run as the decisions see it.
    pub fn plan(&self) -> Plan {
        let network = &self.network;
        let first = network.rows().into_iter().filter(|row| row.shard == 0);
        let layers = first.map(|row| LayerPlan {
            shards: network.shards as u16,
            step_cost: (network.step_macs(row) / 1000).max(1),
        });
        let feedback = network.feedback_row().map(|_| LayerPlan { shards: 1, step_cost: 1 });
        Plan {
            run: self.run_id(),
            layers: layers.chain(feedback).collect(),
            steps: network.steps,
            epoch_steps: network.steps_per_epoch,
            chapter_steps: self.chapter_steps,
            placement: self.placement,
            feedback: self.network.feedback_row().is_some(),
            refreshed: self.activations == HandedOn::Refreshed,
        }
    }
}
