//! Data sets: what a run learns from, and what it is judged by.

mod batches;

pub use batches::{BatchSizeError, Batches};
