//! The names of things: peers, shards, blobs, moments.
//!
//! Newtypes over plain integers and bytes, ordered so that ties have one answer everywhere.
//! Nothing here knows how a value was made: keys, hashes and clocks belong to the shell.

use std::fmt;

use serde::{Deserialize, Serialize};

/// 32 bytes as lower-case hexadecimal.
fn hex(bytes: &[u8; 32], digits: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().take(digits.div_ceil(2)).try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// One process of one machine: its Ed25519 public key, fresh at every start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 32]);

impl fmt::Display for NodeId {
    /// The first eight hexadecimal digits: enough for the user to tell peers apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, 8, f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, 8, f)
    }
}

impl NodeId {
    /// All 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        Hash(self.0).to_string()
    }
}

/// A BLAKE3 hash: the name of a blob, a run or a model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The first eight hexadecimal digits.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }

    /// Reads 64 hexadecimal digits; `None` when `text` is anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, 64, f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, 8, f)
    }
}

/// A shard of the run: what has its own weights, a layer or a part of it. Numbered layer by layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ShardId {
    /// A peer's place in the order that this shard fixes: every shard has its own, and it does not
    /// change when other peers come or go (rendezvous hashing, Thaler and Ravishankar 1998).
    pub(crate) fn rank_of(self, peer: NodeId) -> Hash {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&self.0.to_le_bytes());
        bytes[2..].copy_from_slice(&peer.0);
        Hash::of(&bytes)
    }
}

/// The number of a lease on a task; a higher term fences a lower one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Term(pub u64);

impl Term {
    /// The term after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A moment, in milliseconds since this process (or this simulation) began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// This moment plus `ms` milliseconds.
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A blob by name and size: what an announcement says, before any byte is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobRef {
    /// BLAKE3 of the bytes.
    pub hash: Hash,
    /// Length in bytes.
    pub size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_short_and_written_in_full() {
        let id = NodeId(std::array::from_fn(|byte| byte as u8 + 0x0a));
        assert_eq!((id.to_string(), format!("{id:?}")), ("0a0b0c0d".into(), "0a0b0c0d".into()));
        assert!(id.to_hex().len() == 64 && id.to_hex().starts_with("0a0b0c0d0e0f10"));
        let hash = Hash(id.0);
        assert_eq!((hash.short(), format!("{hash:?}")), ("0a0b0c0d".into(), "0a0b0c0d".into()));
        assert_eq!((hash.to_string(), ShardId(7).to_string()), (id.to_hex(), "7".into()));
    }

    #[test]
    fn a_hash_is_read_from_its_hexadecimal_digits_and_nothing_else() {
        let hash = Hash::of(b"model");
        let text = hash.to_string();
        assert_eq!(Hash::from_hex(&text), Some(hash));
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replacen(&text[..1], "g", 1)] {
            assert_eq!(Hash::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn moments_and_terms_do_not_overflow() {
        assert_eq!(Time(7).after(u64::MAX), Time(u64::MAX));
        assert_eq!((Time(7).since(Time(3)), Time(3).since(Time(7))), (4, 0));
        assert_eq!((Term(1).next(), Term(u64::MAX).next()), (Term(2), Term(u64::MAX)));
    }

    /// Peers of different versions in one run must agree on it.
    #[test]
    fn the_order_of_peers_is_each_shards_own_and_stays_the_same() {
        let peers = [1, 2, 3, 4].map(|byte| NodeId([byte; 32]));
        let order = |shard: u16| {
            let mut peers = peers;
            peers.sort_by_key(|peer| ShardId(shard).rank_of(*peer));
            peers.map(|peer| peer.0[0])
        };
        let ranks = [0, 1, 0x100].map(|shard| ShardId(shard).rank_of(peers[0]).short());
        assert_eq!(ranks, ["a241d796", "63cf4d21", "9d2022c8"]);
        assert_ne!(order(0), order(1));
    }
}
