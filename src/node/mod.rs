//! A node: the shell that carries out what the decisions ask for.
//!
//! Rule: `driver` is one loop and holds everything; the trainer, the disk and the network each
//! run beside it and speak to it through bounded queues. Nothing here decides who trains what.

mod disk;
#[cfg(test)]
mod disk_tests;
mod driver;
mod jobs;
mod machine;
mod names;
mod others;
mod reads;
mod saves;
mod speed;
mod spill;
mod state_dir;
mod store;
mod store_files;
mod takeovers;
mod telling;
mod terms;
mod trainer;
mod training;
mod workers;
mod writer;

pub use disk::{Disk, StoredFacts, StoredRun};
pub use driver::Node;
pub(crate) use names::Names;
pub use saves::Saves;
pub use state_dir::{KeptRun, StateDir, StoreUser};
pub use store::Store;
pub use store_files::StoreError;
pub(crate) use telling::eval_event;
pub(crate) use terms::heard;
pub use terms::{Durability, Ending, NodeError, Settings, Stop};
pub use workers::Pool;
