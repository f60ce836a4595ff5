//! Scores, completion, and leaving.
//!
//! Rule: each epoch is scored by one peer; a peer stops by itself only when nothing is lost by it.

pub(crate) mod completion;
pub(crate) mod leaving;
pub(crate) mod scoring;
pub(crate) mod scoring_order;
