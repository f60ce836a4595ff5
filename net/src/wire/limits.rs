//! Bounds on everything that comes from a peer.
//!
//! Rule: a bound that follows from another one is derived from it here.

/// Bytes of one encoded message that goes to one peer.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Bytes of one encoded message that goes to all: gossip repeats it along every link.
pub const MAX_BROADCAST: usize = 15 * 1024;

/// Bytes that gossip adds to a broadcast: source, key, signature, number and topic.
const GOSSIP_ENVELOPE: usize = 1024;

/// Bytes of one gossip frame: the largest broadcast and its envelope.
pub(crate) const MAX_GOSSIP_FRAME: usize = MAX_BROADCAST + GOSSIP_ENVELOPE;

/// Bytes of a gossip message's name, at most: its source in base 58, a number, and the framing.
const GOSSIP_NAME: usize = 80;

/// Messages that one gossip frame names to peers that may lack them. The default is 5,000: with more
/// than about 200 messages in the two seconds that it covers, the frame exceeds its bound, and the
/// receiver hears nothing of the sender's gossip again.
pub(crate) const MAX_GOSSIP_NAMES: usize = 128;

const _: () = assert!(MAX_GOSSIP_NAMES * GOSSIP_NAME + GOSSIP_ENVELOPE <= MAX_GOSSIP_FRAME);

/// Bytes of one part of a blob, and of all parts in one answer.
pub const MAX_CHUNK: usize = 1024 * 1024;

/// Parts of blobs in one request.
pub(crate) const MAX_PARTS: usize = 32;

/// Bytes of a run's spec.
pub const MAX_SPEC: usize = 64 * 1024;

/// Bytes of an encoded [`About`](crate::wire::about::About).
pub(crate) const MAX_ABOUT: usize = 1024;

/// Peers in one answer to a request for peers.
pub(crate) const MAX_PEERS_LISTED: usize = 32;

/// Addresses of one peer in such an answer, and addresses of it that are kept.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// Bytes of one address, more than any TCP address needs.
pub(crate) const MAX_ADDRESS_BYTES: usize = 128;

const _: () =
    assert!(MAX_PEERS_LISTED * (MAX_ADDRESSES * (MAX_ADDRESS_BYTES + 2) + 64) <= MAX_MESSAGE);
