//! What is asked of one peer, and answered, as frames on a stream.
//!
//! Rule: a length is compared with its cap before anything is allocated for it, and memory grows
//! with what really arrives. A frame that is cut, or of an unknown kind, ends the stream.
//!
//! Every request names the run it belongs to, so a peer of another run is refused without
//! knowing more of it.

use std::io;

use bytes::Bytes;
use ffp2p_proto::Hash;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response;

use crate::wire::messages::{MAX_ABOUT, MAX_MESSAGE};

/// The protocol all requests use.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ffp2p/4/ask");

/// Bytes of one piece of a blob, and of all that one question asks for.
pub const MAX_CHUNK: usize = 1024 * 1024;

/// Pieces in one question.
pub(crate) const MAX_PARTS: usize = 32;

/// Stands for the length of a piece that the peer does not have.
const MISSING: u32 = u32::MAX;

/// A frame's memory grows by so many bytes at a time, as they come.
const GROWTH: usize = 128 * 1024;

/// Bytes of a run's spec.
pub const MAX_SPEC: usize = 64 * 1024;

/// One thing asked of one peer of `run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The run it is about; all zero from a peer that has none.
    pub(crate) run: Hash,
    /// What is asked.
    pub(crate) ask: Ask,
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

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Take this message.
    Message(Bytes),
    /// Give these pieces of blobs, at most [`MAX_PARTS`] and [`MAX_CHUNK`] bytes of them.
    Blobs(Vec<Part>),
    /// Give the run's spec, and say what it is about.
    Spec,
    /// Say whom you know.
    Peers,
    /// Nothing; the answer shows that what was said before has left.
    Flush,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Taken.
    Ack,
    /// The pieces, in the order they were asked for; `None` for what the peer does not have.
    Parts(Vec<Option<Bytes>>),
    /// The spec, and what the peer says of the run, encoded.
    Spec {
        /// Canonical bytes.
        spec: Bytes,
        /// An [`About`](crate::wire::about::About).
        about: Bytes,
    },
    /// Whom the peer knows, encoded.
    Peers(Bytes),
    /// The peer does not have the spec.
    NotFound,
    /// The peer has too much to do; ask again.
    Busy,
    /// The peer is not of that run.
    OtherRun,
}

impl Answer {
    /// Bytes in it of what was asked for.
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

/// Reads a length and as many bytes, at most `cap`.
async fn read_bytes<T: AsyncRead + Unpin>(io: &mut T, cap: usize) -> io::Result<Bytes> {
    let claimed = u32::from_be_bytes(read_array(io).await?);
    read_claimed(io, claimed, cap).await
}

/// Reads the `claimed` bytes, at most `cap`.
async fn read_claimed<T>(io: &mut T, claimed: u32, cap: usize) -> io::Result<Bytes>
where
    T: AsyncRead + Unpin,
{
    let len = usize::try_from(claimed).unwrap_or(usize::MAX);
    if len > cap {
        return Err(invalid(format!("{len} bytes are announced, at most {cap} are taken")));
    }
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let got = bytes.len();
        bytes.resize(len.min(got + GROWTH), 0);
        io.read_exact(&mut bytes[got..]).await?;
    }
    Ok(bytes.into())
}

/// Reads how many parts follow.
async fn read_count<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<usize> {
    let [count] = read_array(io).await?;
    match usize::from(count) {
        count if count <= MAX_PARTS => Ok(count),
        count => Err(invalid(format!("{count} pieces at once, at most {MAX_PARTS} are taken"))),
    }
}

fn count_of<T>(parts: &[T]) -> io::Result<u8> {
    let count = u8::try_from(parts.len()).ok().filter(|_| parts.len() <= MAX_PARTS);
    count.ok_or_else(|| invalid(format!("{} pieces do not fit a frame", parts.len())))
}

async fn read_wishes<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<Vec<Part>> {
    let (mut parts, mut total) = (Vec::new(), 0u64);
    for _ in 0..read_count(io).await? {
        let hash = Hash(read_array(io).await?);
        let offset = u64::from_be_bytes(read_array(io).await?);
        let len = u32::from_be_bytes(read_array(io).await?);
        total += u64::from(len);
        parts.push(Part { hash, offset, len });
    }
    if total > MAX_CHUNK as u64 {
        return Err(invalid(format!("{total} bytes are asked for, at most {MAX_CHUNK} are given")));
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
    cap: usize,
) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= cap);
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
        let [kind] = read_array(io).await?;
        let run = Hash(read_array(io).await?);
        let ask = match kind {
            0 => Ask::Message(read_bytes(io, MAX_MESSAGE).await?),
            1 => Ask::Blobs(read_wishes(io).await?),
            2 => Ask::Spec,
            3 => Ask::Peers,
            4 => Ask::Flush,
            other => return Err(invalid(format!("unknown request {other}"))),
        };
        Ok(Request { run, ask })
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let [kind] = read_array(io).await?;
        Ok(match kind {
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
        Request { run, ask }: Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let kind = match &ask {
            Ask::Message(_) => 0,
            Ask::Blobs(_) => 1,
            Ask::Spec => 2,
            Ask::Peers => 3,
            Ask::Flush => 4,
        };
        io.write_all(&[kind]).await?;
        io.write_all(&run.0).await?;
        match ask {
            Ask::Message(bytes) => write_bytes(io, &bytes, MAX_MESSAGE).await,
            Ask::Blobs(parts) => {
                io.write_all(&[count_of(&parts)?]).await?;
                for Part { hash, offset, len } in parts {
                    io.write_all(&hash.0).await?;
                    io.write_all(&offset.to_be_bytes()).await?;
                    io.write_all(&len.to_be_bytes()).await?;
                }
                Ok(())
            }
            Ask::Spec | Ask::Peers | Ask::Flush => Ok(()),
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
        let kind = match &answer {
            Answer::Ack => 0,
            Answer::Parts(_) => 1,
            Answer::Spec { .. } => 2,
            Answer::Peers(_) => 3,
            Answer::NotFound => 4,
            Answer::Busy => 5,
            Answer::OtherRun => 6,
        };
        io.write_all(&[kind]).await?;
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
