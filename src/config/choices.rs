//! The choices of a spec as values of flags, so that `--help` lists them.
//!
//! Rule: a flag takes the names that JSON and TOML have for a choice, and no others.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use crate::{
    ff::{Delta, Encoding, LabelEmbedding, Negatives, Objective, Optimizer},
    spec::{ActivationKind, Classifier, Placement},
};

/// A choice with names.
pub(super) trait Choice: Copy + Send + Sync + Serialize + 'static {
    /// Each value, with its name.
    const ALL: &'static [(Self, &'static str)];
}

macro_rules! choices {
    ($($type:ident { $($value:ident = $name:literal),* })*) => {
        $(impl Choice for $type {
            const ALL: &'static [(Self, &'static str)] = &[$(($type::$value, $name)),*];
        })*
    };
}

choices! {
    Placement {
        SingleLayer = "single-layer",
        AllLayers = "all-layers",
        Federated = "federated",
        Sequential = "sequential"
    }
    Objective { Goodness = "goodness", Softmax = "softmax" }
    Negatives { Adaptive = "adaptive", Random = "random", Fixed = "fixed", None = "none" }
    Classifier { Softmax = "softmax", Goodness = "goodness" }
    ActivationKind { Online = "online", Refreshed = "refreshed" }
    Delta { F32 = "f32", U8 = "u8", U4 = "u4" }
    Encoding { U8 = "u8", U4 = "u4", F32 = "f32" }
    Optimizer { Sgd = "sgd", Adam = "adam" }
    LabelEmbedding { Overlay = "overlay", Append = "append", None = "none" }
}

/// Takes the name of a choice.
pub(super) fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let names = T::ALL.iter().map(|(_, name)| *name);
    PossibleValuesParser::new(names).try_map(|given| {
        let found = T::ALL.iter().find(|(_, name)| *name == given);
        found.map(|(value, _)| *value).ok_or("an unknown choice")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_named_as_in_json<T: Choice>() {
        for (value, name) in T::ALL {
            assert_eq!(serde_json::json!(value), *name);
        }
    }

    #[test]
    fn flags_and_json_have_the_same_names() {
        is_named_as_in_json::<Placement>();
        is_named_as_in_json::<Objective>();
        is_named_as_in_json::<Negatives>();
        is_named_as_in_json::<Classifier>();
        is_named_as_in_json::<ActivationKind>();
        is_named_as_in_json::<Delta>();
        is_named_as_in_json::<Encoding>();
        is_named_as_in_json::<Optimizer>();
        is_named_as_in_json::<LabelEmbedding>();
    }
}
