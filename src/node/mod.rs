//! A node: the shell that carries out what the decisions ask for.
//!
//! Rule: `driver` is one loop and holds everything; the trainer, the disk and the network each
//! run beside it and speak to it through bounded queues. Nothing here decides who trains what.

mod disk;
#[cfg(test)]
mod disk_tests;
mod driver;
mod store;
mod telling;
mod trainer;
mod workers;

pub use disk::{Disk, StoreError, StoredRun};
pub(crate) use driver::heard;
pub use driver::{Ending, Node, NodeError, Settings, Stop};
pub use store::Store;
pub(crate) use telling::eval_event;
pub use workers::Pool;
