//! Peers that were found, and when to dial them.
//!
//! Rule: of two peers that find each other at the same moment, the one with the smaller id dials
//! and the other waits a second, so that a pair has one connection. A found peer is given up after a
//! while, because a peer that starts again has a new id.
//!
//! Nothing here touches a socket: [`FoundPeers`] says what to dial, and takes in the outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::address::{self, shown};
use crate::connection::pauses::pause;
use crate::connection::unreached::{Unreached, Via};
use crate::wire::limits::MAX_ADDRESSES;

/// Peers found and not yet given up.
const MAX_FOUND: usize = 256;

/// Refused peers that are not dialed again.
const MAX_BARRED: usize = 256;

/// Attempts after which a found peer is given up.
const MAX_ATTEMPTS: u32 = 100;

/// The peer with the larger id gives the other one this long to dial.
const TIE_BREAK: Duration = Duration::from_secs(1);

/// First pause between attempts.
const FOUND_PAUSE: Duration = Duration::from_secs(1);

/// A peer that was found: by mDNS, in the rendezvous folder, or through another peer.
#[derive(Debug)]
struct Found {
    via: Via,
    addresses: Vec<Multiaddr>,
    /// Errors at each address, in the last attempt.
    errors: Vec<(Multiaddr, String)>,
    due: Instant,
    attempts: u32,
}

/// All peers that were found.
#[derive(Debug)]
pub(crate) struct FoundPeers {
    own: PeerId,
    /// The addresses this node listens on.
    here: Vec<Multiaddr>,
    found: BTreeMap<PeerId, Found>,
    barred: BTreeSet<PeerId>,
}

impl FoundPeers {
    pub(crate) fn new(own: PeerId) -> Self {
        Self { own, here: Vec::new(), found: BTreeMap::new(), barred: BTreeSet::new() }
    }

    /// Notes the addresses this node listens on. Hosts may have one in common, as on their bridges for
    /// containers: on each of them it leads to itself, and is not dialed.
    pub(crate) fn listening(&mut self, here: Vec<Multiaddr>) {
        self.here = here;
    }

    /// Adds a peer that was found, or addresses of it.
    pub(crate) fn add(
        &mut self,
        peer: PeerId,
        via: Via,
        addresses: impl IntoIterator<Item = Multiaddr>,
        now: Instant,
    ) {
        let full = self.found.len() >= MAX_FOUND && !self.found.contains_key(&peer);
        if peer == self.own || full || self.barred.contains(&peer) {
            return;
        }
        let due = now + self.tie_break(&peer);
        let new = Found { via, addresses: vec![], errors: vec![], due, attempts: 0 };
        let found = self.found.entry(peer).or_insert(new);
        for address in addresses.into_iter().filter_map(plain) {
            if found.addresses.len() < MAX_ADDRESSES && !found.addresses.contains(&address) {
                found.addresses.push(address);
            }
        }
    }

    fn tie_break(&self, peer: &PeerId) -> Duration {
        if self.own < *peer { Duration::ZERO } else { TIE_BREAK }
    }

    /// The peers to dial now, each at one of its addresses; the attempts count as made.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut due = Vec::new();
        self.found.retain(|_, found| found.attempts < MAX_ATTEMPTS);
        for (peer, found) in &mut self.found {
            let elsewhere = found.addresses.iter().filter(|at| !self.here.contains(at));
            let elsewhere: Vec<_> = elsewhere.cloned().collect();
            if now >= found.due && !connected(peer) && !elsewhere.is_empty() {
                found.attempts += 1;
                found.due = now + pause(FOUND_PAUSE, found.attempts, self.own, peer);
                due.push((*peer, elsewhere));
            }
        }
        due
    }

    /// Notes a connection; after a later loss, pauses are short again.
    pub(crate) fn connected(&mut self, peer: &PeerId) {
        if let Some(found) = self.found.get_mut(peer) {
            found.via = Via::Met;
            found.errors.clear();
            found.attempts = 0;
        }
    }

    /// Notes why a peer was not reached.
    pub(crate) fn failed(&mut self, peer: &PeerId, errors: Vec<(Multiaddr, String)>) {
        if let Some(found) = self.found.get_mut(peer) {
            let known = |(at, error)| plain(at).map(|at| (at, error));
            found.errors = errors.into_iter().filter_map(known).take(MAX_ADDRESSES).collect();
        }
    }

    /// Notes that multicast DNS no longer hears a peer at this address.
    pub(crate) fn expired(&mut self, peer: &PeerId, address: Multiaddr) {
        if self.found.get(peer).is_some_and(|found| found.via == Via::Mdns) {
            self.not_there(peer, address);
        }
    }

    /// Notes that another peer is at this address.
    pub(crate) fn not_there(&mut self, peer: &PeerId, address: Multiaddr) {
        let (Some(found), address) = (self.found.get_mut(peer), plain(address)) else { return };
        found.addresses.retain(|at| Some(at) != address.as_ref());
        found.errors.retain(|(at, _)| Some(at) != address.as_ref());
        if found.addresses.is_empty() {
            self.found.remove(peer);
        }
    }

    /// Notes that the last connection with `peer` is gone.
    pub(crate) fn lost(&mut self, peer: &PeerId, now: Instant) {
        let due = now + self.tie_break(peer);
        if let Some(found) = self.found.get_mut(peer) {
            found.due = due;
        }
    }

    /// Forgets a peer that is not to be looked for.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.found.remove(peer);
    }

    /// Notes that a peer was refused: it is not dialed again under this id. True for the first time.
    pub(crate) fn bar(&mut self, peer: PeerId) -> bool {
        self.found.remove(&peer);
        if self.barred.len() >= MAX_BARRED {
            self.barred.pop_first();
        }
        self.barred.insert(peer)
    }

    /// Number of refused peers, up to [`MAX_BARRED`].
    pub(crate) fn barred(&self) -> usize {
        self.barred.len()
    }

    /// The peers that could not be reached; those heard by multicast DNS come first.
    pub(crate) fn unreached(&self) -> Vec<Unreached> {
        let mut all: Vec<_> = self
            .found
            .values()
            .filter(|found| !found.errors.is_empty())
            .map(|found| Unreached {
                via: found.via,
                tried: found.errors.iter().map(|(at, why)| (shown(at), why.clone())).collect(),
            })
            .collect();
        all.sort_by_key(|peer| peer.via != Via::Mdns);
        all
    }
}

/// Host and port alone, without the peer's id.
fn plain(address: Multiaddr) -> Option<Multiaddr> {
    address::socket(&address).map(address::tcp)
}

#[cfg(test)]
#[path = "found_tests.rs"]
mod tests;
