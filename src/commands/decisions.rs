//! The settings of the decisions from flags.
//!
//! Rule: what no flag sets is the decisions' own default.

use std::ops::RangeInclusive;

use ffp2p_proto::Config;

use super::error::CommandError;
use crate::cli::KeepArgs;

/// Silence after which a node may be considered dead, seconds: a few heartbeats at least.
const SILENCE: RangeInclusive<f64> = 1.0..=3600.0;

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// The settings that the flags give.
pub(super) fn decisions(args: &KeepArgs) -> Result<Config, CommandError> {
    let default = Config::default();
    if !SILENCE.contains(&args.silence) {
        let (least, most) = (SILENCE.start(), SILENCE.end());
        let text = format!("--silence {}: choose {least} to {most} seconds", args.silence);
        return Err(CommandError::Usage(text));
    }
    let silent_ms = (args.silence * 1e3) as u64;
    Ok(Config {
        silent_ms,
        disconnected_ms: default.disconnected_ms.min(silent_ms),
        replicas: args.replicas,
        batch_bytes: args.batch_space.saturating_mul(MIB),
        copy_bytes: args.copy_space.saturating_mul(MIB),
        ..default
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    /// The flags' defaults are those of the decisions.
    #[test]
    fn nothing_given_is_the_default() {
        let Command::Join(args) = Cli::parse_from(["ffp2p", "join"]).command else { panic!() };
        assert_eq!(decisions(&args.node.keep).unwrap(), Config::default());
    }
}
