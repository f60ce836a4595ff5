//! Messages as bytes, and back.
//!
//! Rule: this is the only file here that knows the encoding. Decoding starts from a slice whose
//! length was checked, refuses bytes that are left over, and refuses lists beyond their bound;
//! so what comes out of [`decode`] may be used as it is.

use ffp2p_proto::{Message, NodeId};
use libp2p::Multiaddr;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::about::About;

/// Bytes of one encoded message that goes to one peer.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Bytes of one encoded message that goes to all: gossip repeats it along every link.
pub const MAX_BROADCAST: usize = 15 * 1024;

/// Peers in one answer to "whom do you know".
pub(crate) const MAX_PEERS_TOLD: usize = 32;

/// Addresses of one peer in such an answer, and that we remember of it.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// Bytes of one address, more than any TCP address needs.
pub(crate) const MAX_ADDRESS_BYTES: usize = 128;

/// Bytes of what a peer says of its run.
pub(crate) const MAX_ABOUT: usize = 1024;

/// Why bytes are no message, or a message is no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// It does not read as what it should be.
    #[error("not a message of this version: {0}")]
    Malformed(String),
    /// Some bytes are left over.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
    /// A list is longer than any honest peer would make it.
    #[error("a list in the message is too long")]
    Unbounded,
    /// A text in it may not be shown.
    #[error("a text in it is too long, or holds what cannot be seen")]
    Unsound,
    /// The encoding is larger than what may be sent.
    #[error("the message has {size} bytes, at most {max} may be sent")]
    TooLarge {
        /// Bytes it has.
        size: usize,
        /// Bytes it may have.
        max: usize,
    },
}

const FORMAT: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_MESSAGE>,
> = bincode::config::standard().with_limit::<MAX_MESSAGE>();

fn to_bytes<T: Serialize>(value: &T, max: usize) -> Result<Vec<u8>, WireError> {
    let bytes = bincode::serde::encode_to_vec(value, FORMAT)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    if bytes.len() > max {
        return Err(WireError::TooLarge { size: bytes.len(), max });
    }
    Ok(bytes)
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLarge { size: bytes.len(), max: MAX_MESSAGE });
    }
    let (value, used) = bincode::serde::decode_from_slice(bytes, FORMAT)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(WireError::Trailing(rest)),
    }
}

/// The bytes of `message`, at most `max` of them.
pub(crate) fn encode(message: &Message, max: usize) -> Result<Vec<u8>, WireError> {
    to_bytes(message, max)
}

/// The message in `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Result<Message, WireError> {
    from_bytes(bytes).and_then(bounded)
}

/// A message that was read, if its lists are within their bounds.
fn bounded(message: Message) -> Result<Message, WireError> {
    if message.is_bounded() { Ok(message) } else { Err(WireError::Unbounded) }
}

/// The bytes of a broadcast: the circle of who says it ([`Peers::circle`]), and the message.
///
/// [`Peers::circle`]: crate::connection::peers::Peers::circle
pub(crate) fn encode_broadcast(circle: u64, message: &Message) -> Result<Vec<u8>, WireError> {
    to_bytes(&(circle, message), MAX_BROADCAST)
}

/// The circle and the message in such bytes.
pub(crate) fn decode_broadcast(bytes: &[u8]) -> Result<(u64, Message), WireError> {
    let (circle, message) = from_bytes(bytes)?;
    Ok((circle, bounded(message)?))
}

/// A peer and where it listens.
pub(crate) type Told = (NodeId, Vec<Multiaddr>);

/// The bytes of an answer to "whom do you know".
pub(crate) fn encode_peers(peers: &[Told]) -> Result<Vec<u8>, WireError> {
    let plain: Vec<(NodeId, Vec<Vec<u8>>)> = peers
        .iter()
        .take(MAX_PEERS_TOLD)
        .map(|(node, addresses)| {
            (*node, addresses.iter().take(MAX_ADDRESSES).map(Multiaddr::to_vec).collect())
        })
        .collect();
    to_bytes(&plain, MAX_MESSAGE)
}

/// The peers in such an answer; addresses that cannot be read are left out.
pub(crate) fn decode_peers(bytes: &[u8]) -> Result<Vec<Told>, WireError> {
    let plain: Vec<(NodeId, Vec<Vec<u8>>)> = from_bytes(bytes)?;
    if plain.len() > MAX_PEERS_TOLD || plain.iter().any(|(_, list)| list.len() > MAX_ADDRESSES) {
        return Err(WireError::Unbounded);
    }
    let address =
        |raw: Vec<u8>| (raw.len() <= MAX_ADDRESS_BYTES).then(|| Multiaddr::try_from(raw).ok());
    Ok(plain
        .into_iter()
        .map(|(node, raw)| (node, raw.into_iter().filter_map(address).flatten().collect()))
        .collect())
}

/// The bytes of what this node says of its run.
pub(crate) fn encode_about(about: &About) -> Result<Vec<u8>, WireError> {
    to_bytes(about, MAX_ABOUT)
}

/// What a peer says of its run, in such bytes.
pub(crate) fn decode_about(bytes: &[u8]) -> Result<About, WireError> {
    let about: About = from_bytes(bytes)?;
    if about.is_sound() { Ok(about) } else { Err(WireError::Unsound) }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
