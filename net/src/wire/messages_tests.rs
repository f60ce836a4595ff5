//! The bytes of messages: pinned, bounded, and read back as they were.

use ffp2p_proto::{
    Batch, BatchRun, BlobRef, Change, Checkpoint, Hash, Heartbeat, Kept, Lease, MAX_LIST, Role,
    Score, ShardId, Span, Task, Term,
};

use super::*;
use crate::wire::about::{AboutData, Progress};
use crate::wire::pinned;

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
        leases: vec![
            Lease { task: Task::Shard(ShardId(1)), term: Term(3), owner, from: 64 },
            branch(),
        ],
        progress: vec![(ShardId(1), 96)],
        held: vec![checkpoint()],
        changes: vec![change(Some(2))],
        batches: vec![BatchRun { shard: ShardId(1), from: 90, until: 96 }],
        scores: vec![score()],
        evaluating: 2,
        kept: Kept { batches: 9, checkpoints: 70_000, on_disk: true, full: false },
        avoids: Vec::new(),
    })
}

fn checkpoint() -> Checkpoint {
    let (shard, by) = (ShardId(1), NodeId([2; 32]));
    Checkpoint { shard, step: 64, blob: blob(7), by, loss_micro: 693_147 }
}

fn change(branch: Option<u16>) -> Change {
    let (shard, by) = (ShardId(1), NodeId([2; 32]));
    Change { shard, chapter: 3, branch, blob: blob(8), by, loss_micro: 693_147 }
}

fn branch() -> Lease {
    let task = Task::Branch { chapter: 3, branch: 0 };
    Lease { task, term: Term(1), owner: NodeId([1; 32]), from: 300 }
}

fn score() -> Score {
    Score { epoch: 1, samples: 1_000, softmax_correct: 900, other_correct: 910 }
}

fn batch(step: u64) -> Batch {
    Batch { shard: ShardId(1), step, blob: blob(9) }
}

fn lease() -> Lease {
    Lease { task: Task::Shard(ShardId(0)), term: Term(1), owner: NodeId([1; 32]), from: 0 }
}

fn every_kind() -> Vec<Message> {
    vec![
        heartbeat(),
        Message::Leases(vec![lease(), branch()]),
        Message::Checkpoints(vec![checkpoint()]),
        Message::Changes(vec![change(Some(2))]),
        Message::Merged { checkpoint: checkpoint(), mean: change(None) },
        Message::Score(score()),
        Message::Goodbye,
        Message::Request {
            seq: 1,
            reader: ShardId(2),
            shards: vec![ShardId(1)],
            from: 0,
            until: 32,
        },
        Message::Announce(vec![batch(5)]),
        Message::Provenance(vec![Span {
            shard: ShardId(0),
            first: 0,
            last: 4,
            by: NodeId([1; 32]),
        }]),
    ]
}

/// The name of a kind of message in its fixture. A new kind needs one in [`every_kind`], too.
fn kind(message: &Message) -> &'static str {
    match message {
        Message::Heartbeat(_) => "Heartbeat",
        Message::Leases(_) => "Leases",
        Message::Checkpoints(_) => "Checkpoints",
        Message::Changes(_) => "Changes",
        Message::Merged { .. } => "Merged",
        Message::Score(_) => "Score",
        Message::Goodbye => "Goodbye",
        Message::Request { .. } => "Request",
        Message::Announce(_) => "Announce",
        Message::Provenance(_) => "Provenance",
    }
}

fn about() -> About {
    let data = AboutData {
        kind: "digits".to_owned(),
        form: "28 x 28 grey".to_owned(),
        classes: 10,
        samples: Some((60_000, 10_000)),
        manifest: 5_000,
    };
    let progress = Progress { permille: 456, workers: 3, millisteps: 12_345 };
    let run = Some("cats".to_owned());
    About { node: "attic".to_owned(), run, age_seconds: 61, progress, data: Some(data) }
}

#[test]
fn every_message_reads_back_as_it_was() {
    for message in every_kind() {
        let bytes = encode(&message, MAX_BROADCAST).unwrap();
        assert_eq!(decode(&bytes), Ok(message));
    }
}

#[test]
fn the_bytes_of_every_message_are_pinned() {
    let bytes = |message: &Message| (kind(message), encode(message, MAX_MESSAGE).unwrap());
    let mut all: Vec<_> = every_kind().iter().map(bytes).collect();
    all.push(("broadcast", encode_broadcast(0x0102_0304_0506_0708, &Message::Goodbye).unwrap()));
    pinned::check("messages.txt", &all);
}

#[test]
fn the_bytes_of_descriptions_and_lists_of_peers_are_pinned() {
    let addresses = ["/ip4/10.0.0.1/tcp/4001", "/ip6/fd00::1/tcp/4477"];
    let addresses = addresses.map(|it| it.parse().unwrap()).to_vec();
    let peers = [PeerAddresses { node: NodeId([3; 32]), addresses }];
    let all = [
        ("about", encode_about(&about()).unwrap()),
        ("about-without-data", encode_about(&About { data: None, ..about() }).unwrap()),
        ("peers", encode_peers(&peers).unwrap()),
    ];
    pinned::check("descriptions.txt", &all);
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
    let long = Message::Announce(vec![batch(0); MAX_LIST + 1]);
    let bytes = encode(&long, MAX_MESSAGE).unwrap();
    assert_eq!(decode(&bytes), Err(WireError::Unbounded));
    let shards = vec![ShardId(0); MAX_LIST + 1];
    let long = Message::Request { seq: 1, reader: ShardId(1), shards, from: 0, until: 1 };
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
    let long = Message::Announce(vec![batch(0); MAX_LIST + 1]);
    let bytes = to_bytes(&(0u64, &long), MAX_MESSAGE).unwrap();
    assert_eq!(decode_broadcast(&bytes), Err(WireError::Unbounded));
    let large = Message::Announce(vec![batch(0); 2 * MAX_LIST]);
    let result = encode_broadcast(0, &large);
    assert!(matches!(result, Err(WireError::TooLarge { max: MAX_BROADCAST, .. })));
}

#[test]
fn a_message_beyond_the_cap_is_not_sent() {
    let result = encode(&Message::Announce(vec![batch(0); MAX_LIST]), 1_024);
    assert!(matches!(result, Err(WireError::TooLarge { max: 1_024, .. })));
    assert!(matches!(decode(&vec![0; MAX_MESSAGE + 1]), Err(WireError::TooLarge { .. })));
}

#[test]
fn a_description_reads_back_and_unsound_texts_are_refused() {
    let about = about();
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
