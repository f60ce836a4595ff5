//! The base of every computation: matrices, sums, memory and threads.
//!
//! Rule: nothing here knows what a network is.

mod buffers;
pub(crate) mod matrix;
pub(crate) mod reductions;
pub(crate) mod workers;

pub use buffers::Buffers;
pub use workers::{Inline, Mark, Phase, Task, Workers};
