//! Runs on disk: stores, each held by one process at a time, and the folder of the user's runs.
//!
//! Rule: a checkpoint is in a store when it is whole and survives a power cut, and not before; nothing is
//! removed but what its owner forgets or the user names.

mod disk;
#[cfg(test)]
pub(crate) mod disk_tests;
mod error;
mod files;
mod saves;
mod state_dir;
mod writer;

pub use disk::Disk;
pub(crate) use disk::StoredRun;
pub use error::{Durability, StoreError};
pub(crate) use files::read_blob;
pub(crate) use saves::Saves;
pub use state_dir::{KeptRun, StateDir, StoreUser};
pub(crate) use writer::Writer;
