//! The Forward-Forward mathematics.
//!
//! The rule: pure and reproducible. Nothing here reads a file, a clock or entropy, every sum has a
//! written order, and threads are an argument that never changes a result.

mod negatives;
mod rng;
mod spec;

pub use negatives::{epoch_order, negative_labels};
pub use rng::{Key, Purpose, Stream};
pub use spec::{Negatives, NetworkSpec, Objective, Optimizer, Row, SpecError, Wire};
