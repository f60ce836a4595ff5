//! What a machine does: a node's decisions, the shell around them, and a trainer.
//!
//! Rule: like a real shell it answers everything exactly once and decides nothing.

pub(crate) mod node;
pub(crate) mod shell;
pub(crate) mod trainer;
