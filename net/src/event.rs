//! What the network tells its owner.
//!
//! Rule: who said something is known from a key, never from what the message claims; and every
//! fetch that was asked for ends in exactly one [`Event::Fetched`] or [`Event::FetchFailed`].

use std::fmt;

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash, Message, NodeId};
use libp2p::Multiaddr;

use crate::{FetchError, Report};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node can be reached here.
    Listening(Multiaddr),
    /// A peer of the same run can be talked to.
    Connected(NodeId),
    /// It cannot any more.
    Disconnected(NodeId),
    /// A peer of the same run said something.
    Received {
        /// Who; authenticated.
        from: NodeId,
        /// What; every list in it keeps its bound.
        message: Message,
    },
    /// A blob is here; its hash and size are verified.
    Fetched {
        /// Its name.
        blob: BlobRef,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A blob did not come.
    FetchFailed {
        /// Its name.
        hash: Hash,
        /// Who was asked.
        from: NodeId,
        /// Why.
        reason: FetchError,
    },
    /// A peer of the same swarm trains another run; nothing else is exchanged with it.
    OtherRun {
        /// Who.
        peer: NodeId,
        /// What it trains.
        run: Hash,
    },
    /// A peer was sent away.
    Refused {
        /// Who.
        peer: NodeId,
        /// Why.
        reason: Refusal,
    },
    /// Nobody of the same run was found so far; said once each time the node is alone.
    Alone(Box<Report>),
}

/// Why a peer was sent away.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to the swarm of this name.
    OtherSwarm(String),
    /// It does not speak this version of the protocol, or is no peer of this kind at all.
    OtherProgram,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSwarm(name) => {
                write!(f, "it is in the swarm \"{name}\"; give both the same swarm name to connect")
            }
            Self::OtherProgram => {
                f.write_str("it does not speak ffp2p/1; run the same version on both")
            }
        }
    }
}
