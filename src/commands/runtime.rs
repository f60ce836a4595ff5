//! The runtime of a node's network.
//!
//! Rule: one thread carries a gigabit, and does not wake another one for each packet.

use tokio::runtime::{Builder, Runtime};

use super::error::CommandError;

/// A runtime with one worker.
pub(super) fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| CommandError::Failed(format!("no async runtime: {error}")))
}
