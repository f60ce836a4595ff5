//! Who is connected, and what is known of each.
//!
//! Rule: a peer counts as a member once it said that it is of our swarm and run, and either
//! listens to the run's gossip or had a moment to say so. The number of entries is bounded by
//! the limit on connections.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ffp2p_proto::NodeId;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::wire::greeting::Greeting;
use crate::wire::messages::MAX_ADDRESSES;

/// A member that does not listen to gossip is announced after this long all the same: it can be
/// talked to directly.
const GOSSIP_GRACE: Duration = Duration::from_secs(1);

/// A member that does not listen to gossip for this long is disconnected: the subscription was
/// lost, and only a new connection repeats it.
const DEAF: Duration = Duration::from_secs(10);

/// A connection on which nothing came for this long is taken for dead when a ping fails, too.
const SILENT: Duration = Duration::from_secs(4);

/// Two peers that dial each other at the same moment have done so within this time. A connection
/// that comes later replaces a dead one, and over a second one gossip would not say again what
/// the peer listens to; so both are closed, and a clean one is made.
const SETTLED: Duration = Duration::from_secs(3);

/// Whom we heard within this time hears us, too. Two heartbeats and a bit: less than the silence
/// after which a peer is taken for gone, so that others begin to pass on before.
const DIRECT: Duration = Duration::from_millis(1_200);

/// A connected peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    pub(crate) since: Instant,
    /// When something last came from it.
    heard: Instant,
    /// What it said of itself.
    pub(crate) greeting: Option<Greeting>,
    /// Whether it listens to the run's gossip.
    pub(crate) listens: bool,
    /// Whether the owner was told of it.
    pub(crate) announced: bool,
    /// Where it can be dialed.
    pub(crate) addresses: Vec<Multiaddr>,
    /// Whether it is on this host.
    pub(crate) local: bool,
    /// Where its connection comes from or leads to.
    pub(crate) ip: Option<IpAddr>,
    /// Messages sent to it and not yet taken.
    pub(crate) unanswered: usize,
}

impl Peer {
    pub(crate) fn new(node: NodeId, local: bool, now: Instant) -> Self {
        Self {
            node,
            since: now,
            heard: now,
            greeting: None,
            listens: false,
            announced: false,
            addresses: Vec::new(),
            local,
            ip: None,
            unanswered: 0,
        }
    }

    /// Whether it only came to look.
    pub(crate) fn visits(&self) -> bool {
        self.greeting.as_ref().is_some_and(|greeting| greeting.visits)
    }

    /// Whether its connection has stood for so long that a new one means something.
    pub(crate) fn is_settled(&self, now: Instant) -> bool {
        now >= self.since + SETTLED
    }

    /// Adds where it can be dialed, within the bound.
    pub(crate) fn learn(&mut self, addresses: impl IntoIterator<Item = Multiaddr>) {
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
    pub(crate) own: Greeting,
    all: BTreeMap<PeerId, Peer>,
}

impl Peers {
    pub(crate) fn new(own: Greeting) -> Self {
        Self { own, all: BTreeMap::new() }
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.all.get(peer)
    }

    pub(crate) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Peer> {
        self.all.get_mut(peer)
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.all.contains_key(peer)
    }

    pub(crate) fn insert(&mut self, id: PeerId, peer: Peer) {
        self.all.insert(id, peer);
    }

    pub(crate) fn remove(&mut self, peer: &PeerId) -> Option<Peer> {
        self.all.remove(peer)
    }

    /// Something came from `peer`.
    pub(crate) fn heard(&mut self, peer: &PeerId, now: Instant) {
        if let Some(peer) = self.all.get_mut(peer) {
            peer.heard = now;
        }
    }

    /// Whether nothing has come from `peer` for long.
    pub(crate) fn is_silent(&self, peer: &PeerId, now: Instant) -> bool {
        self.all.get(peer).is_some_and(|peer| now >= peer.heard + SILENT)
    }

    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.all.keys().copied().collect()
    }

    /// Whether `peer` said that it is of our run.
    pub(crate) fn same_run(&self, peer: &PeerId) -> bool {
        self.own.run.is_some()
            && self
                .all
                .get(peer)
                .and_then(|peer| peer.greeting.as_ref())
                .is_some_and(|said| said.is_with(&self.own))
    }

    /// Peers of our run.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.all.iter().filter(|(id, _)| self.same_run(id))
    }

    /// Peers of our swarm, of whatever run.
    pub(crate) fn greeted(&self) -> impl Iterator<Item = &Peer> {
        self.all.values().filter(|peer| peer.greeting.is_some())
    }

    /// Ourselves and the members who hear us directly, as one number. Of two nodes with the same
    /// number each is heard by all peers of the other, so neither passes on what the other says.
    pub(crate) fn circle(&self, own: NodeId, now: Instant) -> u64 {
        let direct = self.members().filter(|(_, it)| it.listens && now < it.heard + DIRECT);
        direct.fold(mark(own), |all, (_, it)| all ^ mark(it.node))
    }

    /// Whether the owner knows of anyone.
    pub(crate) fn any_announced(&self) -> bool {
        self.all.values().any(|peer| peer.announced)
    }

    /// Marks `peer` as announced when it is due; true when the owner is to be told now.
    pub(crate) fn announce(&mut self, id: &PeerId, now: Instant) -> bool {
        let member = self.same_run(id);
        let Some(peer) = self.all.get_mut(id) else { return false };
        let due = peer.listens || now >= peer.since + GOSSIP_GRACE;
        let tell = member && due && !peer.announced;
        peer.announced |= tell;
        tell
    }

    /// Members whose subscription must have been lost.
    pub(crate) fn deaf(&self, now: Instant) -> Vec<PeerId> {
        let deaf = |peer: &Peer| !peer.listens && now >= peer.since + DEAF;
        self.members().filter(|(_, peer)| deaf(peer)).map(|(id, _)| *id).collect()
    }
}

/// What a node adds to the number of a circle.
fn mark(node: NodeId) -> u64 {
    node.0.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use ffp2p_proto::Hash;

    use super::*;

    #[test]
    fn all_who_hear_each_other_are_in_one_circle() {
        let now = Instant::now();
        let own = |run| Greeting::new("node", "a", run);
        let run = Some(Hash([7; 32]));
        let node = |number| NodeId([number; 32]);
        let seen_from = |me: u8| {
            let mut peers = Peers::new(own(run));
            for number in (1..=3).filter(|&number| number != me) {
                let peer = Peer::new(node(number), false, now);
                let peer = Peer { greeting: Some(own(run)), listens: true, ..peer };
                peers.insert(PeerId::random(), peer);
            }
            peers
        };
        let circle = |me, peers: &Peers| peers.circle(node(me), now);
        let (one, mut two) = (seen_from(1), seen_from(2));
        assert_eq!(circle(1, &one), circle(2, &two));
        assert_ne!(circle(1, &one), one.circle(node(1), now + DIRECT), "nobody was heard lately");
        for change in [
            |peer: &mut Peer| peer.listens = false,
            |peer: &mut Peer| peer.greeting = Some(Greeting::new("node", "a", None)),
        ] {
            two = seen_from(2);
            two.all.values_mut().next().into_iter().for_each(change);
            assert_ne!(circle(1, &one), circle(2, &two));
        }
    }

    #[test]
    fn a_peer_is_silent_only_when_nothing_came_for_long() {
        let (id, now) = (PeerId::random(), Instant::now());
        let mut peers = Peers::new(Greeting::new("node", "a", None));
        assert!(!peers.is_silent(&id, now + 2 * SILENT));
        peers.insert(id, Peer::new(NodeId([1; 32]), false, now));
        assert!(!peers.is_silent(&id, now) && peers.is_silent(&id, now + SILENT));
        peers.heard(&id, now + SILENT);
        assert!(!peers.is_silent(&id, now + SILENT));
    }
}
