//! The mathematics of a spec: what was asked for, what follows from the rest, and whether it fits.
//!
//! Rule: an error names the flag that it comes from, and what would be right.

use ffp2p_proto::MAX_SHARDS;

use super::{SpecArgs, SpecArgsError, given, named, value};
use crate::{
    data::Data,
    ff::{Encoding, LabelEmbedding, Negatives, NetworkSpec, Objective, Optimizer, SpecError},
    spec::{MAX_WEIGHTS, weights},
};

/// How activations of the default run are rounded.
pub(super) const USUAL_WIRE: Encoding = Encoding::U8;

/// The seed of the default run.
pub(super) const USUAL_SEED: u64 = 1;

impl SpecArgs {
    /// The mathematics, its steps aside. What is not given follows from objective and optimiser.
    pub(super) fn network_for(
        &self,
        layers: Vec<usize>,
        classes: usize,
    ) -> Result<NetworkSpec, SpecArgsError> {
        let objective: Objective = named("objective", &self.objective, "goodness")?;
        let optimizer: Optimizer = named("optimizer", &self.optimizer, "sgd")?;
        let usual = NetworkSpec::default_for(objective, optimizer, layers, classes);
        let negatives: Option<Negatives> = given("negatives", &self.negatives)?;
        let embedding: Option<LabelEmbedding> = given("label-embedding", &self.label_embedding)?;
        Ok(NetworkSpec {
            shards_per_layer: self.shards.unwrap_or(1),
            negatives: negatives.unwrap_or(usual.negatives),
            negative_temperature: self.negative_temperature.unwrap_or(usual.negative_temperature),
            label_embedding: embedding.unwrap_or(usual.label_embedding),
            label_strength: self.label_strength.unwrap_or(usual.label_strength),
            shift: self.shift.unwrap_or(usual.shift),
            flip: self.flip.unwrap_or(usual.flip),
            contrast_normalization: self
                .contrast_normalization
                .unwrap_or(usual.contrast_normalization),
            lr: self.lr.unwrap_or(usual.lr),
            head_lr: self.head_lr.unwrap_or(usual.head_lr),
            weight_decay: self.weight_decay.unwrap_or(usual.weight_decay),
            head_weight_decay: self.head_weight_decay.unwrap_or(usual.head_weight_decay),
            peer_normalization: self.peer_normalization.unwrap_or(usual.peer_normalization),
            dropout: self.dropout.unwrap_or(usual.dropout),
            encoding: given::<Encoding>("wire", &self.wire)?.unwrap_or(USUAL_WIRE),
            seed: self.seed.unwrap_or(USUAL_SEED),
            ..usual
        })
    }

    /// The network itself, its input width, and the number of its shards.
    pub(super) fn check_network(
        &self,
        network: &NetworkSpec,
        data: &Data,
    ) -> Result<(), SpecArgsError> {
        let text = network.layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let width = data.shape().width;
        if network.layers.first().is_some_and(|&input| input != width) {
            let reason = format!("the first width must be {width}, the pixels of {}", data.id());
            return Err(value("layers", text, reason));
        }
        network.check().map_err(|error| self.flagged(error, &text))?;
        let side = data.shape().height.min(data.shape().columns());
        if network.shift >= side {
            let reason = format!("choose less than {side}, the smaller side of an image");
            return Err(value("shift", network.shift, reason));
        }
        let shards = network.shards().len();
        if shards > MAX_SHARDS {
            let reason =
                format!("{shards} shards (layers times --shards) are more than {MAX_SHARDS}");
            return Err(value("layers", text, reason));
        }
        if weights(network) > MAX_WEIGHTS {
            return Err(value("layers", text, format!("more than {MAX_WEIGHTS} weights")));
        }
        Ok(())
    }

    /// A wrong network, with the flag that it comes from.
    fn flagged(&self, error: SpecError, layers: &str) -> SpecArgsError {
        let reason = error.to_string();
        if matches!(error, SpecError::Unused("negatives") | SpecError::NoNegatives) {
            value("negatives", self.negatives.as_deref().unwrap_or_default(), reason)
        } else if matches!(error, SpecError::Unused("label_embedding") | SpecError::NoLabels) {
            let given = self.label_embedding.as_deref().unwrap_or_default();
            value("label-embedding", given, reason)
        } else if let SpecError::Number(name) | SpecError::Unused(name) = error {
            value(name, "", reason)
        } else if error == SpecError::Dropout {
            value("dropout", self.dropout.unwrap_or_default(), reason)
        } else if error == SpecError::LabelStrength {
            value("label-strength", self.label_strength.unwrap_or_default(), reason)
        } else if error == SpecError::Temperature {
            value("negative-temperature", self.negative_temperature.unwrap_or_default(), reason)
        } else if let SpecError::Shift(shift) = error {
            value("shift", shift, reason)
        } else if matches!(error, SpecError::Width(_) | SpecError::Layers(_)) {
            value("layers", layers, reason)
        } else {
            error.into()
        }
    }
}
