//! The name of a peer, written in two ways: our [`NodeId`] and libp2p's `PeerId`.
//!
//! Rule: both are the same Ed25519 public key, so the conversion loses nothing and needs no
//! table. A peer with any other kind of key has no `NodeId` and is not talked to.

use ffp2p_proto::NodeId;
use libp2p::PeerId;
use libp2p::identity::{PublicKey, ed25519};

/// The multihash code of an identity that carries its key in full.
const IDENTITY: u64 = 0;

/// Our name of a libp2p peer; `None` when its key is not Ed25519.
pub(crate) fn node_id(peer: &PeerId) -> Option<NodeId> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    key.try_into_ed25519().ok().map(|key| NodeId(key.to_bytes()))
}

/// libp2p's name of a peer; `None` when the bytes are no public key.
pub(crate) fn peer_id(node: NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&node.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn both_names_lead_to_each_other() {
        let peer = Keypair::generate_ed25519().public().to_peer_id();
        let node = node_id(&peer).unwrap();
        assert_eq!(peer_id(node), Some(peer));
    }

    #[test]
    fn the_node_id_is_the_public_key() {
        let key = ed25519::Keypair::generate();
        let peer = PublicKey::from(key.public()).to_peer_id();
        assert_eq!(node_id(&peer), Some(NodeId(key.public().to_bytes())));
    }

    #[test]
    fn a_hashed_key_has_no_node_id() {
        assert_eq!(node_id(&PeerId::random()), None);
    }

    #[test]
    fn bytes_that_are_no_key_have_no_peer_id() {
        let refused = (0..=255).filter(|&byte| peer_id(NodeId([byte; 32])).is_none()).count();
        assert!(refused > 0);
    }
}
