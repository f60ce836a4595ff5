//! Everything that can go wrong, one type per operation.
//!
//! Rule: every text names the thing that failed and what the user can do about it.

use std::io;
use std::net::SocketAddr;

use ffp2p_proto::NodeId;

use crate::connection::fixed::MAX_GIVEN;
use crate::discovery::report::Report;
use crate::wire::greeting::{MAX_NODE_NAME, MAX_SWARM_NAME};
use crate::wire::limits::MAX_SPEC;

/// Failures to start a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The swarm's name is not allowed.
    #[error("\"{0}\" cannot name a swarm: use 1 to {max} letters, digits, '.', '-' and '_'", max = MAX_SWARM_NAME)]
    SwarmName(String),
    /// The node's name is not allowed.
    #[error("\"{0}\" cannot name a node: use 1 to {max} letters, digits, '.', '-' and '_'", max = MAX_NODE_NAME)]
    NodeName(String),
    /// The spec is too long.
    #[error("the run's spec has {0} bytes, at most {max} can be shared: shorten it", max = MAX_SPEC)]
    SpecTooLarge(usize),
    /// An address to dial cannot be read.
    #[error(
        "cannot read the peer address \"{0}\": write HOST:PORT or IP:PORT, and [IP]:PORT for IPv6"
    )]
    PeerAddress(String),
    /// More addresses to dial are given than are kept.
    #[error("{0} peer addresses are given, at most {max}: name a few, the others are found through them", max = MAX_GIVEN)]
    TooManyPeers(usize),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {why}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause, and advice.
        why: String,
    },
    /// Nothing can be listened on: every interface is down.
    #[error(
        "no network interface is up, not even loopback: connect the machine, or switch one on \
         (`ip link set lo up` is enough for nodes of this host)"
    )]
    NoInterface,
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

/// Advice for when a listening socket does not open.
const ADVICE: [(io::ErrorKind, &str); 4] = [
    (
        io::ErrorKind::AddrInUse,
        "another program has this port; choose another one, or 0 for any that is free",
    ),
    (
        io::ErrorKind::AddrNotAvailable,
        "no interface that is up has this address; leave --listen out for all of them",
    ),
    (io::ErrorKind::PermissionDenied, "this port needs privileges; choose one above 1023"),
    (io::ErrorKind::InvalidInput, "listen on [::] for link-local addresses"),
];

impl StartError {
    /// A failure to listen, with advice.
    pub(crate) fn listen(address: SocketAddr, error: &io::Error) -> Self {
        let advice = ADVICE.iter().find(|(of, _)| *of == error.kind());
        let advice = advice.map_or("leave --listen out for every interface", |(_, advice)| advice);
        Self::Listen { address, why: format!("{}: {advice}", plain(error)) }
    }

    /// No family of addresses can be listened on, not even with any free port.
    pub(crate) fn no_listener(error: io::Error) -> Self {
        Self::Setup(format!("no port can be opened: {}", plain(&error)))
    }
}

/// An error of the system in few words.
pub(crate) fn plain(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    if text == "Timeout has been reached" {
        return "timed out".to_owned();
    }
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(letters).collect()
}

/// The reason why a peer was not reached: the innermost error, in few words.
pub(crate) fn unreached(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let answered = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::InvalidData,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
    ];
    if kind.is_some_and(|kind| answered.contains(&kind)) {
        return format!("what is there does not answer as an ffp2p node ({})", plain(error));
    }
    plain(error)
}

/// Failures to fetch a blob or a spec.
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
    /// The bytes have another hash.
    #[error("the peer sent bytes with another hash; do not ask it again")]
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

/// Failures of a survey.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// Its node did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No peer that trains a run was found.
    #[error("{0}")]
    Nobody(Box<Report>),
    /// Peers were found, but none of them gave the spec of its run.
    #[error("the spec of the run that {peer} trains did not come: {reason}; try again")]
    NoSpec {
        /// The last peer asked.
        peer: NodeId,
        /// The cause.
        reason: FetchError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_dial_is_reported_in_few_words() {
        assert_eq!(plain(&io::Error::other("Some Text")), "some Text");
        #[cfg(target_os = "linux")]
        assert_eq!(unreached(&io::Error::from_raw_os_error(111)), "connection refused");
        let web: io::Error = io::ErrorKind::UnexpectedEof.into();
        assert!(unreached(&web).contains("does not answer as an ffp2p node"));
    }
}
