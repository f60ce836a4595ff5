//! Who comes, who goes, who is dialed.
//!
//! Rule: a connection means nothing until its peer has said what it is; one of another swarm is
//! sent away, one of another run is named once and kept apart.

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, mdns, ping};
use tokio::time::Instant;

use ffp2p_proto::NodeId;

use crate::address::{self, Target, is_loopback};
use crate::connection::dialer::{Dial, Via};
use crate::connection::peers::Peer;
use crate::error::unreached;
use crate::event::{Event, Refusal};
use crate::event_loop::{Done, EventLoop};
use crate::io::behaviour::BehaviourEvent;
use crate::node_id::{node_id, peer_id};
use crate::wire::greeting::{Greeting, PROTOCOL_VERSION, version_in};
use crate::wire::messages::MAX_ADDRESS_BYTES;

impl EventLoop {
    #[expect(clippy::wildcard_enum_match_arm, reason = "libp2p may add events at any time")]
    pub(crate) fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => {
                self.on_listening();
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.forget(&peer_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!("a listening socket reports: {error}");
            }
            SwarmEvent::ListenerClosed { addresses, reason: Err(error), .. } => {
                tracing::error!(?addresses, "no longer listening: {error}; start the node again");
                self.on_listening();
            }
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, &info);
            }
            BehaviourEvent::Mdns4(mdns::Event::Discovered(found))
            | BehaviourEvent::Mdns6(mdns::Event::Discovered(found)) => self.on_discovered(found),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Ask(event) => self.on_ask(event),
            BehaviourEvent::Ping(ping) => self.on_ping(&ping),
            BehaviourEvent::Mdns4(mdns::Event::Expired(gone))
            | BehaviourEvent::Mdns6(mdns::Event::Expired(gone)) => {
                gone.into_iter().for_each(|(peer, at)| self.dialer.expired(&peer, at));
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Limits(never) => match never {},
        }
    }

    /// A connection on which nothing comes any more is closed and dialed again: the system would
    /// wait for it with longer and longer pauses, also when the cable is back.
    fn on_ping(&mut self, ping: &ping::Event) {
        let now = Instant::now();
        match &ping.result {
            Ok(_) => self.peers.heard(&ping.peer, now),
            Err(error) if self.peers.is_silent(&ping.peer, now) => {
                tracing::info!(peer = %ping.peer, "closing a connection that is dead: {error}");
                self.close(ping.peer);
            }
            Err(_) => {}
        }
    }

    fn on_established(&mut self, id: PeerId, connection: ConnectionId, at: &ConnectedPoint) {
        let now = Instant::now();
        if let Some(index) = self.dials.remove(&connection) {
            self.dialer.reached(index, id, now);
        }
        self.dialer.connected(&id);
        let Some(node) = node_id(&id) else {
            tracing::debug!(peer = %id, "its key is not Ed25519");
            return self.close(id);
        };
        if at.is_listener() && self.peers.get(&id).is_some_and(|peer| peer.is_settled(now)) {
            tracing::info!(peer = %node, "it dialed again: the old connection is dead there");
            return self.close(id);
        }
        if !self.peers.contains(&id) {
            let remote = at.get_remote_address();
            let mut peer = Peer::new(node, is_loopback(remote), now);
            peer.ip = address::socket(remote).map(|at| at.ip());
            self.peers.insert(id, peer);
        }
        if at.is_dialer() {
            self.learn(id, [at.get_remote_address().clone()], now);
        }
    }

    fn on_identified(&mut self, id: PeerId, info: &identify::Info) {
        let Some(peer) = self.peers.get(&id) else { return };
        let (local, ip) = (peer.local, peer.ip);
        if peer.greeting.is_none() {
            let greeting = (info.protocol_version == PROTOCOL_VERSION)
                .then(|| Greeting::parse(&info.agent_version))
                .flatten();
            match greeting {
                Some(greeting) if greeting.swarm == self.peers.own.swarm => {
                    self.on_greeting(id, greeting);
                }
                Some(other) => return self.refuse(id, Refusal::OtherSwarm(other.swarm)),
                None => {
                    let version = version_in(&info.agent_version).map(str::to_owned);
                    let reason = version.map_or(Refusal::OtherProgram, Refusal::OtherVersion);
                    return self.refuse(id, reason);
                }
            }
        }
        let addresses = info.listen_addrs.iter().filter(|a| local || !is_loopback(a)).cloned();
        let mut addresses: Vec<_> = addresses.collect();
        // It may say more than we keep: the one that is known to lead there first.
        addresses.sort_by_key(|at| address::socket(at).map(|at| at.ip()) != ip);
        self.learn(id, addresses, Instant::now());
    }

    /// A peer of our swarm said which run it trains.
    fn on_greeting(&mut self, id: PeerId, greeting: Greeting) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let (node, run) = (peer.node, greeting.run);
        let (name, version) = (greeting.name.clone(), greeting.version.clone());
        peer.greeting = Some(greeting);
        self.outbox.push(Event::Greeted { peer: node, name });
        if self.peers.same_run(&id) {
            self.announce(&id, Instant::now());
            self.ask_for_peers(id);
        } else if let Some(run) = run {
            self.search.other_run(run);
            self.outbox.push(Event::OtherRun { peer: node, run, version });
        }
    }

    /// Notes where a peer can be dialed, for us and for those who ask.
    fn learn(&mut self, id: PeerId, addresses: impl IntoIterator<Item = Multiaddr>, now: Instant) {
        let addresses: Vec<_> = addresses.into_iter().filter(is_dialable).collect();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.learn(addresses.iter().cloned());
        }
        self.dialer.found(id, Via::Peer, addresses, now);
    }

    /// Tells the owner of a member as soon as it can be talked to.
    pub(crate) fn announce(&mut self, id: &PeerId, now: Instant) {
        if self.peers.announce(id, now)
            && let Some(peer) = self.peers.get(id)
        {
            tracing::info!(peer = %peer.node, "connected");
            self.search.found();
            self.outbox.push(Event::Connected(peer.node));
        }
    }

    fn refuse(&mut self, id: PeerId, reason: Refusal) {
        let Some(node) = self.peers.get(&id).map(|peer| peer.node) else { return };
        if self.dialer.bar(id, &reason.to_string(), Instant::now()) {
            tracing::info!(peer = %node, "sent away: {reason}");
            self.outbox.push(Event::Refused { peer: node, reason });
        }
        self.close(id);
    }

    pub(crate) fn disconnect(&mut self, node: NodeId) {
        if let Some(id) = peer_id(node) {
            self.close(id);
        }
    }

    /// Closes every connection with a peer, and takes it for gone at once: a dead link may need
    /// long to admit it.
    pub(crate) fn close(&mut self, id: PeerId) {
        // An error means that it is closed already.
        let _ = self.swarm.disconnect_peer_id(id);
        self.forget(&id);
    }

    fn forget(&mut self, id: &PeerId) {
        let now = Instant::now();
        let Some(peer) = self.peers.remove(id) else { return };
        if peer.visits() {
            self.dialer.forget(id);
        } else {
            self.dialer.lost(id, now);
        }
        let ends = self.fetches.peer_gone(peer.node);
        self.on_fetch_ends(ends);
        if peer.announced {
            tracing::info!(peer = %peer.node, "disconnected");
            self.outbox.push(Event::Disconnected(peer.node));
            if !self.peers.any_announced() {
                self.search.lost_all(now);
            }
        }
    }

    fn on_discovered(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let now = Instant::now();
        for (peer, address) in found {
            self.search.heard(peer);
            self.dialer.found(peer, Via::Mdns, Some(address).filter(is_dialable), now);
        }
        self.dial_due(now);
    }

    pub(crate) fn dial_due(&mut self, now: Instant) {
        for dial in self.dialer.due(now, |peer| self.peers.contains(peer)) {
            match dial {
                Dial::Found(peer, addresses) => self.dial_found(peer, addresses),
                Dial::Fixed(index) => self.dial_fixed(index),
            }
        }
    }

    fn dial_found(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .build();
        if let Err(error) = self.swarm.dial(options) {
            tracing::debug!(%peer, "not dialed: {error}");
        }
    }

    fn dial_fixed(&mut self, index: usize) {
        match self.dialer.fixed.get(index).map(|fixed| fixed.target.clone()) {
            Some(Target::Address(address)) => self.dial_address(index, address),
            Some(Target::Name(name)) => {
                let resolve = async move { Done::Resolved(index, address::resolve(&name).await) };
                self.work.spawn(resolve);
            }
            None => {}
        }
    }

    pub(crate) fn on_resolved(&mut self, index: usize, found: Result<Vec<Multiaddr>, String>) {
        match found {
            Ok(addresses) => {
                // Another one at each attempt.
                let turn = self.dialer.attempt(index).checked_rem(addresses.len());
                if let Some(address) = turn.and_then(|turn| addresses.get(turn)) {
                    self.dial_address(index, address.clone());
                }
            }
            Err(error) => self.on_missed(index, error),
        }
    }

    fn dial_address(&mut self, index: usize, address: Multiaddr) {
        let known = address
            .iter()
            .find_map(|part| if let Protocol::P2p(id) = part { Some(id) } else { None });
        if let Some(id) = known.filter(|id| self.peers.contains(id)) {
            return self.dialer.reached(index, id, Instant::now());
        }
        let options = match known {
            Some(id) => DialOpts::peer_id(id)
                .condition(PeerCondition::Always)
                .addresses(vec![address])
                .build(),
            None => DialOpts::unknown_peer_id().address(address).build(),
        };
        let connection = options.connection_id();
        self.dials.insert(connection, index);
        if let Err(error) = self.swarm.dial(options) {
            self.on_dial_failed(connection, known, &error);
        }
    }

    fn on_dial_failed(&mut self, connection: ConnectionId, id: Option<PeerId>, error: &DialError) {
        if let Some(index) = self.dials.remove(&connection) {
            // No way is left to an address that is ours.
            if matches!(error, DialError::LocalPeerId { .. } | DialError::NoAddresses) {
                self.dialer.is_self(index);
            } else {
                self.on_missed(index, cause(error));
            }
        } else if let Some(id) = id.filter(|id| !self.peers.contains(id)) {
            tracing::debug!(peer = %id, "not reached: {}", cause(error));
            if let DialError::Transport(tried) = error {
                let why = tried.iter().map(|(at, error)| (at.clone(), unreached(error)));
                self.dialer.failed(&id, why.collect());
            } else if let DialError::WrongPeerId { address, .. } = error {
                self.dialer.not_there(&id, address.clone());
            }
            if let Some(neighbours) = &self.neighbours {
                neighbours.unreachable(id);
            }
        }
    }

    fn on_missed(&mut self, index: usize, why: String) {
        if self.dialer.missed(index, why.clone(), Instant::now())
            && let Some(fixed) = self.dialer.fixed.get(index)
        {
            let address = fixed.text.clone();
            self.outbox.push(Event::NotReached { address, why });
        }
    }
}

/// What lies under a failed dial, in few words.
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

/// Whether an address that a peer told can be dialed from here at all.
pub(crate) fn is_dialable(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => !ip.is_unspecified() && !ip.is_multicast(),
        // Multicast DNS over IPv6 hears what is said over IPv4, too, and takes it for an own address.
        Some(Protocol::Ip6(ip)) => {
            !ip.is_unspecified() && !ip.is_multicast() && ip.to_ipv4_mapped().is_none()
        }
        _ => false,
    };
    let port = matches!(parts.next(), Some(Protocol::Tcp(port)) if port > 0);
    let rest = matches!((parts.next(), parts.next()), (None | Some(Protocol::P2p(_)), None));
    host && port && rest && address.len() <= MAX_ADDRESS_BYTES
}
