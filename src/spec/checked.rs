//! A spec with the data set that it was checked against.
//!
//! Rule: whatever trains takes both, and may rely on their fitting.

use super::canonical::Spec;
use crate::data::Data;

/// A checked spec with its open data set.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The spec of the run.
    pub spec: Spec,
    /// Its samples.
    pub data: Data,
}
