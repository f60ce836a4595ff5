//! Blobs on their way here, piece by piece.
//!
//! Rule: memory grows with the bytes that came, never with the size that was claimed; a piece
//! must have exactly the length that was asked for; and each fetch ends exactly once. Nothing
//! here touches a socket: [`Fetches`] says what to ask, and is told what came.

use std::collections::BTreeMap;

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash, NodeId};

use crate::error::FetchError;
use crate::wire::frames::{MAX_CHUNK, MAX_PARTS};

/// Bytes of the largest blob.
pub const MAX_BLOB: u64 = 1 << 30;

/// Fetches under way at once, over all peers.
const MAX_RUNNING: usize = 1024;

/// Pieces of one blob that are asked for at once.
const PIECES_PER_FETCH: usize = 4;

/// Pieces that one peer is asked for at once.
const PIECES_PER_PEER: usize = 16;

/// One piece to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) fetch: u64,
    pub(crate) from: NodeId,
    pub(crate) hash: Hash,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// How a fetch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every byte came; they are not verified yet.
    Whole { blob: BlobRef, from: NodeId, bytes: Bytes },
    /// It failed.
    Failed { hash: Hash, from: NodeId, reason: FetchError },
}

#[derive(Debug)]
struct Fetch {
    blob: BlobRef,
    from: NodeId,
    /// Next byte that was never asked for.
    next: u64,
    /// Pieces to ask for once more.
    again: Vec<u64>,
    retried: bool,
    in_flight: usize,
    /// Pieces that came, by where they begin.
    got: BTreeMap<u64, Bytes>,
    /// Bytes of them.
    size: u64,
}

/// All blobs on their way.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    last: u64,
    running: BTreeMap<u64, Fetch>,
    asked: BTreeMap<NodeId, usize>,
}

impl Fetches {
    /// Takes a fetch on; the end is returned at once where nothing needs to be asked.
    pub(crate) fn start(&mut self, blob: BlobRef, from: NodeId) -> Option<End> {
        let fail = |reason| Some(End::Failed { hash: blob.hash, from, reason });
        if blob.size > MAX_BLOB {
            return fail(FetchError::TooLarge(blob.size));
        }
        if blob.size == 0 {
            return Some(End::Whole { blob, from, bytes: Bytes::new() });
        }
        if self.running.len() >= MAX_RUNNING {
            return fail(FetchError::Busy);
        }
        self.last += 1;
        let (again, got) = (Vec::new(), BTreeMap::new());
        let fetch =
            Fetch { blob, from, next: 0, again, retried: false, in_flight: 0, got, size: 0 };
        self.running.insert(self.last, fetch);
        None
    }

    /// What `from` may be asked now, each question for as many pieces as fit; they count as asked.
    pub(crate) fn ask(&mut self, from: NodeId) -> Vec<Vec<Piece>> {
        let (mut questions, mut room) = (Vec::<Vec<Piece>>::new(), 0);
        for piece in self.next_pieces(from) {
            match questions.last_mut() {
                Some(last) if piece.len <= room && last.len() < MAX_PARTS => {
                    room -= piece.len;
                    last.push(piece);
                }
                _ => {
                    room = (MAX_CHUNK as u32).saturating_sub(piece.len);
                    questions.push(vec![piece]);
                }
            }
        }
        questions
    }

    fn next_pieces(&mut self, from: NodeId) -> Vec<Piece> {
        let asked = self.asked.entry(from).or_default();
        let mut pieces = Vec::new();
        for (&id, fetch) in self.running.iter_mut().filter(|(_, fetch)| fetch.from == from) {
            while *asked < PIECES_PER_PEER
                && let Some((offset, len)) = fetch.next_piece()
            {
                *asked += 1;
                pieces.push(Piece { fetch: id, from, hash: fetch.blob.hash, offset, len });
            }
        }
        if *asked == 0 {
            self.asked.remove(&from);
        }
        pieces
    }

    /// A piece came.
    pub(crate) fn arrived(&mut self, piece: &Piece, bytes: Bytes) -> Option<End> {
        self.answered(piece.from);
        let fetch = self.running.get_mut(&piece.fetch)?;
        fetch.in_flight -= 1;
        if bytes.len() as u64 != u64::from(piece.len) {
            return self.end(piece.fetch, FetchError::WrongBytes);
        }
        let whole = fetch.take(piece.offset, bytes)?;
        let fetch = self.running.remove(&piece.fetch)?;
        Some(End::Whole { blob: fetch.blob, from: fetch.from, bytes: whole })
    }

    /// A piece did not come.
    pub(crate) fn failed(&mut self, piece: &Piece, reason: FetchError) -> Option<End> {
        self.answered(piece.from);
        let fetch = self.running.get_mut(&piece.fetch)?;
        fetch.in_flight -= 1;
        let again = matches!(reason, FetchError::Transfer(_) | FetchError::Busy);
        if !again || fetch.retried {
            return self.end(piece.fetch, reason);
        }
        fetch.retried = true;
        fetch.again.push(piece.offset);
        None
    }

    /// A peer is gone, and every fetch from it.
    pub(crate) fn peer_gone(&mut self, from: NodeId) -> Vec<End> {
        self.asked.remove(&from);
        let ids: Vec<u64> = self
            .running
            .iter()
            .filter_map(|(&id, fetch)| (fetch.from == from).then_some(id))
            .collect();
        ids.into_iter().filter_map(|id| self.end(id, FetchError::Disconnected)).collect()
    }

    fn end(&mut self, id: u64, reason: FetchError) -> Option<End> {
        let fetch = self.running.remove(&id)?;
        Some(End::Failed { hash: fetch.blob.hash, from: fetch.from, reason })
    }

    fn answered(&mut self, from: NodeId) {
        if let Some(asked) = self.asked.get_mut(&from) {
            *asked = asked.saturating_sub(1);
            if *asked == 0 {
                self.asked.remove(&from);
            }
        }
    }
}

impl Fetch {
    fn len_at(&self, offset: u64) -> u32 {
        let rest = self.blob.size.saturating_sub(offset);
        u32::try_from(rest.min(MAX_CHUNK as u64)).unwrap_or(0)
    }

    /// Offset and length of a piece that may be asked for now; it counts as asked.
    fn next_piece(&mut self) -> Option<(u64, u32)> {
        if self.in_flight >= PIECES_PER_FETCH {
            return None;
        }
        let offset = match self.again.pop() {
            Some(offset) => offset,
            None if self.next < self.blob.size => {
                let offset = self.next;
                self.next += u64::from(self.len_at(offset));
                offset
            }
            None => return None,
        };
        self.in_flight += 1;
        Some((offset, self.len_at(offset)))
    }

    /// Puts a piece in its place; returns everything when it was the last one missing.
    fn take(&mut self, offset: u64, bytes: Bytes) -> Option<Bytes> {
        if bytes.len() as u64 == self.blob.size {
            return Some(bytes);
        }
        self.size += bytes.len() as u64;
        self.got.insert(offset, bytes);
        if self.size != self.blob.size {
            return None;
        }
        // All of it at once: memory that grew would be copied, and left behind, several times.
        let mut whole = Vec::with_capacity(usize::try_from(self.size).unwrap_or(0));
        while let Some((_, piece)) = self.got.pop_first() {
            whole.extend_from_slice(&piece);
        }
        Some(whole.into())
    }
}

#[cfg(test)]
#[path = "blob_fetching_tests.rs"]
mod tests;
