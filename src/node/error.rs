//! The reasons why a node fails.
//!
//! Rule: what a thread or a task of the node ends with is one of these, a panic too.

use crate::{data::BatchSizeError, diverged::Diverged, export::ModelError, store::StoreError};

/// The reason why a node failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The network cannot be used.
    #[error(transparent)]
    Network(#[from] ffp2p_net::StartError),
    /// The data set and the spec do not fit.
    #[error(transparent)]
    Schedule(#[from] BatchSizeError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trained model cannot be assembled or written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training went wrong beyond repair.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// The run is complete, but its model is in no file, no store and no other node.
    #[error(
        "the trained model is kept nowhere: no folder could be written; train again with --out FILE"
    )]
    Nowhere,
    /// The system gives no thread to train on.
    #[error("no thread to train on: {0}")]
    NoThread(#[source] std::io::Error),
    /// A part of the node stopped working.
    #[error("the {0} stopped; start the node again")]
    Stopped(&'static str),
    /// A thread or a task of the node panicked.
    #[error("the {0} failed, which is a bug in ffp2p; start the node again")]
    Panicked(&'static str),
}
