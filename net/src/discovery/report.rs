//! The report of a lonely node: never silent, and always with a next step.
//!
//! Rule: the text names every way that was tried and its outcome, then what the user can do.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ffp2p_proto::Hash;

use crate::connection::unreached::Unreached;

/// Peers not reached that are shown one by one.
const MAX_SHOWN: usize = 8;

/// Outcome of multicast DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MdnsReport {
    /// It was not requested.
    Off,
    /// It runs, and this many peers were heard.
    Heard(usize),
    /// It does not work here.
    Failed(String),
}

/// Everything that was tried to find peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The swarm's name.
    pub swarm: String,
    /// The run that was looked for.
    pub run: Option<Hash>,
    /// The addresses at which other machines can reach this node, the likeliest first; loopback only
    /// if there is nothing else.
    pub listening: Vec<SocketAddr>,
    /// Whether it listens on every interface.
    pub everywhere: bool,
    /// The outcome of multicast DNS.
    pub mdns: MdnsReport,
    /// The given addresses, each with the last thing that went wrong.
    pub peers: Vec<(String, Option<String>)>,
    /// Peers that were found and could not be reached.
    pub unreached: Vec<Unreached>,
    /// The rendezvous folder and the other nodes' files in it.
    pub rendezvous: Option<(PathBuf, usize)>,
    /// Addresses of earlier peers that were dialed.
    pub remembered: usize,
    /// Runs that peers of this swarm train.
    pub other_runs: Vec<Hash>,
    /// Peers that were refused because of their swarm's name or their version.
    pub refused: usize,
}

impl Report {
    /// An address another machine could dial.
    fn reachable(&self) -> Option<&SocketAddr> {
        self.listening.first().filter(|at| !at.ip().is_loopback())
    }

    fn tried(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n  listening:   ")?;
        if self.listening.is_empty() {
            f.write_str("nowhere")?;
        }
        list(f, &self.listening)?;
        match &self.mdns {
            MdnsReport::Off => f.write_str("\n  mDNS:        not used")?,
            MdnsReport::Heard(1) => f.write_str("\n  mDNS:        1 peer heard")?,
            MdnsReport::Heard(heard) => write!(f, "\n  mDNS:        {heard} peers heard")?,
            MdnsReport::Failed(why) => write!(f, "\n  mDNS:        does not work here: {why}")?,
        }
        for (peer, error) in &self.peers {
            let error = error.as_deref().unwrap_or("no answer yet");
            write!(f, "\n  --peer:      {peer}: {error}")?;
        }
        for peer in self.unreached.iter().take(MAX_SHOWN) {
            write!(f, "\n  not reached: {peer}")?;
        }
        if self.unreached.len() > MAX_SHOWN {
            write!(f, "\n  not reached: {} more", self.unreached.len() - MAX_SHOWN)?;
        }
        if let Some((folder, files)) = &self.rendezvous {
            write!(f, "\n  this host:   {files} other nodes in {}", folder.display())?;
        }
        if self.remembered > 0 {
            write!(f, "\n  remembered:  {} addresses of earlier peers dialed", self.remembered)?;
        }
        if !self.other_runs.is_empty() {
            f.write_str("\n  other runs:  ")?;
            let short: Vec<String> = self.other_runs.iter().map(Hash::short).collect();
            list(f, &short)?;
        }
        if self.refused > 0 {
            write!(f, "\n  refused:     {} peers of another swarm or version", self.refused)?;
        }
        Ok(())
    }

    fn advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n  next:        ")?;
        let reachable = self.reachable();
        if !self.other_runs.is_empty() {
            f.write_str("to be in one run with others, start with the same settings as theirs")
        } else if self.refused > 0 {
            f.write_str("give every node the same swarm name and version")
        } else if reachable.is_none() && self.everywhere {
            f.write_str("no network interface but loopback is up: connect the machine; nodes of ")?;
            f.write_str("this host find each other without")
        } else if let Some(at) = self.unreached.iter().find_map(Unreached::without_route) {
            write!(
                f,
                "a node is there, but no route leads to {at}: put both machines in one network"
            )
        } else if let Some(port) = self.unreached.iter().find_map(Unreached::behind_firewall) {
            f.write_str("a node is there, but a firewall may keep connections out: ")?;
            write!(f, "on that machine let TCP {port} in")?;
            match reachable.filter(|_| self.run.is_some()) {
                Some(at) => write!(f, ", or TCP {} on this one", at.port()),
                None => Ok(()),
            }
        } else if let Some((peer, _)) = self.peers.iter().find(|(_, error)| error.is_some()) {
            write!(f, "see that a node runs at {peer} and that no firewall keeps connections out")
        } else if let MdnsReport::Failed(_) = self.mdns {
            f.write_str("let UDP 5353 out and in, if a firewall here keeps it back, or ")?;
            f.write_str("name a node with --peer HOST:PORT")
        } else if self.run.is_none() {
            f.write_str("see that a node runs, and that firewalls let TCP to its port ")?;
            f.write_str(if self.mdns == MdnsReport::Off { "in" } else { "and UDP 5353 (mDNS) in" })
        } else if let Some(at) = reachable {
            write!(f, "start another node with --peer {at}, and let the firewall here pass ")?;
            write!(f, "TCP {} (and UDP 5353 for mDNS)", at.port())
        } else {
            f.write_str("leave --listen out, so that other machines can connect")
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no peer found in the swarm \"{}\"", self.swarm)?;
        if let Some(run) = &self.run {
            write!(f, " for run {}", run.short())?;
        }
        self.tried(f)?;
        self.advice(f)
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    items.iter().enumerate().try_for_each(|(index, item)| {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::unreached::Via;

    fn report() -> Report {
        Report {
            swarm: "default".to_owned(),
            run: Some(Hash([0xab; 32])),
            listening: vec!["10.0.0.7:4477".parse().unwrap()],
            everywhere: true,
            mdns: MdnsReport::Heard(0),
            peers: vec![("lab:4001".to_owned(), Some("connection refused".to_owned()))],
            unreached: Vec::new(),
            rendezvous: Some(("/run/ffp2p".into(), 0)),
            remembered: 2,
            other_runs: Vec::new(),
            refused: 0,
        }
    }

    #[test]
    fn it_names_every_way_and_a_next_step() {
        let text = report().to_string();
        for part in [
            "abababab",
            "10.0.0.7",
            "0 peers heard",
            "lab:4001: connection refused",
            "/run/ffp2p",
            "2 addresses",
            "a node runs at lab:4001",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_peer_that_is_heard_and_not_reached_seems_to_have_a_firewall() {
        let tried = vec![("10.0.0.8:4478".to_owned(), "timed out".to_owned())];
        let peer = Unreached { via: Via::Mdns, tried };
        let text = Report { unreached: vec![peer.clone(); 10], ..report() }.to_string();
        for part in [
            "10.0.0.8:4478: timed out; heard by mDNS",
            "2 more",
            "on that machine let TCP 4478 in, or TCP 4477 on this one",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        let tried = vec![("10.9.9.9:4477".to_owned(), "network is unreachable".to_owned())];
        let away = Unreached { tried, ..peer.clone() };
        let text = Report { unreached: vec![away], ..report() }.to_string();
        assert!(text.contains("no route leads to 10.9.9.9:4477"), "{text}");
        let met = Unreached { via: Via::Met, ..peer };
        let text = Report { unreached: vec![met], ..report() }.to_string();
        assert!(text.contains("timed out; was connected") && !text.contains("on that machine"));
    }

    #[test]
    fn the_advice_follows_what_was_seen() {
        let report = || Report { peers: Vec::new(), ..report() };
        let text = report().to_string();
        assert!(text.contains("--peer 10.0.0.7:4477") && text.contains("TCP 4477"), "{text}");
        let other = Report { other_runs: vec![Hash([1; 32])], ..report() };
        assert!(other.to_string().contains("same settings"));
        let refused = Report { refused: 1, ..report() };
        assert!(refused.to_string().contains("same swarm name"));
        let mdns = MdnsReport::Failed("operation not permitted at 10.0.0.7".to_owned());
        let text = Report { mdns, ..report() }.to_string();
        assert!(text.contains("not permitted") && text.contains("let UDP 5353 out"), "{text}");
        let loopback = vec!["127.0.0.1:1".parse().unwrap()];
        let local = Report { listening: loopback.clone(), ..report() };
        assert!(local.to_string().contains("no network interface but loopback is up"));
        let chosen = Report { listening: loopback, everywhere: false, ..report() };
        assert!(chosen.to_string().contains("leave --listen out"));
    }
}
