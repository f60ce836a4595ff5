//! The duties of a node, and the dispatch of everything that comes from the network.
//!
//! Rule: a duty keeps its state to itself, and gets what it needs for one call as arguments. Only this
//! file knows them all: where an event concerns several of them, they are called here, one after the
//! other.
//!
//! The way of a request of a peer: `on_swarm`, `on_behaviour`, `on_requests`, [`Inbound`], which
//! answers it. The way of a request of ours: `on_command`, [`Outbound`]; its answer comes by
//! `on_requests`, too, and goes back to [`Outbound`].

use std::collections::BTreeSet;
use std::time::Duration;

use ffp2p_proto::{Hash, NodeId};
use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, gossipsub, identify, mdns, request_response};
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::address::is_dialable;
use crate::connection::connections::{Connections, Introduction};
use crate::connection::dialing::Dialing;
use crate::connection::listening::{self, Listening};
use crate::connection::unreached::Via;
use crate::discovery::Discovery;
use crate::discovery::rendezvous::Entry;
use crate::discovery::report::Report;
use crate::error::FetchError;
use crate::event::Event;
use crate::exchange::broadcasts::Broadcasts;
use crate::exchange::inbound::Inbound;
use crate::exchange::outbound::Outbound;
use crate::handle::Command;
use crate::io::behaviour::BehaviourEvent;
use crate::io::{Done, Io};
use crate::wire::frames::{Answer, Request};
use crate::wire::messages::PeerAddresses;
use crate::wire::node_id::peer_id;

/// Interval of everything that only time brings. Each tick wakes the whole swarm.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// Interval of the requests to one member for the peers it knows.
const ASK_FOR_PEERS: Duration = Duration::from_secs(3);

/// Interval of saving new addresses.
const REMEMBER: Duration = Duration::from_secs(10);

/// The duties, each of which owns its state, and the ends through which they act.
pub(crate) struct Duties {
    pub(crate) io: Io,
    pub(crate) listening: Listening,
    pub(crate) connections: Connections,
    pub(crate) dialing: Dialing,
    pub(crate) discovery: Discovery,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
}

impl Duties {
    /// Carries out commands; the parts of all blobs to be fetched from one peer are requested at once.
    pub(crate) fn on_commands(&mut self, batch: &mut Vec<Command>) {
        let mut sources = BTreeSet::new();
        for command in batch.drain(..) {
            if let Command::Fetch(_, from) = command {
                sources.insert(from);
            }
            self.on_command(command);
        }
        for from in sources {
            self.outbound.request_parts(&mut self.io, self.connections.peers(), from);
        }
    }

    fn on_command(&mut self, command: Command) {
        let (io, peers) = (&mut self.io, self.connections.peers());
        match command {
            Command::Broadcast(message) => self.broadcasts.publish(io, peers, &message),
            Command::Send(to, message) => self.outbound.send(io, peers, to, &message),
            Command::Fetch(blob, from) => self.outbound.fetch(io, peers, blob, from),
            Command::FetchSpec(from, run, reply) => {
                self.outbound.fetch_spec(io, peers, from, run, reply);
            }
            Command::Disconnect(node) => {
                peer_id(node).into_iter().for_each(|id| self.close(id));
            }
            Command::Describe(progress) => self.inbound.describe(progress),
            // The caller may have stopped waiting.
            Command::Report(reply) => drop(reply.send(self.report())),
        }
    }

    /// Takes in whatever comes from the network.
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
                self.on_gone(&peer_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                let peers = self.connections.peers();
                let failed =
                    self.dialing.on_failed(&mut self.io, peers, connection_id, peer_id, &error);
                failed.into_iter().for_each(|peer| self.discovery.unreachable(peer));
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
            BehaviourEvent::Requests(event) => self.on_requests(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, &info);
            }
            BehaviourEvent::Mdns4(mdns::Event::Discovered(found))
            | BehaviourEvent::Mdns6(mdns::Event::Discovered(found)) => self.on_heard(found),
            BehaviourEvent::Mdns4(mdns::Event::Expired(gone))
            | BehaviourEvent::Mdns6(mdns::Event::Expired(gone)) => {
                gone.into_iter().for_each(|(peer, at)| self.dialing.expired(&peer, at));
            }
            BehaviourEvent::Ping(ping) => {
                if self.connections.is_dead(&ping) {
                    self.close(ping.peer);
                }
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Limits(never) => match never {},
        }
    }

    /// Requests of peers go to [`Inbound`], the answers to ours to [`Outbound`].
    fn on_requests(&mut self, event: request_response::Event<Request, Answer>) {
        use request_response::{Event, Message};
        if let Event::Message { peer, .. } = &event {
            self.connections.heard(peer, Instant::now());
        }
        let (io, peers) = (&mut self.io, self.connections.peers());
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.inbound.on_request(io, peers, &peer, request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                let listed = self.outbound.on_answer(io, peers, request_id, response);
                self.on_peers_listed(listed);
            }
            Event::OutboundFailure { request_id, error, .. } => {
                self.outbound.on_failure(io, peers, request_id, &error);
            }
            Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, "a request was not answered: {error}");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                self.connections.heard(&propagation_source, Instant::now());
                let (io, peers) = (&mut self.io, self.connections.peers());
                self.broadcasts.on_message(io, peers, &propagation_source, &message_id, &message);
            }
            gossipsub::Event::Subscribed { peer_id, .. } => {
                self.connections.subscribed(&peer_id);
                self.announce(&peer_id, Instant::now());
            }
            gossipsub::Event::Unsubscribed { .. }
            | gossipsub::Event::GossipsubNotSupported { .. }
            | gossipsub::Event::SlowPeer { .. } => {}
        }
    }

    fn on_established(&mut self, id: PeerId, connection: ConnectionId, at: &ConnectedPoint) {
        if !self.connections.on_established(&mut self.dialing, id, connection, at) {
            self.close(id);
        }
    }

    fn on_identified(&mut self, id: PeerId, info: &identify::Info) {
        match self.connections.on_identified(&mut self.io, &mut self.dialing, id, info) {
            Introduction::Member => {
                self.announce(&id, Instant::now());
                self.outbound.ask_for_peers(&mut self.io, &id);
            }
            Introduction::OtherRun(run) => self.discovery.other_run(run),
            Introduction::Refused => self.close(id),
            Introduction::Other => {}
        }
    }

    /// Announces a member to the owner as soon as it can be talked to.
    fn announce(&mut self, id: &PeerId, now: Instant) {
        if self.connections.announce(&mut self.io, id, now) {
            self.discovery.found();
        }
    }

    /// Closes every connection with a peer, and considers it gone at once: a dead link may need
    /// long to admit it.
    fn close(&mut self, id: PeerId) {
        self.io.disconnect(id);
        self.on_gone(&id);
    }

    fn on_gone(&mut self, id: &PeerId) {
        let now = Instant::now();
        let Some(peer) = self.connections.remove(id) else { return };
        self.dialing.gone(id, peer.is_visitor(), now);
        self.outbound.on_gone(&mut self.io, id, peer.node());
        if peer.is_announced() {
            tracing::info!(peer = %peer.node(), "disconnected");
            self.io.emit(Event::Disconnected(peer.node()));
            if !self.connections.peers().any_announced() {
                self.discovery.lost_all(now);
            }
        }
    }

    /// The addresses at which the node can be reached are known, or have changed.
    pub(crate) fn on_listening(&mut self) {
        let here: Vec<_> = self.io.swarm.listeners().cloned().collect();
        self.dialing.listening(here.clone());
        self.discovery.listening(here);
        let addresses = listening::addresses(&self.io.swarm);
        tracing::info!(?addresses, "listening");
        self.io.emit(Event::Listening(addresses));
    }

    fn on_heard(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let now = Instant::now();
        self.discovery.on_heard(&mut self.dialing, found, now);
        self.dial_due(now);
    }

    /// Takes in a look at the rendezvous folder.
    pub(crate) fn on_neighbours(&mut self, entries: Vec<Entry>) {
        let now = Instant::now();
        let swarm = &self.connections.peers().own().swarm;
        self.discovery.on_neighbours(&mut self.dialing, swarm, entries, now);
        self.dial_due(now);
    }

    fn on_peers_listed(&mut self, listed: Vec<PeerAddresses>) {
        let now = Instant::now();
        for PeerAddresses { node, addresses } in listed {
            if let Some(id) = peer_id(node) {
                let addresses = addresses.into_iter().filter(is_dialable);
                self.dialing.add_found(id, Via::Peer, addresses, now);
            }
        }
    }

    fn dial_due(&mut self, now: Instant) {
        self.dialing.dial_due(&mut self.io, self.connections.peers(), now);
    }

    fn report(&self) -> Report {
        let addresses = listening::addresses(&self.io.swarm);
        let own = self.connections.peers().own();
        self.discovery.report(own, addresses, self.listening.is_everywhere(), &self.dialing)
    }

    /// Reports fetches that were never started.
    pub(crate) fn on_lost_fetches(&mut self, lost: impl IntoIterator<Item = (Hash, NodeId)>) {
        for (hash, from) in lost {
            self.io.emit(Event::FetchFailed { hash, from, reason: FetchError::Busy });
        }
    }

    /// Takes in the result of work outside the event loop.
    pub(crate) fn on_done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Answer(channel, answer)) => self.io.respond(channel, answer),
            Ok(Done::Events(events)) => events.into_iter().for_each(|event| self.io.emit(event)),
            Ok(Done::Resolved(index, addresses)) => {
                let peers = self.connections.peers();
                self.dialing.on_resolved(&mut self.io, peers, index, addresses);
            }
            Ok(Done::Saved(Ok(()))) => {}
            Ok(Done::Saved(Err(error))) => {
                tracing::warn!("the addresses of peers cannot be saved: {error}");
            }
            // A blob source panicked: the peer that asked sees a failed request.
            Err(error) => tracing::error!("work outside the event loop failed: {error}"),
        }
    }

    /// Does what is due by time alone.
    pub(crate) fn on_tick(&mut self, ticks: u32, now: Instant) {
        for id in self.connections.peers().ids() {
            self.announce(&id, now);
        }
        for id in self.connections.without_subscription(now) {
            tracing::warn!(peer = %id, "its gossip subscription was lost; connecting again");
            self.close(id);
        }
        self.dial_due(now);
        self.discovery.announce(self.io.swarm.listeners(), now);
        if let Some(round) = round(ticks, ASK_FOR_PEERS) {
            let peers = self.connections.peers();
            self.outbound.ask_someone_for_peers(&mut self.io, peers, round);
        }
        if round(ticks, REMEMBER).is_some() {
            self.remember();
        }
        if self.discovery.speak_up(now) {
            let report = self.report();
            self.io.emit(Event::Alone(Box::new(report)));
        }
    }

    /// Saves the addresses of peers, if they changed.
    pub(crate) fn remember(&mut self) {
        if let Some(save) = self.discovery.remember(self.connections.peers()) {
            self.io.work.spawn_blocking(move || Done::Saved(save()));
        }
    }

    /// Has every member confirm that the messages sent before have left.
    pub(crate) fn flush(&mut self) {
        self.outbound.flush(&mut self.io, self.connections.peers());
    }

    /// Whether messages are still on their way.
    pub(crate) fn has_messages_on_the_way(&self) -> bool {
        self.outbound.has_messages_on_the_way()
    }
}

/// The number of the round that begins at this tick, if one of this interval does.
fn round(ticks: u32, interval: Duration) -> Option<u32> {
    let each = u32::try_from(interval.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX);
    ticks.is_multiple_of(each).then_some(ticks / each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_follow_each_other_by_their_interval() {
        let begun: Vec<_> = (1..=8).filter_map(|ticks| round(ticks, 4 * TICK)).collect();
        assert_eq!(begun, [1, 2]);
        assert!((1..=3).all(|ticks| round(ticks, 4 * TICK).is_none()));
    }
}
