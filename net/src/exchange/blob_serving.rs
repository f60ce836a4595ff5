//! Blobs that peers ask for.
//!
//! Rule: a source may read from disk, so it is asked outside the event loop; when too much is under
//! way there, a request is answered with "busy".

use std::sync::Arc;

use bytes::Bytes;
use ffp2p_proto::Hash;
use libp2p::request_response::ResponseChannel;

use crate::io::{Done, Io};
use crate::wire::frames::{Answer, Part};

/// Pieces of work outside the event loop, beyond which requests for blobs are answered with "busy".
const MAX_WORK: usize = 256;

/// A place where the blobs are that peers ask for.
///
/// Both methods are called on a thread that may block.
pub trait BlobSource: Send + Sync + 'static {
    /// The bytes named by `hash`, when they are here.
    fn get(&self, hash: &Hash) -> Option<Bytes>;

    /// `len` of these bytes from `offset` on, at most [`MAX_CHUNK`](crate::MAX_CHUNK); `None` when the
    /// blob is shorter. A source that reads from disk should not read all of it for that.
    fn part(&self, hash: &Hash, offset: u64, len: u32) -> Option<Bytes> {
        cut(&self.get(hash)?, offset, len)
    }
}

/// A source without blobs, of a node that only looks or fetches.
#[derive(Clone, Copy, Debug)]
pub struct NoBlobs;

impl BlobSource for NoBlobs {
    fn get(&self, _: &Hash) -> Option<Bytes> {
        None
    }
}

/// `len` bytes of a blob from `offset` on, not copied; `None` when it is shorter.
pub fn cut(blob: &Bytes, offset: u64, len: u32) -> Option<Bytes> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(len as usize).filter(|end| *end <= blob.len())?;
    Some(blob.slice(start..end))
}

/// Answers a request for parts of blobs.
pub(crate) fn serve(
    blobs: &Arc<dyn BlobSource>,
    io: &mut Io,
    parts: Vec<Part>,
    channel: ResponseChannel<Answer>,
) {
    if io.work.len() >= MAX_WORK {
        return io.respond(channel, Answer::Busy);
    }
    let blobs = Arc::clone(blobs);
    io.work.spawn_blocking(move || {
        let give = |it: &Part| blobs.part(&it.hash, it.offset, it.len);
        Done::Answer(channel, Answer::Parts(parts.iter().map(give).collect()))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_lies_within_its_blob() {
        let blob = Bytes::from_static(b"0123456789");
        assert_eq!(cut(&blob, 3, 4), Some(Bytes::from_static(b"3456")));
        assert_eq!(cut(&blob, 10, 0), Some(Bytes::new()));
        for (offset, len) in [(3, 8), (11, 0), (u64::MAX, 1), (0, u32::MAX)] {
            assert_eq!(cut(&blob, offset, len), None, "{offset} {len}");
        }
    }
}
