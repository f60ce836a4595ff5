//! Machines: the decisions of a node, the shell around them, and a trainer.
//!
//! Rule: like a real shell it answers everything exactly once and decides nothing.

pub(crate) mod boot;
pub(crate) mod fleet;
pub(crate) mod job;
pub(crate) mod node;
pub(crate) mod scoring;
pub(crate) mod shell;
pub(crate) mod speedometer;
pub(crate) mod store;
pub(crate) mod trainer;
pub(crate) mod training;
