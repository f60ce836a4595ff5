//! Forward-Forward networks (Hinton 2022): layers that are trained one by one, each for an objective
//! of its own, without a gradient from the layer above.
//!
//! Rule: pure and reproducible. Nothing here reads a file, a clock or entropy, every sum has a
//! written order, and threads are an argument ([`Workers`]) that never changes a result. So a
//! [`NetworkSpec`] and its images determine every byte of the trained [`Network`].
//!
//! - `spec` is what determines a run, and which specs can be trained; `rng` its random numbers.
//! - `samples` has a step's images: their order, their changes, their wrong labels.
//! - `shard` is one step of what has its own weights; `network` all of it, scored, named and hashed.
//! - `change` is what a branch of a chapter changes, and the mean of several.
//! - `encoding` turns what one layer outputs into the bytes that the next one reads.
//! - `numerics` has the sums, the memory and the threads below it all.
//!
//! A network that learns to tell two kinds of images apart:
//!
//! ```
//! use ffp2p_ff::{FirstInput, Inline, Key, Network, NetworkSpec, Purpose, negative_labels};
//! use ndarray::Array2;
//!
//! let spec = NetworkSpec { batch_size: 50, steps: 40, ..NetworkSpec::hinton(vec![16, 24], 2) };
//! spec.check()?;
//!
//! // An image of class 0 is bright in its left half, one of class 1 in its right half.
//! let labels: Vec<u8> = (0..50).map(|image| image % 2).collect();
//! let mut noise = Key::new(spec.seed, Purpose::Data).stream();
//! let images = Array2::from_shape_fn((50, 16), |(image, pixel)| {
//!     let is_bright = pixel / 8 == usize::from(labels[image]);
//!     0.5 * noise.unit() + if is_bright { 0.5 } else { 0.0 }
//! });
//!
//! let mut network = Network::init(spec.clone());
//! let samples: Vec<u32> = (0..50).collect();
//! for epoch in 0..spec.steps {
//!     let wrong = negative_labels(&spec, epoch, &samples, &labels, None);
//!     let batch = FirstInput::new(&spec, images.clone(), labels.clone(), wrong);
//!     network.train_step(&batch, &Inline);
//! }
//! let score = network.evaluate(&images, &labels, &Inline);
//! assert!(score.softmax_correct > 45, "{score:?}");
//! # Ok::<(), ffp2p_ff::SpecError>(())
//! ```

mod change;
mod encoding;
mod network;
mod numerics;
mod rng;
mod samples;
mod shard;
mod spec;
#[cfg(test)]
mod tests;

pub use change::{Change, Mean, RowKind};
pub use encoding::{DecodeError, decode, decode_all, encode, encoded_len, round};
pub use network::{
    Below, Evaluation, Layers, Network, NetworkError, ProductBaseline, Tensor, evaluate,
    hash_layers, model_hash,
};
pub use numerics::{Buffers, Inline, Mark, Phase, Task, Workers};
pub use rng::{Key, Purpose, Stream};
pub use samples::{FeedbackTable, Frame, augment, epoch_order, negative_labels};
pub use shard::{Activations, Fault, FirstInput, Parameter, ShardState, StepReport, concat};
pub use spec::{
    Delta, Encoding, LabelEmbedding, MAX_BRANCHES, Negatives, NetworkSpec, Objective, Optimizer,
    Shard, SpecError,
};
