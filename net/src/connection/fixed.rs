//! Addresses to dial no matter which peer is there: those that the user gave, and those remembered.
//!
//! Rule: an address that the user gave is dialed at once and for ever, with growing pauses, and each
//! new error at it is reported once; a remembered one is tried a few times.
//!
//! Nothing here touches a socket: [`FixedAddresses`] says what to dial, and takes in the outcome.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::address::Target;
use crate::connection::pauses::pause;

/// Addresses that the user may give.
pub(crate) const MAX_GIVEN: usize = 64;

/// Addresses that are remembered from earlier.
pub(crate) const MAX_REMEMBERED: usize = 64;

/// Addresses kept.
const MAX_FIXED: usize = MAX_GIVEN + MAX_REMEMBERED;

/// Attempts at an address that is only remembered.
const REMEMBERED_ATTEMPTS: u32 = 3;

/// First pause between attempts.
const FIXED_PAUSE: Duration = Duration::from_secs(2);

/// Pause before the next attempt at an address whose peer was refused: another may be there later.
const BARRED_PAUSE: Duration = Duration::from_secs(60);

/// State of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Idle,
    Dialing,
    Reached(PeerId),
    /// It leads to this node, or was remembered and nobody is there.
    Over,
}

#[derive(Debug)]
struct Fixed {
    text: String,
    target: Target,
    remembered: bool,
    error: Option<String>,
    progress: Progress,
    due: Instant,
    attempts: u32,
}

/// All such addresses; each has an index.
#[derive(Debug)]
pub(crate) struct FixedAddresses {
    own: PeerId,
    all: Vec<Fixed>,
    /// The indices of the addresses at which attempts are under way.
    under_way: HashMap<ConnectionId, usize>,
}

impl FixedAddresses {
    pub(crate) fn new(own: PeerId) -> Self {
        Self { own, all: Vec::new(), under_way: HashMap::new() }
    }

    /// Adds an address, shown to the user as `text`.
    pub(crate) fn add(&mut self, text: String, target: Target, remembered: bool, now: Instant) {
        if self.all.len() < MAX_FIXED {
            let (error, progress, due, attempts) = (None, Progress::Idle, now, 0);
            self.all.push(Fixed { text, target, remembered, error, progress, due, attempts });
        }
    }

    /// The addresses to dial now; the attempts count as made.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<(usize, Target)> {
        let mut due = Vec::new();
        for (index, fixed) in self.all.iter_mut().enumerate() {
            if let Progress::Reached(peer) = fixed.progress
                && !connected(&peer)
            {
                fixed.progress = Progress::Idle;
            }
            if fixed.progress == Progress::Idle && now >= fixed.due {
                fixed.progress = Progress::Dialing;
                fixed.attempts = fixed.attempts.saturating_add(1);
                due.push((index, fixed.target.clone()));
            }
        }
        due
    }

    /// The one of several `addresses` of a host name that this attempt is for: each attempt takes
    /// the next one.
    pub(crate) fn choose(&self, index: usize, addresses: &[Multiaddr]) -> Option<Multiaddr> {
        let attempts = self.all.get(index)?.attempts as usize;
        let turn = attempts.saturating_sub(1).checked_rem(addresses.len())?;
        addresses.get(turn).cloned()
    }

    /// Notes that an attempt has begun.
    pub(crate) fn begun(&mut self, connection: ConnectionId, index: usize) {
        self.under_way.insert(connection, index);
    }

    /// The index of the address that this attempt, which has ended, was made at, if it was one.
    pub(crate) fn ended(&mut self, connection: ConnectionId) -> Option<usize> {
        self.under_way.remove(&connection)
    }

    /// Notes that an address led to `peer`.
    pub(crate) fn reached(&mut self, index: usize, peer: PeerId, now: Instant) {
        if let Some(fixed) = self.all.get_mut(index) {
            fixed.progress = Progress::Reached(peer);
            fixed.attempts = 0;
            fixed.error = None;
            fixed.due = now + FIXED_PAUSE;
        }
    }

    /// Notes that an address led nowhere. Returns the address when that is to be reported, which is once
    /// per cause.
    pub(crate) fn missed(&mut self, index: usize, error: String, now: Instant) -> Option<String> {
        let fixed = self.all.get_mut(index)?;
        let over = fixed.remembered && fixed.attempts >= REMEMBERED_ATTEMPTS;
        fixed.progress = if over { Progress::Over } else { Progress::Idle };
        fixed.due = now + pause(FIXED_PAUSE, fixed.attempts, self.own, index);
        let is_new = fixed.error.as_ref() != Some(&error);
        fixed.error = Some(error);
        (is_new && !fixed.remembered).then(|| fixed.text.clone())
    }

    /// Notes that an address leads to this node.
    pub(crate) fn is_self(&mut self, index: usize) {
        if let Some(fixed) = self.all.get_mut(index) {
            fixed.progress = Progress::Over;
            fixed.error = Some("this is the node itself".to_owned());
        }
    }

    /// Notes that the peer at an address was refused.
    pub(crate) fn bar(&mut self, peer: PeerId, why: &str, now: Instant) {
        for fixed in self.all.iter_mut().filter(|it| it.progress == Progress::Reached(peer)) {
            fixed.error = Some(why.to_owned());
            fixed.progress = if fixed.remembered { Progress::Over } else { Progress::Idle };
            fixed.due = now + BARRED_PAUSE;
        }
    }

    /// The addresses that the user gave, each with its last error.
    pub(crate) fn given(&self) -> Vec<(String, Option<String>)> {
        let given = self.all.iter().filter(|fixed| !fixed.remembered);
        given.map(|fixed| (fixed.text.clone(), fixed.error.clone())).collect()
    }

    /// Number of remembered addresses.
    pub(crate) fn remembered(&self) -> usize {
        self.all.iter().filter(|fixed| fixed.remembered).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::pauses::MAX_PAUSE;

    fn address() -> Multiaddr {
        "/ip4/127.0.0.1/tcp/4001".parse().unwrap()
    }

    fn one(remembered: bool, now: Instant) -> FixedAddresses {
        let mut fixed = FixedAddresses::new(PeerId::random());
        fixed.add("there:1".to_owned(), Target::Address(address()), remembered, now);
        fixed
    }

    fn is_due(fixed: &mut FixedAddresses, now: Instant) -> bool {
        !fixed.due(now, |_| false).is_empty()
    }

    #[test]
    fn a_given_address_is_dialed_for_ever_and_its_error_is_reported_once() {
        let mut now = Instant::now();
        let mut fixed = one(false, now);
        let mut reports = Vec::new();
        for _ in 0..100 {
            assert_eq!(fixed.due(now, |_| false), [(0, Target::Address(address()))]);
            assert!(!is_due(&mut fixed, now));
            reports.extend(fixed.missed(0, "refused".to_owned(), now));
            now += 2 * MAX_PAUSE;
        }
        assert_eq!(reports, ["there:1"]);
        assert_eq!(fixed.given(), [("there:1".to_owned(), Some("refused".to_owned()))]);
    }

    #[test]
    fn a_remembered_address_is_tried_a_few_times() {
        let mut now = Instant::now();
        let mut fixed = one(true, now);
        for _ in 0..REMEMBERED_ATTEMPTS {
            assert!(is_due(&mut fixed, now));
            assert_eq!(fixed.missed(0, "refused".to_owned(), now), None);
            now += 2 * MAX_PAUSE;
        }
        assert!(!is_due(&mut fixed, now));
        assert!(fixed.given().is_empty() && fixed.remembered() == 1);
    }

    #[test]
    fn a_reached_address_is_dialed_again_after_its_peer_is_lost() {
        let now = Instant::now();
        let mut fixed = one(false, now);
        assert!(is_due(&mut fixed, now));
        fixed.reached(0, PeerId::random(), now);
        let later = now + FIXED_PAUSE;
        assert!(fixed.due(later, |_| true).is_empty());
        assert!(is_due(&mut fixed, later));
    }

    #[test]
    fn an_address_that_leads_to_ourselves_is_not_dialed_again() {
        let now = Instant::now();
        let mut fixed = one(false, now);
        assert!(is_due(&mut fixed, now));
        fixed.is_self(0);
        assert!(!is_due(&mut fixed, now + 2 * MAX_PAUSE));
    }

    #[test]
    fn the_address_of_a_refused_peer_is_tried_again_later() {
        let (now, peer) = (Instant::now(), PeerId::random());
        let mut fixed = one(false, now);
        assert!(is_due(&mut fixed, now));
        fixed.reached(0, peer, now);
        fixed.bar(peer, "other swarm", now);
        assert!(!is_due(&mut fixed, now + FIXED_PAUSE));
        assert!(is_due(&mut fixed, now + BARRED_PAUSE));
        assert_eq!(fixed.given()[0].1.as_deref(), Some("other swarm"));
    }

    #[test]
    fn each_attempt_at_a_name_takes_its_next_address() {
        let mut now = Instant::now();
        let mut fixed = one(false, now);
        let addresses =
            ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1"].map(|it| it.parse().unwrap());
        let mut chosen = Vec::new();
        for _ in 0..3 {
            assert!(is_due(&mut fixed, now));
            chosen.extend(fixed.choose(0, &addresses));
            fixed.missed(0, "refused".to_owned(), now);
            now += 2 * MAX_PAUSE;
        }
        assert_eq!(chosen, [&addresses[0], &addresses[1], &addresses[0]].map(Clone::clone));
        assert_eq!(fixed.choose(0, &[]), None);
    }
}
