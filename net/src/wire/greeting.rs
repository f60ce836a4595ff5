//! The greeting of a peer, in `identify`: its version and name, the swarm it belongs to, and the run
//! it trains.
//!
//! Rule: the text comes from a stranger. It is read word by word, a name is taken only when it
//! is one that a node of ours could have, and everything else is "not one of us".

use std::fmt;

use ffp2p_proto::Hash;

/// The version of the protocol, which every connection names first; it grows whenever anything on
/// the wire changes.
pub(crate) const PROTOCOL_VERSION: &str = "/ffp2p/5";

/// Characters of a swarm's name.
pub(crate) const MAX_SWARM_NAME: usize = 64;

/// Characters of a node's name.
pub const MAX_NODE_NAME: usize = 32;

/// Characters of a version.
const MAX_VERSION: usize = 32;

/// Invisible letters (the Hangul fillers).
const INVISIBLE: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];

/// The introduction of a peer, by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// The version of its program.
    pub(crate) version: String,
    /// The name of the node; several may have the same.
    pub(crate) name: String,
    /// The namespace: peers of different ones do not talk.
    pub(crate) swarm: String,
    /// The run; `None` for a peer that only looks around.
    pub(crate) run: Option<Hash>,
    /// Whether it only looks or exports, and leaves again: nobody lists or misses it.
    pub(crate) visits: bool,
}

/// The last word in the greeting of a visitor.
const VISITS: &str = "visits";

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ffp2p/{} name={} swarm={} run=", self.version, self.name, self.swarm)?;
        match self.run {
            Some(run) => write!(f, "{run}")?,
            None => f.write_str("none")?,
        }
        if self.visits { write!(f, " {VISITS}") } else { Ok(()) }
    }
}

impl Greeting {
    /// The greeting of a node of this version.
    pub(crate) fn new(name: &str, swarm: &str, run: Option<Hash>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: name.to_owned(),
            swarm: swarm.to_owned(),
            run,
            visits: false,
        }
    }

    /// Reads what [`fmt::Display`] writes, of any version of the program.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let version = version_in(text)?;
        let mut words = text.split(' ').skip(1);
        let name = words.next()?.strip_prefix("name=").filter(|name| is_node_name(name))?;
        let swarm = words.next()?.strip_prefix("swarm=").filter(|name| is_swarm_name(name))?;
        let run = parse_run(words.next()?.strip_prefix("run=")?)?;
        let visits = words.next() == Some(VISITS);
        let [version, name, swarm] = [version, name, swarm].map(str::to_owned);
        Some(Self { version, name, swarm, run, visits })
    }

    /// Whether both are of one swarm and one run.
    pub(crate) fn is_with(&self, other: &Self) -> bool {
        (&self.swarm, self.run) == (&other.swarm, other.run)
    }
}

/// The version of the program in a greeting, whatever else the greeting says.
pub(crate) fn version_in(text: &str) -> Option<&str> {
    let version = text.split(' ').next()?.strip_prefix("ffp2p/")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    ((1..=MAX_VERSION).contains(&version.len()) && version.chars().all(plain)).then_some(version)
}

/// Reads a run as it is written in greetings and rendezvous files.
pub(crate) fn parse_run(text: &str) -> Option<Option<Hash>> {
    if text == "none" { Some(None) } else { Hash::from_hex(text).map(Some) }
}

/// Whether `name` may name a swarm: 1 to [`MAX_SWARM_NAME`] ASCII letters, digits, dots, dashes and
/// underscores.
pub(crate) fn is_swarm_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=MAX_SWARM_NAME).contains(&name.len()) && name.chars().all(plain)
}

/// Whether `name` may name a node: 1 to [`MAX_NODE_NAME`] letters and digits of any script, dots,
/// dashes and underscores; nothing invisible, and nothing that moves a terminal's cursor.
pub fn is_node_name(name: &str) -> bool {
    (1..=MAX_NODE_NAME).contains(&name.chars().count()) && name.chars().all(is_in_names)
}

fn is_in_names(c: char) -> bool {
    (c.is_alphanumeric() && !INVISIBLE.contains(&c)) || matches!(c, '.' | '-' | '_')
}

/// The name nearest to `text` that a node may have.
///
/// ```
/// assert_eq!(ffp2p_net::to_node_name(" my pc"), "my-pc");
/// ```
pub fn to_node_name(text: &str) -> String {
    let kept = |c: char| if is_in_names(c) { c } else { '-' };
    let name: String = text.trim().chars().take(MAX_NODE_NAME).map(kept).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_reads_back_as_it_was() {
        for run in [None, Some(Hash::of(b"run"))] {
            let greeting = Greeting::new("k\u{fc}che-2", "lab-2", run);
            assert_eq!(Greeting::parse(&greeting.to_string()), Some(greeting));
        }
    }

    #[test]
    fn the_bytes_of_a_greeting_are_pinned() {
        let version = "0.1.0".to_owned();
        let run = Some(Hash([0xab; 32]));
        let greeting = Greeting { version, ..Greeting::new("k\u{fc}che-2", "lab-2", run) };
        let digits = "ab".repeat(32);
        let text = format!("ffp2p/0.1.0 name=k\u{fc}che-2 swarm=lab-2 run={digits}");
        assert_eq!(greeting.to_string(), text);
        let visitor = Greeting { run: None, visits: true, ..greeting };
        let text = "ffp2p/0.1.0 name=k\u{fc}che-2 swarm=lab-2 run=none visits";
        assert_eq!(visitor.to_string(), text);
        assert_eq!(Greeting::parse(text), Some(visitor));
    }

    #[test]
    fn anything_else_is_not_one_of_us() {
        let long = format!("ffp2p/1 name=n swarm={} run=none", "x".repeat(MAX_SWARM_NAME + 1));
        let long_name = format!("ffp2p/1 name={} swarm=a run=none", "x".repeat(MAX_NODE_NAME + 1));
        let long_version = format!("ffp2p/{} name=n swarm=a run=none", "1".repeat(MAX_VERSION + 1));
        let garbage = [
            "",
            "kubo/0.20",
            "ffp2p/1",
            "ffp2p/1 name=n swarm= run=none",
            "ffp2p/1 name=n swarm=a",
            "ffp2p/1 name=n swarm=a run=12",
            "ffp2p/1 name=n swarm=a\u{1b}[31m run=none",
            "ffp2p/1 swarm=a run=none",
            "ffp2p/1 name= swarm=a run=none",
            "ffp2p/1 name=\u{1b}[31m swarm=a run=none",
            "ffp2p/1\u{7} name=n swarm=a run=none",
            &long,
            &long_name,
            &long_version,
        ];
        for text in garbage {
            assert_eq!(Greeting::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_version_is_read_where_nothing_else_is() {
        assert_eq!(version_in("ffp2p/0.9.1-rc+2 something=new"), Some("0.9.1-rc+2"));
        assert_eq!(version_in("ffp2p/\u{1b}[2J"), None);
        assert_eq!(version_in("kubo/0.20"), None);
    }

    #[test]
    fn runs_and_swarms_make_peers_and_names_do_not() {
        let run = Some(Hash::of(b"run"));
        let own = Greeting::new("attic", "lab", run);
        assert!(own.is_with(&Greeting::new("kitchen", "lab", run)));
        assert!(!own.is_with(&Greeting::new("attic", "lab", None)));
        assert!(!own.is_with(&Greeting::new("attic", "home", run)));
    }

    #[test]
    fn a_name_is_short_and_visible() {
        for good in
            ["a", "kitchen-2.lan", "K\u{fc}che", "\u{53f0}\u{6240}", &"x".repeat(MAX_NODE_NAME)]
        {
            assert!(is_node_name(good) && to_node_name(good) == good, "{good}");
        }
        for (bad, near) in [
            ("", "node"),
            ("my pc", "my-pc"),
            (" pc\n", "pc"),
            ("a\u{1b}[31mb", "a--31mb"),
            ("a\u{202e}b", "a-b"),
            ("a\u{3164}b", "a-b"),
            ("caf\u{e9}\u{301}", "caf\u{e9}-"),
            (&"x".repeat(MAX_NODE_NAME + 1), &"x".repeat(MAX_NODE_NAME)),
        ] {
            assert!(!is_node_name(bad), "{bad:?}");
            assert_eq!(to_node_name(bad), near);
        }
    }
}
