//! Finding peers: multicast DNS, the rendezvous folder, remembered addresses, and the report of a
//! node that found nobody.
//!
//! Rule: only finding. Addresses that were found are given to [`Dialing`], which decides when to try
//! them.

pub(crate) mod announcer;
pub(crate) mod multicast;
pub(crate) mod neighbours;
pub(crate) mod remembered;
pub(crate) mod rendezvous;
pub(crate) mod report;
pub(crate) mod search;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use ffp2p_proto::Hash;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::address::is_dialable;
use crate::config::Config;
use crate::connection::dialing::Dialing;
use crate::connection::peers::Peers;
use crate::connection::unreached::Via;
use crate::discovery::announcer::Announcer;
use crate::discovery::neighbours::Neighbours;
use crate::discovery::remembered::Remembered;
use crate::discovery::rendezvous::Entry;
use crate::discovery::report::Report;
use crate::discovery::search::Search;
use crate::error::StartError;
use crate::wire::greeting::Greeting;

/// Every way by which peers are found.
#[derive(Debug)]
pub(crate) struct Discovery {
    search: Search,
    /// `None` without multicast DNS.
    announcer: Option<Announcer>,
    /// `None` without a rendezvous folder.
    neighbours: Option<Neighbours>,
    /// `None` without a file of remembered addresses.
    remembered: Option<Remembered>,
}

impl Discovery {
    /// Begins to look for peers as `config` says; `mdns_error` says why multicast DNS does not work.
    pub(crate) async fn start(
        config: &Config,
        peer: PeerId,
        greeting: &Greeting,
        mdns_error: Option<String>,
    ) -> Result<Self, StartError> {
        let remembered = match &config.remembered {
            Some(path) => Some(recall(path.clone()).await?),
            None => None,
        };
        let neighbours = match &config.rendezvous {
            Some(folder) => Some(Neighbours::start(folder, peer, greeting.clone()).await?),
            None => None,
        };
        let now = Instant::now();
        let mdns = config.mdns.then(|| mdns_error.map_or(Ok(()), Err));
        Ok(Self {
            search: Search::new(mdns, config.rendezvous.clone(), config.run.is_some(), now),
            announcer: if config.mdns { Announcer::open(peer, now) } else { None },
            neighbours,
            remembered,
        })
    }

    /// The addresses at which peers were seen earlier.
    pub(crate) fn remembered(&self) -> impl Iterator<Item = &Multiaddr> {
        self.remembered.iter().flat_map(Remembered::addresses)
    }

    /// Makes the addresses this node listens on known on this host.
    pub(crate) fn listening(&self, here: Vec<Multiaddr>) {
        if let Some(neighbours) = &self.neighbours {
            neighbours.listening(here);
        }
    }

    /// Announces the addresses this node listens on, when it is time.
    pub(crate) fn announce<'a>(&mut self, here: impl Iterator<Item = &'a Multiaddr>, now: Instant) {
        if let Some(announcer) = &mut self.announcer {
            announcer.announce(here, now);
        }
    }

    /// Takes in the peers that multicast DNS heard.
    pub(crate) fn on_heard(
        &mut self,
        dialing: &mut Dialing,
        found: Vec<(PeerId, Multiaddr)>,
        now: Instant,
    ) {
        for (peer, address) in found {
            self.search.heard(peer);
            dialing.add_found(peer, Via::Mdns, Some(address).filter(is_dialable), now);
        }
    }

    /// The next look at the rendezvous folder; `None` if there is none, now or any more.
    pub(crate) async fn neighbours(&mut self) -> Option<Vec<Entry>> {
        match &mut self.neighbours {
            Some(neighbours) => neighbours.seen().await,
            None => None,
        }
    }

    /// Takes in a look at the rendezvous folder.
    pub(crate) fn on_neighbours(
        &mut self,
        dialing: &mut Dialing,
        swarm: &str,
        entries: Vec<Entry>,
        now: Instant,
    ) {
        self.search.neighbours(entries.len());
        for entry in entries.into_iter().filter(|entry| entry.swarm == swarm) {
            dialing.add_found(entry.peer, Via::Rendezvous, entry.nearest(), now);
        }
    }

    /// Notes that a peer does not answer.
    pub(crate) fn unreachable(&self, peer: PeerId) {
        if let Some(neighbours) = &self.neighbours {
            neighbours.unreachable(peer);
        }
    }

    /// Notes that a peer of our run is here.
    pub(crate) fn found(&mut self) {
        self.search.found();
    }

    /// Notes that every peer of our run is gone.
    pub(crate) fn lost_all(&mut self, now: Instant) {
        self.search.lost_all(now);
    }

    /// Notes a run that a peer trains and this node does not.
    pub(crate) fn other_run(&mut self, run: Hash) {
        self.search.other_run(run);
    }

    /// Whether to say now that nobody is here; true once.
    pub(crate) fn speak_up(&mut self, now: Instant) -> bool {
        self.search.speak_up(now)
    }

    /// Everything tried so far to find peers.
    pub(crate) fn report(
        &self,
        own: &Greeting,
        listening: Vec<SocketAddr>,
        everywhere: bool,
        dialing: &Dialing,
    ) -> Report {
        self.search.report(own, listening, everywhere, dialing)
    }

    /// Remembers where peers are. Returns the work of saving that, if it changed.
    pub(crate) fn remember(
        &mut self,
        peers: &Peers,
    ) -> Option<impl FnOnce() -> io::Result<()> + Send + use<>> {
        let here = peers.greeted().flat_map(|peer| peer.addresses().iter().cloned());
        self.remembered.as_mut()?.update(here.collect())
    }

    /// Removes the traces of this node on its host.
    pub(crate) async fn stop(&mut self) {
        if let Some(neighbours) = self.neighbours.take() {
            neighbours.stop().await;
        }
    }
}

/// The addresses remembered from earlier.
async fn recall(path: PathBuf) -> Result<Remembered, StartError> {
    let file = path.clone();
    let loaded = tokio::task::spawn_blocking(move || Remembered::load(file)).await;
    let loaded = loaded.unwrap_or_else(|error| Err(io::Error::other(error)));
    loaded.map_err(|source| StartError::Storage { path, source })
}
