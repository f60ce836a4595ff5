//! The doorway: parse, log, run, exit code.

use std::{env, io::IsTerminal, process::ExitCode};

use clap::Parser;
use ffp2p::{cli::Cli, commands};

/// Gives memory back that large buffers of different threads leave behind.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Our own warnings. Gossipsub logs as errors what its caller is told anyway: that a peer has just
/// gone.
const USUAL_LOG: &str = "warn,libp2p_gossipsub=off";

/// How soon memory that is not used goes back to the system, in ms. After a second, which is usual, a
/// node holds half as much again.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "10");

fn main() -> ExitCode {
    set_purge_delay();
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

/// Starts the program anew with the setting, which is read before `main`; where that cannot be, it
/// goes on without.
fn set_purge_delay() {
    #[cfg(unix)]
    if env::var_os(PURGE_DELAY.0).is_none()
        && let Ok(program) = env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        let mut given = env::args_os();
        let mut anew = std::process::Command::new(program);
        if let Some(name) = given.next() {
            anew.arg0(name);
        }
        // It comes back only if it could not.
        let _ = anew.args(given).env(PURGE_DELAY.0, PURGE_DELAY.1).exec();
    }
}
