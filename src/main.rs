//! The program `ffp2p`: parse the command line, set up the log, run the command, return its exit code.
//!
//! Rule: nothing is decided here.

use std::process::ExitCode;

use clap::Parser;
use ffp2p::{cli::Cli, commands, view};

/// The warnings of our own packages. What libraries log as errors is reported in our own words: that a
/// peer has just left, or, every two seconds, that a firewall blocks multicast.
const DEFAULT_LOG: &str = "off,ffp2p=warn,ffp2p_net=warn,ffp2p_proto=warn";

/// Settings of glibc's allocator: what is large goes back to the system as soon as it is freed, and few
/// arenas keep the rest. With its defaults a node holds up to twice as much. "Large" is more than the
/// 1.1 MiB that a matrix product asks for each time: new pages cost up to a tenth of its time. Safe code
/// can set them by the environment alone, and other allocators hold more.
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
        // Without a filter of the user's, neither the time nor the place in the code matters.
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

/// Starts the program again with the settings, which are read before `main`. Where that fails, or the
/// user has set one of them, the program goes on as it is.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_memory() {
    use std::{env, os::unix::process::CommandExt, process::Command};
    if MEMORY.iter().all(|(name, _)| env::var_os(name).is_none())
        && let Ok(program) = env::current_exe()
    {
        let mut given = env::args_os();
        let mut again = Command::new(program);
        if let Some(name) = given.next() {
            again.arg0(name);
        }
        // It returns only if it failed.
        let _ = again.args(given).envs(MEMORY).exec();
    }
}
