//! The bounds of a spec.
//!
//! Rule: each has a unit, and holds for a stranger's spec as for one that is built here.

/// Grows when the same spec would give other bytes.
pub(super) const SPEC_FORMAT: u32 = 3;

/// Length of a canonical spec, at most, bytes.
pub(crate) const MAX_SPEC_BYTES: usize = 64 * 1024;

/// Weights of one run, at most: a stranger's spec must not take all memory.
pub(super) const MAX_WEIGHTS: usize = 1 << 30;

/// Epochs of one run, at most.
pub(super) const MAX_EPOCHS: u64 = 100_000;

/// Steps of an epoch, at most.
pub(super) const MAX_EPOCH_STEPS: u64 = 1 << 32;

/// Classes, at most: a label is one byte.
pub(super) const MAX_CLASSES: usize = 1 << u8::BITS;
