//! A spec as the settings that give it, and which of them have to be given.
//!
//! Rule: every field of a spec is a setting or follows from those that are, so two specs of the same
//! data differ in a setting or are equal.

use super::{builder::SpecBuilder, canonical::Spec, choices::Placement, defaults};
use crate::{data::Source, ff::NetworkSpec};

/// A setting of a spec, as a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Its flag, without dashes in front.
    pub(crate) flag: String,
    /// Its value, as it is typed.
    pub(crate) value: String,
    /// Whether it follows from the other settings and from the data.
    pub(crate) is_default: bool,
}

/// The settings of a spec, its data aside, by flag; `data_classes` is the number of classes of its data,
/// those of the network where that is not known.
pub(crate) fn settings(spec: &Spec, data_classes: Option<usize>) -> Vec<Setting> {
    let defaults = defaults_of(spec, data_classes).by_flag();
    let setting = |(flag, value): (String, String)| {
        let is_default = defaults.get(&flag) == Some(&value);
        Setting { flag, value, is_default }
    };
    given(spec).by_flag().into_iter().map(setting).collect()
}

/// The settings that have to be given to be in the run of a spec, its data among them where anybody can
/// generate those.
pub(crate) fn typed_settings(spec: &Spec, data_classes: Option<usize>) -> Vec<Setting> {
    let all = data_setting(&spec.data).into_iter().chain(settings(spec, data_classes));
    all.filter(|setting| !setting.is_default).collect()
}

/// The setting for data that anybody can generate; `None` for data that lie in files.
pub(crate) fn data_setting(id: &str) -> Option<Setting> {
    let source = Source::of_id(id)?;
    let text = source.to_string();
    let value = text.strip_suffix(":0").unwrap_or(&text).to_owned();
    Some(Setting { flag: "data".to_owned(), value, is_default: source == Source::DIGITS })
}

/// Every setting but the data.
pub(super) fn given(spec: &Spec) -> SpecBuilder {
    // A new field has to find its setting here.
    let Spec {
        format: _,
        data: _,
        form: _,
        placement,
        activations,
        classifier,
        epochs,
        chapter_steps,
        network,
    } = spec;
    let federated = *placement == Placement::Federated;
    SpecBuilder {
        epochs: Some(*epochs),
        chapter_steps: Some(*chapter_steps),
        epoch_steps: federated.then_some(network.steps_per_epoch),
        placement: Some(*placement),
        classifier: Some(*classifier),
        activations: Some(*activations),
        ..given_network(network)
    }
}

/// Every setting of the network.
fn given_network(network: &NetworkSpec) -> SpecBuilder {
    // A new field has to find its setting here, too.
    let NetworkSpec {
        layers,
        classes,
        shards_per_layer,
        objective,
        negatives,
        negative_temperature,
        label_embedding,
        label_strength,
        shift,
        flip,
        contrast_normalization,
        optimizer,
        lr,
        head_lr,
        weight_decay,
        head_weight_decay,
        peer_normalization,
        dropout,
        encoding,
        delta,
        branches,
        batch_size,
        steps: _,
        steps_per_epoch: _,
        seed,
    } = network;
    SpecBuilder {
        layers: Some(layers.clone()),
        batch_size: Some(*batch_size),
        classes: Some(*classes),
        objective: Some(*objective),
        negatives: Some(*negatives),
        wire: Some(*encoding),
        delta: Some(*delta),
        branches: Some(*branches),
        optimizer: Some(*optimizer),
        lr: Some(*lr),
        head_lr: Some(*head_lr),
        weight_decay: Some(*weight_decay),
        head_weight_decay: Some(*head_weight_decay),
        peer_normalization: Some(*peer_normalization),
        dropout: Some(*dropout),
        negative_temperature: Some(*negative_temperature),
        label_embedding: Some(*label_embedding),
        label_strength: Some(*label_strength),
        shift: Some(*shift),
        flip: Some(*flip),
        contrast_normalization: Some(*contrast_normalization),
        shards: Some(*shards_per_layer),
        seed: Some(*seed),
        ..SpecBuilder::default()
    }
}

/// The same settings with the values that they have by default, the others being as they are.
fn defaults_of(spec: &Spec, data_classes: Option<usize>) -> SpecBuilder {
    let Spec { placement, network: own, .. } = spec;
    let NetworkSpec { layers, steps_per_epoch, batch_size, .. } = own;
    let input = layers.first().copied().unwrap_or(0);
    let classes = data_classes.unwrap_or(own.classes);
    let network = defaults::network(own.objective, own.optimizer, input, classes);
    let network = NetworkSpec {
        branches: defaults::branches(
            own.objective,
            *placement,
            spec.activations,
            spec.chapter_steps,
        ),
        delta: defaults::delta(*placement, spec.activations),
        lr: network.lr * network.lr_scale(own.branches),
        ..network
    };
    let defaults = Spec {
        placement: defaults::PLACEMENT,
        activations: defaults::activations(*placement),
        classifier: defaults::CLASSIFIER,
        epochs: defaults::EPOCHS,
        chapter_steps: defaults::chapter_steps(*steps_per_epoch, *batch_size as u64),
        network,
        ..spec.clone()
    };
    SpecBuilder {
        epoch_steps: (*placement == Placement::Federated).then_some(defaults::EPOCH_STEPS),
        objective: Some(defaults::OBJECTIVE),
        optimizer: Some(defaults::OPTIMIZER),
        ..given(&defaults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_data_can_be_asked_for() {
        let given = |id: &str| data_setting(id).map(|it| (it.value, it.is_default));
        let digits = "digits:v1:60000+10000:0";
        assert_eq!(given(digits), Some(("digits:60000+10000".to_owned(), true)));
        assert_eq!(given("digits:v1:20+5:9"), Some(("digits:20+5:9".to_owned(), false)));
        for other in ["digits:v9:20+5:9", "digits:v1:0+5:9", "digits:v1:x", "mnist:12", ""] {
            assert_eq!(given(other), None, "{other}");
        }
    }
}
