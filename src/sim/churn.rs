//! Machines that crash and come back at moments that chance draws.
//!
//! Rule: each machine has a stream of its own, so that one more machine does not change when the
//! others crash.

use ffp2p_proto::sim::{Fault, Rng, When};

/// How often machines crash.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Churn {
    /// Crashes of one machine in an hour of its running, on average.
    pub per_hour: f64,
}

/// A machine that crashed is away for so long, ms: a restart, or somebody who has to notice.
const AWAY_MS: (u64, u64) = (5_000, 60_000);

/// Crashes of one machine in an hour, at most.
pub const MAX_PER_HOUR: f64 = 600.0;

impl Churn {
    /// What happens to so many machines in the first `seconds`, in order. A machine that comes back
    /// has kept nothing, as without a store.
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
                now += chance.between(AWAY_MS.0, AWAY_MS.1);
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
