//! Blobs on their way here, part by part.
//!
//! Rule: memory grows with the bytes that came, never with the size that was claimed; a part
//! must have exactly the length that was requested; and each fetch ends exactly once.
//!
//! Nothing here touches a socket: [`Fetches`] says what to request, and takes in what came.

use std::collections::BTreeMap;

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash, NodeId};

use crate::error::FetchError;
use crate::wire::frames::Part;
use crate::wire::limits::{MAX_CHUNK, MAX_PARTS};

/// Bytes of the largest blob.
pub const MAX_BLOB: u64 = 1 << 30;

/// Fetches under way at once, over all peers.
const MAX_RUNNING: usize = 1024;

/// Parts of one blob that are requested at once.
const PARTS_PER_FETCH: usize = 4;

/// Parts that are requested from one peer at once.
const PARTS_PER_PEER: usize = 16;

/// One part to request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WantedPart {
    fetch: u64,
    /// The peer that has it.
    pub(crate) from: NodeId,
    pub(crate) part: Part,
}

/// Outcome of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every byte came; they are not verified yet.
    Whole { blob: BlobRef, from: NodeId, bytes: Bytes },
    /// It failed.
    Failed { hash: Hash, from: NodeId, reason: FetchError },
}

impl End {
    /// Bytes that came.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Whole { bytes, .. } => bytes.len(),
            Self::Failed { .. } => 0,
        }
    }
}

#[derive(Debug)]
struct Fetch {
    blob: BlobRef,
    from: NodeId,
    /// First byte that was never requested.
    next: u64,
    /// First bytes of the parts to request once more.
    again: Vec<u64>,
    retried: bool,
    /// Parts requested and not yet answered.
    in_flight: usize,
    /// Parts that came, by their first byte.
    got: BTreeMap<u64, Bytes>,
    /// Bytes of them.
    size: u64,
}

/// All blobs on their way.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    last: u64,
    running: BTreeMap<u64, Fetch>,
    /// Parts requested from each peer and not yet answered.
    requested: BTreeMap<NodeId, usize>,
}

impl Fetches {
    /// Takes on a fetch. Returns its end where nothing needs to be requested.
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

    /// The requests to make of `from` now, each for as many parts as fit; they count as made.
    pub(crate) fn next_requests(&mut self, from: NodeId) -> Vec<Vec<WantedPart>> {
        let (mut requests, mut room) = (Vec::<Vec<WantedPart>>::new(), 0);
        for wanted in self.next_parts(from) {
            match requests.last_mut() {
                Some(last) if wanted.part.len <= room && last.len() < MAX_PARTS => {
                    room -= wanted.part.len;
                    last.push(wanted);
                }
                _ => {
                    room = (MAX_CHUNK as u32).saturating_sub(wanted.part.len);
                    requests.push(vec![wanted]);
                }
            }
        }
        requests
    }

    fn next_parts(&mut self, from: NodeId) -> Vec<WantedPart> {
        let requested = self.requested.entry(from).or_default();
        let mut parts = Vec::new();
        for (&id, fetch) in self.running.iter_mut().filter(|(_, fetch)| fetch.from == from) {
            while *requested < PARTS_PER_PEER
                && let Some((offset, len)) = fetch.next_part()
            {
                *requested += 1;
                let part = Part { hash: fetch.blob.hash, offset, len };
                parts.push(WantedPart { fetch: id, from, part });
            }
        }
        if *requested == 0 {
            self.requested.remove(&from);
        }
        parts
    }

    /// Notes that a part came. Returns the end of its fetch, if this is it.
    pub(crate) fn arrived(&mut self, wanted: &WantedPart, bytes: Bytes) -> Option<End> {
        self.answered(wanted.from);
        let fetch = self.running.get_mut(&wanted.fetch)?;
        fetch.in_flight -= 1;
        if bytes.len() as u64 != u64::from(wanted.part.len) {
            return self.end(wanted.fetch, FetchError::WrongBytes);
        }
        let whole = fetch.take(wanted.part.offset, bytes)?;
        let fetch = self.running.remove(&wanted.fetch)?;
        Some(End::Whole { blob: fetch.blob, from: fetch.from, bytes: whole })
    }

    /// Notes that a part did not come. Returns the end of its fetch, if this is it.
    pub(crate) fn failed(&mut self, wanted: &WantedPart, reason: FetchError) -> Option<End> {
        self.answered(wanted.from);
        let fetch = self.running.get_mut(&wanted.fetch)?;
        fetch.in_flight -= 1;
        let again = matches!(reason, FetchError::Transfer(_) | FetchError::Busy);
        if !again || fetch.retried {
            return self.end(wanted.fetch, reason);
        }
        fetch.retried = true;
        fetch.again.push(wanted.part.offset);
        None
    }

    /// Ends every fetch from a peer that is gone.
    pub(crate) fn peer_gone(&mut self, from: NodeId) -> Vec<End> {
        self.requested.remove(&from);
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
        if let Some(requested) = self.requested.get_mut(&from) {
            *requested = requested.saturating_sub(1);
            if *requested == 0 {
                self.requested.remove(&from);
            }
        }
    }
}

impl Fetch {
    fn len_at(&self, offset: u64) -> u32 {
        let rest = self.blob.size.saturating_sub(offset);
        u32::try_from(rest.min(MAX_CHUNK as u64)).unwrap_or(0)
    }

    /// Offset and length of a part that may be requested now; it counts as requested.
    fn next_part(&mut self) -> Option<(u64, u32)> {
        if self.in_flight >= PARTS_PER_FETCH {
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

    /// Puts a part in its place. Returns the blob when no other part is missing.
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
        while let Some((_, part)) = self.got.pop_first() {
            whole.extend_from_slice(&part);
        }
        Some(whole.into())
    }
}

#[cfg(test)]
#[path = "blob_fetching_tests.rs"]
mod tests;
