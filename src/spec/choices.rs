//! The choices of a spec beyond those of the mathematics.
//!
//! Rule: a choice is written in JSON, in TOML and as a flag by the same name.

pub use ffp2p_proto::Placement;
use serde::{Deserialize, Serialize};

use crate::ff::Objective;

/// The activations that a layer outputs for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationKind {
    /// Those of the training pass itself (Hinton 2022).
    Online,
    /// Computed again after each chapter, with the weights at its end (the paper, algorithm 1).
    Refreshed,
}

/// The classifier whose answer comes first, and is that of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classifier {
    /// The label with the largest goodness, each tried in turn.
    Goodness,
    /// One neutral pass through the heads.
    Softmax,
}

impl Classifier {
    /// Whether the objective trains it.
    #[must_use]
    pub fn suits(self, objective: Objective) -> bool {
        self == Self::Softmax || objective == Objective::Goodness
    }
}

/// The name of a choice.
pub(super) fn name<T: Serialize>(choice: &T) -> String {
    serde_json::json!(choice).as_str().unwrap_or_default().to_owned()
}
