//! What each command does, and how it ends.
//!
//! Rule: every failure is one line that says what to do, and an exit code that `docs/CLI.md` lists.

mod bench;
mod eval;
mod export;
mod join;
mod keeping;
mod naming;
mod network;
mod observer;
mod runs;
mod signals;
mod sim;
mod status;
mod train;
mod up;

use std::path::Path;

use ffp2p_net::AboutData;
pub(crate) use naming::parse_name;

use crate::{
    atomic_file,
    cli::Command,
    config::SpecArgsError,
    data::{Data, DataError},
    diverged::Diverged,
    events::{Event, EventSink},
    export::{ModelError, model_size},
    node::{NodeError, StoreError},
    spec::Spec,
    text::shown_path,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The spec is wrong.
    #[error(transparent)]
    Spec(#[from] SpecArgsError),
    /// The data set is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A flag is wrong.
    #[error("{0}")]
    Usage(String),
    /// The store folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node failed.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Training went wrong beyond repair.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// The model cannot be read, written or put together.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// There is nothing to export yet.
    #[error("{0}")]
    NothingYet(String),
    /// Something else failed.
    #[error("{0}")]
    Failed(String),
    /// As `Interrupted`, in a node that another process speaks for.
    #[error("")]
    Abandoned,
    /// The person stopped it before it was done.
    #[error("stopped before the run was complete")]
    Interrupted,
}

impl CommandError {
    /// 2 for wrong usage or input, 3 for nothing to export yet, 130 when interrupted, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spec(_) | Self::Data(_) | Self::Usage(_) | Self::Store(_) => 2,
            Self::Model(ModelError::Missing { .. }) | Self::NothingYet(_) => 3,
            Self::Interrupted | Self::Abandoned => 130,
            Self::Node(NodeError::Network(_)) => 2,
            Self::Node(_) | Self::Diverged(_) | Self::Model(_) | Self::Failed(_) => 1,
        }
    }
}

/// Does what a person asked for.
///
/// # Errors
/// Whatever kept it from being done.
pub fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Join(args) => join::run(args),
        Command::Up(args) => up::run(args),
        Command::Train(args) => train::run(args),
        Command::Export(args) => export::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Status(args) => status::run(args),
        Command::Runs(args) => runs::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Sim(args) => sim::run(args),
    }
}

/// Checks a number of threads.
fn threads(asked: Option<usize>, usual: usize) -> Result<usize, CommandError> {
    match asked {
        None => Ok(usual),
        Some(threads) if (1..=MAX_THREADS).contains(&threads) => Ok(threads),
        Some(threads) => {
            Err(CommandError::Usage(format!("--threads {threads}: choose 1 to {MAX_THREADS}")))
        }
    }
}

/// Says what was found in the files of a data set, before anything is trained from it.
fn tell_found(events: &mut dyn EventSink, data: &Data) {
    if let Some(message) = data.found() {
        events.on_event(&Event::Note { message });
    }
}

/// Threads of one node, at most.
const MAX_THREADS: usize = 1024;

/// Refuses to train for hours and then not be able to write the model.
fn check_out(out: Option<&Path>, spec: &Spec) -> Result<(), CommandError> {
    let Some(path) = out else { return Ok(()) };
    atomic_file::check(path, model_size(spec)).map_err(|error| {
        let name = shown_path(path);
        CommandError::Usage(format!(
            "--out {name}: {error}; name a file in a folder that has room and can be written"
        ))
    })
}

/// The runtime that a node's network runs on. One thread carries a gigabit, and does not wake
/// another one for each packet.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| CommandError::Failed(format!("no async runtime: {error}")))
}

/// What a node tells others about its run; `data` are its own.
pub(crate) fn run_info(spec: &Spec, data: Option<AboutData>) -> ffp2p_net::RunInfo {
    ffp2p_net::RunInfo { id: spec.run_id(), spec: spec.canonical().into(), data }
}
