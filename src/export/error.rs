//! The reasons why there is no model.
//!
//! Rule: a model that is not complete is an error that names the shard that is missing.

use crate::{ff::NetworkError, spec::ForeignSpecError};

/// The reason why there is no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A shard's last checkpoint is missing.
    #[error(
        "shard {shard} (layer {layer}, part {index}) is missing: its last chapter is not trained yet \
         or nobody here holds it; let the run finish"
    )]
    Missing {
        /// The shard.
        shard: u16,
        /// Its layer.
        layer: usize,
        /// Its place in the layer.
        index: usize,
    },
    /// A shard's bytes are not what the spec asks for.
    #[error("shard {shard}: {reason}")]
    Shard {
        /// The shard.
        shard: u16,
        /// The problem.
        reason: String,
    },
    /// The shards do not make a network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not a model of this program.
    #[error("{path}: not a model written by ffp2p: {reason}")]
    File {
        /// The file.
        path: String,
        /// The problem.
        reason: String,
    },
    /// The file's spec is not one that this program runs.
    #[error(transparent)]
    Spec(#[from] ForeignSpecError),
    /// The file says it has another hash than it has.
    #[error("{path}: the tensors have hash {found}, the file says {said}; it is damaged")]
    Hash {
        /// The file.
        path: String,
        /// Computed.
        found: String,
        /// In the metadata.
        said: String,
    },
}
