//! The table of connected peers, and what is known of each.
//!
//! Rule: a peer counts as a member once it said that it is of our swarm and run, and either
//! subscribes to the run's gossip or had a moment to do so. The number of entries is bounded by
//! the bound on connections.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ffp2p_proto::NodeId;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::address::{self, is_loopback};
use crate::wire::greeting::Greeting;
use crate::wire::limits::MAX_ADDRESSES;

/// A member that does not subscribe to gossip is announced after this long all the same: it can be
/// talked to directly.
const GOSSIP_GRACE: Duration = Duration::from_secs(1);

/// A member that does not subscribe to gossip for this long is disconnected: the subscription was
/// lost, and only a new connection repeats it.
const SUBSCRIPTION_LOST: Duration = Duration::from_secs(10);

/// A connection on which nothing came for this long is considered dead once a ping fails, too.
const SILENT: Duration = Duration::from_secs(4);

/// Two peers that dial each other at the same moment have done so within this time. A connection
/// that comes later replaces a dead one, and over a second one gossip would not repeat the peer's
/// subscriptions; so both are closed, and a clean one is made.
const SETTLED: Duration = Duration::from_secs(3);

/// A member that was heard within this time hears us, too. It is longer than the time between two
/// heartbeats, and shorter than the silence after which a peer is considered dead, so that others
/// begin to pass broadcasts on before.
const AUDIENCE: Duration = Duration::from_millis(1_200);

/// A connected peer.
#[derive(Debug)]
pub(crate) struct Peer {
    node: NodeId,
    /// Time of its connection.
    since: Instant,
    /// Time at which something last came from it.
    heard: Instant,
    /// Its introduction; `None` until it came.
    greeting: Option<Greeting>,
    /// Whether it subscribes to the run's gossip.
    subscribed: bool,
    /// Whether the owner knows of it.
    announced: bool,
    /// Addresses at which it can be dialed.
    addresses: Vec<Multiaddr>,
    /// Whether it is on this host.
    local: bool,
    /// The other end of its connection.
    ip: Option<IpAddr>,
}

impl Peer {
    /// A peer at the other end of a connection to or from `remote`.
    pub(crate) fn new(node: NodeId, remote: &Multiaddr, now: Instant) -> Self {
        Self {
            node,
            since: now,
            heard: now,
            greeting: None,
            subscribed: false,
            announced: false,
            addresses: Vec::new(),
            local: is_loopback(remote),
            ip: address::socket(remote).map(|at| at.ip()),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// Whether it is on this host.
    pub(crate) fn is_local(&self) -> bool {
        self.local
    }

    /// Addresses at which it can be dialed.
    pub(crate) fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
    }

    /// Whether the owner knows of it.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced
    }

    /// Whether it only looks around or exports, and leaves again.
    pub(crate) fn is_visitor(&self) -> bool {
        self.greeting.as_ref().is_some_and(|greeting| greeting.visits)
    }

    /// Adds addresses at which it can be dialed, within the bound.
    fn learn(&mut self, addresses: impl IntoIterator<Item = Multiaddr>) {
        for address in addresses {
            if self.addresses.len() < MAX_ADDRESSES && !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
    }
}

/// All connected peers, and our own place among them.
#[derive(Debug)]
pub(crate) struct Peers {
    own: Greeting,
    all: BTreeMap<PeerId, Peer>,
}

impl Peers {
    pub(crate) fn new(own: Greeting) -> Self {
        Self { own, all: BTreeMap::new() }
    }

    /// Our own greeting.
    pub(crate) fn own(&self) -> &Greeting {
        &self.own
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.all.get(peer)
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.all.contains_key(peer)
    }

    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.all.keys().copied().collect()
    }

    /// Adds a peer, unless it is there already: a second connection changes nothing.
    pub(crate) fn insert(&mut self, id: PeerId, peer: Peer) {
        self.all.entry(id).or_insert(peer);
    }

    pub(crate) fn remove(&mut self, peer: &PeerId) -> Option<Peer> {
        self.all.remove(peer)
    }

    /// Notes the introduction of `peer`.
    pub(crate) fn introduce(&mut self, peer: &PeerId, greeting: Greeting) {
        if let Some(peer) = self.all.get_mut(peer) {
            peer.greeting = Some(greeting);
        }
    }

    /// Notes that `peer` subscribes to the run's gossip.
    pub(crate) fn subscribed(&mut self, peer: &PeerId) {
        if let Some(peer) = self.all.get_mut(peer) {
            peer.subscribed = true;
        }
    }

    /// Notes addresses at which `peer` can be dialed.
    pub(crate) fn learn(&mut self, peer: &PeerId, addresses: impl IntoIterator<Item = Multiaddr>) {
        if let Some(peer) = self.all.get_mut(peer) {
            peer.learn(addresses);
        }
    }

    /// The addresses that `peer` says it listens on, without those that lead nowhere from here. It may
    /// name more than are kept: the address it is connected from comes first.
    pub(crate) fn usable(&self, peer: &PeerId, addresses: &[Multiaddr]) -> Vec<Multiaddr> {
        let Some(peer) = self.all.get(peer) else { return Vec::new() };
        let usable = addresses.iter().filter(|at| peer.local || !is_loopback(at));
        let mut usable: Vec<_> = usable.cloned().collect();
        usable.sort_by_key(|at| address::socket(at).map(|at| at.ip()) != peer.ip);
        usable
    }

    /// Notes that something came from `peer`.
    pub(crate) fn heard(&mut self, peer: &PeerId, now: Instant) {
        if let Some(peer) = self.all.get_mut(peer) {
            peer.heard = now;
        }
    }

    /// Whether nothing has come from `peer` for long.
    pub(crate) fn is_silent(&self, peer: &PeerId, now: Instant) -> bool {
        self.all.get(peer).is_some_and(|peer| now >= peer.heard + SILENT)
    }

    /// Whether `peer` has been connected for so long that a new connection means that the old one is
    /// dead.
    pub(crate) fn is_settled(&self, peer: &PeerId, now: Instant) -> bool {
        self.all.get(peer).is_some_and(|peer| now >= peer.since + SETTLED)
    }

    /// Whether `peer` said that it is of our run.
    pub(crate) fn same_run(&self, peer: &PeerId) -> bool {
        self.own.run.is_some()
            && self
                .all
                .get(peer)
                .and_then(|peer| peer.greeting.as_ref())
                .is_some_and(|greeting| greeting.is_with(&self.own))
    }

    /// Peers of our run.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.all.iter().filter(|(id, _)| self.same_run(id))
    }

    /// Peers of our swarm, of whatever run.
    pub(crate) fn greeted(&self) -> impl Iterator<Item = &Peer> {
        self.all.values().filter(|peer| peer.greeting.is_some())
    }

    /// A digest of our audience: ourselves and the members that hear us directly. Of two nodes with the
    /// same digest, each is heard by all peers of the other, so neither passes on the other's
    /// broadcasts.
    pub(crate) fn audience_digest(&self, own: NodeId, now: Instant) -> u64 {
        let direct = self.members().filter(|(_, it)| it.subscribed && now < it.heard + AUDIENCE);
        direct.fold(key_head(own), |digest, (_, it)| digest ^ key_head(it.node))
    }

    /// Whether the owner knows of anyone.
    pub(crate) fn any_announced(&self) -> bool {
        self.all.values().any(|peer| peer.announced)
    }

    /// The member `id`, if it is to be announced to the owner now; it counts as announced then.
    pub(crate) fn announce(&mut self, id: &PeerId, now: Instant) -> Option<NodeId> {
        let member = self.same_run(id);
        let peer = self.all.get_mut(id)?;
        let due = peer.subscribed || now >= peer.since + GOSSIP_GRACE;
        let tell = member && due && !peer.announced;
        peer.announced |= tell;
        tell.then_some(peer.node)
    }

    /// Members whose subscription must have been lost.
    pub(crate) fn without_subscription(&self, now: Instant) -> Vec<PeerId> {
        let lost = |peer: &Peer| !peer.subscribed && now >= peer.since + SUBSCRIPTION_LOST;
        self.members().filter(|(_, peer)| lost(peer)).map(|(id, _)| *id).collect()
    }
}

/// The first eight bytes of a node's key: its part in a digest.
fn key_head(node: NodeId) -> u64 {
    node.0.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
