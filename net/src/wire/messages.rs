//! Messages as bytes, and back.
//!
//! Rule: this is the only file here that knows the encoding. Decoding starts from a slice whose
//! length was checked, refuses bytes that are left over, and refuses lists beyond their bound, so a
//! decoded message may be used as it is.

use ffp2p_proto::{Message, NodeId};
use libp2p::Multiaddr;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::about::About;
use crate::wire::limits::{
    MAX_ABOUT, MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_BROADCAST, MAX_MESSAGE, MAX_PEERS_LISTED,
};

/// Failures to decode or to encode a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// The bytes do not read as the expected type.
    #[error("not a message of this version: {0}")]
    Malformed(String),
    /// Some bytes are left over.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
    /// A list is longer than any honest peer would make it.
    #[error("a list in the message is too long")]
    Unbounded,
    /// A text in it may not be shown.
    #[error("a text in it is too long, or contains invisible characters")]
    Unsound,
    /// The encoding is larger than its bound.
    #[error("the message has {size} bytes, at most {max} may be sent")]
    TooLarge {
        /// Its size, bytes.
        size: usize,
        /// The bound, bytes.
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

/// A decoded message, if its lists are within their bounds.
fn bounded(message: Message) -> Result<Message, WireError> {
    if message.is_bounded() { Ok(message) } else { Err(WireError::Unbounded) }
}

/// The bytes of a broadcast: the digest of its sender's audience ([`Peers::audience_digest`]), and
/// the message.
///
/// [`Peers::audience_digest`]: crate::connection::peers::Peers::audience_digest
pub(crate) fn encode_broadcast(audience: u64, message: &Message) -> Result<Vec<u8>, WireError> {
    to_bytes(&(audience, message), MAX_BROADCAST)
}

/// The audience digest and the message in such bytes.
pub(crate) fn decode_broadcast(bytes: &[u8]) -> Result<(u64, Message), WireError> {
    let (audience, message) = from_bytes(bytes)?;
    Ok((audience, bounded(message)?))
}

/// A peer and the addresses at which it can be dialed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerAddresses {
    pub(crate) node: NodeId,
    pub(crate) addresses: Vec<Multiaddr>,
}

/// [`PeerAddresses`] as they are encoded: an address is its raw bytes, so that one that cannot be
/// read costs only itself.
type RawPeers = Vec<(NodeId, Vec<Vec<u8>>)>;

/// The bytes of the answer to a request for peers.
pub(crate) fn encode_peers(peers: &[PeerAddresses]) -> Result<Vec<u8>, WireError> {
    let raw = |peer: &PeerAddresses| {
        let addresses = peer.addresses.iter().take(MAX_ADDRESSES).map(Multiaddr::to_vec);
        (peer.node, addresses.collect())
    };
    let raw: RawPeers = peers.iter().take(MAX_PEERS_LISTED).map(raw).collect();
    to_bytes(&raw, MAX_MESSAGE)
}

/// The peers in such an answer; addresses that cannot be read are left out.
pub(crate) fn decode_peers(bytes: &[u8]) -> Result<Vec<PeerAddresses>, WireError> {
    let raw: RawPeers = from_bytes(bytes)?;
    if raw.len() > MAX_PEERS_LISTED || raw.iter().any(|(_, list)| list.len() > MAX_ADDRESSES) {
        return Err(WireError::Unbounded);
    }
    let address =
        |raw: Vec<u8>| (raw.len() <= MAX_ADDRESS_BYTES).then(|| Multiaddr::try_from(raw).ok());
    let peer = |(node, raw): (NodeId, Vec<Vec<u8>>)| PeerAddresses {
        node,
        addresses: raw.into_iter().filter_map(address).flatten().collect(),
    };
    Ok(raw.into_iter().map(peer).collect())
}

/// The bytes of a description.
pub(crate) fn encode_about(about: &About) -> Result<Vec<u8>, WireError> {
    to_bytes(about, MAX_ABOUT)
}

/// The description in such bytes, if every text in it may be shown.
pub(crate) fn decode_about(bytes: &[u8]) -> Result<About, WireError> {
    let about: About = from_bytes(bytes)?;
    if about.is_sound() { Ok(about) } else { Err(WireError::Unsound) }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
