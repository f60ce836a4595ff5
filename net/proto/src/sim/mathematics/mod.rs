//! What a step computes, and what the sequential run makes of it.
//!
//! Rule: pure functions of bytes; who calls them, where and when is not known here.

pub(crate) mod fake_training;
pub(crate) mod private;
pub(crate) mod reference;
pub(crate) mod shapes;
