//! Which chapters may be cut into branches, and where what they change may be rounded.
//!
//! Rule: the same for specs that are typed and for those of strangers.

use super::{
    choices::{ActivationKind, Placement, name},
    error::{Problem, SpecError},
};
use crate::ff::NetworkSpec;

/// Whether the placement can cut chapters of this length into the branches of the network, and round what
/// they change.
pub(super) fn check(
    network: &NetworkSpec,
    (placement, activations): (Placement, ActivationKind),
    chapter_steps: u64,
) -> Result<(), SpecError> {
    // An owner of a shard hands on from the rounded state, one of a chapter from its own.
    let by_shard = matches!(placement, Placement::SingleLayer | Placement::Sequential);
    if by_shard && activations == ActivationKind::Refreshed && !network.delta.is_exact() {
        return Err(SpecError::new("delta", name(&network.delta), Problem::RefreshedDelta));
    }
    let wrong = |problem| Err(SpecError::new("branches", network.branches, problem));
    if !placement.cuts(network.branches) {
        return wrong(Problem::BranchPlacement);
    }
    if u64::from(network.branches) > chapter_steps {
        return wrong(Problem::BranchSteps { steps: chapter_steps });
    }
    Ok(())
}
