//! Requests are bounded, and every one of them ends once.

use bytes::Bytes;
use libp2p::identity::Keypair;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::connection::peers::Peer;
use crate::wire::greeting::Greeting;
use crate::wire::node_id::node_id;

const RUN: Option<Hash> = Some(Hash([7; 32]));

/// An outbound duty with one connected member.
struct Bench {
    outbound: Outbound,
    io: Io,
    events: mpsc::Receiver<Event>,
    peers: Peers,
    id: PeerId,
    node: NodeId,
}

impl Bench {
    fn new() -> Self {
        let (io, events) = Io::for_tests();
        let mut peers = Peers::new(Greeting::new("own", "lab", RUN));
        let id = Keypair::generate_ed25519().public().to_peer_id();
        let node = node_id(&id).unwrap();
        let at = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        peers.insert(id, Peer::new(node, &at, Instant::now()));
        peers.introduce(&id, Greeting::new("peer", "lab", RUN));
        Self { outbound: Outbound::new(RUN), io, events, peers, id, node }
    }

    fn fetch(&mut self, bytes: &'static [u8]) -> BlobRef {
        let blob = BlobRef { hash: Hash::of(bytes), size: bytes.len() as u64 };
        self.outbound.fetch(&mut self.io, &self.peers, blob, self.node);
        self.outbound.request_parts(&mut self.io, &self.peers, self.node);
        blob
    }

    /// Answers the only pending request.
    fn answer(&mut self, answer: Answer) -> Vec<PeerAddresses> {
        assert_eq!(self.outbound.pending.len(), 1);
        let id = *self.outbound.pending.keys().next().unwrap();
        self.outbound.on_answer(&mut self.io, &self.peers, id, answer)
    }

    fn failed(&mut self, hash: Hash, reason: FetchError) {
        let failed = Event::FetchFailed { hash, from: self.node, reason };
        assert_eq!(self.events.try_recv(), Ok(failed));
    }
}

fn parts(parts: &[&'static [u8]]) -> Answer {
    Answer::Parts(parts.iter().map(|part| Some(Bytes::from_static(part))).collect())
}

#[tokio::test]
async fn messages_that_a_peer_does_not_take_are_bounded() {
    let mut it = Bench::new();
    for _ in 0..2 * MAX_UNANSWERED {
        it.outbound.send(&mut it.io, &it.peers, it.node, &Message::Goodbye);
    }
    assert_eq!(it.outbound.pending.len(), MAX_UNANSWERED);
    assert!(it.outbound.has_messages_on_the_way());
    let id = *it.outbound.pending.keys().next().unwrap();
    it.outbound.on_answer(&mut it.io, &it.peers, id, Answer::Ack);
    it.outbound.send(&mut it.io, &it.peers, it.node, &Message::Goodbye);
    assert_eq!(it.outbound.pending.len(), MAX_UNANSWERED);
    it.outbound.on_gone(&mut it.io, &it.id, it.node);
    assert!(it.outbound.unanswered.is_empty());
}

#[tokio::test]
async fn a_message_to_a_peer_that_is_not_connected_is_dropped() {
    let mut it = Bench::new();
    it.peers.remove(&it.id);
    it.outbound.send(&mut it.io, &it.peers, it.node, &Message::Goodbye);
    assert!(it.outbound.pending.is_empty() && !it.outbound.has_messages_on_the_way());
}

#[tokio::test]
async fn a_fetched_blob_is_verified() {
    let mut it = Bench::new();
    let blob = it.fetch(b"bytes");
    it.answer(parts(&[b"bytes"]));
    let bytes = Bytes::from_static(b"bytes");
    assert_eq!(it.events.try_recv(), Ok(Event::Fetched { blob, bytes }));
    let blob = it.fetch(b"other");
    it.answer(parts(&[b"wrong"]));
    it.failed(blob.hash, FetchError::WrongBytes);
    assert!(it.outbound.pending.is_empty());
}

#[tokio::test]
async fn each_answer_without_the_bytes_has_its_failure() {
    for (answer, reason) in [
        (Answer::NotFound, FetchError::NotFound),
        (Answer::OtherRun, FetchError::OtherRun),
        (Answer::Ack, FetchError::WrongBytes),
        (Answer::Parts(vec![None]), FetchError::NotFound),
        (parts(&[b"by", b"tes"]), FetchError::WrongBytes),
        (parts(&[b"short"]), FetchError::WrongBytes),
    ] {
        let mut it = Bench::new();
        let blob = it.fetch(b"longer bytes");
        it.answer(answer);
        it.failed(blob.hash, reason);
        assert!(it.events.try_recv().is_err() && it.outbound.pending.is_empty());
    }
}

#[tokio::test]
async fn a_busy_peer_is_asked_once_more() {
    let mut it = Bench::new();
    let blob = it.fetch(b"bytes");
    it.answer(Answer::Busy);
    assert!(it.events.try_recv().is_err());
    it.answer(Answer::Busy);
    it.failed(blob.hash, FetchError::Busy);
}

#[tokio::test]
async fn a_fetch_from_a_peer_that_is_not_of_the_run_fails_at_once() {
    let mut it = Bench::new();
    it.peers.introduce(&it.id, Greeting::new("peer", "lab", None));
    let blob = it.fetch(b"bytes");
    it.failed(blob.hash, FetchError::Disconnected);
    assert!(it.outbound.pending.is_empty());
}

#[tokio::test]
async fn fetches_from_a_peer_that_is_gone_fail_once() {
    let mut it = Bench::new();
    let blob = it.fetch(b"bytes");
    it.outbound.on_gone(&mut it.io, &it.id, it.node);
    it.failed(blob.hash, FetchError::Disconnected);
    it.answer(parts(&[b"bytes"]));
    assert!(it.events.try_recv().is_err());
}

#[tokio::test]
async fn listed_peers_are_returned_and_garbage_lists_nobody() {
    let mut it = Bench::new();
    let listed = [PeerAddresses { node: NodeId([3; 32]), addresses: Vec::new() }];
    it.outbound.ask_someone_for_peers(&mut it.io, &it.peers, 5);
    let bytes = messages::encode_peers(&listed).unwrap();
    assert_eq!(it.answer(Answer::Peers(bytes.into())), listed);
    it.outbound.ask_for_peers(&mut it.io, &it.id);
    assert!(it.answer(Answer::Peers(Bytes::from_static(b"?"))).is_empty());
}

#[tokio::test]
async fn a_spec_comes_with_its_description_if_that_can_be_read() {
    let mut it = Bench::new();
    let (reply, mut answer) = oneshot::channel();
    it.outbound.fetch_spec(&mut it.io, &it.peers, it.node, Hash([1; 32]), reply);
    let spec = Bytes::from_static(b"spec");
    it.answer(Answer::Spec { spec: spec.clone(), about: Bytes::from_static(b"?") });
    assert_eq!(answer.try_recv().unwrap(), Ok(Described { spec, about: None }));
    let (reply, mut answer) = oneshot::channel();
    it.outbound.fetch_spec(&mut it.io, &it.peers, NodeId([0; 32]), Hash([1; 32]), reply);
    assert_eq!(answer.try_recv().unwrap(), Err(FetchError::Disconnected));
}
