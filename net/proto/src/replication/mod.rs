//! Copies of checkpoints: who holds them, what is fetched when, what is forgotten.
//!
//! Rule: what must not be lost is held by enough peers; what nobody can need any more is forgotten;
//! what nobody waits for holds nothing up.

pub(crate) mod blobs;
pub(crate) mod copies;
pub(crate) mod fetching;
pub(crate) mod pacing;
pub(crate) mod retention;
