//! Peers that come and introduce themselves.
//!
//! Rule: a connection means nothing until its peer has introduced itself; one of another swarm is
//! refused, one of another run is named once and kept apart.

use ffp2p_proto::Hash;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, identify, ping};
use tokio::time::Instant;

use crate::address::is_dialable;
use crate::connection::dialing::Dialing;
use crate::connection::peers::{Peer, Peers};
use crate::connection::unreached::Via;
use crate::event::{Event, Refusal};
use crate::io::Io;
use crate::wire::greeting::{Greeting, PROTOCOL_VERSION, version_in};
use crate::wire::node_id::node_id;

/// Outcome of an introduction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Introduction {
    /// The peer is of our run.
    Member,
    /// The peer trains another run.
    OtherRun(Hash),
    /// Nothing is to be done: the peer trains no run, or was introduced before.
    Other,
    /// The peer is not one of us; its connections are to be closed.
    Refused,
}

/// The peers that are connected.
#[derive(Debug)]
pub(crate) struct Connections {
    peers: Peers,
}

impl Connections {
    /// No connections yet of a node that introduces itself by `own`.
    pub(crate) fn new(own: Greeting) -> Self {
        Self { peers: Peers::new(own) }
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Notes that something came from a peer.
    pub(crate) fn heard(&mut self, id: &PeerId, now: Instant) {
        self.peers.heard(id, now);
    }

    /// Notes that a peer subscribes to the run's gossip.
    pub(crate) fn subscribed(&mut self, id: &PeerId) {
        self.peers.subscribed(id);
    }

    /// Notes a ping. True when the connection is dead: the system would wait for it with longer and
    /// longer pauses, also when the cable is back.
    pub(crate) fn is_dead(&mut self, ping: &ping::Event) -> bool {
        let now = Instant::now();
        match &ping.result {
            Ok(_) => self.peers.heard(&ping.peer, now),
            Err(error) if self.peers.is_silent(&ping.peer, now) => {
                tracing::info!(peer = %ping.peer, "closing a dead connection: {error}");
                return true;
            }
            Err(_) => {}
        }
        false
    }

    /// Notes a connection. False when all connections with the peer are to be closed.
    pub(crate) fn on_established(
        &mut self,
        dialing: &mut Dialing,
        id: PeerId,
        connection: ConnectionId,
        at: &ConnectedPoint,
    ) -> bool {
        let now = Instant::now();
        dialing.on_established(id, connection, now);
        let Some(node) = node_id(&id) else {
            tracing::debug!(peer = %id, "its key is not Ed25519");
            return false;
        };
        if at.is_listener() && self.peers.is_settled(&id, now) {
            tracing::info!(peer = %node, "it dialed again: the old connection is dead there");
            return false;
        }
        self.peers.insert(id, Peer::new(node, at.get_remote_address(), now));
        if at.is_dialer() {
            self.learn(dialing, id, [at.get_remote_address().clone()], now);
        }
        true
    }

    /// Takes in the introduction of a peer.
    pub(crate) fn on_identified(
        &mut self,
        io: &mut Io,
        dialing: &mut Dialing,
        id: PeerId,
        info: &identify::Info,
    ) -> Introduction {
        let Some(peer) = self.peers.get(&id) else { return Introduction::Other };
        let mut outcome = Introduction::Other;
        if peer.greeting().is_none() {
            match judge(info, self.peers.own()) {
                Ok(greeting) => outcome = self.on_greeting(io, id, greeting),
                Err(reason) => {
                    self.refuse(io, dialing, id, reason);
                    return Introduction::Refused;
                }
            }
        }
        let addresses = self.peers.usable(&id, &info.listen_addrs);
        self.learn(dialing, id, addresses, Instant::now());
        outcome
    }

    /// Notes the greeting of a peer of our swarm.
    fn on_greeting(&mut self, io: &mut Io, id: PeerId, greeting: Greeting) -> Introduction {
        let Some(peer) = self.peers.get(&id) else { return Introduction::Other };
        let (peer, run) = (peer.node(), greeting.run);
        let (name, version) = (greeting.name.clone(), greeting.version.clone());
        self.peers.introduce(&id, greeting);
        io.emit(Event::Greeted { peer, name });
        if self.peers.same_run(&id) {
            return Introduction::Member;
        }
        let Some(run) = run else { return Introduction::Other };
        io.emit(Event::OtherRun { peer, run, version });
        Introduction::OtherRun(run)
    }

    fn refuse(&mut self, io: &mut Io, dialing: &mut Dialing, id: PeerId, reason: Refusal) {
        let Some(peer) = self.peers.get(&id).map(Peer::node) else { return };
        if dialing.bar(id, &reason.to_string(), Instant::now()) {
            tracing::info!(%peer, "refused: {reason}");
            io.emit(Event::Refused { peer, reason });
        }
    }

    /// Notes where a peer can be dialed, for us and for those who ask.
    fn learn(
        &mut self,
        dialing: &mut Dialing,
        id: PeerId,
        addresses: impl IntoIterator<Item = Multiaddr>,
        now: Instant,
    ) {
        let addresses: Vec<_> = addresses.into_iter().filter(is_dialable).collect();
        self.peers.learn(&id, addresses.iter().cloned());
        dialing.add_found(id, Via::Peer, addresses, now);
    }

    /// Announces a member to the owner as soon as it can be talked to. True when that was now.
    pub(crate) fn announce(&mut self, io: &mut Io, id: &PeerId, now: Instant) -> bool {
        let Some(peer) = self.peers.announce(id, now) else { return false };
        tracing::info!(%peer, "connected");
        io.emit(Event::Connected(peer));
        true
    }

    /// Members that are to be connected again, because their gossip subscription was lost.
    pub(crate) fn without_subscription(&self, now: Instant) -> Vec<PeerId> {
        self.peers.without_subscription(now)
    }

    /// Removes a peer whose last connection is gone.
    pub(crate) fn remove(&mut self, id: &PeerId) -> Option<Peer> {
        self.peers.remove(id)
    }
}

/// The greeting of a peer of our swarm, or the reason to refuse the peer.
fn judge(info: &identify::Info, own: &Greeting) -> Result<Greeting, Refusal> {
    let speaks = info.protocol_version == PROTOCOL_VERSION;
    match speaks.then(|| Greeting::parse(&info.agent_version)).flatten() {
        Some(greeting) if greeting.swarm == own.swarm => Ok(greeting),
        Some(other) => Err(Refusal::OtherSwarm(other.swarm)),
        None => {
            let version = version_in(&info.agent_version).map(str::to_owned);
            Err(version.map_or(Refusal::OtherProgram, Refusal::OtherVersion))
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;
    use libp2p::identity::Keypair;

    use super::*;

    fn info(protocol: &str, agent: &str) -> identify::Info {
        identify::Info {
            public_key: Keypair::generate_ed25519().public(),
            protocol_version: protocol.to_owned(),
            agent_version: agent.to_owned(),
            listen_addrs: Vec::new(),
            protocols: Vec::new(),
            observed_addr: Multiaddr::empty(),
            signed_peer_record: None,
        }
    }

    #[test]
    fn only_a_greeting_of_our_swarm_is_taken() {
        let own = Greeting::new("attic", "lab", Some(Hash([1; 32])));
        let theirs = Greeting::new("kitchen", "lab", None);
        let judge = |protocol: &str, agent: &str| judge(&info(protocol, agent), &own);
        assert_eq!(judge(PROTOCOL_VERSION, &theirs.to_string()), Ok(theirs.clone()));
        let other = Greeting::new("attic", "home", None).to_string();
        assert_eq!(judge(PROTOCOL_VERSION, &other), Err(Refusal::OtherSwarm("home".to_owned())));
        let version = Refusal::OtherVersion(theirs.version.clone());
        assert_eq!(judge("/ffp2p/1", &theirs.to_string()), Err(version));
        assert_eq!(judge("ipfs/0.1.0", "kubo/0.20"), Err(Refusal::OtherProgram));
    }

    fn dialed() -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: "/ip4/10.0.0.1/tcp/4477".parse().unwrap(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::New,
        }
    }

    #[tokio::test]
    async fn each_introduction_has_its_outcome() {
        let (mut io, mut events) = Io::for_tests();
        let run = Some(Hash([1; 32]));
        let other = Hash([2; 32]);
        let mut dialing = Dialing::new(PeerId::random());
        let mut connections = Connections::new(Greeting::new("own", "lab", run));
        for (agent, expected) in [
            (Greeting::new("a", "lab", run).to_string(), Introduction::Member),
            (Greeting::new("b", "lab", Some(other)).to_string(), Introduction::OtherRun(other)),
            (Greeting::new("c", "lab", None).to_string(), Introduction::Other),
            (Greeting::new("d", "home", run).to_string(), Introduction::Refused),
        ] {
            let id = Keypair::generate_ed25519().public().to_peer_id();
            let connection = ConnectionId::new_unchecked(1);
            assert!(connections.on_established(&mut dialing, id, connection, &dialed()));
            let info = info(PROTOCOL_VERSION, &agent);
            let outcome = connections.on_identified(&mut io, &mut dialing, id, &info);
            assert_eq!(outcome, expected);
            let is_refused = expected == Introduction::Refused;
            let event = events.try_recv().unwrap();
            assert_eq!(matches!(event, Event::Refused { .. }), is_refused, "{event:?}");
            if !is_refused {
                let again = connections.on_identified(&mut io, &mut dialing, id, &info);
                assert_eq!(again, Introduction::Other, "it was introduced before");
            }
            while events.try_recv().is_ok() {}
        }
        assert_eq!((connections.peers().members().count(), dialing.refused()), (1, 1));
    }

    #[test]
    fn a_peer_without_an_ed25519_key_is_not_kept() {
        let mut dialing = Dialing::new(PeerId::random());
        let mut connections = Connections::new(Greeting::new("own", "lab", None));
        let (id, connection) = (PeerId::random(), ConnectionId::new_unchecked(1));
        assert!(!connections.on_established(&mut dialing, id, connection, &dialed()));
        assert!(!connections.peers().contains(&id));
    }
}
