//! What we say to peers and ask of them.
//!
//! Rule: everything sent to a peer is bounded in number and size, and every question ends in one
//! answer or one failure.

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash, Message, NodeId};
use libp2p::PeerId;
use libp2p::gossipsub::PublishError;
use libp2p::request_response::{self, OutboundFailure, OutboundRequestId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::connection::connections::is_dialable;
use crate::connection::dialer::Via;
use crate::error::FetchError;
use crate::event::Event;
use crate::event_loop::{Done, EventLoop};
use crate::exchange::blob_fetching::{End, Piece};
use crate::node_id::peer_id;
use crate::wire::about::Described;
use crate::wire::frames::{Answer, Ask, Part, Request};
use crate::wire::messages::{self, MAX_MESSAGE};

/// Messages to one peer that it did not take yet; further ones are dropped.
const MAX_UNANSWERED: usize = 64;

/// Blobs up to this size together are verified in the loop: it takes less time than to hand them
/// over.
const VERIFY_INLINE: usize = 64 * 1024;

/// A run that nobody has.
const NO_RUN: Hash = Hash([0; 32]);

/// A blob all of whose bytes came.
#[derive(Debug)]
pub(crate) struct Whole {
    blob: BlobRef,
    from: NodeId,
    bytes: Bytes,
    /// Whether the bytes have the hash they should.
    good: bool,
}

/// A question of ours, until it is answered.
pub(crate) enum Pending {
    Message(PeerId),
    Pieces(Vec<Piece>),
    Spec(oneshot::Sender<Result<Described, FetchError>>),
    Peers,
    Flush,
}

impl Pending {
    /// Whether it has to leave before the node goes.
    pub(crate) fn is_said(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Flush)
    }
}

impl EventLoop {
    pub(crate) fn broadcast(&mut self, message: &Message) {
        let Some(topic) = self.topic.clone() else { return };
        let circle = self.circle();
        let bytes = match messages::encode_broadcast(circle, message) {
            Ok(bytes) => bytes,
            Err(error) => return tracing::error!("a broadcast is dropped: {error}"),
        };
        let len = bytes.len();
        match self.swarm.behaviour_mut().gossip.publish(topic, bytes) {
            Ok(_) => self.shared.count_out(len),
            // Nobody is there: nobody misses it.
            Err(PublishError::NoPeersSubscribedToTopic) => {}
            Err(error) => tracing::warn!("a broadcast is dropped: {error}"),
        }
    }

    pub(crate) fn send(&mut self, to: NodeId, message: &Message) {
        let Some(id) = peer_id(to) else { return };
        let Some(peer) = self.peers.get_mut(&id) else {
            return tracing::debug!(peer = %to, "a message is dropped: not connected");
        };
        if peer.unanswered >= MAX_UNANSWERED {
            return tracing::debug!(peer = %to, "a message is dropped: the peer is behind");
        }
        match messages::encode(message, MAX_MESSAGE) {
            Ok(bytes) => {
                peer.unanswered += 1;
                self.shared.count_out(bytes.len());
                self.ask(id, Ask::Message(bytes.into()), Pending::Message(id));
            }
            Err(error) => tracing::error!(peer = %to, "a message is dropped: {error}"),
        }
    }

    pub(crate) fn flush_all(&mut self) {
        let members: Vec<PeerId> = self.peers.members().map(|(id, _)| *id).collect();
        for id in members {
            self.ask(id, Ask::Flush, Pending::Flush);
        }
    }

    fn ask(&mut self, id: PeerId, ask: Ask, pending: Pending) {
        let run = self.peers.own.run.unwrap_or(NO_RUN);
        self.ask_of(id, Request { run, ask }, pending);
    }

    fn ask_of(&mut self, id: PeerId, request: Request, pending: Pending) {
        let request = self.swarm.behaviour_mut().ask.send_request(&id, request);
        self.pending.insert(request, pending);
    }

    pub(crate) fn ask_for_peers(&mut self, id: PeerId) {
        self.ask(id, Ask::Peers, Pending::Peers);
    }

    /// Asks one member after the other whom it knows.
    pub(crate) fn ask_someone_for_peers(&mut self, round: u64) {
        let members: Vec<PeerId> = self.peers.members().map(|(id, _)| *id).collect();
        let round = usize::try_from(round).unwrap_or(0);
        if let Some(id) = round.checked_rem(members.len()).and_then(|turn| members.get(turn)) {
            self.ask_for_peers(*id);
        }
    }

    pub(crate) fn fetch_spec(
        &mut self,
        from: NodeId,
        run: Hash,
        reply: oneshot::Sender<Result<Described, FetchError>>,
    ) {
        match peer_id(from).filter(|id| self.peers.contains(id)) {
            Some(id) => self.ask_of(id, Request { run, ask: Ask::Spec }, Pending::Spec(reply)),
            None => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(Err(FetchError::Disconnected));
            }
        }
    }

    /// Takes a fetch on; what it needs is asked for with the next [`EventLoop::ask_for_pieces`].
    pub(crate) fn fetch(&mut self, blob: BlobRef, from: NodeId) {
        if peer_id(from).filter(|id| self.peers.same_run(id)).is_none() {
            let (hash, reason) = (blob.hash, FetchError::Disconnected);
            return self.outbox.push(Event::FetchFailed { hash, from, reason });
        }
        if let Some(end) = self.fetches.start(blob, from) {
            self.on_fetch_ends(vec![end]);
        }
    }

    /// Asks `from` for what is missing and may be asked for now.
    pub(crate) fn ask_for_pieces(&mut self, from: NodeId) {
        let Some(id) = peer_id(from).filter(|id| self.peers.contains(id)) else { return };
        for pieces in self.fetches.ask(from) {
            let part = |it: &Piece| Part { hash: it.hash, offset: it.offset, len: it.len };
            let ask = Ask::Blobs(pieces.iter().map(part).collect());
            self.ask(id, ask, Pending::Pieces(pieces));
        }
    }

    pub(crate) fn on_fetch_ends(&mut self, ends: Vec<End>) {
        let (mut whole, mut size) = (Vec::new(), 0);
        for end in ends {
            match end {
                End::Failed { hash, from, reason } => {
                    self.outbox.push(Event::FetchFailed { hash, from, reason });
                }
                End::Whole { blob, from, bytes } => {
                    size += bytes.len();
                    whole.push(Whole { blob, from, bytes, good: false });
                }
            }
        }
        if size <= VERIFY_INLINE {
            self.on_verified(verify(whole));
        } else {
            self.work.spawn_blocking(move || Done::Verified(verify(whole)));
        }
    }

    pub(crate) fn on_verified(&mut self, blobs: Vec<Whole>) {
        for Whole { blob, from, bytes, good } in blobs {
            self.outbox.push(if good {
                Event::Fetched { blob, bytes }
            } else {
                Event::FetchFailed { hash: blob.hash, from, reason: FetchError::WrongBytes }
            });
        }
    }

    pub(crate) fn on_ask(&mut self, event: request_response::Event<Request, Answer>) {
        use request_response::{Event, Message};
        if let Event::Message { peer, .. } = &event {
            self.peers.heard(peer, Instant::now());
        }
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_request(peer, request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.on_answer(request_id, response);
            }
            Event::OutboundFailure { request_id, error, .. } => self.on_failure(request_id, &error),
            Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, "a question was not answered: {error}");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_answer(&mut self, request: OutboundRequestId, answer: Answer) {
        match self.pending.remove(&request) {
            Some(Pending::Pieces(pieces)) => self.on_pieces(&pieces, answer),
            Some(Pending::Spec(reply)) => {
                self.shared.count_in(answer.payload());
                // Whoever asked may have stopped waiting.
                let _ = reply.send(described(answer));
            }
            Some(Pending::Peers) => self.on_peers(&answer),
            Some(Pending::Message(id)) => self.answered(&id),
            Some(Pending::Flush) | None => {}
        }
    }

    fn on_failure(&mut self, request: OutboundRequestId, error: &OutboundFailure) {
        let reason = FetchError::Transfer(error.to_string());
        match self.pending.remove(&request) {
            Some(Pending::Pieces(pieces)) => self.lack_pieces(&pieces, &reason),
            Some(Pending::Spec(reply)) => {
                let _ = reply.send(Err(reason));
            }
            Some(Pending::Message(id)) => {
                tracing::debug!(peer = %id, "a message is lost: {error}");
                self.answered(&id);
            }
            Some(Pending::Peers | Pending::Flush) | None => {}
        }
    }

    fn answered(&mut self, id: &PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.unanswered = peer.unanswered.saturating_sub(1);
        }
    }

    fn on_pieces(&mut self, pieces: &[Piece], answer: Answer) {
        let Answer::Parts(parts) = answer else {
            return self.lack_pieces(pieces, &why(&answer));
        };
        if parts.len() != pieces.len() {
            return self.lack_pieces(pieces, &FetchError::WrongBytes);
        }
        let mut ends = Vec::new();
        for (piece, part) in pieces.iter().zip(parts) {
            ends.extend(match part {
                Some(bytes) => {
                    self.shared.count_in(bytes.len());
                    self.fetches.arrived(piece, bytes)
                }
                None => self.fetches.failed(piece, FetchError::NotFound),
            });
        }
        self.after_pieces(pieces, ends);
    }

    fn lack_pieces(&mut self, pieces: &[Piece], reason: &FetchError) {
        let failed = |piece| self.fetches.failed(piece, reason.clone());
        let ends = pieces.iter().filter_map(failed).collect();
        self.after_pieces(pieces, ends);
    }

    fn after_pieces(&mut self, pieces: &[Piece], ends: Vec<End>) {
        if !ends.is_empty() {
            self.on_fetch_ends(ends);
        }
        if let Some(piece) = pieces.first() {
            self.ask_for_pieces(piece.from);
        }
    }

    fn on_peers(&mut self, answer: &Answer) {
        let Answer::Peers(bytes) = answer else { return };
        let now = Instant::now();
        match messages::decode_peers(bytes) {
            Ok(told) => {
                for (node, addresses) in told {
                    if let Some(id) = peer_id(node) {
                        let addresses = addresses.into_iter().filter(is_dialable);
                        self.dialer.found(id, Via::Peer, addresses, now);
                    }
                }
            }
            Err(error) => tracing::debug!("a list of peers is refused: {error}"),
        }
    }
}

/// Compares blobs' bytes with their names.
fn verify(mut blobs: Vec<Whole>) -> Vec<Whole> {
    for it in &mut blobs {
        it.good = Hash::of(&it.bytes) == it.blob.hash;
    }
    blobs
}

/// A run as a peer describes it.
fn described(answer: Answer) -> Result<Described, FetchError> {
    let Answer::Spec { spec, about } = answer else { return Err(why(&answer)) };
    let about = messages::decode_about(&about)
        .inspect_err(|error| tracing::debug!("what a peer says of its run is refused: {error}"));
    Ok(Described { spec, about: about.ok() })
}

/// What an answer without the wanted bytes means.
fn why(answer: &Answer) -> FetchError {
    match answer {
        Answer::NotFound => FetchError::NotFound,
        Answer::Busy => FetchError::Busy,
        Answer::OtherRun => FetchError::OtherRun,
        Answer::Ack | Answer::Parts(_) | Answer::Spec { .. } | Answer::Peers(_) => {
            FetchError::WrongBytes
        }
    }
}
