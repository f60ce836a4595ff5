//! The reasons why a command fails, and its exit codes.
//!
//! Rule: every failure is one line that says what to do, and an exit code that `docs/CLI.md` lists.

use crate::{
    config::SpecArgsError, data::DataError, export::ModelError, node::NodeError,
    sharing::SharingError, store::StoreError, train::TrainError,
};

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The spec is wrong.
    #[error(transparent)]
    Spec(#[from] SpecArgsError),
    /// The data set is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A data set cannot be fetched.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// A flag is wrong.
    #[error("{0}")]
    Usage(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node failed.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Training without a network failed or was stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The model cannot be read, written or put together.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// There is nothing to export yet.
    #[error("{0}")]
    NothingYet(String),
    /// Something else failed.
    #[error("{0}")]
    Failed(String),
    /// As `Interrupted`, in a node whose output another process shows.
    #[error("")]
    Abandoned,
    /// The user stopped it before it was done.
    #[error("stopped before the run was complete")]
    Interrupted,
}

impl CommandError {
    /// 2 for wrong usage or input, 3 for nothing to export yet, 130 when interrupted, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spec(_) | Self::Data(_) | Self::Usage(_) | Self::Store(_) => 2,
            Self::Model(ModelError::Missing { .. }) | Self::NothingYet(_) => 3,
            Self::Interrupted | Self::Abandoned | Self::Train(TrainError::Interrupted) => 130,
            Self::Node(NodeError::Network(_)) => 2,
            Self::Sharing(SharingError::Unknown(_)) => 2,
            Self::Node(_)
            | Self::Sharing(_)
            | Self::Train(_)
            | Self::Model(_)
            | Self::Failed(_) => 1,
        }
    }
}
