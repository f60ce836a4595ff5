//! The ends of the node: the swarm with its protocols, the queue of events to the owner, and work
//! outside the event loop.
//!
//! Rule: nothing is decided here. A duty gets [`Io`] as an argument for one call and keeps no part
//! of it.

pub(crate) mod behaviour;
pub(crate) mod counters;
pub(crate) mod outbox;
pub(crate) mod transport;

use std::sync::Arc;

use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::task::JoinSet;

use crate::event::Event;
use crate::io::behaviour::Behaviour;
use crate::io::counters::Counters;
use crate::io::outbox::Outbox;
use crate::wire::frames::{Answer, Request};

/// Results of work that was done outside the event loop.
pub(crate) enum Done {
    /// The answer to a request that had to be looked up.
    Answer(ResponseChannel<Answer>, Answer),
    /// Events that took time to make.
    Events(Vec<Event>),
    /// The addresses behind the host name of a fixed address, by its index.
    Resolved(usize, Result<Vec<Multiaddr>, String>),
    /// The remembered addresses were saved, or why not.
    Saved(std::io::Result<()>),
}

/// Everything through which the node acts.
pub(crate) struct Io {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) outbox: Outbox,
    /// Files, names and hashes, which take time.
    pub(crate) work: JoinSet<Done>,
    pub(crate) counters: Arc<Counters>,
}

impl Io {
    /// An end with nothing on its way yet.
    pub(crate) fn new(swarm: Swarm<Behaviour>, outbox: Outbox, counters: Arc<Counters>) -> Self {
        Self { swarm, outbox, work: JoinSet::new(), counters }
    }

    /// Hands an event to the owner.
    pub(crate) fn emit(&mut self, event: Event) {
        self.outbox.push(event);
    }

    /// Sends a request; its answer or failure comes back with the same id.
    pub(crate) fn request(&mut self, to: &PeerId, request: Request) -> OutboundRequestId {
        self.swarm.behaviour_mut().requests.send_request(to, request)
    }

    /// Answers a request.
    pub(crate) fn respond(&mut self, channel: ResponseChannel<Answer>, answer: Answer) {
        let len = answer.payload();
        // An error means that the peer is gone.
        if self.swarm.behaviour_mut().requests.send_response(channel, answer).is_ok() {
            self.counters.add_out(len);
        }
    }

    /// Closes every connection with a peer.
    pub(crate) fn disconnect(&mut self, peer: PeerId) {
        // An error means that they are closed already.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    /// Closes every connection.
    pub(crate) fn disconnect_all(&mut self) {
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        connected.into_iter().for_each(|peer| self.disconnect(peer));
    }

    /// The ends of a node that listens nowhere, and its events.
    #[cfg(test)]
    pub(crate) fn for_tests() -> (Self, tokio::sync::mpsc::Receiver<Event>) {
        let key = libp2p::identity::Keypair::generate_ed25519();
        let greeting = crate::wire::greeting::Greeting::new("node", "lab", None);
        let (swarm, _) = behaviour::swarm(key, &greeting, false).unwrap();
        let (sender, events) = tokio::sync::mpsc::channel(outbox::EVENT_QUEUE);
        (Self::new(swarm, Outbox::new(sender), Arc::default()), events)
    }
}
