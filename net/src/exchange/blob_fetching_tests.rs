//! Parts in any order make the blob; every fetch ends exactly once.

use super::*;

const PEER: NodeId = NodeId([1; 32]);

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn blob(bytes: &[u8]) -> BlobRef {
    BlobRef { hash: Hash::of(bytes), size: bytes.len() as u64 }
}

/// The parts of all requests to make now.
fn request(fetches: &mut Fetches, from: NodeId) -> Vec<WantedPart> {
    fetches.next_requests(from).concat()
}

fn cut(bytes: &[u8], WantedPart { part, .. }: &WantedPart) -> Bytes {
    let start = usize::try_from(part.offset).unwrap();
    Bytes::copy_from_slice(&bytes[start..start + part.len as usize])
}

#[test]
fn parts_in_reverse_order_make_the_blob() {
    let bytes = content(5 * MAX_CHUNK + 17);
    let mut fetches = Fetches::default();
    assert_eq!(fetches.start(blob(&bytes), PEER), None);
    let mut parts = request(&mut fetches, PEER);
    assert_eq!(parts.len(), PARTS_PER_FETCH);
    let mut end = None;
    while let Some(wanted) = parts.pop() {
        assert_eq!(end, None);
        end = fetches.arrived(&wanted, cut(&bytes, &wanted));
        parts.extend(request(&mut fetches, PEER));
    }
    assert_eq!(end, Some(End::Whole { blob: blob(&bytes), from: PEER, bytes: bytes.into() }));
    assert!(fetches.running.is_empty() && fetches.requested.is_empty());
}

#[test]
fn a_gap_is_refilled_first() {
    let bytes = content(9 * MAX_CHUNK);
    let mut fetches = Fetches::default();
    fetches.start(blob(&bytes), PEER);
    let parts = request(&mut fetches, PEER);
    for wanted in &parts[1..] {
        assert_eq!(fetches.arrived(wanted, cut(&bytes, wanted)), None);
    }
    // One is still on its way.
    assert_eq!(request(&mut fetches, PEER).len(), PARTS_PER_FETCH - 1);
    assert_eq!(fetches.failed(&parts[0], FetchError::Busy), None);
    let again = request(&mut fetches, PEER);
    assert_eq!(again.iter().map(|wanted| wanted.part.offset).collect::<Vec<_>>(), [0]);
}

#[test]
fn one_retry_then_the_fetch_fails() {
    let bytes = content(10);
    let mut fetches = Fetches::default();
    fetches.start(blob(&bytes), PEER);
    let reason = FetchError::Transfer("reset".to_owned());
    let first = request(&mut fetches, PEER);
    assert_eq!(fetches.failed(&first[0], reason.clone()), None);
    let second = request(&mut fetches, PEER);
    assert_eq!(second, first);
    let end = fetches.failed(&second[0], reason.clone());
    assert_eq!(end, Some(End::Failed { hash: Hash::of(&bytes), from: PEER, reason }));
    assert!(request(&mut fetches, PEER).is_empty());
}

#[test]
fn a_missing_blob_is_not_requested_twice() {
    let mut fetches = Fetches::default();
    fetches.start(blob(b"gone"), PEER);
    let wanted = request(&mut fetches, PEER).remove(0);
    let reason = FetchError::NotFound;
    let end = fetches.failed(&wanted, reason.clone());
    assert_eq!(end, Some(End::Failed { hash: Hash::of(b"gone"), from: PEER, reason }));
}

#[test]
fn a_part_of_another_length_fails_the_fetch() {
    let mut fetches = Fetches::default();
    fetches.start(blob(b"four"), PEER);
    let wanted = request(&mut fetches, PEER).remove(0);
    let end = fetches.arrived(&wanted, Bytes::from_static(b"fo"));
    assert!(matches!(end, Some(End::Failed { reason: FetchError::WrongBytes, .. })));
}

#[test]
fn a_lost_peer_ends_its_fetches_once() {
    let other = NodeId([2; 32]);
    let mut fetches = Fetches::default();
    fetches.start(blob(b"one"), PEER);
    fetches.start(blob(b"two"), PEER);
    fetches.start(blob(b"three"), other);
    let parts = request(&mut fetches, PEER);
    assert_eq!(fetches.peer_gone(PEER).len(), 2);
    assert_eq!(fetches.failed(&parts[0], FetchError::Disconnected), None);
    assert_eq!(request(&mut fetches, other).len(), 1);
}

#[test]
fn a_bounded_number_of_parts_is_requested_from_a_peer() {
    let mut fetches = Fetches::default();
    for _ in 0..10 {
        fetches.start(BlobRef { hash: Hash([0; 32]), size: MAX_BLOB }, PEER);
    }
    assert_eq!(request(&mut fetches, PEER).len(), PARTS_PER_PEER);
    assert!(request(&mut fetches, PEER).is_empty());
}

#[test]
fn what_cannot_be_is_refused_at_once() {
    let mut fetches = Fetches::default();
    let huge = BlobRef { hash: Hash([0; 32]), size: MAX_BLOB + 1 };
    let end = fetches.start(huge, PEER);
    assert!(matches!(end, Some(End::Failed { reason: FetchError::TooLarge(_), .. })));
    let empty = blob(b"");
    assert!(matches!(fetches.start(empty, PEER), Some(End::Whole { .. })));
    let small = blob(b"x");
    for _ in 0..MAX_RUNNING {
        assert_eq!(fetches.start(small, PEER), None);
    }
    let end = fetches.start(small, PEER);
    assert!(matches!(end, Some(End::Failed { reason: FetchError::Busy, .. })));
}

#[test]
fn small_blobs_are_requested_together_and_large_ones_alone() {
    let mut fetches = Fetches::default();
    let sizes = [5, MAX_CHUNK as u64 - 5, 1, MAX_CHUNK as u64 + 2, 7];
    for (n, size) in sizes.into_iter().enumerate() {
        fetches.start(BlobRef { hash: Hash([n as u8; 32]), size }, PEER);
    }
    let lens = |parts: &Vec<WantedPart>| parts.iter().map(|it| it.part.len).collect::<Vec<_>>();
    let requests: Vec<Vec<u32>> = fetches.next_requests(PEER).iter().map(lens).collect();
    let full = MAX_CHUNK as u32;
    assert_eq!(requests, [vec![5, full - 5], vec![1], vec![full], vec![2, 7]]);
    assert!(fetches.next_requests(PEER).is_empty());
}
