//! Settings, stop requests and ends of a node.
//!
//! Rule: these types are shared by the node and the program that starts it; they do nothing.

use std::path::PathBuf;

use ffp2p_proto::Hash;

use crate::{
    pool::Pool,
    store::{Disk, Durability},
};

/// The settings of a node that are no part of the spec, the network aside.
#[derive(Debug)]
pub struct Settings {
    /// Training threads.
    pub threads: usize,
    /// The name of the run, for users.
    pub name: Option<String>,
    /// Timers and limits of the decisions.
    pub config: ffp2p_proto::Config,
    /// File for the trained model.
    pub out: Option<PathBuf>,
    /// Store to keep checkpoints in and to go on from; without one all is in memory.
    pub disk: Option<Disk>,
    /// Weight of a failure to keep checkpoints.
    pub durability: Durability,
}

impl Default for Settings {
    /// All cores, nothing kept, and an end when the run is complete and every peer has the model.
    fn default() -> Self {
        let config = ffp2p_proto::Config { exit_when_done: true, ..ffp2p_proto::Config::default() };
        Self {
            threads: Pool::default_threads(1),
            name: None,
            config,
            out: None,
            disk: None,
            durability: Durability::None,
        }
    }
}

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// By the user: the first time to leave cleanly, the second time to go at once.
    Asked,
    /// Because the program that started the node is gone: to leave cleanly.
    Abandoned,
}

/// The end of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run is complete, and this is its model.
    Done(Hash),
    /// It was stopped before that.
    Interrupted,
}
