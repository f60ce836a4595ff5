//! Runs in which each peer has data of its own: the federated placement (the paper, 4.3).
//!
//! Rule: the spec tells the form of a sample and nothing of its content; whatever would have to
//! tell other peers of single samples is refused, with the reason.

use super::{SpecArgs, SpecArgsError, given, value};
use crate::{
    data::{Data, Shape},
    ff::{Negatives, NetworkSpec},
    spec::HandedOn,
};

/// Labels are one byte.
const MAX_CLASSES: usize = 256;

impl SpecArgs {
    /// What a spec says of the data and of what is handed on.
    pub(super) fn private(
        &self,
        network: &NetworkSpec,
        data: &Data,
    ) -> Result<(String, HandedOn), SpecArgsError> {
        if network.negatives == Negatives::Adaptive {
            let reason = "what the network answered for each sample would have to go to the peers \
                          that train later chapters, and nothing about a sample leaves a peer; \
                          choose random or fixed";
            return Err(value("negatives", "adaptive", reason.to_owned()));
        }
        if given("activations", &self.activations)? == Some(HandedOn::Online) {
            let reason = "a peer that takes over makes what is handed on anew, from its own data; \
                          choose refreshed";
            return Err(value("activations", "online", reason.to_owned()));
        }
        Ok((data.form(network.classes), HandedOn::Refreshed))
    }

    /// The classes that the network tells apart: those of the data, or more.
    pub(super) fn classes_of(&self, shape: &Shape) -> Result<usize, SpecArgsError> {
        let classes = self.classes.unwrap_or(shape.classes);
        if (shape.classes..=MAX_CLASSES).contains(&classes) {
            return Ok(classes);
        }
        let least = shape.classes;
        let reason = format!("choose {least}, the classes of the data, to {MAX_CLASSES}");
        Err(value("classes", classes, reason))
    }
}
