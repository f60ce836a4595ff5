//! Settings of a node's network, and the run it trains.
//!
//! Rule: nothing here is guessed. What is left empty is not tried, and the report of a lonely
//! node says so.

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use ffp2p_proto::Hash;

use crate::address::{self, Target, is_dialable};
use crate::connection::fixed::MAX_GIVEN;
use crate::connection::ports::DEFAULT_PORT;
use crate::error::StartError;
use crate::wire::about::AboutData;
use crate::wire::greeting::{is_node_name, is_swarm_name};
use crate::wire::limits::MAX_SPEC;

/// Settings by which a node is found, and by which it keeps peers.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name ([`is_node_name`]).
    pub name: String,
    /// The namespace: only peers that name the same one are kept.
    pub swarm: String,
    /// The run; `None` for a peer that looks around and does not know one yet.
    pub run: Option<RunInfo>,
    /// Whether this peer only looks or exports, and leaves again: others neither list nor miss it.
    pub visits: bool,
    /// The addresses to listen on.
    pub listen: Listen,
    /// Peers to dial: `HOST:PORT`, `IP:PORT`, or a multiaddr with or without `/p2p/ID`.
    pub peers: Vec<String>,
    /// Whether to announce and look by multicast DNS.
    pub mdns: bool,
    /// A folder in which the nodes of one host find each other.
    pub rendezvous: Option<PathBuf>,
    /// A file with the addresses of peers seen earlier.
    pub remembered: Option<PathBuf>,
}

impl Default for Config {
    /// Listens on the default port of every interface, and uses multicast DNS.
    fn default() -> Self {
        Self {
            name: "node".to_owned(),
            swarm: "default".to_owned(),
            run: None,
            visits: false,
            listen: Listen::Everywhere(DEFAULT_PORT),
            peers: Vec::new(),
            mdns: true,
            rendezvous: None,
            remembered: None,
        }
    }
}

/// Addresses to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Every interface, over IPv4 and IPv6 as far as the host has them, on this port, or any free
    /// one if it is taken.
    Everywhere(u16),
    /// These addresses, each of which must open; port 0 is any free one.
    At(Vec<SocketAddr>),
}

/// The run a node trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// Its name.
    pub id: Hash,
    /// Its canonical spec, at most [`MAX_SPEC`] bytes, given to every peer that asks.
    pub spec: Bytes,
    /// The name that somebody gave it ([`is_node_name`]).
    pub name: Option<String>,
    /// This node's data set, described to every peer that asks.
    pub data: Option<AboutData>,
}

impl Config {
    /// Refuses settings with which no node could start, before anything is made for it.
    ///
    /// # Errors
    /// The first setting that cannot be used; the error says what to do.
    pub fn check(&self) -> Result<(), StartError> {
        self.targets().map(drop)
    }

    /// The peers to dial, each with its text, of a config that can be used.
    pub(crate) fn targets(&self) -> Result<Vec<(String, Target)>, StartError> {
        if !is_swarm_name(&self.swarm) {
            return Err(StartError::SwarmName(self.swarm.clone()));
        }
        if !is_node_name(&self.name) {
            return Err(StartError::NodeName(self.name.clone()));
        }
        if let Some(run) = self.run.as_ref().filter(|run| run.spec.len() > MAX_SPEC) {
            return Err(StartError::SpecTooLarge(run.spec.len()));
        }
        if self.peers.len() > MAX_GIVEN {
            return Err(StartError::TooManyPeers(self.peers.len()));
        }
        self.peers.iter().map(|text| target(text)).collect()
    }
}

/// Reads the address of a peer.
fn target(text: &str) -> Result<(String, Target), StartError> {
    let can_be = |target: &Target| match target {
        Target::Address(address) => is_dialable(address),
        Target::Name(_) => true,
    };
    match address::parse(text).filter(can_be) {
        Some(target) => Ok((text.to_owned(), target)),
        None => Err(StartError::PeerAddress(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_peers_as_the_error_says_can_be_given() {
        let with =
            |count| Config { peers: vec!["lab:4477".to_owned(); count], ..Config::default() };
        with(MAX_GIVEN).check().unwrap();
        let error = with(MAX_GIVEN + 1).check().unwrap_err().to_string();
        assert!(error.contains(&format!("at most {MAX_GIVEN}")), "{error}");
    }

    #[test]
    fn each_setting_has_its_error() {
        let data = RunInfo {
            id: Hash([0; 32]),
            spec: vec![0; MAX_SPEC + 1].into(),
            name: None,
            data: None,
        };
        let name = Config { name: "a b".to_owned(), ..Config::default() };
        let swarm = Config { swarm: String::new(), ..Config::default() };
        let run = Config { run: Some(data), ..Config::default() };
        let peers = Config { peers: vec!["0.0.0.0:4477".to_owned()], ..Config::default() };
        assert!(matches!(name.check(), Err(StartError::NodeName(_))));
        assert!(matches!(swarm.check(), Err(StartError::SwarmName(_))));
        assert!(matches!(run.check(), Err(StartError::SpecTooLarge(_))));
        assert!(matches!(peers.check(), Err(StartError::PeerAddress(_))));
    }
}
