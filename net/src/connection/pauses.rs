//! Pauses between attempts at one address or peer.
//!
//! Rule: pauses grow up to a bound, and no two nodes pause equally long: attempts that failed because
//! both sides made them at once must not be repeated at once.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

use libp2p::PeerId;

use crate::io::transport::DIAL_TIMEOUT;

/// The longest pause, without the part that makes nodes differ.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(3);

// With the longest pauses, one attempt is over before the next.
const _: () = assert!(DIAL_TIMEOUT.as_millis() < MAX_PAUSE.as_millis());

/// Doublings after which a pause grows no more, whatever its bound.
const MAX_DOUBLINGS: u32 = 4;

/// The pause after a number of attempts: `first`, doubled each time up to [`MAX_PAUSE`], and longer by
/// up to a half, as follows from this node and from what it dials.
pub(crate) fn pause(first: Duration, attempts: u32, own: PeerId, other: impl Hash) -> Duration {
    let doublings = attempts.saturating_sub(1).min(MAX_DOUBLINGS);
    let even = first.saturating_mul(1 << doublings).min(MAX_PAUSE);
    let mut hasher = DefaultHasher::new();
    (own, other, attempts).hash(&mut hasher);
    even + (even / 2).mul_f64((hasher.finish() >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_dial_each_other_do_not_stay_in_step() {
        let (one, other) = (PeerId::random(), PeerId::random());
        let first = Duration::from_secs(1);
        for attempts in 1..10 {
            let (ours, theirs) =
                (pause(first, attempts, one, other), pause(first, attempts, other, one));
            assert_ne!(ours, theirs);
            assert_eq!(ours, pause(first, attempts, one, other));
            assert!(ours >= first && ours.max(theirs) <= MAX_PAUSE + MAX_PAUSE / 2);
        }
    }
}
