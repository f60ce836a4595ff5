//! The trained network as one thing: assembled from shards, scored, written, read.
//!
//! Rule: a model is complete or it is an error that names the shard that is missing; its hash is
//! that of its tensors, wherever it is computed.

mod error;
mod hint;
mod labels;
mod model;
mod safetensors;
mod scoring;
mod stored;

pub use error::ModelError;
pub(crate) use hint::how_to_export;
pub use labels::MismatchError;
pub use model::Model;
pub(crate) use model::model_size;
pub use scoring::other_correct;
pub(crate) use scoring::{eval_event, score, scored_samples};
pub(crate) use stored::Stored;
