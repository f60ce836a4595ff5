//! The doorway: parse, log, run, exit code.

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use ffp2p::{cli::Cli, commands};

/// Gives memory back that large buffers of different threads leave behind.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Our own warnings. Gossipsub logs as errors what its caller is told anyway: that a peer has just
/// gone.
const USUAL_LOG: &str = "warn,libp2p_gossipsub=off";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("FFP2P_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(USUAL_LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.to_string().is_empty() {
                eprintln!("ffp2p: {error}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}
