//! The Forward-Forward mathematics.
//!
//! The rule: pure and reproducible. Nothing here reads a file, a clock or entropy, every sum has a
//! written order, and threads are an argument ([`Workers`]) that never changes a result.

mod activations;
mod augment;
mod baseline;
mod buffers;
mod check;
mod dropout;
mod encoding;
mod evaluate;
mod fault;
mod feedback;
mod first_layer;
mod goodness;
mod head;
mod layers;
mod matrix;
mod negatives;
mod network;
mod optim;
mod passes;
mod product;
mod quantize;
mod reductions;
mod rng;
mod shard;
mod spec;
mod tensors;
#[cfg(test)]
pub(crate) mod tests;
mod workers;

pub use activations::{Activations, concat};
pub use augment::{Frame, augment};
pub use baseline::ProductBaseline;
pub use buffers::Buffers;
pub use check::SpecError;
pub use encoding::{DecodeError, decode, decode_all, encode, encoded_len, round};
pub use evaluate::{Evaluation, evaluate};
pub use fault::Fault;
pub use feedback::FeedbackTable;
pub use first_layer::FirstInput;
pub use layers::Layers;
pub use negatives::{epoch_order, negative_labels};
pub use network::{Below, Network, NetworkError};
pub use optim::Parameter;
pub use rng::{Key, Purpose, Stream};
pub use shard::{ShardState, StepReport};
pub use spec::{Encoding, LabelEmbedding, Negatives, NetworkSpec, Objective, Optimizer, Shard};
pub use tensors::{Tensor, hash_layers, model_hash};
pub use workers::{Inline, Mark, Phase, Task, Workers};
