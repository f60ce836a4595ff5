//! The doorway: parse, log, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use ffp2p::{cli::Cli, commands, view};

/// Our own warnings. Libraries log as errors what we are told anyway and tell in our own words: that
/// a peer has just gone, or, every two seconds, that a firewall keeps multicast back.
const DEFAULT_LOG: &str = "off,ffp2p=warn,ffp2p_net=warn,ffp2p_proto=warn";

/// How glibc hands out memory: what is large goes back to the system as soon as it is not used, and few
/// places keep the rest. As it is by default, a node holds up to twice as much. "Large" is more than the
/// 1.1 MiB that a matrix product asks for each time: new pages cost up to a tenth of its time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MEMORY: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "2097152"),
    ("MALLOC_TRIM_THRESHOLD_", "4194304"),
    ("MALLOC_ARENA_MAX", "2"),
];

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set_memory();
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("FFP2P_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(DEFAULT_LOG));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(console::colors_enabled_stderr())
        .with_writer(|| view::Log);
    if std::env::var_os("FFP2P_LOG").is_some() {
        log.init();
    } else {
        // What is said unasked is for the user: neither when nor where in the code matters.
        log.without_time().with_target(false).init();
    }
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.to_string().is_empty() {
                view::complain(&error.to_string());
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Starts the program anew with the settings, which are read before `main`; where that cannot be, or
/// somebody has set them, it goes on as it is.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_memory() {
    use std::{env, os::unix::process::CommandExt, process::Command};
    if MEMORY.iter().all(|(name, _)| env::var_os(name).is_none())
        && let Ok(program) = env::current_exe()
    {
        let mut given = env::args_os();
        let mut anew = Command::new(program);
        if let Some(name) = given.next() {
            anew.arg0(name);
        }
        // It comes back only if it could not.
        let _ = anew.args(given).envs(MEMORY).exec();
    }
}
