//! What a caller decides about the network, and what it must bring.
//!
//! Rule: nothing here is guessed. What is left empty is not tried, and the report of a lonely
//! node says so.

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use ffp2p_proto::Hash;

use crate::connection::ports::DEFAULT_PORT;
use crate::error::StartError;
use crate::wire::about::AboutData;

/// How a node is found, and whom it takes for its own.
#[derive(Clone, Debug)]
pub struct Config {
    /// What people call this node ([`is_node_name`](crate::wire::greeting::is_node_name)).
    pub name: String,
    /// The namespace: only peers that name the same one are kept.
    pub swarm: String,
    /// The run; `None` for a peer that looks around and does not know one yet.
    pub run: Option<RunInfo>,
    /// Whether this peer looks or exports and goes: others neither tell of it nor miss it.
    pub visits: bool,
    /// Where to listen.
    pub listen: Listen,
    /// Peers to dial: `HOST:PORT`, `IP:PORT`, or a multiaddr with or without `/p2p/ID`.
    pub peers: Vec<String>,
    /// Whether to announce and look by multicast DNS.
    pub mdns: bool,
    /// A folder in which the nodes of one host find each other.
    pub rendezvous: Option<PathBuf>,
    /// A file with the addresses of peers seen earlier.
    pub remembered: Option<PathBuf>,
}

impl Default for Config {
    /// Listens on the default port of every interface, and uses multicast DNS.
    fn default() -> Self {
        Self {
            name: "node".to_owned(),
            swarm: "default".to_owned(),
            run: None,
            visits: false,
            listen: Listen::Everywhere(DEFAULT_PORT),
            peers: Vec::new(),
            mdns: true,
            rendezvous: None,
            remembered: None,
        }
    }
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On every interface, over IPv4 and IPv6 as far as the host has them, on this port, or any free
    /// one if it is taken.
    Everywhere(u16),
    /// Here, each of which must open; port 0 is any free one.
    At(Vec<SocketAddr>),
}

impl Config {
    /// Refuses what no node could start with, before anything is made for it.
    ///
    /// # Errors
    /// The first setting that cannot be used; the error says what to do.
    pub fn check(&self) -> Result<(), StartError> {
        crate::start::check(self).map(drop)
    }
}

/// The run a node trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// Its name.
    pub id: Hash,
    /// Its canonical spec, at most [`MAX_SPEC`](crate::wire::frames::MAX_SPEC) bytes, given to whoever asks.
    pub spec: Bytes,
    /// What this node's data are, told to whoever asks.
    pub data: Option<AboutData>,
}

/// Where the blobs come from that peers ask for.
///
/// Both are called on a thread that may block.
pub trait BlobSource: Send + Sync + 'static {
    /// The bytes named by `hash`, when they are here.
    fn get(&self, hash: &Hash) -> Option<Bytes>;

    /// `len` of these bytes from `offset` on, a MiB at most; none when there are not so many. A
    /// source that reads from disk should not read all of them for that.
    fn part(&self, hash: &Hash, offset: u64, len: u32) -> Option<Bytes> {
        cut(&self.get(hash)?, offset, len)
    }
}

/// `len` bytes of a blob from `offset` on, not copied; none when it is shorter.
pub fn cut(blob: &Bytes, offset: u64, len: u32) -> Option<Bytes> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(len as usize).filter(|end| *end <= blob.len())?;
    Some(blob.slice(start..end))
}
