//! Requests to one peer, and their answers, as frames on a stream.
//!
//! Rule: a length is compared with its bound before anything is allocated for it, and memory grows
//! with the bytes that arrive. A frame that is cut, or of an unknown kind, ends the stream.
//!
//! Every request names the run it belongs to, so a peer of another run is refused without
//! knowing more of it.

use std::io;

use bytes::Bytes;
use ffp2p_proto::Hash;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response;

use crate::wire::limits::{MAX_ABOUT, MAX_CHUNK, MAX_MESSAGE, MAX_PARTS, MAX_SPEC};

/// The protocol all requests use.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ffp2p/5/ask");

/// Written in place of the length of a part that the peer does not have.
const MISSING: u32 = u32::MAX;

/// Bytes by which a frame's memory grows at a time, as they come.
const GROWTH: usize = 128 * 1024;

/// A request to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The run it is about; all zero from a peer that has none.
    pub(crate) run: Hash,
    pub(crate) kind: RequestKind,
}

/// `len` bytes of a blob from `offset` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The blob.
    pub(crate) hash: Hash,
    /// First byte.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) len: u32,
}

/// The kinds of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// Take this message.
    Message(Bytes),
    /// Give these parts of blobs, at most [`MAX_PARTS`] and [`MAX_CHUNK`] bytes of them.
    Blobs(Vec<Part>),
    /// Give the run's spec, and describe the run.
    Spec,
    /// List the peers you know.
    Peers,
    /// Nothing; the answer shows that everything sent before has left.
    Flush,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Taken.
    Ack,
    /// The parts, in the order of the request; `None` for those the peer does not have.
    Parts(Vec<Option<Bytes>>),
    /// The spec and a description of the run, encoded.
    Spec {
        /// Canonical bytes.
        spec: Bytes,
        /// An [`About`](crate::wire::about::About).
        about: Bytes,
    },
    /// The peers that the peer knows, encoded.
    Peers(Bytes),
    /// The peer does not have the spec.
    NotFound,
    /// The peer has too much to do; try again.
    Busy,
    /// The peer is not of that run.
    OtherRun,
}

impl Answer {
    /// Bytes of the payload.
    pub(crate) fn payload(&self) -> usize {
        match self {
            Self::Parts(parts) => parts.iter().flatten().map(Bytes::len).sum(),
            Self::Spec { spec, about } => spec.len() + about.len(),
            Self::Peers(_) | Self::Ack | Self::NotFound | Self::Busy | Self::OtherRun => 0,
        }
    }
}

/// Reads and writes the frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codec;

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

async fn read_array<const N: usize, T: AsyncRead + Unpin>(io: &mut T) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    io.read_exact(&mut array).await?;
    Ok(array)
}

/// Reads a length and that many bytes, at most `max`.
async fn read_bytes<T: AsyncRead + Unpin>(io: &mut T, max: usize) -> io::Result<Bytes> {
    let claimed = u32::from_be_bytes(read_array(io).await?);
    read_claimed(io, claimed, max).await
}

/// Reads the `claimed` bytes, at most `max`.
async fn read_claimed<T>(io: &mut T, claimed: u32, max: usize) -> io::Result<Bytes>
where
    T: AsyncRead + Unpin,
{
    let len = usize::try_from(claimed).unwrap_or(usize::MAX);
    if len > max {
        return Err(invalid(format!("{len} bytes are announced, at most {max} are taken")));
    }
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let got = bytes.len();
        bytes.resize(len.min(got + GROWTH), 0);
        io.read_exact(&mut bytes[got..]).await?;
    }
    Ok(bytes.into())
}

/// Reads the number of parts that follow.
async fn read_count<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<usize> {
    let [count] = read_array(io).await?;
    match usize::from(count) {
        count if count <= MAX_PARTS => Ok(count),
        count => Err(invalid(format!("{count} parts at once, at most {MAX_PARTS} are taken"))),
    }
}

fn count_of<T>(parts: &[T]) -> io::Result<u8> {
    let count = u8::try_from(parts.len()).ok().filter(|_| parts.len() <= MAX_PARTS);
    count.ok_or_else(|| invalid(format!("{} parts do not fit a frame", parts.len())))
}

async fn read_wanted<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<Vec<Part>> {
    let (mut parts, mut total) = (Vec::new(), 0u64);
    for _ in 0..read_count(io).await? {
        let hash = Hash(read_array(io).await?);
        let offset = u64::from_be_bytes(read_array(io).await?);
        let len = u32::from_be_bytes(read_array(io).await?);
        total += u64::from(len);
        parts.push(Part { hash, offset, len });
    }
    if total > MAX_CHUNK as u64 {
        return Err(invalid(format!("{total} bytes are requested, at most {MAX_CHUNK} are given")));
    }
    Ok(parts)
}

async fn read_parts<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<Vec<Option<Bytes>>> {
    let (mut parts, mut room) = (Vec::new(), MAX_CHUNK);
    for _ in 0..read_count(io).await? {
        parts.push(match u32::from_be_bytes(read_array(io).await?) {
            MISSING => None,
            claimed => {
                let bytes = read_claimed(io, claimed, room).await?;
                room -= bytes.len();
                Some(bytes)
            }
        });
    }
    Ok(parts)
}

async fn write_parts<T>(io: &mut T, parts: &[Option<Bytes>]) -> io::Result<()>
where
    T: AsyncWrite + Unpin,
{
    io.write_all(&[count_of(parts)?]).await?;
    let mut room = MAX_CHUNK;
    for part in parts {
        match part {
            None => io.write_all(&MISSING.to_be_bytes()).await?,
            Some(bytes) => {
                write_bytes(io, bytes, room).await?;
                room -= bytes.len();
            }
        }
    }
    Ok(())
}

async fn write_bytes<T: AsyncWrite + Unpin>(
    io: &mut T,
    bytes: &Bytes,
    max: usize,
) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= max);
    let len = len.ok_or_else(|| invalid(format!("{} bytes do not fit a frame", bytes.len())))?;
    io.write_all(&len.to_be_bytes()).await?;
    io.write_all(bytes).await
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        let [tag] = read_array(io).await?;
        let run = Hash(read_array(io).await?);
        let kind = match tag {
            0 => RequestKind::Message(read_bytes(io, MAX_MESSAGE).await?),
            1 => RequestKind::Blobs(read_wanted(io).await?),
            2 => RequestKind::Spec,
            3 => RequestKind::Peers,
            4 => RequestKind::Flush,
            other => return Err(invalid(format!("unknown request {other}"))),
        };
        Ok(Request { run, kind })
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let [tag] = read_array(io).await?;
        Ok(match tag {
            0 => Answer::Ack,
            1 => Answer::Parts(read_parts(io).await?),
            2 => Answer::Spec {
                spec: read_bytes(io, MAX_SPEC).await?,
                about: read_bytes(io, MAX_ABOUT).await?,
            },
            3 => Answer::Peers(read_bytes(io, MAX_MESSAGE).await?),
            4 => Answer::NotFound,
            5 => Answer::Busy,
            6 => Answer::OtherRun,
            other => return Err(invalid(format!("unknown answer {other}"))),
        })
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        Request { run, kind }: Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let tag = match &kind {
            RequestKind::Message(_) => 0,
            RequestKind::Blobs(_) => 1,
            RequestKind::Spec => 2,
            RequestKind::Peers => 3,
            RequestKind::Flush => 4,
        };
        io.write_all(&[tag]).await?;
        io.write_all(&run.0).await?;
        match kind {
            RequestKind::Message(bytes) => write_bytes(io, &bytes, MAX_MESSAGE).await,
            RequestKind::Blobs(parts) => {
                io.write_all(&[count_of(&parts)?]).await?;
                for Part { hash, offset, len } in parts {
                    io.write_all(&hash.0).await?;
                    io.write_all(&offset.to_be_bytes()).await?;
                    io.write_all(&len.to_be_bytes()).await?;
                }
                Ok(())
            }
            RequestKind::Spec | RequestKind::Peers | RequestKind::Flush => Ok(()),
        }
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Answer,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let tag = match &answer {
            Answer::Ack => 0,
            Answer::Parts(_) => 1,
            Answer::Spec { .. } => 2,
            Answer::Peers(_) => 3,
            Answer::NotFound => 4,
            Answer::Busy => 5,
            Answer::OtherRun => 6,
        };
        io.write_all(&[tag]).await?;
        match answer {
            Answer::Parts(parts) => write_parts(io, &parts).await,
            Answer::Spec { spec, about } => {
                write_bytes(io, &spec, MAX_SPEC).await?;
                write_bytes(io, &about, MAX_ABOUT).await
            }
            Answer::Peers(bytes) => write_bytes(io, &bytes, MAX_MESSAGE).await,
            Answer::Ack | Answer::NotFound | Answer::Busy | Answer::OtherRun => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
