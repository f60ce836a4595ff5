//! A shard, the unit that has its own weights, and one step of its training.
//!
//! Rule: a step reads the shard, the spec, the step's input and nothing of any other shard.

pub(crate) mod activations;
pub(crate) mod dropout;
mod fault;
pub(crate) mod first_layer;
pub(crate) mod goodness;
mod head;
mod optim;
mod passes;
pub(crate) mod product;
mod state;

pub use activations::{Activations, concat};
pub use fault::Fault;
pub use first_layer::FirstInput;
pub use optim::Parameter;
pub use state::{ShardState, StepReport};
