//! The mathematics of a spec: the given settings, the defaults of the rest, and whether they fit.
//!
//! Rule: an error names the setting that it comes from, and what would be right.

use ffp2p_proto::MAX_SHARDS;

use super::{
    bounds::{MAX_CLASSES, MAX_WEIGHTS},
    builder::SpecBuilder,
    canonical::weights,
    choices::{ActivationKind, Placement},
    defaults,
    error::{Problem, SpecError},
};
use crate::{
    data::{Data, Shape},
    ff::{self, NetworkSpec},
};

/// The classes that the network tells apart: those of the data, or more.
pub(super) fn classes(settings: &SpecBuilder, shape: &Shape) -> Result<usize, SpecError> {
    let (least, classes) = (shape.classes, settings.classes.unwrap_or(shape.classes));
    if (least..=MAX_CLASSES).contains(&classes) {
        return Ok(classes);
    }
    Err(SpecError::new("classes", classes, Problem::Classes { least }))
}

/// The mathematics, its steps aside, for samples of `input` pixels.
pub(super) fn with_defaults(settings: &SpecBuilder, input: usize, classes: usize) -> NetworkSpec {
    let objective = settings.objective.unwrap_or(defaults::OBJECTIVE);
    let optimizer = settings.optimizer.unwrap_or(defaults::OPTIMIZER);
    let mut network = defaults::network(objective, optimizer, input, classes);
    macro_rules! take {
        ($($field:ident from $setting:ident),*) => {
            $(if let Some(given) = settings.$setting.clone() { network.$field = given; })*
        };
    }
    take!(
        layers from layers,
        shards_per_layer from shards,
        negatives from negatives,
        negative_temperature from negative_temperature,
        label_embedding from label_embedding,
        label_strength from label_strength,
        shift from shift,
        flip from flip,
        contrast_normalization from contrast_normalization,
        lr from lr,
        head_lr from head_lr,
        weight_decay from weight_decay,
        head_weight_decay from head_weight_decay,
        peer_normalization from peer_normalization,
        dropout from dropout,
        encoding from wire,
        batch_size from batch_size,
        seed from seed
    );
    network
}

/// How a chapter of so many steps is cut, what its changes are encoded as, and the rate that goes with that.
pub(super) fn with_branches(
    settings: &SpecBuilder,
    network: NetworkSpec,
    (placement, activations): (Placement, ActivationKind),
    chapter_steps: u64,
) -> NetworkSpec {
    let by_default =
        || defaults::branches(network.objective, placement, activations, chapter_steps);
    let branches = settings.branches.unwrap_or_else(by_default);
    let delta = settings.delta.unwrap_or(defaults::delta(placement, activations));
    let lr = settings.lr.unwrap_or(network.lr * network.lr_scale(branches));
    NetworkSpec { branches, delta, lr, ..network }
}

/// Checks the network, its input width, and the number of its shards and weights.
pub(super) fn check(
    settings: &SpecBuilder,
    network: &NetworkSpec,
    data: &Data,
) -> Result<(), SpecError> {
    let width = data.shape().width;
    let layers = |problem| wrong(settings, "layers", problem);
    if network.layers.first().is_some_and(|&input| input != width) {
        return Err(layers(Problem::InputWidth { width, data: data.id().to_owned() }));
    }
    network.check().map_err(|error| wrong(settings, setting_of(&error), error.into()))?;
    let side = data.shape().height.min(data.shape().columns());
    if network.shift >= side {
        return Err(SpecError::new("shift", network.shift, Problem::Shift { side }));
    }
    let found = network.shards().len();
    if found > MAX_SHARDS {
        return Err(layers(Problem::Shards { found }));
    }
    if weights(network) > MAX_WEIGHTS {
        return Err(layers(Problem::Weights));
    }
    Ok(())
}

/// A setting that is wrong, with the value that was given for it, if one was.
fn wrong(settings: &SpecBuilder, setting: &'static str, problem: Problem) -> SpecError {
    let given = settings.by_flag().remove(&setting.replace('_', "-"));
    SpecError::new(setting, given.unwrap_or_default(), problem)
}

/// The setting that makes a network wrong.
fn setting_of(error: &ff::SpecError) -> &'static str {
    use ff::SpecError as Wrong;
    match error {
        Wrong::Classes(_) => "classes",
        Wrong::Shards { .. } => "shards",
        Wrong::BatchSize(_) => "batch_size",
        Wrong::Steps => "epochs",
        Wrong::Branches(_) | Wrong::BranchesOfLabels => "branches",
        Wrong::Shift(_) => "shift",
        Wrong::Dropout => "dropout",
        Wrong::LabelStrength => "label_strength",
        Wrong::Temperature => "negative_temperature",
        Wrong::NoNegatives => "negatives",
        Wrong::NoLabels => "label_embedding",
        Wrong::Number(name) | Wrong::Unused(name) => name,
        Wrong::Layers(_) | Wrong::Width(_) | Wrong::LabelSlots { .. } | _ => "layers",
    }
}
