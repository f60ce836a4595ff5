//! Pieces in any order make the blob; every fetch ends exactly once.

use super::*;

const PEER: NodeId = NodeId([1; 32]);

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn blob(bytes: &[u8]) -> BlobRef {
    BlobRef { hash: Hash::of(bytes), size: bytes.len() as u64 }
}

/// The pieces of all questions.
fn ask(fetches: &mut Fetches, from: NodeId) -> Vec<Piece> {
    fetches.ask(from).concat()
}

fn cut(bytes: &[u8], piece: &Piece) -> Bytes {
    let start = usize::try_from(piece.offset).unwrap();
    Bytes::copy_from_slice(&bytes[start..start + piece.len as usize])
}

#[test]
fn pieces_in_reverse_order_make_the_blob() {
    let bytes = content(5 * MAX_CHUNK + 17);
    let mut fetches = Fetches::default();
    assert_eq!(fetches.start(blob(&bytes), PEER), None);
    let mut pieces = ask(&mut fetches, PEER);
    assert_eq!(pieces.len(), PIECES_PER_FETCH);
    let mut end = None;
    while let Some(piece) = pieces.pop() {
        assert_eq!(end, None);
        end = fetches.arrived(&piece, cut(&bytes, &piece));
        pieces.extend(ask(&mut fetches, PEER));
    }
    assert_eq!(end, Some(End::Whole { blob: blob(&bytes), from: PEER, bytes: bytes.into() }));
    assert!(fetches.running.is_empty() && fetches.asked.is_empty());
}

#[test]
fn a_gap_is_refilled_first() {
    let bytes = content(9 * MAX_CHUNK);
    let mut fetches = Fetches::default();
    fetches.start(blob(&bytes), PEER);
    let pieces = ask(&mut fetches, PEER);
    for piece in &pieces[1..] {
        assert_eq!(fetches.arrived(piece, cut(&bytes, piece)), None);
    }
    // One is still on its way.
    assert_eq!(ask(&mut fetches, PEER).len(), PIECES_PER_FETCH - 1);
    assert_eq!(fetches.failed(&pieces[0], FetchError::Busy), None);
    let again = ask(&mut fetches, PEER);
    assert_eq!(again.iter().map(|piece| piece.offset).collect::<Vec<_>>(), [0]);
}

#[test]
fn one_retry_then_the_fetch_fails() {
    let bytes = content(10);
    let mut fetches = Fetches::default();
    fetches.start(blob(&bytes), PEER);
    let reason = FetchError::Transfer("reset".to_owned());
    let first = ask(&mut fetches, PEER);
    assert_eq!(fetches.failed(&first[0], reason.clone()), None);
    let second = ask(&mut fetches, PEER);
    assert_eq!(second, first);
    let end = fetches.failed(&second[0], reason.clone());
    assert_eq!(end, Some(End::Failed { hash: Hash::of(&bytes), from: PEER, reason }));
    assert!(ask(&mut fetches, PEER).is_empty());
}

#[test]
fn a_missing_blob_is_not_asked_for_twice() {
    let mut fetches = Fetches::default();
    fetches.start(blob(b"gone"), PEER);
    let piece = ask(&mut fetches, PEER).remove(0);
    let reason = FetchError::NotFound;
    let end = fetches.failed(&piece, reason.clone());
    assert_eq!(end, Some(End::Failed { hash: Hash::of(b"gone"), from: PEER, reason }));
}

#[test]
fn a_piece_of_another_length_fails_the_fetch() {
    let mut fetches = Fetches::default();
    fetches.start(blob(b"four"), PEER);
    let piece = ask(&mut fetches, PEER).remove(0);
    let end = fetches.arrived(&piece, Bytes::from_static(b"fo"));
    assert!(matches!(end, Some(End::Failed { reason: FetchError::WrongBytes, .. })));
}

#[test]
fn a_lost_peer_ends_its_fetches_once() {
    let other = NodeId([2; 32]);
    let mut fetches = Fetches::default();
    fetches.start(blob(b"one"), PEER);
    fetches.start(blob(b"two"), PEER);
    fetches.start(blob(b"three"), other);
    let pieces = ask(&mut fetches, PEER);
    assert_eq!(fetches.peer_gone(PEER).len(), 2);
    assert_eq!(fetches.failed(&pieces[0], FetchError::Disconnected), None);
    assert_eq!(ask(&mut fetches, other).len(), 1);
}

#[test]
fn a_peer_is_asked_for_a_bounded_number_of_pieces() {
    let mut fetches = Fetches::default();
    for _ in 0..10 {
        fetches.start(BlobRef { hash: Hash([0; 32]), size: MAX_BLOB }, PEER);
    }
    assert_eq!(ask(&mut fetches, PEER).len(), PIECES_PER_PEER);
    assert!(ask(&mut fetches, PEER).is_empty());
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
fn small_blobs_are_asked_for_together_and_large_ones_alone() {
    let mut fetches = Fetches::default();
    let sizes = [5, MAX_CHUNK as u64 - 5, 1, MAX_CHUNK as u64 + 2, 7];
    for (n, size) in sizes.into_iter().enumerate() {
        fetches.start(BlobRef { hash: Hash([n as u8; 32]), size }, PEER);
    }
    let lens = |pieces: &Vec<Piece>| pieces.iter().map(|it| it.len).collect::<Vec<_>>();
    let questions: Vec<Vec<u32>> = fetches.ask(PEER).iter().map(lens).collect();
    let full = MAX_CHUNK as u32;
    assert_eq!(questions, [vec![5, full - 5], vec![1], vec![full], vec![2, 7]]);
    assert!(fetches.ask(PEER).is_empty());
}
