//! Messages to all peers of the run, over gossip.
//!
//! Rule: the sender of a broadcast is known from its key; a broadcast that does not decode within
//! its bounds goes no further, and one is passed on only where somebody may not have heard it.

use ffp2p_proto::{Message, NodeId};
use libp2p::PeerId;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance, MessageId, PublishError};
use tokio::time::Instant;

use crate::connection::peers::Peers;
use crate::event::Event;
use crate::io::Io;
use crate::wire::messages;
use crate::wire::node_id::node_id;

/// Sends broadcasts, and takes in those of others.
#[derive(Debug)]
pub(crate) struct Broadcasts {
    own: NodeId,
    /// `None` for a node without a run.
    topic: Option<IdentTopic>,
}

impl Broadcasts {
    pub(crate) fn new(own: NodeId, topic: Option<IdentTopic>) -> Self {
        Self { own, topic }
    }

    /// Sends a message to every peer of the run.
    pub(crate) fn publish(&self, io: &mut Io, peers: &Peers, message: &Message) {
        let Some(topic) = self.topic.clone() else { return };
        let bytes = match messages::encode_broadcast(self.audience(peers), message) {
            Ok(bytes) => bytes,
            Err(error) => return tracing::error!("a broadcast is dropped: {error}"),
        };
        let len = bytes.len();
        match io.swarm.behaviour_mut().gossip.publish(topic, bytes) {
            Ok(_) => io.counters.add_out(len),
            // Nobody is there to miss it.
            Err(PublishError::NoPeersSubscribedToTopic) => {}
            Err(error) => tracing::warn!("a broadcast is dropped: {error}"),
        }
    }

    /// Takes in a broadcast, and has it passed on or not.
    pub(crate) fn on_message(
        &self,
        io: &mut Io,
        peers: &Peers,
        neighbour: &PeerId,
        id: &MessageId,
        message: &gossipsub::Message,
    ) {
        let acceptance = self.take_in(io, peers, message);
        let gossip = &mut io.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(id, neighbour, acceptance);
    }

    fn take_in(
        &self,
        io: &mut Io,
        peers: &Peers,
        message: &gossipsub::Message,
    ) -> MessageAcceptance {
        let from = message.source.as_ref().and_then(node_id);
        match (from, messages::decode_broadcast(&message.data)) {
            (Some(from), Ok((audience, decoded))) => {
                io.counters.add_gossip_in(message.data.len());
                io.emit(Event::Received { from, message: decoded });
                if audience == self.audience(peers) {
                    return MessageAcceptance::Ignore;
                }
                io.counters.add_passed_on();
                MessageAcceptance::Accept
            }
            (_, result) => {
                tracing::debug!(?from, ?result, "a broadcast is refused");
                MessageAcceptance::Reject
            }
        }
    }

    fn audience(&self, peers: &Peers) -> u64 {
        peers.audience_digest(self.own, Instant::now())
    }
}
