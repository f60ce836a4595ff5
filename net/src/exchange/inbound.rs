//! What peers say to us and ask of us.
//!
//! Rule: who speaks is known from its key; what does not decode within its bounds goes no
//! further; and a question that needs a blob is answered from work beside the loop.

use std::sync::Arc;

use bytes::Bytes;
use ffp2p_proto::NodeId;
use libp2p::PeerId;
use libp2p::gossipsub::{self, MessageAcceptance};
use libp2p::request_response::ResponseChannel;
use tokio::time::Instant;

use crate::address::is_loopback;
use crate::event::Event;
use crate::event_loop::{Done, EventLoop};
use crate::node_id::node_id;
use crate::wire::about::About;
use crate::wire::frames::{Answer, Ask, Part, Request};
use crate::wire::messages::{self, MAX_PEERS_TOLD};

/// Things done beside the loop at once; further questions are answered with "busy".
const MAX_WORK: usize = 256;

impl EventLoop {
    pub(crate) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                self.peers.heard(&propagation_source, Instant::now());
                let acceptance = self.on_broadcast(&message);
                let gossip = &mut self.swarm.behaviour_mut().gossip;
                gossip.report_message_validation_result(
                    &message_id,
                    &propagation_source,
                    acceptance,
                );
            }
            gossipsub::Event::Subscribed { peer_id, .. } => {
                if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.listens = true;
                    self.announce(&peer_id, Instant::now());
                }
            }
            gossipsub::Event::Unsubscribed { .. }
            | gossipsub::Event::GossipsubNotSupported { .. }
            | gossipsub::Event::SlowPeer { .. } => {}
        }
    }

    /// Takes a broadcast in; accepted is what is to be passed on, too.
    fn on_broadcast(&mut self, message: &gossipsub::Message) -> MessageAcceptance {
        let from = message.source.as_ref().and_then(node_id);
        match (from, messages::decode_broadcast(&message.data)) {
            (Some(from), Ok((circle, decoded))) => {
                self.shared.count_gossip_in(message.data.len());
                self.outbox.push(Event::Received { from, message: decoded });
                if circle == self.circle() {
                    return MessageAcceptance::Ignore;
                }
                self.shared.count_passed_on();
                MessageAcceptance::Accept
            }
            (_, result) => {
                tracing::debug!(?from, ?result, "a broadcast is refused");
                MessageAcceptance::Reject
            }
        }
    }

    /// Who hears us directly, ourselves included ([`Peers::circle`]).
    ///
    /// [`Peers::circle`]: crate::connection::peers::Peers::circle
    pub(crate) fn circle(&self) -> u64 {
        self.peers.circle(self.own, Instant::now())
    }

    pub(crate) fn on_request(
        &mut self,
        id: PeerId,
        request: Request,
        channel: ResponseChannel<Answer>,
    ) {
        let Some(peer) = self.peers.get(&id) else { return };
        let from = peer.node;
        let stranger = peer.greeting.as_ref().is_some_and(|said| !said.is_with(&self.peers.own));
        let ours = self.peers.own.run == Some(request.run);
        let answer = match request.ask {
            Ask::Spec if ours => self.what_we_train(),
            Ask::Spec => Answer::NotFound,
            _ if stranger || !ours => Answer::OtherRun,
            Ask::Message(bytes) => self.on_message(from, &bytes),
            Ask::Blobs(parts) => return self.on_blobs_asked(parts, channel),
            Ask::Peers => self.whom_we_know(id),
            Ask::Flush => Answer::Ack,
        };
        self.answer(channel, answer);
    }

    /// Our run, for whoever asks.
    fn what_we_train(&self) -> Answer {
        let Some(run) = &self.run else { return Answer::NotFound };
        let about = About {
            node: self.peers.own.name.clone(),
            age_seconds: self.started.elapsed().as_secs(),
            data: run.data.clone(),
        };
        let spec = run.spec.clone();
        messages::encode_about(&about)
            .map_or(Answer::NotFound, |about| Answer::Spec { spec, about: about.into() })
    }

    fn on_message(&mut self, from: NodeId, bytes: &Bytes) -> Answer {
        match messages::decode(bytes) {
            Ok(message) => {
                self.shared.count_in(bytes.len());
                self.outbox.push(Event::Received { from, message });
            }
            Err(error) => tracing::debug!(peer = %from, "a message is refused: {error}"),
        }
        Answer::Ack
    }

    fn on_blobs_asked(&mut self, parts: Vec<Part>, channel: ResponseChannel<Answer>) {
        if self.work.len() >= MAX_WORK {
            return self.answer(channel, Answer::Busy);
        }
        let blobs = Arc::clone(&self.blobs);
        self.work.spawn_blocking(move || {
            let give = |it: &Part| blobs.part(&it.hash, it.offset, it.len);
            Done::Answer(channel, Answer::Parts(parts.iter().map(give).collect()))
        });
    }

    /// Members of our run, for one of them.
    fn whom_we_know(&self, asker: PeerId) -> Answer {
        let local = self.peers.get(&asker).is_some_and(|peer| peer.local);
        let others = self.peers.members().filter(|(id, peer)| **id != asker && !peer.visits());
        let told: Vec<messages::Told> = others
            .map(|(_, peer)| {
                let known = peer.addresses.iter().filter(|a| local || !is_loopback(a));
                (peer.node, known.cloned().collect())
            })
            .take(MAX_PEERS_TOLD)
            .collect();
        messages::encode_peers(&told).map_or(Answer::Busy, |bytes| Answer::Peers(bytes.into()))
    }

    pub(crate) fn answer(&mut self, channel: ResponseChannel<Answer>, answer: Answer) {
        let len = answer.payload();
        // An error means that the asker is gone.
        if self.swarm.behaviour_mut().ask.send_response(channel, answer).is_ok() {
            self.shared.count_out(len);
        }
    }
}
