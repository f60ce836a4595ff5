//! Dials what is due, and notes what came of it.
//!
//! Rule: an attempt ends in a connection or in one error, and an error is kept until it no longer
//! holds, for the report of a lonely node.

use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::address::{self, Target};
use crate::connection::fixed::FixedAddresses;
use crate::connection::found::FoundPeers;
use crate::connection::peers::Peers;
use crate::connection::unreached::{Unreached, Via};
use crate::error::unreached;
use crate::event::Event;
use crate::io::{Done, Io};

/// Everything that could be dialed.
#[derive(Debug)]
pub(crate) struct Dialing {
    found: FoundPeers,
    fixed: FixedAddresses,
}

impl Dialing {
    pub(crate) fn new(own: PeerId) -> Self {
        Self { found: FoundPeers::new(own), fixed: FixedAddresses::new(own) }
    }

    /// Adds an address that the user gave.
    pub(crate) fn add_given(&mut self, text: String, target: Target, now: Instant) {
        self.fixed.add(text, target, false, now);
    }

    /// Adds an address that was remembered.
    pub(crate) fn add_remembered(&mut self, address: Multiaddr, now: Instant) {
        self.fixed.add(address.to_string(), Target::Address(address), true, now);
    }

    /// Adds a peer that was found, or addresses of it.
    pub(crate) fn add_found(
        &mut self,
        peer: PeerId,
        via: Via,
        addresses: impl IntoIterator<Item = Multiaddr>,
        now: Instant,
    ) {
        self.found.add(peer, via, addresses, now);
    }

    /// Notes that multicast DNS no longer hears a peer at this address.
    pub(crate) fn expired(&mut self, peer: &PeerId, address: Multiaddr) {
        self.found.expired(peer, address);
    }

    /// Notes the addresses this node listens on.
    pub(crate) fn listening(&mut self, here: Vec<Multiaddr>) {
        self.found.listening(here);
    }

    /// Notes that a peer was refused. True for the first time.
    pub(crate) fn bar(&mut self, peer: PeerId, why: &str, now: Instant) -> bool {
        self.fixed.bar(peer, why, now);
        self.found.bar(peer)
    }

    /// Notes that the last connection with a peer is gone; a visitor is not looked for.
    pub(crate) fn gone(&mut self, peer: &PeerId, is_visitor: bool, now: Instant) {
        if is_visitor {
            self.found.forget(peer);
        } else {
            self.found.lost(peer, now);
        }
    }

    /// Begins every attempt that is due.
    pub(crate) fn dial_due(&mut self, io: &mut Io, peers: &Peers, now: Instant) {
        for (peer, addresses) in self.found.due(now, |peer| peers.contains(peer)) {
            let options = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                .build();
            if let Err(error) = io.swarm.dial(options) {
                tracing::debug!(%peer, "not dialed: {error}");
            }
        }
        for (index, target) in self.fixed.due(now, |peer| peers.contains(peer)) {
            match target {
                Target::Address(address) => self.dial_fixed(io, peers, index, address),
                Target::Name(name) => {
                    let resolve =
                        async move { Done::Resolved(index, address::resolve(&name).await) };
                    io.work.spawn(resolve);
                }
            }
        }
    }

    /// Dials a fixed address whose host name was looked up.
    pub(crate) fn on_resolved(
        &mut self,
        io: &mut Io,
        peers: &Peers,
        index: usize,
        addresses: Result<Vec<Multiaddr>, String>,
    ) {
        match addresses {
            Ok(addresses) => {
                if let Some(address) = self.fixed.choose(index, &addresses) {
                    self.dial_fixed(io, peers, index, address);
                }
            }
            Err(error) => self.missed(io, index, error),
        }
    }

    fn dial_fixed(&mut self, io: &mut Io, peers: &Peers, index: usize, address: Multiaddr) {
        let known = address
            .iter()
            .find_map(|part| if let Protocol::P2p(id) = part { Some(id) } else { None });
        if let Some(id) = known.filter(|id| peers.contains(id)) {
            return self.fixed.reached(index, id, Instant::now());
        }
        let options = match known {
            Some(id) => DialOpts::peer_id(id)
                .condition(PeerCondition::Always)
                .addresses(vec![address])
                .build(),
            None => DialOpts::unknown_peer_id().address(address).build(),
        };
        let connection = options.connection_id();
        self.fixed.begun(connection, index);
        if let Err(error) = io.swarm.dial(options) {
            self.on_failed(io, peers, connection, known, &error);
        }
    }

    /// Notes a connection, whoever made it.
    pub(crate) fn on_established(&mut self, peer: PeerId, connection: ConnectionId, now: Instant) {
        if let Some(index) = self.fixed.ended(connection) {
            self.fixed.reached(index, peer, now);
        }
        self.found.connected(&peer);
    }

    /// Notes that an attempt failed. Returns the peer, if it was found and does not answer.
    pub(crate) fn on_failed(
        &mut self,
        io: &mut Io,
        peers: &Peers,
        connection: ConnectionId,
        peer: Option<PeerId>,
        error: &DialError,
    ) -> Option<PeerId> {
        if let Some(index) = self.fixed.ended(connection) {
            // No address but this node's own is left to dial.
            if matches!(error, DialError::LocalPeerId { .. } | DialError::NoAddresses) {
                self.fixed.is_self(index);
            } else {
                self.missed(io, index, cause(error));
            }
            return None;
        }
        let peer = peer.filter(|peer| !peers.contains(peer))?;
        tracing::debug!(%peer, "not reached: {}", cause(error));
        if let DialError::Transport(tried) = error {
            let why = tried.iter().map(|(at, error)| (at.clone(), unreached(error)));
            self.found.failed(&peer, why.collect());
        } else if let DialError::WrongPeerId { address, .. } = error {
            self.found.not_there(&peer, address.clone());
        }
        Some(peer)
    }

    fn missed(&mut self, io: &mut Io, index: usize, why: String) {
        if let Some(address) = self.fixed.missed(index, why.clone(), Instant::now()) {
            io.emit(Event::NotReached { address, why });
        }
    }

    /// The addresses that the user gave, each with its last error.
    pub(crate) fn given(&self) -> Vec<(String, Option<String>)> {
        self.fixed.given()
    }

    /// Number of remembered addresses.
    pub(crate) fn remembered(&self) -> usize {
        self.fixed.remembered()
    }

    /// The found peers that could not be reached.
    pub(crate) fn unreached(&self) -> Vec<Unreached> {
        self.found.unreached()
    }

    /// Number of peers that were refused.
    pub(crate) fn refused(&self) -> usize {
        self.found.barred()
    }
}

/// The root of a failed attempt, in few words.
fn cause(error: &DialError) -> String {
    if let DialError::WrongPeerId { obtained, .. } = error {
        return format!("another node is there now ({obtained}); leave /p2p/ID out");
    }
    if let DialError::Transport(tried) = error
        && let Some((_, last)) = tried.last()
    {
        return unreached(last);
    }
    unreached(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::greeting::Greeting;

    fn address() -> Multiaddr {
        "/ip4/127.0.0.1/tcp/9".parse().unwrap()
    }

    #[tokio::test]
    async fn a_found_peer_that_does_not_answer_is_returned_and_one_elsewhere_forgotten() {
        let (mut io, _events) = Io::for_tests();
        let (peer, now) = (PeerId::random(), Instant::now());
        let peers = Peers::new(Greeting::new("own", "lab", None));
        let mut dialing = Dialing::new(PeerId::random());
        dialing.add_found(peer, Via::Mdns, [address()], now);
        let connection = ConnectionId::new_unchecked(7);
        let mut fail = |dialing: &mut Dialing, error| {
            dialing.on_failed(&mut io, &peers, connection, Some(peer), &error)
        };
        assert_eq!(fail(&mut dialing, DialError::Aborted), Some(peer));
        let elsewhere = DialError::WrongPeerId { obtained: PeerId::random(), address: address() };
        assert_eq!(fail(&mut dialing, elsewhere), Some(peer));
        dialing.add_found(peer, Via::Peer, [address()], now);
        assert!(dialing.unreached().is_empty());
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_looked_up_is_reported_once() {
        let (mut io, mut events) = Io::for_tests();
        let peers = Peers::new(Greeting::new("own", "lab", None));
        let mut dialing = Dialing::new(PeerId::random());
        dialing.add_given("lab:1".to_owned(), Target::Name("lab:1".to_owned()), Instant::now());
        for _ in 0..2 {
            dialing.on_resolved(&mut io, &peers, 0, Err("no such name".to_owned()));
        }
        let (address, why) = ("lab:1".to_owned(), "no such name".to_owned());
        assert_eq!(events.try_recv(), Ok(Event::NotReached { address, why }));
        assert!(events.try_recv().is_err());
        assert_eq!(dialing.given()[0].1.as_deref(), Some("no such name"));
    }

    #[test]
    fn another_node_at_a_full_address_is_named_with_advice() {
        let error = DialError::WrongPeerId { obtained: PeerId::random(), address: address() };
        assert!(cause(&error).contains("leave /p2p/ID out"));
    }
}
