//! The course of the search for peers: what was seen, and when to speak up.
//!
//! Rule: a node that is alone says so once, after [`ALONE_AFTER`], with everything that was tried;
//! and again only after it lost every peer it had found.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ffp2p_proto::Hash;
use libp2p::PeerId;
use tokio::time::Instant;

use crate::connection::dialing::Dialing;
use crate::discovery::multicast::blocked;
use crate::discovery::report::{MdnsReport, Report};
use crate::wire::greeting::Greeting;

/// Time after which a node that found nobody says so.
pub const ALONE_AFTER: Duration = Duration::from_secs(10);

/// Peers heard by mDNS that are counted.
const MAX_HEARD: usize = 256;

/// Other runs that are named.
const MAX_OTHER_RUNS: usize = 16;

/// Everything seen so far.
#[derive(Debug)]
pub(crate) struct Search {
    /// `None` when there is no run to look for, a peer is here, or the node has spoken up.
    alone_since: Option<Instant>,
    /// Whether mDNS runs, or why not.
    mdns: Option<Result<(), String>>,
    heard: BTreeSet<PeerId>,
    rendezvous: Option<(PathBuf, usize)>,
    other_runs: BTreeSet<Hash>,
}

impl Search {
    pub(crate) fn new(
        mdns: Option<Result<(), String>>,
        rendezvous: Option<PathBuf>,
        looks: bool,
        now: Instant,
    ) -> Self {
        Self {
            alone_since: looks.then_some(now),
            mdns,
            heard: BTreeSet::new(),
            rendezvous: rendezvous.map(|folder| (folder, 0)),
            other_runs: BTreeSet::new(),
        }
    }

    /// Notes that a peer was heard by mDNS.
    pub(crate) fn heard(&mut self, peer: PeerId) {
        if self.heard.len() < MAX_HEARD {
            self.heard.insert(peer);
        }
    }

    /// Notes the number of other nodes in the rendezvous folder.
    pub(crate) fn neighbours(&mut self, count: usize) {
        if let Some((_, files)) = &mut self.rendezvous {
            *files = count;
        }
    }

    /// Notes a run that a peer trains and this node does not.
    pub(crate) fn other_run(&mut self, run: Hash) {
        if self.other_runs.len() < MAX_OTHER_RUNS {
            self.other_runs.insert(run);
        }
    }

    /// Notes that a peer of our run is here.
    pub(crate) fn found(&mut self) {
        self.alone_since = None;
    }

    /// Notes that every peer of our run is gone.
    pub(crate) fn lost_all(&mut self, now: Instant) {
        self.alone_since = Some(now);
    }

    /// Whether to say now that nobody is here; true once.
    pub(crate) fn speak_up(&mut self, now: Instant) -> bool {
        let due = self.alone_since.is_some_and(|since| now >= since + ALONE_AFTER);
        if due {
            self.alone_since = None;
        }
        due
    }

    /// Everything tried so far to find peers.
    pub(crate) fn report(
        &self,
        own: &Greeting,
        listening: Vec<SocketAddr>,
        everywhere: bool,
        dialing: &Dialing,
    ) -> Report {
        let mdns = match &self.mdns {
            None => MdnsReport::Off,
            Some(Err(why)) => MdnsReport::Failed(why.clone()),
            Some(Ok(())) if self.heard.is_empty() => {
                blocked(&listening).map_or(MdnsReport::Heard(0), MdnsReport::Failed)
            }
            Some(Ok(())) => MdnsReport::Heard(self.heard.len()),
        };
        Report {
            swarm: own.swarm.clone(),
            run: own.run,
            listening,
            everywhere,
            mdns,
            peers: dialing.given(),
            unreached: dialing.unreached(),
            rendezvous: self.rendezvous.clone(),
            remembered: dialing.remembered(),
            other_runs: self.other_runs.iter().copied().collect(),
            refused: dialing.refused(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_and_again_after_a_loss() {
        let now = Instant::now();
        let later = now + ALONE_AFTER;
        let mut search = Search::new(None, None, true, now);
        assert!(!search.speak_up(now));
        assert!(search.speak_up(later));
        assert!(!search.speak_up(later));
        search.lost_all(later);
        search.found();
        assert!(!search.speak_up(later + ALONE_AFTER));
        search.lost_all(later);
        assert!(search.speak_up(later + ALONE_AFTER));
    }

    #[test]
    fn a_node_that_looks_for_no_run_is_never_alone() {
        let now = Instant::now();
        let mut search = Search::new(None, None, false, now);
        assert!(!search.speak_up(now + ALONE_AFTER));
    }
}
