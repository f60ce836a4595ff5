//! A spec as the flags that give it, and which of them have to be typed.
//!
//! Rule: every field of a spec is in a flag or follows from those that are, so two specs of the same
//! data differ in a flag or are equal.

use serde::Serialize;

use super::{SpecArgs, USUAL_BATCH, USUAL_LAYERS, length};
use crate::{
    data::Source,
    ff::NetworkSpec,
    spec::{Classifier, HandedOn, Placement, Spec},
};

/// A flag of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    /// Its name, without dashes.
    pub(crate) name: String,
    /// Its value, as it is typed.
    pub(crate) value: String,
    /// Whether it is what follows from the other flags and from the data.
    pub(crate) is_default: bool,
}

/// The flags of a spec whose data have so many classes, `--data` aside, by name. Where the classes
/// of the data are not known, those of the network are taken for them.
pub(crate) fn flags(spec: &Spec, data_classes: Option<usize>) -> Vec<Flag> {
    let (given, defaults) = (given(spec).pairs(), defaults(spec, data_classes).pairs());
    let flag = |(name, value): (String, String)| {
        let is_default = defaults.iter().any(|default| (&default.0, &default.1) == (&name, &value));
        Flag { name, value, is_default }
    };
    given.into_iter().map(flag).collect()
}

/// How data that anybody can make are asked for; `None` for data that lie in files.
pub(crate) fn data_flag(id: &str) -> Option<Flag> {
    let source = Source::of_id(id)?;
    let text = source.to_string();
    let value = text.strip_suffix(":0").unwrap_or(&text).to_owned();
    Some(Flag { name: "data".to_owned(), value, is_default: source == Source::DIGITS })
}

/// Every flag but `--data`.
fn given(spec: &Spec) -> SpecArgs {
    // A field that is new has to find its flag here.
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
        batch_size,
        steps: _,
        steps_per_epoch,
        seed,
    } = network;
    SpecArgs {
        spec: None,
        data: None,
        layers: Some(layers.clone()),
        epochs: Some(*epochs),
        batch_size: Some(*batch_size),
        chapter_steps: Some(*chapter_steps),
        epoch_steps: (*placement == Placement::Federated).then_some(*steps_per_epoch),
        classes: Some(*classes),
        placement: name(placement),
        objective: name(objective),
        negatives: name(negatives),
        classifier: name(classifier),
        activations: name(activations),
        wire: name(encoding),
        optimizer: name(optimizer),
        lr: Some(*lr),
        head_lr: Some(*head_lr),
        weight_decay: Some(*weight_decay),
        head_weight_decay: Some(*head_weight_decay),
        peer_normalization: Some(*peer_normalization),
        dropout: Some(*dropout),
        negative_temperature: Some(*negative_temperature),
        label_embedding: name(label_embedding),
        label_strength: Some(*label_strength),
        shift: Some(*shift),
        flip: Some(*flip),
        contrast_normalization: Some(*contrast_normalization),
        shards: Some(*shards_per_layer),
        seed: Some(*seed),
    }
}

/// The same flags with the values that they have where nobody types them, the others being as they
/// are.
fn defaults(spec: &Spec, data_classes: Option<usize>) -> SpecArgs {
    let Spec { placement, network: own, .. } = spec;
    let NetworkSpec { layers, steps_per_epoch, batch_size, .. } = own;
    let input = layers.iter().take(1).copied();
    let defaults = Spec {
        placement: Placement::SingleLayer,
        activations: if *placement == Placement::Federated {
            HandedOn::Refreshed
        } else {
            HandedOn::Online
        },
        classifier: Classifier::Softmax,
        epochs: length::USUAL_EPOCHS,
        chapter_steps: length::usual_chapter(*steps_per_epoch, (*batch_size as u64).max(1)),
        network: NetworkSpec {
            batch_size: USUAL_BATCH,
            encoding: super::network::USUAL_WIRE,
            seed: super::network::USUAL_SEED,
            ..NetworkSpec::default_for(
                own.objective,
                own.optimizer,
                input.chain(USUAL_LAYERS).collect(),
                data_classes.unwrap_or(own.classes),
            )
        },
        ..spec.clone()
    };
    let epoch_steps = (*placement == Placement::Federated).then_some(length::USUAL_EPOCH_STEPS);
    let objective = name(&crate::ff::Objective::Goodness);
    let optimizer = name(&crate::ff::Optimizer::Sgd);
    SpecArgs { epoch_steps, objective, optimizer, ..given(&defaults) }
}

/// The name of a choice.
fn name<T: Serialize>(value: &T) -> Option<String> {
    Some(serde_json::to_value(value).ok()?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;

    fn spec(flags: &[(&str, &str)]) -> Spec {
        let words = flags.iter().map(|(flag, value)| format!("--{flag}={value}"));
        let words =
            ["test".to_owned(), "--data=digits:2000+50".to_owned()].into_iter().chain(words);
        let matches = SpecArgs::augment_args(clap::Command::new("test")).get_matches_from(words);
        let args = <SpecArgs as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        args.check().unwrap().spec
    }

    /// The flags that have to be typed.
    fn typed(spec: &Spec) -> Vec<(String, String)> {
        let flags = flags(spec, Some(10)).into_iter().filter(|flag| !flag.is_default);
        flags.map(|flag| (flag.name, flag.value)).collect()
    }

    #[test]
    fn what_is_not_typed_is_known_for_a_default() {
        assert_eq!(typed(&spec(&[])), []);
        for objective in ["goodness", "softmax"] {
            for optimizer in ["sgd", "adam"] {
                for placement in ["single-layer", "all-layers", "sequential", "federated"] {
                    let all = [
                        ("objective", objective),
                        ("optimizer", optimizer),
                        ("placement", placement),
                    ];
                    let usual = ["goodness", "sgd", "single-layer"];
                    let told = all.iter().zip(usual).filter(|(given, usual)| given.1 != *usual);
                    let mut told: Vec<(String, String)> =
                        told.map(|(it, _)| (it.0.to_owned(), it.1.to_owned())).collect();
                    told.sort();
                    assert_eq!(typed(&spec(&all)), told);
                }
            }
        }
    }

    #[test]
    fn what_is_typed_comes_back_as_it_was_typed() {
        let all = [
            ("activations", "refreshed"),
            ("batch-size", "50"),
            ("chapter-steps", "7"),
            ("classes", "12"),
            ("classifier", "goodness"),
            ("contrast-normalization", "true"),
            ("dropout", "0.25"),
            ("epochs", "500"),
            ("flip", "true"),
            ("head-lr", "0.0003"),
            ("head-weight-decay", "0.5"),
            ("label-embedding", "append"),
            ("label-strength", "2"),
            ("layers", "784,60,60"),
            ("lr", "0.1"),
            ("negative-temperature", "3"),
            ("negatives", "adaptive"),
            ("optimizer", "adam"),
            ("peer-normalization", "0.1"),
            ("placement", "all-layers"),
            ("seed", "18446744073709551615"),
            ("shards", "2"),
            ("shift", "2"),
            ("weight-decay", "0.25"),
            ("wire", "u4"),
        ];
        let told = typed(&spec(&all));
        let told: Vec<_> = told.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!(told, all);
        // And no flag is left out.
        let command = SpecArgs::augment_args(clap::Command::new("test"));
        let mut flags: Vec<_> = command.get_arguments().filter_map(|it| it.get_long()).collect();
        flags.retain(|flag| !["spec", "data", "objective", "epoch-steps"].contains(flag));
        flags.sort_unstable();
        assert_eq!(flags, all.map(|(flag, _)| flag));
        let other = [("objective", "softmax"), ("placement", "federated"), ("epoch-steps", "30")];
        let told = typed(&spec(&other));
        assert!(other.iter().all(|&(name, value)| told.contains(&(name.into(), value.into()))));
    }

    #[test]
    fn generated_data_can_be_asked_for() {
        let told = |id: &str| data_flag(id).map(|flag| (flag.value, flag.is_default));
        let digits = "digits:v1:60000+10000:0";
        assert_eq!(told(digits), Some(("digits:60000+10000".to_owned(), true)));
        assert_eq!(told("digits:v1:20+5:9"), Some(("digits:20+5:9".to_owned(), false)));
        for other in ["digits:v9:20+5:9", "digits:v1:0+5:9", "digits:v1:x", "mnist:12", ""] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}
