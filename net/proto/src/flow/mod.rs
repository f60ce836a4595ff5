//! The flow of activation batches between owners of shards.
//!
//! Rule: a reader says how far it is and how much room it has, an owner never trains more than a
//! window beyond its slowest reader, and whatever was made is kept until no reader can need it.

pub(crate) mod announcing;
pub(crate) mod batches;
pub(crate) mod flow_control;
pub(crate) mod starvation;
