//! A node: the shell that carries out what the decisions ask for.
//!
//! Rule: `driver` is one loop; it and its `shell` alone know all parts, and each part owns its state and
//! knows no other part's. The trainer, the store and the network run next to the loop and speak to it through bounded
//! queues. Nothing here decides who trains what.

mod blobs;
mod completion;
mod driver;
mod error;
mod inputs;
mod jobs;
mod other_runs;
mod persistence;
mod reporting;
mod shell;
mod trainer;
mod types;

pub(crate) use blobs::BlobStore;
pub use driver::Node;
pub use error::NodeError;
pub use ffp2p_net::{Config as Network, Listen};
pub(crate) use inputs::input_of;
pub(crate) use reporting::Names;
pub use types::{Ending, Settings, Stop};
