//! Events of the network for its owner.
//!
//! Rule: the sender of a message is known from its key, never from what the message claims; and every
//! fetch that was asked for ends in exactly one [`Event::Fetched`] or [`Event::FetchFailed`].

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Hash, Message, NodeId};

use crate::discovery::report::Report;
use crate::error::FetchError;
use crate::wire::greeting::PROTOCOL_VERSION;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Other machines can reach the node at these addresses, the likeliest first; loopback only if
    /// there is nothing else. Said when the node is up, and again when it changes.
    Listening(Vec<SocketAddr>),
    /// A peer of the same swarm introduced itself; before the first [`Event::Connected`] and
    /// [`Event::OtherRun`] of a connection.
    Greeted {
        /// The peer.
        peer: NodeId,
        /// Its name; several may have the same.
        name: String,
    },
    /// A peer of the same run can be talked to.
    Connected(NodeId),
    /// It cannot any more.
    Disconnected(NodeId),
    /// A peer of the same run sent a message.
    Received {
        /// The peer, authenticated.
        from: NodeId,
        /// The message; every list in it keeps its bound.
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
        /// The peer that was asked.
        from: NodeId,
        /// The cause.
        reason: FetchError,
    },
    /// A peer of the same swarm trains another run; nothing else is exchanged with it.
    OtherRun {
        /// The peer.
        peer: NodeId,
        /// Its run.
        run: Hash,
        /// The version of its program.
        version: String,
    },
    /// A given address leads nowhere, and is still tried; said once for each cause.
    NotReached {
        /// The address as it was given.
        address: String,
        /// The cause.
        why: String,
    },
    /// A peer was refused.
    Refused {
        /// The peer.
        peer: NodeId,
        /// The cause.
        reason: Refusal,
    },
    /// No peer of the same run was found so far; said once each time the node is alone.
    Alone(Box<Report>),
}

/// Reasons to refuse a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to the swarm of this name.
    OtherSwarm(String),
    /// It is of this version, and does not speak this version of the protocol.
    OtherVersion(String),
    /// It does not run this program.
    OtherProgram,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSwarm(name) => {
                write!(f, "it is in the swarm \"{name}\"; give both the same swarm name to connect")
            }
            Self::OtherVersion(version) => {
                write!(f, "it is ffp2p {version} and does not speak {PROTOCOL_VERSION}, as this ")?;
                let own = env!("CARGO_PKG_VERSION");
                write!(f, "ffp2p {own} does; run the same build of the program on both")
            }
            Self::OtherProgram => {
                write!(f, "it is another program, which does not speak {PROTOCOL_VERSION}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_named_with_both_numbers_and_what_to_do() {
        let text = Refusal::OtherVersion("0.0.9".to_owned()).to_string();
        for says in ["ffp2p 0.0.9", env!("CARGO_PKG_VERSION"), PROTOCOL_VERSION, "same build"] {
            assert!(text.contains(says), "{text}");
        }
    }
}
