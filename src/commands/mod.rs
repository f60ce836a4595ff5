//! The commands, each in a file of its name, and what several of them share.
//!
//! Rule: a command is an adapter: it turns flags into calls of the library, and what happens into
//! output and an exit code.

mod bench;
mod checks;
mod data;
mod decisions;
mod entry;
mod error;
mod eval;
mod export;
mod found;
mod join;
mod keeping;
pub(crate) mod naming;
mod network;
mod observer;
mod runs;
mod runtime;
mod signals;
mod sim;
mod status;
mod train;
mod up;

pub use error::CommandError;

use crate::cli::Command;

/// Runs a command.
///
/// # Errors
/// The reason why it could not be done.
pub fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Join(args) => join::run(args),
        Command::Up(args) => up::run(args),
        Command::Train(args) => train::run(args),
        Command::Export(args) => export::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Status(args) => status::run(args),
        Command::Runs(args) => runs::run(args),
        Command::Data(args) => data::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Sim(args) => sim::run(args),
    }
}
