//! A spec, its canonical bytes, and the run id.
//!
//! Rule: equal specs have equal bytes, hence equal run ids; a spec from a stranger is within bounds
//! before anything is allocated for it.

use ffp2p_proto::{Hash, LayerPlan, MAX_SHARDS, Plan};
use serde::{Deserialize, Serialize};

use super::{
    bounds::{MAX_EPOCHS, MAX_SPEC_BYTES, MAX_WEIGHTS, SPEC_FORMAT},
    branches,
    choices::{ActivationKind, Classifier, Placement},
    error::ForeignSpecError,
    form::SampleForm,
    private,
};
use crate::{
    data::PRIVATE,
    ff::{NetworkSpec, Shard},
    text::shown,
};

/// Characters of a stranger's error that are shown.
const MAX_SHOWN: usize = 200;

/// Everything that determines a run. Its canonical bytes are its JSON in this order of fields.
///
/// ```
/// use ffp2p::{data::Data, spec::Spec};
///
/// let data = Data::open("digits:1000+100")?;
/// let spec = Spec::builder().layers([784, 100, 100]).epochs(2).build(&data)?;
/// assert_eq!(spec.network.steps, 20);
/// // Equal specs are the same run, and only those.
/// let again = Spec::from_canonical(&spec.canonical())?;
/// assert_eq!(again.run_id(), spec.run_id());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Version of the mathematics.
    pub format: u32,
    /// The data set's content id; where each peer has private data, their form.
    pub data: String,
    /// The form of its samples.
    pub form: SampleForm,
    /// The rule by which tasks go to peers.
    pub placement: Placement,
    /// The activations that layers output.
    pub activations: ActivationKind,
    /// The classifier whose answer comes first.
    pub classifier: Classifier,
    /// Passes over the training set.
    pub epochs: u64,
    /// Steps of a chapter.
    pub chapter_steps: u64,
    /// The mathematics.
    pub network: NetworkSpec,
}

/// The part that a spec of any version has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Weights of the layers, heads and biases aside.
pub(super) fn weights(network: &NetworkSpec) -> usize {
    let layer = |layer| {
        let inputs = network.input_width(Shard { layer, index: 0 });
        inputs.saturating_mul(network.layers[layer + 1])
    };
    (0..network.depth()).map(layer).sum()
}

/// The start of an error about a stranger's bytes, which may quote them.
fn start_of(error: &serde_json::Error) -> String {
    shown(&error.to_string()).chars().take(MAX_SHOWN).collect()
}

impl Spec {
    /// The canonical bytes: equal specs have equal bytes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a spec from canonical bytes, which may come from a stranger.
    ///
    /// # Errors
    /// If the bytes are not a spec, or its numbers are out of range.
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
        branches::check(network, (spec.placement, spec.activations), spec.chapter_steps)
            .map_err(|_| ForeignSpecError::Branches)?;
        let is_private = spec.data.starts_with(PRIVATE);
        let keeps = private::check(network, spec.activations).is_ok();
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

    /// The run id: BLAKE3 of the canonical bytes.
    #[must_use]
    pub fn run_id(&self) -> Hash {
        Hash::of(&self.canonical())
    }

    /// The run as the decisions see it.
    #[must_use]
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
            branches: network.branches,
            merged: self.placement == Placement::AllLayers && network.is_merged(),
            placement: self.placement,
            feedback: self.network.feedback_shard().is_some(),
            refreshed: self.activations == ActivationKind::Refreshed,
        }
    }
}
