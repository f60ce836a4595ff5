//! What a peer says of itself in `identify`: which swarm it belongs to, and which run it trains.
//!
//! Rule: the text comes from a stranger. It is read word by word, a name is taken only when it
//! is one we could have given ourselves, and everything else is "not one of us".

use std::fmt;

use ffp2p_proto::Hash;

/// What every connection of this version says first.
pub(crate) const PROTOCOL_VERSION: &str = "/ffp2p/1";

/// Characters of a swarm's name.
const MAX_SWARM: usize = 64;

/// Swarm and run of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// The namespace: peers of different ones do not talk.
    pub(crate) swarm: String,
    /// The run; `None` for a peer that only looks around.
    pub(crate) run: Option<Hash>,
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ffp2p/{} swarm={} run=", env!("CARGO_PKG_VERSION"), self.swarm)?;
        match self.run {
            Some(run) => write!(f, "{run}"),
            None => f.write_str("none"),
        }
    }
}

impl Greeting {
    /// Reads what [`fmt::Display`] writes, of any version of the program.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        words.next()?.strip_prefix("ffp2p/")?;
        let swarm = words.next()?.strip_prefix("swarm=")?;
        let run = parse_run(words.next()?.strip_prefix("run=")?)?;
        is_swarm_name(swarm).then(|| Self { swarm: swarm.to_owned(), run })
    }
}

/// Reads a run as it is written in greetings and rendezvous files.
pub(crate) fn parse_run(text: &str) -> Option<Option<Hash>> {
    if text == "none" { Some(None) } else { Hash::from_hex(text).map(Some) }
}

/// Whether `name` may name a swarm: 1 to 64 letters, digits, dots, dashes and underscores.
pub(crate) fn is_swarm_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=MAX_SWARM).contains(&name.len()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_reads_back_as_it_was() {
        for run in [None, Some(Hash::of(b"run"))] {
            let greeting = Greeting { swarm: "lab-2".to_owned(), run };
            assert_eq!(Greeting::parse(&greeting.to_string()), Some(greeting));
        }
    }

    #[test]
    fn anything_else_is_not_one_of_us() {
        let long = format!("ffp2p/1 swarm={} run=none", "x".repeat(65));
        let garbage = [
            "",
            "kubo/0.20",
            "ffp2p/1",
            "ffp2p/1 swarm= run=none",
            "ffp2p/1 swarm=a",
            "ffp2p/1 swarm=a run=12",
            "ffp2p/1 swarm=a\u{1b}[31m run=none",
            &long,
        ];
        for text in garbage {
            assert_eq!(Greeting::parse(text), None, "{text:?}");
        }
    }
}
