//! Our requests to peers, and their answers.
//!
//! Rule: requests to a peer are bounded in number and size, and each ends in one answer or one
//! failure.

use std::collections::{BTreeMap, HashMap};

use ffp2p_proto::{BlobRef, Hash, Message, NodeId};
use libp2p::PeerId;
use libp2p::request_response::{OutboundFailure, OutboundRequestId};
use tokio::sync::oneshot;

use crate::connection::peers::Peers;
use crate::error::FetchError;
use crate::event::Event;
use crate::exchange::blob_fetching::{End, Fetches, WantedPart};
use crate::io::{Done, Io};
use crate::wire::about::Described;
use crate::wire::frames::{Answer, Request, RequestKind};
use crate::wire::limits::MAX_MESSAGE;
use crate::wire::messages::{self, PeerAddresses};
use crate::wire::node_id::peer_id;

/// Messages to one peer that it has not acknowledged yet; further ones are dropped.
const MAX_UNANSWERED: usize = 64;

/// Bytes of blobs that are verified in the event loop: it takes less time than to hand them over.
const VERIFY_INLINE: usize = 64 * 1024;

/// The run that a node without one names in its requests.
const NO_RUN: Hash = Hash([0; 32]);

/// Receiver of a spec.
pub(crate) type SpecReply = oneshot::Sender<Result<Described, FetchError>>;

/// A request on its way, until it is answered.
#[derive(Debug)]
enum Pending {
    Message(PeerId),
    Parts(Vec<WantedPart>),
    Spec(SpecReply),
    Peers,
    Flush,
}

/// Sends requests, and takes in their answers.
#[derive(Debug)]
pub(crate) struct Outbound {
    run: Hash,
    pending: HashMap<OutboundRequestId, Pending>,
    /// Messages to each peer that it has not acknowledged yet.
    unanswered: BTreeMap<PeerId, usize>,
    fetches: Fetches,
}

impl Outbound {
    /// No requests yet of a node that trains `run`.
    pub(crate) fn new(run: Option<Hash>) -> Self {
        Self {
            run: run.unwrap_or(NO_RUN),
            pending: HashMap::new(),
            unanswered: BTreeMap::new(),
            fetches: Fetches::default(),
        }
    }

    fn request(&mut self, io: &mut Io, to: &PeerId, kind: RequestKind, pending: Pending) {
        let id = io.request(to, Request { run: self.run, kind });
        self.pending.insert(id, pending);
    }

    /// Sends a message to one peer.
    pub(crate) fn send(&mut self, io: &mut Io, peers: &Peers, to: NodeId, message: &Message) {
        let Some(id) = peer_id(to) else { return };
        if !peers.contains(&id) {
            return tracing::debug!(peer = %to, "a message is dropped: not connected");
        }
        if self.unanswered.get(&id).is_some_and(|count| *count >= MAX_UNANSWERED) {
            return tracing::debug!(peer = %to, "a message is dropped: the peer is behind");
        }
        match messages::encode(message, MAX_MESSAGE) {
            Ok(bytes) => {
                *self.unanswered.entry(id).or_default() += 1;
                io.counters.add_out(bytes.len());
                self.request(io, &id, RequestKind::Message(bytes.into()), Pending::Message(id));
            }
            Err(error) => tracing::error!(peer = %to, "a message is dropped: {error}"),
        }
    }

    /// Has every member confirm that the messages sent before have left.
    pub(crate) fn flush(&mut self, io: &mut Io, peers: &Peers) {
        for (id, _) in peers.members() {
            self.request(io, id, RequestKind::Flush, Pending::Flush);
        }
    }

    /// Whether messages are still on their way.
    pub(crate) fn has_messages_on_the_way(&self) -> bool {
        self.pending.values().any(|it| matches!(it, Pending::Message(_) | Pending::Flush))
    }

    /// Asks a member for the peers that it knows.
    pub(crate) fn ask_for_peers(&mut self, io: &mut Io, id: &PeerId) {
        self.request(io, id, RequestKind::Peers, Pending::Peers);
    }

    /// Asks one member for the peers that it knows, another one in each round.
    pub(crate) fn ask_someone_for_peers(&mut self, io: &mut Io, peers: &Peers, round: u32) {
        let members: Vec<&PeerId> = peers.members().map(|(id, _)| id).collect();
        let round = usize::try_from(round).unwrap_or(0);
        if let Some(id) = round.checked_rem(members.len()).and_then(|turn| members.get(turn)) {
            self.ask_for_peers(io, id);
        }
    }

    /// Asks a peer for the spec of `run`.
    pub(crate) fn fetch_spec(
        &mut self,
        io: &mut Io,
        peers: &Peers,
        from: NodeId,
        run: Hash,
        reply: SpecReply,
    ) {
        match peer_id(from).filter(|id| peers.contains(id)) {
            Some(id) => {
                let request = io.request(&id, Request { run, kind: RequestKind::Spec });
                self.pending.insert(request, Pending::Spec(reply));
            }
            // The caller may have stopped waiting.
            None => drop(reply.send(Err(FetchError::Disconnected))),
        }
    }

    /// Takes on a fetch; its parts are requested with the next [`Outbound::request_parts`].
    pub(crate) fn fetch(&mut self, io: &mut Io, peers: &Peers, blob: BlobRef, from: NodeId) {
        if peer_id(from).filter(|id| peers.same_run(id)).is_none() {
            let (hash, reason) = (blob.hash, FetchError::Disconnected);
            return io.emit(Event::FetchFailed { hash, from, reason });
        }
        if let Some(end) = self.fetches.start(blob, from) {
            settle(io, vec![end]);
        }
    }

    /// Requests the parts from `from` that are missing and may be requested now.
    pub(crate) fn request_parts(&mut self, io: &mut Io, peers: &Peers, from: NodeId) {
        let Some(id) = peer_id(from).filter(|id| peers.contains(id)) else { return };
        for wanted in self.fetches.next_requests(from) {
            let parts = wanted.iter().map(|it| it.part).collect();
            self.request(io, &id, RequestKind::Blobs(parts), Pending::Parts(wanted));
        }
    }

    /// Takes in an answer. Returns the peers it lists.
    pub(crate) fn on_answer(
        &mut self,
        io: &mut Io,
        peers: &Peers,
        request: OutboundRequestId,
        answer: Answer,
    ) -> Vec<PeerAddresses> {
        match self.pending.remove(&request) {
            Some(Pending::Parts(wanted)) => self.on_parts(io, peers, &wanted, answer),
            Some(Pending::Spec(reply)) => {
                io.counters.add_in(answer.payload());
                // The caller may have stopped waiting.
                let _ = reply.send(described(answer));
            }
            Some(Pending::Peers) => return listed(&answer),
            Some(Pending::Message(id)) => self.acknowledged(&id),
            Some(Pending::Flush) | None => {}
        }
        Vec::new()
    }

    /// Notes that a request was not answered.
    pub(crate) fn on_failure(
        &mut self,
        io: &mut Io,
        peers: &Peers,
        request: OutboundRequestId,
        error: &OutboundFailure,
    ) {
        let reason = FetchError::Transfer(error.to_string());
        match self.pending.remove(&request) {
            Some(Pending::Parts(wanted)) => self.on_no_parts(io, peers, &wanted, &reason),
            Some(Pending::Spec(reply)) => {
                let _ = reply.send(Err(reason));
            }
            Some(Pending::Message(id)) => {
                tracing::debug!(peer = %id, "a message is lost: {error}");
                self.acknowledged(&id);
            }
            Some(Pending::Peers | Pending::Flush) | None => {}
        }
    }

    /// Ends every fetch from a peer whose last connection is gone.
    pub(crate) fn on_gone(&mut self, io: &mut Io, id: &PeerId, node: NodeId) {
        self.unanswered.remove(id);
        settle(io, self.fetches.peer_gone(node));
    }

    fn acknowledged(&mut self, id: &PeerId) {
        if let Some(count) = self.unanswered.get_mut(id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.unanswered.remove(id);
            }
        }
    }

    fn on_parts(&mut self, io: &mut Io, peers: &Peers, wanted: &[WantedPart], answer: Answer) {
        let Answer::Parts(parts) = answer else {
            return self.on_no_parts(io, peers, wanted, &why(&answer));
        };
        if parts.len() != wanted.len() {
            return self.on_no_parts(io, peers, wanted, &FetchError::WrongBytes);
        }
        let mut ends = Vec::new();
        for (wanted, part) in wanted.iter().zip(parts) {
            ends.extend(match part {
                Some(bytes) => {
                    io.counters.add_in(bytes.len());
                    self.fetches.arrived(wanted, bytes)
                }
                None => self.fetches.failed(wanted, FetchError::NotFound),
            });
        }
        self.after_parts(io, peers, wanted, ends);
    }

    fn on_no_parts(
        &mut self,
        io: &mut Io,
        peers: &Peers,
        wanted: &[WantedPart],
        reason: &FetchError,
    ) {
        let failed = |wanted| self.fetches.failed(wanted, reason.clone());
        let ends = wanted.iter().filter_map(failed).collect();
        self.after_parts(io, peers, wanted, ends);
    }

    fn after_parts(&mut self, io: &mut Io, peers: &Peers, wanted: &[WantedPart], ends: Vec<End>) {
        settle(io, ends);
        if let Some(first) = wanted.first() {
            self.request_parts(io, peers, first.from);
        }
    }
}

/// Tells the owner how fetches ended; large blobs are verified outside the event loop.
fn settle(io: &mut Io, ends: Vec<End>) {
    let (failed, whole): (Vec<_>, Vec<_>) =
        ends.into_iter().partition(|end| matches!(end, End::Failed { .. }));
    failed.into_iter().for_each(|end| io.emit(verified(end)));
    let size: usize = whole.iter().map(End::size).sum();
    if size <= VERIFY_INLINE {
        whole.into_iter().for_each(|end| io.emit(verified(end)));
    } else {
        let verify = move || Done::Events(whole.into_iter().map(verified).collect());
        io.work.spawn_blocking(verify);
    }
}

/// The event for the end of a fetch, once the bytes of a whole blob are compared with its hash.
fn verified(end: End) -> Event {
    match end {
        End::Failed { hash, from, reason } => Event::FetchFailed { hash, from, reason },
        End::Whole { blob, bytes, .. } if Hash::of(&bytes) == blob.hash => {
            Event::Fetched { blob, bytes }
        }
        End::Whole { blob, from, .. } => {
            Event::FetchFailed { hash: blob.hash, from, reason: FetchError::WrongBytes }
        }
    }
}

/// The peers that an answer lists.
fn listed(answer: &Answer) -> Vec<PeerAddresses> {
    let Answer::Peers(bytes) = answer else { return Vec::new() };
    messages::decode_peers(bytes)
        .inspect_err(|error| tracing::debug!("a list of peers is refused: {error}"))
        .unwrap_or_default()
}

/// A run as a peer describes it.
fn described(answer: Answer) -> Result<Described, FetchError> {
    let Answer::Spec { spec, about } = answer else { return Err(why(&answer)) };
    let about = messages::decode_about(&about)
        .inspect_err(|error| tracing::debug!("the description of a run is refused: {error}"));
    Ok(Described { spec, about: about.ok() })
}

/// The failure that an answer without the wanted bytes stands for.
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

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
