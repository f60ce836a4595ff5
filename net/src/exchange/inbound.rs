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
use crate::wire::about::{About, Progress};
use crate::wire::frames::{Answer, Part, Request, RequestKind};
use crate::wire::limits::MAX_PEERS_LISTED;
use crate::wire::messages::{self, PeerAddresses};

/// The reply to a request.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Now(Answer),
    /// These parts of blobs are to be looked up.
    Blobs(Vec<Part>),
}

/// Answers the requests of peers.
pub(crate) struct Inbound {
    /// Our run, for peers that ask for it.
    run: Option<RunInfo>,
    started: Instant,
    progress: Progress,
    blobs: Arc<dyn BlobSource>,
}

impl Inbound {
    pub(crate) fn new(run: Option<RunInfo>, blobs: Arc<dyn BlobSource>) -> Self {
        Self { run, started: Instant::now(), progress: Progress::default(), blobs }
    }

    /// Notes how far the run is.
    pub(crate) fn describe(&mut self, progress: Progress) {
        self.progress = progress;
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
        match self.reply(io, peers, id, request) {
            Some(Reply::Now(answer)) => io.respond(channel, answer),
            Some(Reply::Blobs(parts)) => blob_serving::serve(&self.blobs, io, parts, channel),
            None => {}
        }
    }

    /// The reply to a request; `None` if the peer is gone.
    fn reply(
        &self,
        io: &mut Io,
        peers: &Peers,
        id: &PeerId,
        Request { run, kind }: Request,
    ) -> Option<Reply> {
        let peer = peers.get(id)?;
        let is_stranger = peer.greeting().is_some_and(|greeting| !greeting.is_with(peers.own()));
        let is_ours = peers.own().run == Some(run);
        Some(Reply::Now(match kind {
            RequestKind::Spec if is_ours => self.spec(peers),
            RequestKind::Spec => Answer::NotFound,
            _ if is_stranger || !is_ours => Answer::OtherRun,
            RequestKind::Message(bytes) => on_message(io, peer.node(), &bytes),
            RequestKind::Blobs(parts) => return Some(Reply::Blobs(parts)),
            RequestKind::Peers => members(peers, id, peer),
            RequestKind::Flush => Answer::Ack,
        }))
    }

    /// The spec of our run and a description of it.
    fn spec(&self, peers: &Peers) -> Answer {
        let Some(run) = &self.run else { return Answer::NotFound };
        let about = About {
            node: peers.own().name.clone(),
            run: run.name.clone(),
            age_seconds: self.started.elapsed().as_secs(),
            progress: self.progress,
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

#[cfg(test)]
mod tests {
    use ffp2p_proto::{Hash, Message};

    use super::*;
    use crate::wire::greeting::Greeting;
    use crate::wire::limits::MAX_MESSAGE;

    const OURS: Hash = Hash([1; 32]);
    const THEIRS: Hash = Hash([2; 32]);

    fn inbound() -> Inbound {
        let run = RunInfo { id: OURS, spec: Bytes::from_static(b"spec"), name: None, data: None };
        Inbound::new(Some(run), Arc::new(blob_serving::NoBlobs))
    }

    /// Adds a peer of `run` that is connected from `remote`.
    fn add(peers: &mut Peers, number: u8, remote: &str, run: Hash, visits: bool) -> PeerId {
        let (id, at) = (PeerId::random(), remote.parse().unwrap());
        peers.insert(id, Peer::new(NodeId([number; 32]), &at, Instant::now()));
        peers.introduce(&id, Greeting { visits, ..Greeting::new("peer", "lab", Some(run)) });
        peers.learn(&id, [at]);
        id
    }

    fn peers() -> Peers {
        Peers::new(Greeting::new("own", "lab", Some(OURS)))
    }

    fn kinds() -> [RequestKind; 4] {
        let parts = vec![Part { hash: OURS, offset: 0, len: 1 }];
        let message = messages::encode(&Message::Goodbye, MAX_MESSAGE).unwrap();
        [
            RequestKind::Message(message.into()),
            RequestKind::Blobs(parts),
            RequestKind::Peers,
            RequestKind::Flush,
        ]
    }

    #[tokio::test]
    async fn a_peer_of_another_run_gets_the_spec_and_nothing_else() {
        let (mut io, mut events) = Io::for_tests();
        let mut peers = peers();
        let stranger = add(&mut peers, 1, "/ip4/10.0.0.1/tcp/1", THEIRS, false);
        let mut reply =
            |run, kind| inbound().reply(&mut io, &peers, &stranger, Request { run, kind });
        for (run, kind) in
            kinds().into_iter().flat_map(|kind| [(OURS, kind.clone()), (THEIRS, kind)])
        {
            assert_eq!(reply(run, kind), Some(Reply::Now(Answer::OtherRun)));
        }
        assert_eq!(reply(THEIRS, RequestKind::Spec), Some(Reply::Now(Answer::NotFound)));
        let Some(Reply::Now(Answer::Spec { spec, about })) = reply(OURS, RequestKind::Spec) else {
            panic!("no spec")
        };
        assert_eq!(
            (&spec[..], messages::decode_about(&about).unwrap().node.as_str()),
            (&b"spec"[..], "own")
        );
        assert!(events.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_member_is_served_and_its_messages_are_received() {
        let (mut io, mut events) = Io::for_tests();
        let mut peers = peers();
        let member = add(&mut peers, 1, "/ip4/10.0.0.1/tcp/1", OURS, false);
        let mut reply =
            |kind| inbound().reply(&mut io, &peers, &member, Request { run: OURS, kind }).unwrap();
        let [message, blobs, list, flush] = kinds();
        assert_eq!(reply(message), Reply::Now(Answer::Ack));
        assert_eq!(reply(RequestKind::Message(Bytes::from_static(b"?"))), Reply::Now(Answer::Ack));
        assert!(matches!(reply(blobs), Reply::Blobs(parts) if parts.len() == 1));
        assert!(matches!(reply(list), Reply::Now(Answer::Peers(_))));
        assert_eq!(reply(flush), Reply::Now(Answer::Ack));
        let received = Event::Received { from: NodeId([1; 32]), message: Message::Goodbye };
        assert_eq!(events.try_recv(), Ok(received));
        assert!(events.try_recv().is_err(), "what cannot be read is dropped");
    }

    #[test]
    fn members_are_listed_without_the_asker_visitors_and_addresses_of_this_host() {
        let mut peers = peers();
        let asker = add(&mut peers, 1, "/ip4/10.0.0.1/tcp/1", OURS, false);
        add(&mut peers, 2, "/ip4/127.0.0.1/tcp/2", OURS, false);
        let neighbour = add(&mut peers, 3, "/ip4/127.0.0.1/tcp/3", OURS, true);
        add(&mut peers, 4, "/ip4/10.0.0.4/tcp/4", THEIRS, false);
        let listed = |id: &PeerId| {
            let Answer::Peers(bytes) = members(&peers, id, peers.get(id).unwrap()) else {
                panic!("no list")
            };
            let mut all = messages::decode_peers(&bytes).unwrap();
            all.sort_by_key(|peer| peer.node);
            all
        };
        let local = "/ip4/127.0.0.1/tcp/2".parse().unwrap();
        let second = |addresses| PeerAddresses { node: NodeId([2; 32]), addresses };
        assert_eq!(listed(&asker), [second(vec![])]);
        let first = vec!["/ip4/10.0.0.1/tcp/1".parse().unwrap()];
        let first = PeerAddresses { node: NodeId([1; 32]), addresses: first };
        assert_eq!(listed(&neighbour), [first, second(vec![local])]);
    }
}
