//! What can go wrong, one type per operation.
//!
//! Rule: every text names the thing that failed and what the person can do about it.

use std::io;

use ffp2p_proto::NodeId;
use libp2p::Multiaddr;

use crate::{MAX_SPEC, Report};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The swarm's name cannot be a name.
    #[error("\"{0}\" cannot name a swarm: use 1 to 64 letters, digits, '.', '-' and '_'")]
    SwarmName(String),
    /// The node's name cannot be a name.
    #[error("\"{0}\" cannot name a node: use 1 to {max} letters, digits, '.', '-' and '_'", max = crate::MAX_NODE_NAME)]
    NodeName(String),
    /// The spec is too long.
    #[error("the run's spec has {0} bytes, at most {max} can be shared: shorten it", max = MAX_SPEC)]
    SpecTooLarge(usize),
    /// An address to dial cannot be read.
    #[error("cannot read the peer address \"{0}\": write HOST:PORT, IP:PORT or /ip4/ADDR/tcp/PORT")]
    PeerAddress(String),
    /// More addresses to dial than are kept.
    #[error("{0} peer addresses are given, at most {max}: name a few, the others are found through them", max = crate::dial::MAX_FIXED)]
    TooManyPeers(usize),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {why}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What is wrong and what to do.
        why: String,
    },
    /// The transport or the protocols could not be set up.
    #[error("cannot set up the network: {0}")]
    Setup(String),
    /// The rendezvous folder or the file of remembered peers cannot be used.
    #[error("cannot use {path}: {source}; choose another place or remove it")]
    Storage {
        /// The file or folder.
        path: std::path::PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// What a person can do when a listening socket does not open.
const ADVICE: [(io::ErrorKind, &str); 4] = [
    (
        io::ErrorKind::AddrInUse,
        "another program has this port; choose another one, or 0 for any that is free",
    ),
    (
        io::ErrorKind::AddrNotAvailable,
        "no interface here has this address; use /ip4/0.0.0.0/tcp/0 for all of them",
    ),
    (io::ErrorKind::PermissionDenied, "this port needs privileges; choose one above 1023"),
    (io::ErrorKind::Unsupported, "write it as /ip4/ADDR/tcp/PORT"),
];

impl StartError {
    /// Says of a listening failure what the person can do.
    pub(crate) fn listen(
        address: Multiaddr,
        error: &dyn std::fmt::Display,
        kind: io::ErrorKind,
    ) -> Self {
        let advice = ADVICE.iter().find(|(of, _)| *of == kind);
        let advice = advice.map_or("try /ip4/0.0.0.0/tcp/0", |(_, advice)| advice);
        Self::Listen { address, why: format!("{error}: {advice}") }
    }
}

/// Why a blob or a spec did not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The peer is not connected, or the connection broke.
    #[error("the peer is not connected; ask another holder")]
    Disconnected,
    /// The peer does not have it.
    #[error("the peer does not have it; ask another holder")]
    NotFound,
    /// The peer trains another run.
    #[error("the peer is of another run")]
    OtherRun,
    /// The blob claims to be larger than any may be.
    #[error("{0} bytes are claimed, more than any blob may have")]
    TooLarge(u64),
    /// The bytes are not what the hash names.
    #[error("the peer sent other bytes than the hash names; do not ask it again")]
    WrongBytes,
    /// Too many fetches are under way here, or the peer has too much to do.
    #[error("too many fetches at once; ask again later")]
    Busy,
    /// The transfer failed, twice.
    #[error("the transfer failed: {0}; ask again or ask another holder")]
    Transfer(String),
    /// The node is shut down.
    #[error("the node is shut down")]
    Closed,
}

/// Why a survey found nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nobody who trains a run was found.
    #[error("{0}")]
    Nobody(Box<Report>),
    /// Peers were found, but none of them gave the spec of its run.
    #[error("the spec of the run that {peer} trains did not come: {reason}; try again")]
    NoSpec {
        /// The last peer asked.
        peer: NodeId,
        /// Why.
        reason: FetchError,
    },
}
