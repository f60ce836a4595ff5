//! The speed of a run and the time of its end, from steps counted over time.
//!
//! Rule: pure. The speed rests on many steps and not on the last second, so that neither a pause nor a
//! shard that is set back nor a shard that is heard of first makes it jump.

/// Seconds that count most: older ones count less and less.
const WINDOW: f64 = 60.0;

/// The part of the count that one advance replaces, at most: where steps are rare, some ten of them
/// count.
const RENEWED: f64 = 0.1;

/// Seconds without a step that are a pause, at least.
const PAUSE: f64 = 30.0;

/// The same as a multiple of the time that an advance takes.
const PAUSE_ADVANCES: f64 = 10.0;

/// The state of a run's progress.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Standing {
    /// Nobody did a step yet.
    Unbegun,
    /// Too little was seen for a speed.
    Unmeasured,
    /// Steps of the run per second, and seconds to its last step.
    Going { per_second: f64, left: f64 },
    /// Seconds since the last step, where that is long.
    Paused(f64),
    /// All steps are done.
    Complete,
}

/// Counts steps over time.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// Steps done, per shard.
    shards: Vec<u64>,
    /// Time of the last advance of a shard, or of the first look at the run.
    at: f64,
    /// Steps of the run; older ones count less.
    steps: f64,
    /// Seconds that these took.
    seconds: f64,
    /// Advances in which they came.
    advances: f64,
    /// Whether that is the first advance alone, which includes the time of a start: better than nothing,
    /// until there is another.
    is_start: bool,
}

impl Pace {
    /// Takes in the steps of each shard that are done at `now` seconds. The steps of a shard that is heard
    /// of for the first time do not count, since it was not trained at once, unless the run is trained
    /// `alone`.
    pub(super) fn observe(&mut self, now: f64, shards: &[u64], alone: bool) {
        if self.shards.len() != shards.len() {
            *self = Self { shards: shards.to_vec(), at: now, ..Self::default() };
            return;
        }
        let is_counted = |before: u64| alone || before > 0;
        let gain = |(&before, &done): (&u64, &u64)| {
            if is_counted(before) { done.saturating_sub(before) } else { 0 }
        };
        let gained: u64 = self.shards.iter().zip(shards).map(gain).sum();
        let is_new = self.shards.iter().zip(shards).any(|(&before, &done)| before == 0 && done > 0);
        self.shards.copy_from_slice(shards);
        if gained > 0 {
            let taken = (now - self.at).clamp(1e-3, self.pause());
            let kept = (-(taken / WINDOW).min(RENEWED)).exp();
            let is_first = self.advances == 0.0;
            if std::mem::replace(&mut self.is_start, is_first) {
                (self.steps, self.seconds, self.advances) = (0.0, 0.0, 0.0);
            }
            self.steps = self.steps * kept + gained as f64 / shards.len() as f64;
            self.seconds = self.seconds * kept + taken;
            self.advances = self.advances * kept + 1.0;
        }
        if gained > 0 || is_new {
            self.at = now;
        }
    }

    /// Seconds without a step that are more than a slow one.
    fn pause(&self) -> f64 {
        if self.advances == 0.0 {
            return f64::INFINITY;
        }
        PAUSE.max(PAUSE_ADVANCES * self.seconds / self.advances)
    }

    fn is_complete(&self, steps: u64) -> bool {
        !self.shards.is_empty() && self.shards.iter().all(|done| *done >= steps)
    }

    /// The state of a run of `steps` steps at `now` seconds.
    pub(super) fn standing(&self, now: f64, steps: u64) -> Standing {
        if self.is_complete(steps) {
            return Standing::Complete;
        }
        if self.shards.iter().all(|done| *done == 0) {
            return Standing::Unbegun;
        }
        if self.advances == 0.0 {
            return Standing::Unmeasured;
        }
        if now - self.at > self.pause() {
            return Standing::Paused(now - self.at);
        }
        let per_second = self.steps / self.seconds;
        let open: u64 = self.shards.iter().map(|done| steps.saturating_sub(*done)).sum();
        Standing::Going { per_second, left: open as f64 / self.shards.len() as f64 / per_second }
    }

    /// The whole percents of all shards' steps that are done.
    pub(super) fn percent(&self, steps: u64) -> u64 {
        let all = u128::from(steps) * self.shards.len() as u128;
        let done: u128 = self.shards.iter().map(|done| u128::from(*done.min(&steps))).sum();
        // Of no steps at all, or of shards that nothing was heard of.
        let else_is = if self.is_complete(steps) { 100 } else { 0 };
        (100 * done).checked_div(all).unwrap_or(else_is) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The speed and the rest of what a run's shards do, looked at every second.
    fn going(pace: &Pace, now: f64, steps: u64) -> (f64, f64) {
        let Standing::Going { per_second, left } = pace.standing(now, steps) else {
            panic!("{:?}", pace.standing(now, steps));
        };
        (per_second, left)
    }

    /// A run whose one shard has done `done(second)` steps, looked at every second until `end`.
    fn watched(end: u64, done: impl Fn(u64) -> u64) -> Pace {
        let mut pace = Pace::default();
        (0..=end).for_each(|second| pace.observe(second as f64, &[done(second)], true));
        pace
    }

    #[test]
    fn a_steady_run_is_told_from_its_first_second_on() {
        for end in [1, 2, 10, 1000] {
            let (per_second, left) = going(&watched(end, |at| at * 7), end as f64, 70_000);
            assert!((per_second - 7.0).abs() < 1e-9);
            assert!((left - (70_000.0 / 7.0 - end as f64)).abs() < 1e-6, "{end}: {left}");
        }
    }

    #[test]
    fn a_slow_start_does_not_count_for_long() {
        let pace = watched(3, |at| [0, 1, 101, 201][at as usize]);
        let (per_second, left) = going(&pace, 3.0, 1201);
        assert!((per_second - 100.0).abs() < 1e-9 && (left - 10.0).abs() < 1e-9);
    }

    #[test]
    fn slow_steps_are_averaged_over_several() {
        // 12 steps a minute, and a step every 10 minutes.
        for (seconds, end) in [(5, 100), (600, 6000)] {
            let pace = watched(end, |at| at / seconds);
            for late in [0, seconds / 2, seconds - 1] {
                let (per_second, _) = going(&pace, (end + late) as f64, 1000);
                assert!((per_second * seconds as f64 - 1.0).abs() < 1e-9, "{per_second}");
            }
        }
        // One that takes twice as long is not half the speed.
        let mut pace = watched(3000, |at| at / 100);
        pace.observe(3200.0, &[31], true);
        let (per_second, _) = going(&pace, 3200.0, 1000);
        assert!(per_second > 0.0085 && per_second < 0.01, "{per_second}");
    }

    #[test]
    fn a_lasting_change_is_followed() {
        let fast_then_slow = |at: u64| if at < 300 { at * 100 } else { 30_000 + (at - 300) * 10 };
        let (per_second, _) = going(&watched(600, fast_then_slow), 600.0, 1_000_000);
        assert!((per_second - 10.0).abs() < 2.0, "{per_second}");
    }

    #[test]
    fn a_pause_is_said_and_forgotten() {
        let mut pace = watched(100, |at| at * 10);
        assert_eq!(pace.standing(129.0, 5000), pace.standing(100.0, 5000));
        assert_eq!(pace.standing(400.0, 5000), Standing::Paused(300.0));
        (0..30).for_each(|at| pace.observe(3700.0 + at as f64, &[1010 + at * 10], true));
        let (per_second, _) = going(&pace, 3730.0, 5000);
        assert!(per_second > 6.0 && per_second < 10.0, "{per_second}");
    }

    #[test]
    fn a_shard_that_is_set_back_costs_its_steps_and_no_speed() {
        let mut pace = Pace::default();
        (0..=100).for_each(|at| pace.observe(at as f64, &[1 + at * 10, 1 + at * 10], false));
        let (before, left) = going(&pace, 100.0, 2000);
        pace.observe(101.0, &[1001, 501], false);
        let (after, more) = going(&pace, 101.0, 2000);
        assert_eq!(before, after);
        assert!((more - left - 25.0).abs() < 1.0, "{left} {more}");
    }

    #[test]
    fn what_others_had_done_before_is_no_speed() {
        let mut pace = Pace::default();
        pace.observe(0.0, &[0, 0], false);
        assert_eq!(pace.standing(0.0, 1000), Standing::Unbegun);
        pace.observe(1.0, &[500, 0], false);
        assert_eq!(pace.standing(1.0, 1000), Standing::Unmeasured);
        pace.observe(2.0, &[510, 400], false);
        pace.observe(3.0, &[520, 410], false);
        let (per_second, _) = going(&pace, 3.0, 1000);
        assert!((per_second - 10.0).abs() < 1e-9, "{per_second}");
        // Nor is what a folder had.
        let mut pace = Pace::default();
        pace.observe(0.0, &[900], true);
        pace.observe(1.0, &[910], true);
        assert_eq!(going(&pace, 1.0, 1000), (10.0, 9.0));
    }

    #[test]
    fn the_whole_run_is_all_shards() {
        let mut pace = Pace::default();
        pace.observe(0.0, &[600, 0, 0], false);
        assert_eq!(pace.percent(600), 33);
        pace.observe(0.0, &[600, 600, 599], false);
        assert_eq!((pace.percent(600), pace.percent(0)), (99, 100));
        pace.observe(0.0, &[600, 600, 600], false);
        assert_eq!(pace.standing(0.0, 600), Standing::Complete);
        assert_eq!(Pace::default().percent(5), 0);
        assert_eq!(Pace::default().standing(0.0, 5), Standing::Unbegun);
    }
}
