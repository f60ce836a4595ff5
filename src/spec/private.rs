//! Specs of runs in which each peer has private data: the federated placement (the paper, 4.3).
//!
//! Rule: such a spec tells the form of a sample and nothing of its content; whatever would tell other
//! peers something about single samples is refused, with the reason.

use super::{
    choices::{ActivationKind, name},
    error::{Problem, SpecError},
};
use crate::ff::{Negatives, NetworkSpec};

/// Checks that nothing of a sample has to leave its peer.
pub(super) fn check(network: &NetworkSpec, activations: ActivationKind) -> Result<(), SpecError> {
    if network.negatives == Negatives::Adaptive {
        return Err(SpecError::new("negatives", "adaptive", Problem::PrivateNegatives));
    }
    if !network.delta.is_exact() {
        return Err(SpecError::new("delta", name(&network.delta), Problem::PrivateDelta));
    }
    if activations == ActivationKind::Online {
        return Err(SpecError::new("activations", "online", Problem::PrivateActivations));
    }
    Ok(())
}
