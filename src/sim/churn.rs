//! Machines that crash and come back at random times.
//!
//! Rule: each machine has a stream of its own, so that one more machine does not change when the
//! others crash.

use ffp2p_proto::sim::{Fault, Rng, When};

/// The rate at which machines crash.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Churn {
    /// Crashes of one machine per hour of its running, on average.
    pub per_hour: f64,
}

/// Shortest absence of a machine that crashed, ms: a restart.
const SHORTEST_MS: u64 = 5_000;

/// Longest absence of a machine that crashed, ms: its user has to notice.
const LONGEST_MS: u64 = 60_000;

/// Crashes of one machine per hour, at most.
pub const MAX_PER_HOUR: f64 = 600.0;

impl Churn {
    /// The crashes and starts of `machines` machines in the first `seconds`, in order. A machine that
    /// comes back has kept nothing, as without a store.
    #[must_use]
    pub(super) fn schedule(self, seed: u64, machines: usize, seconds: f64) -> Vec<(When, Fault)> {
        if self.per_hour <= 0.0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        for machine in 0..machines {
            let chance = &mut Rng::new(seed, &format!("crashes {machine}"));
            let mut now = 0;
            loop {
                // A whole number in a thousand million: never 0, which has no logarithm.
                let draw = (1 + chance.below(1_000_000_000)) as f64 / 1e9;
                now += (-libm::log(draw) * 3.6e6 / self.per_hour) as u64;
                if now as f64 >= seconds * 1e3 {
                    break;
                }
                found.push((now, machine, Fault::Crash(machine)));
                now += chance.between(SHORTEST_MS, LONGEST_MS);
                found.push((now, machine, Fault::Start { machine, disk: false }));
            }
        }
        found.sort_by_key(|&(at, machine, _)| (at, machine));
        found.into_iter().map(|(at, _, fault)| (When::At(at), fault)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_crash_as_often_as_asked() {
        assert!(Churn::default().schedule(1, 9, 1e6).is_empty());
        let found = Churn { per_hour: 6.0 }.schedule(1, 10, 36_000.0);
        let crashes = found.iter().filter(|(_, fault)| matches!(fault, Fault::Crash(_))).count();
        assert!((450..650).contains(&crashes), "{crashes}");
        assert_eq!(found, Churn { per_hour: 6.0 }.schedule(1, 10, 36_000.0));
        let fewer = Churn { per_hour: 6.0 }.schedule(1, 1, 36_000.0);
        assert!(fewer.iter().all(|it| found.contains(it)), "a machine's crashes are its own");
    }
}
