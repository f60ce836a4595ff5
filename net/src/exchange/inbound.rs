//! Requests of peers, and our answers.
//!
//! Rule: a peer is known from its key; a message that does not decode within its bounds goes no
//! further; and a peer of another run gets the spec of ours and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use ffp2p_proto::NodeId;
use libp2p::PeerId;
use libp2p::request_response::ResponseChannel;
use tokio::time::Instant;

use crate::address::is_loopback;
use crate::config::RunInfo;
use crate::connection::peers::{Peer, Peers};
use crate::event::Event;
use crate::exchange::blob_serving::{self, BlobSource};
use crate::io::Io;
use crate::wire::about::About;
use crate::wire::frames::{Answer, Request, RequestKind};
use crate::wire::limits::MAX_PEERS_LISTED;
use crate::wire::messages::{self, PeerAddresses};

/// Answers the requests of peers.
pub(crate) struct Inbound {
    /// Our run, for peers that ask for it.
    run: Option<RunInfo>,
    started: Instant,
    blobs: Arc<dyn BlobSource>,
}

impl Inbound {
    pub(crate) fn new(run: Option<RunInfo>, blobs: Arc<dyn BlobSource>) -> Self {
        Self { run, started: Instant::now(), blobs }
    }

    /// Answers a request, now or once its blobs were looked up.
    pub(crate) fn on_request(
        &self,
        io: &mut Io,
        peers: &Peers,
        id: &PeerId,
        request: Request,
        channel: ResponseChannel<Answer>,
    ) {
        let Some(peer) = peers.get(id) else { return };
        let is_stranger = peer.greeting().is_some_and(|greeting| !greeting.is_with(peers.own()));
        let is_ours = peers.own().run == Some(request.run);
        let answer = match request.kind {
            RequestKind::Spec if is_ours => self.spec(peers),
            RequestKind::Spec => Answer::NotFound,
            _ if is_stranger || !is_ours => Answer::OtherRun,
            RequestKind::Message(bytes) => on_message(io, peer.node(), &bytes),
            RequestKind::Blobs(parts) => {
                return blob_serving::serve(&self.blobs, io, parts, channel);
            }
            RequestKind::Peers => members(peers, id, peer),
            RequestKind::Flush => Answer::Ack,
        };
        io.respond(channel, answer);
    }

    /// The spec of our run and a description of it.
    fn spec(&self, peers: &Peers) -> Answer {
        let Some(run) = &self.run else { return Answer::NotFound };
        let about = About {
            node: peers.own().name.clone(),
            age_seconds: self.started.elapsed().as_secs(),
            data: run.data.clone(),
        };
        let spec = run.spec.clone();
        messages::encode_about(&about)
            .map_or(Answer::NotFound, |about| Answer::Spec { spec, about: about.into() })
    }
}

/// Takes in a message.
fn on_message(io: &mut Io, from: NodeId, bytes: &Bytes) -> Answer {
    match messages::decode(bytes) {
        Ok(message) => {
            io.counters.add_in(bytes.len());
            io.emit(Event::Received { from, message });
        }
        Err(error) => tracing::debug!(peer = %from, "a message is refused: {error}"),
    }
    Answer::Ack
}

/// The members of our run, for one of them.
fn members(peers: &Peers, asker: &PeerId, peer: &Peer) -> Answer {
    let local = peer.is_local();
    let others = peers.members().filter(|(id, peer)| *id != asker && !peer.is_visitor());
    let listed: Vec<_> = others
        .map(|(_, peer)| {
            let known = peer.addresses().iter().filter(|at| local || !is_loopback(at));
            PeerAddresses { node: peer.node(), addresses: known.cloned().collect() }
        })
        .take(MAX_PEERS_LISTED)
        .collect();
    messages::encode_peers(&listed).map_or(Answer::Busy, |bytes| Answer::Peers(bytes.into()))
}
