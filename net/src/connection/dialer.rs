//! Whom to dial, and when.
//!
//! Rule: of two peers that find each other at the same moment, the one with the smaller id dials
//! and the other waits a second, so that a pair has one connection. Addresses given by the user
//! are dialed at once and for ever, with growing pauses; peers found by the way are given up
//! after a while, because a peer that starts again has a new id. No two nodes pause equally long:
//! what failed because both did it at once must not be repeated at once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::address::{self, Target, shown};
use crate::discovery::report::Unreached;
use crate::wire::messages::MAX_ADDRESSES;

/// Addresses the user may give, the remembered ones included.
pub(crate) const MAX_FIXED: usize = 128;

/// Peers found and not yet given up.
const MAX_FOUND: usize = 256;

/// Peers sent away that are not dialed again.
const MAX_BARRED: usize = 256;

/// Attempts after which a found peer is given up.
const MAX_ATTEMPTS: u32 = 100;

/// Attempts for an address that is only remembered.
const REMEMBERED_ATTEMPTS: u32 = 3;

/// The larger id gives the smaller one this long to dial.
const TIE_BREAK: Duration = Duration::from_secs(1);

/// Between attempts, at first; it doubles up to [`MAX_PAUSE`].
const FOUND_PAUSE: Duration = Duration::from_secs(1);

/// Between attempts at an address that the user gave.
const FIXED_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause, less what is added so that nodes differ.
const MAX_PAUSE: Duration = Duration::from_secs(3);

/// How a peer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// By multicast DNS.
    Mdns,
    /// In the rendezvous folder.
    Rendezvous,
    /// Another peer told of it.
    Peer,
    /// It was connected before.
    Met,
}

/// A peer that was found by mDNS, in the rendezvous folder, or through another peer.
#[derive(Debug)]
struct Found {
    via: Via,
    addresses: Vec<Multiaddr>,
    /// What went wrong at each address, in the last attempt.
    errors: Vec<(Multiaddr, String)>,
    due: Instant,
    attempts: u32,
}

/// What an address that was given is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Idle,
    Dialing,
    Reached(PeerId),
    /// It leads to ourselves, or was remembered and is not there.
    Over,
}

/// An address that the user gave, or that was remembered.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) text: String,
    pub(crate) target: Target,
    pub(crate) remembered: bool,
    pub(crate) error: Option<String>,
    progress: Progress,
    due: Instant,
    attempts: u32,
}

/// Between attempts at an address whose peer was sent away: another may be there later.
const BARRED_PAUSE: Duration = Duration::from_secs(60);

/// One thing to dial now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dial {
    /// A peer at one of these addresses.
    Found(PeerId, Vec<Multiaddr>),
    /// The address with this index.
    Fixed(usize),
}

/// Everything that could be dialed.
#[derive(Debug)]
pub(crate) struct Dialer {
    own: PeerId,
    /// Where we listen.
    here: Vec<Multiaddr>,
    found: BTreeMap<PeerId, Found>,
    pub(crate) fixed: Vec<Fixed>,
    barred: BTreeSet<PeerId>,
}

/// Host and port alone: who is there is known.
fn plain(address: Multiaddr) -> Option<Multiaddr> {
    address::socket(&address).map(address::tcp)
}

/// The pause after so many attempts: doubled each time, and longer by up to a half, as follows from
/// who pauses and for whom.
fn pause(first: Duration, attempts: u32, own: PeerId, other: impl std::hash::Hash) -> Duration {
    let even = first.saturating_mul(1 << attempts.saturating_sub(1).min(4)).min(MAX_PAUSE);
    let mut hasher = DefaultHasher::new();
    (own, other, attempts).hash(&mut hasher);
    even + (even / 2).mul_f64((hasher.finish() >> 11) as f64 / (1u64 << 53) as f64)
}

impl Dialer {
    pub(crate) fn new(own: PeerId) -> Self {
        Self {
            own,
            here: Vec::new(),
            found: BTreeMap::new(),
            fixed: Vec::new(),
            barred: BTreeSet::new(),
        }
    }

    /// Adds an address that is dialed whoever is there.
    pub(crate) fn add_fixed(
        &mut self,
        text: String,
        target: Target,
        remembered: bool,
        now: Instant,
    ) {
        if self.fixed.len() < MAX_FIXED {
            let (error, progress, due, attempts) = (None, Progress::Idle, now, 0);
            self.fixed.push(Fixed { text, target, remembered, error, progress, due, attempts });
        }
    }

    /// We listen here now. Hosts may have an address in common, as on their bridges for containers:
    /// at each of them it leads to itself, and is not dialed.
    pub(crate) fn listening(&mut self, here: Vec<Multiaddr>) {
        self.here = here;
    }

    /// A peer was found, or found again.
    pub(crate) fn found(
        &mut self,
        peer: PeerId,
        via: Via,
        addresses: impl IntoIterator<Item = Multiaddr>,
        now: Instant,
    ) {
        let full = self.found.len() >= MAX_FOUND && !self.found.contains_key(&peer);
        if peer == self.own || full || self.barred.contains(&peer) {
            return;
        }
        let due = now + self.tie_break(&peer);
        let (addresses, new, attempts) = (addresses.into_iter().filter_map(plain), vec![], 0);
        let new = Found { via, addresses: new, errors: vec![], due, attempts };
        let found = self.found.entry(peer).or_insert(new);
        for address in addresses {
            if found.addresses.len() < MAX_ADDRESSES && !found.addresses.contains(&address) {
                found.addresses.push(address);
            }
        }
    }

    fn tie_break(&self, peer: &PeerId) -> Duration {
        if self.own < *peer { Duration::ZERO } else { TIE_BREAK }
    }

    /// Everything to dial now; it counts as being dialed.
    pub(crate) fn due(&mut self, now: Instant, connected: impl Fn(&PeerId) -> bool) -> Vec<Dial> {
        let mut dials = Vec::new();
        self.found.retain(|_, found| found.attempts < MAX_ATTEMPTS);
        for (peer, found) in &mut self.found {
            let elsewhere = found.addresses.iter().filter(|at| !self.here.contains(at));
            let elsewhere: Vec<_> = elsewhere.cloned().collect();
            if now >= found.due && !connected(peer) && !elsewhere.is_empty() {
                found.attempts += 1;
                found.due = now + pause(FOUND_PAUSE, found.attempts, self.own, peer);
                dials.push(Dial::Found(*peer, elsewhere));
            }
        }
        for (index, fixed) in self.fixed.iter_mut().enumerate() {
            if let Progress::Reached(peer) = fixed.progress
                && !connected(&peer)
            {
                fixed.progress = Progress::Idle;
            }
            if fixed.progress == Progress::Idle && now >= fixed.due {
                fixed.progress = Progress::Dialing;
                fixed.attempts = fixed.attempts.saturating_add(1);
                dials.push(Dial::Fixed(index));
            }
        }
        dials
    }

    /// Which resolved address of several this attempt is for.
    pub(crate) fn attempt(&self, index: usize) -> usize {
        self.fixed.get(index).map_or(0, |fixed| fixed.attempts.saturating_sub(1) as usize)
    }

    /// A connection stands; later losses start with short pauses again.
    pub(crate) fn connected(&mut self, peer: &PeerId) {
        if let Some(found) = self.found.get_mut(peer) {
            found.via = Via::Met;
            found.errors.clear();
            found.attempts = 0;
        }
    }

    /// A found peer was not reached, for these reasons.
    pub(crate) fn failed(&mut self, peer: &PeerId, errors: Vec<(Multiaddr, String)>) {
        if let Some(found) = self.found.get_mut(peer) {
            let known = |(at, error)| plain(at).map(|at| (at, error));
            found.errors = errors.into_iter().filter_map(known).take(MAX_ADDRESSES).collect();
        }
    }

    /// A peer is no longer heard there by multicast DNS.
    pub(crate) fn expired(&mut self, peer: &PeerId, address: Multiaddr) {
        if self.found.get(peer).is_some_and(|found| found.via == Via::Mdns) {
            self.not_there(peer, address);
        }
    }

    /// Somebody else is where a peer was said to be.
    pub(crate) fn not_there(&mut self, peer: &PeerId, address: Multiaddr) {
        let (Some(found), address) = (self.found.get_mut(peer), plain(address)) else { return };
        found.addresses.retain(|at| Some(at) != address.as_ref());
        found.errors.retain(|(at, _)| Some(at) != address.as_ref());
        if found.addresses.is_empty() {
            self.found.remove(peer);
        }
    }

    /// The found peers that could not be reached, those that are heard first.
    pub(crate) fn unreached(&self) -> Vec<Unreached> {
        let mut all: Vec<_> = self
            .found
            .values()
            .filter(|found| !found.errors.is_empty())
            .map(|found| Unreached {
                via: found.via,
                tried: found.errors.iter().map(|(at, why)| (shown(at), why.clone())).collect(),
            })
            .collect();
        all.sort_by_key(|peer| peer.via != Via::Mdns);
        all
    }

    /// The last connection with `peer` is gone.
    pub(crate) fn lost(&mut self, peer: &PeerId, now: Instant) {
        let due = now + self.tie_break(peer);
        if let Some(found) = self.found.get_mut(peer) {
            found.due = due;
        }
    }

    /// `peer` came and went, and is not looked for.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.found.remove(peer);
    }

    /// A given address led to `peer`.
    pub(crate) fn reached(&mut self, index: usize, peer: PeerId, now: Instant) {
        if let Some(fixed) = self.fixed.get_mut(index) {
            fixed.progress = Progress::Reached(peer);
            fixed.attempts = 0;
            fixed.error = None;
            fixed.due = now + FIXED_PAUSE;
        }
    }

    /// A given address led nowhere; true when the user is to be told, once per cause.
    pub(crate) fn missed(&mut self, index: usize, error: String, now: Instant) -> bool {
        let Some(fixed) = self.fixed.get_mut(index) else { return false };
        let over = fixed.remembered && fixed.attempts >= REMEMBERED_ATTEMPTS;
        fixed.progress = if over { Progress::Over } else { Progress::Idle };
        fixed.due = now + pause(FIXED_PAUSE, fixed.attempts, self.own, index);
        let news = fixed.error.as_ref() != Some(&error);
        fixed.error = Some(error);
        news && !fixed.remembered
    }

    /// A given address leads to ourselves.
    pub(crate) fn is_self(&mut self, index: usize) {
        if let Some(fixed) = self.fixed.get_mut(index) {
            fixed.progress = Progress::Over;
            fixed.error = Some("this is the node itself".to_owned());
        }
    }

    /// A peer was sent away: it is not dialed again under this id. True for the first time.
    pub(crate) fn bar(&mut self, peer: PeerId, why: &str, now: Instant) -> bool {
        self.found.remove(&peer);
        if self.barred.len() >= MAX_BARRED {
            self.barred.pop_first();
        }
        let first = self.barred.insert(peer);
        for fixed in self.fixed.iter_mut().filter(|f| f.progress == Progress::Reached(peer)) {
            fixed.error = Some(why.to_owned());
            fixed.progress = if fixed.remembered { Progress::Over } else { Progress::Idle };
            fixed.due = now + BARRED_PAUSE;
        }
        first
    }

    /// Peers sent away so far, up to the number that is kept.
    pub(crate) fn barred(&self) -> usize {
        self.barred.len()
    }
}

#[cfg(test)]
#[path = "dialer_tests.rs"]
mod tests;
