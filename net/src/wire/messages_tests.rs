//! The bytes of messages: pinned, bounded, and read back as they were.

use ffp2p_proto::{
    BlobRef, Checkpoint, Hash, Heartbeat, Kept, Lease, MAX_LIST, Offer, Retained, Role, Score,
    ShardId, Span, Term, Turn,
};

use super::*;
use crate::wire::about::AboutData;

/// The encoding of [`heartbeat`]. A change here is a new version of the protocol.
const HEARTBEAT_HEX: &str = concat!(
    "00fb2c01000001fbe8030101030202020202020202020202020202020202020202020202020202020202",
    "020202400101600101400707070707070707070707070707070707070707070707070707070707070707",
    "fc701101000202020202020202020202020202020202020202020202020202020202020202fc9b930a00",
    "01015a600101fbe803fb8403fb8e030209fc701101000100000103010101010101010101010101010101",
    "010101010101010101010101010101010101",
);

fn blob(byte: u8) -> BlobRef {
    BlobRef { hash: Hash([byte; 32]), size: 70_000 }
}

fn heartbeat() -> Message {
    let owner = NodeId([2; 32]);
    Message::Heartbeat(Heartbeat {
        seq: 300,
        role: Role::Worker,
        leaving: false,
        complete: true,
        speed: 1_000,
        leases: vec![Lease { shard: ShardId(1), term: Term(3), owner, from: 64 }],
        progress: vec![(ShardId(1), 96)],
        held: vec![Checkpoint {
            shard: ShardId(1),
            step: 64,
            blob: blob(7),
            by: owner,
            loss_micro: 693_147,
        }],
        retained: vec![Retained { shard: ShardId(1), from: 90, until: 96 }],
        scores: vec![score()],
        evaluating: 2,
        kept: Kept { batches: 9, checkpoints: 70_000, on_disk: true, full: false },
        avoids: Vec::new(),
        turns: vec![turn()],
    })
}

fn turn() -> Turn {
    Turn { chapter: 3, term: Term(1), owner: NodeId([1; 32]) }
}

fn score() -> Score {
    Score { epoch: 1, samples: 1_000, softmax_correct: 900, other_correct: 910 }
}

fn offer(step: u64) -> Offer {
    Offer { shard: ShardId(1), step, blob: blob(9) }
}

fn every_kind() -> Vec<Message> {
    let lease = Lease { shard: ShardId(0), term: Term(1), owner: NodeId([1; 32]), from: 0 };
    vec![
        heartbeat(),
        Message::Leases(vec![lease]),
        Message::Checkpoints(Vec::new()),
        Message::Score(score()),
        Message::Goodbye,
        Message::Want { seq: 1, reader: ShardId(2), shards: vec![ShardId(1)], from: 0, until: 32 },
        Message::Have(vec![offer(5)]),
        Message::Ledger(vec![Span { shard: ShardId(0), first: 0, last: 4, by: NodeId([1; 32]) }]),
        Message::Turns(vec![turn()]),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_message_reads_back_as_it_was() {
    for message in every_kind() {
        let bytes = encode(&message, MAX_BROADCAST).unwrap();
        assert_eq!(decode(&bytes), Ok(message));
    }
}

#[test]
fn the_bytes_of_a_heartbeat_are_pinned() {
    assert_eq!(hex(&encode(&heartbeat(), MAX_BROADCAST).unwrap()), HEARTBEAT_HEX);
}

#[test]
fn a_cut_message_is_refused() {
    let bytes = encode(&heartbeat(), MAX_BROADCAST).unwrap();
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "{len} of {} bytes were read", bytes.len());
    }
}

#[test]
fn bytes_left_over_are_refused() {
    let mut bytes = encode(&Message::Goodbye, MAX_BROADCAST).unwrap();
    bytes.push(0);
    assert_eq!(decode(&bytes), Err(WireError::Trailing(1)));
}

#[test]
fn a_list_that_claims_to_be_huge_is_refused() {
    let leases = 1;
    let claim = [leases, 253, 255, 255, 255, 255, 255, 255, 255, 127];
    assert!(matches!(decode(&claim), Err(WireError::Malformed(_))));
}

#[test]
fn a_list_beyond_its_bound_is_refused() {
    let long = Message::Have(vec![offer(0); MAX_LIST + 1]);
    let bytes = encode(&long, MAX_MESSAGE).unwrap();
    assert_eq!(decode(&bytes), Err(WireError::Unbounded));
    let shards = vec![ShardId(0); MAX_LIST + 1];
    let long = Message::Want { seq: 1, reader: ShardId(1), shards, from: 0, until: 1 };
    let bytes = encode(&long, MAX_MESSAGE).unwrap();
    assert_eq!(decode(&bytes), Err(WireError::Unbounded));
}

#[test]
fn a_broadcast_is_read_within_the_same_bounds() {
    let bytes = encode_broadcast(u64::MAX, &heartbeat()).unwrap();
    assert_eq!(decode_broadcast(&bytes), Ok((u64::MAX, heartbeat())));
    for len in 0..bytes.len() {
        assert!(decode_broadcast(&bytes[..len]).is_err(), "{len} of {} were read", bytes.len());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(decode_broadcast(&longer), Err(WireError::Trailing(1)));
    let long = Message::Have(vec![offer(0); MAX_LIST + 1]);
    let bytes = to_bytes(&(0u64, &long), MAX_MESSAGE).unwrap();
    assert_eq!(decode_broadcast(&bytes), Err(WireError::Unbounded));
    let large = Message::Have(vec![offer(0); 2 * MAX_LIST]);
    let result = encode_broadcast(0, &large);
    assert!(matches!(result, Err(WireError::TooLarge { max: MAX_BROADCAST, .. })));
}

#[test]
fn a_message_beyond_the_cap_is_not_sent() {
    let result = encode(&Message::Have(vec![offer(0); MAX_LIST]), 1_024);
    assert!(matches!(result, Err(WireError::TooLarge { max: 1_024, .. })));
    assert!(matches!(decode(&vec![0; MAX_MESSAGE + 1]), Err(WireError::TooLarge { .. })));
}

#[test]
fn what_is_said_of_a_run_reads_back_and_unsound_texts_are_refused() {
    let data = AboutData {
        kind: "digits".to_owned(),
        form: "28 x 28 grey".to_owned(),
        classes: 10,
        samples: Some((60_000, 10_000)),
    };
    let about = About { node: "attic".to_owned(), age_seconds: 61, data: Some(data) };
    let bytes = encode_about(&about).unwrap();
    assert_eq!(decode_about(&bytes), Ok(about.clone()));
    assert_eq!(decode_about(&[&bytes[..], &[0]].concat()), Err(WireError::Trailing(1)));
    for len in 0..bytes.len() {
        assert!(decode_about(&bytes[..len]).is_err(), "{len} of {} were read", bytes.len());
    }
    let bell = About { node: "at\u{7}tic".to_owned(), ..about.clone() };
    let bytes = to_bytes(&bell, MAX_MESSAGE).unwrap();
    assert_eq!(decode_about(&bytes), Err(WireError::Unsound));
    let long = About { node: "x".repeat(MAX_ABOUT), ..about };
    assert!(matches!(encode_about(&long), Err(WireError::TooLarge { max: MAX_ABOUT, .. })));
}

#[test]
fn peers_read_back_and_garbage_addresses_are_left_out() {
    let good: Multiaddr = "/ip4/10.0.0.1/tcp/4001".parse().unwrap();
    let listed = vec![PeerAddresses { node: NodeId([3; 32]), addresses: vec![good.clone()] }];
    assert_eq!(decode_peers(&encode_peers(&listed).unwrap()), Ok(listed.clone()));
    let raw: RawPeers = vec![(NodeId([3; 32]), vec![vec![0xff; 9], good.to_vec()])];
    let bytes = to_bytes(&raw, MAX_MESSAGE).unwrap();
    assert_eq!(decode_peers(&bytes), Ok(listed));
    let many: RawPeers = vec![(NodeId([3; 32]), Vec::new()); MAX_PEERS_LISTED + 1];
    let bytes = to_bytes(&many, MAX_MESSAGE).unwrap();
    assert_eq!(decode_peers(&bytes), Err(WireError::Unbounded));
}
