//! A node: the shell that carries out what the decisions ask for.
//!
//! Rule: `driver` is one loop and holds everything; the trainer, the disk and the network each
//! run beside it and speak to it through bounded queues. Nothing here decides who trains what.

mod compute_gate;
mod disk;
#[cfg(test)]
mod disk_tests;
mod driver;
mod jobs;
mod names;
mod others;
mod reads;
mod reporting;
mod saves;
mod speed;
mod spill;
mod state_dir;
mod store;
mod store_files;
mod takeovers;
mod trainer;
mod training;
mod types;
mod workers;
mod writer;

pub use disk::{Disk, StoredFacts, StoredRun};
pub use driver::Node;
pub(crate) use names::Names;
pub(crate) use reporting::eval_event;
pub use saves::Saves;
pub use state_dir::{KeptRun, StateDir, StoreUser};
pub use store::Store;
pub use store_files::StoreError;
pub(crate) use types::heard;
pub use types::{Durability, Ending, NodeError, Settings, Stop};
pub use workers::Pool;
