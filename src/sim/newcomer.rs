//! The effect of one more machine on the speed of a run that it joins.
//!
//! Rule: the measure is that of `tests/lab/newcomer.py`, so that rehearsed and measured figures can be
//! compared: the work done in two seconds, relative to that of the twenty seconds before.

use ffp2p_proto::sim::Forecast;

/// Time over which a speed is taken, seconds.
const WINDOW: f64 = 2.0;

/// Time from one speed to the next, seconds.
const TICK: f64 = 0.25;

/// Time before the newcomer whose speed is the normal one, seconds.
const BEFORE: f64 = 20.0;

/// Time after which the newcomer has settled in, seconds.
const GRACE: f64 = 8.0;

/// Fraction of the time after the newcomer that counts: in the end the pipeline empties anyhow.
const COUNTED: f64 = 0.8;

/// Fraction of the normal speed below which a run is slow.
const SLOW: f64 = 0.9;

/// The speed after a machine joined, relative to the normal one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Newcomer {
    /// Start of the machine, seconds after the first step.
    pub at: f64,
    /// The slowest two seconds before.
    pub lowest_before: f64,
    /// The slowest two seconds after.
    pub lowest_after: f64,
    /// The longest time for which it was below nine tenths, seconds.
    pub slow_seconds: f64,
    /// Average once the machine has settled in.
    pub later: f64,
}

impl Newcomer {
    /// The effect in a forecast; `None` where the run is too short to tell.
    pub(super) fn of(found: &Forecast) -> Option<Self> {
        let times: Vec<f64> = found.parts.iter().map(|part| part.us as f64 / 1e6).collect();
        let (at, end) = (found.started_us as f64 / 1e6, times.last().copied()?);
        let (from, until) = (at - BEFORE, at + COUNTED * (end - at));
        if from < 0.0 {
            return None;
        }
        let speed =
            |from: f64, until: f64| (done(&times, until) - done(&times, from)) / (until - from);
        let normal = speed(from, at);
        let windows = |from: f64, until: f64| -> Vec<f64> {
            let ticks = ((until - WINDOW - from) / TICK) as usize;
            let begin = |tick| from + TICK * tick as f64;
            (0..ticks).map(|it| speed(begin(it), begin(it) + WINDOW) / normal).collect()
        };
        let (before, after) = (windows(from, at), windows(at, until));
        let later = speed(at + GRACE, until) / normal;
        let lowest = |speeds: &[f64]| speeds.iter().copied().fold(f64::INFINITY, f64::min);
        let settled = until > at + GRACE + WINDOW && normal > 0.0;
        settled.then(|| Self {
            at,
            lowest_before: lowest(&before),
            lowest_after: lowest(&after),
            slow_seconds: TICK * longest(&after) as f64,
            later,
        })
    }
}

/// Parts done by a time, given when each was; between two in proportion.
fn done(times: &[f64], at: f64) -> f64 {
    let count = times.partition_point(|time| *time <= at);
    let begin = count.checked_sub(1).map_or(0.0, |last| times[last]);
    let part = times.get(count).map_or(0.0, |end| ((at - begin) / (end - begin)).clamp(0.0, 1.0));
    count as f64 + part
}

/// The most slow speeds in a row.
fn longest(speeds: &[f64]) -> usize {
    speeds.split(|speed| *speed >= SLOW).map(<[f64]>::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use ffp2p_proto::sim::Part;

    use super::*;

    /// A run of parts of these milliseconds each, which a machine joins after 30 seconds.
    fn forecast(parts: impl Iterator<Item = u64>) -> Forecast {
        let ends = parts.scan(0, |now, ms| {
            *now += ms * 1_000;
            Some(*now)
        });
        Forecast {
            took_us: 0,
            parts: ends.map(|us| Part { us, bytes: Vec::new() }).collect(),
            started_us: 30_000_000,
            steps: 0,
            trained: 0,
            busy: 0,
            crashes: 0,
            bytes: Vec::new(),
            network_us: 0,
            events: 0,
        }
    }

    #[test]
    fn a_stop_and_a_rise_are_seen() {
        let parts = [100; 320].into_iter().chain([4_000]).chain([80; 1_000]);
        let found = Newcomer::of(&forecast(parts)).unwrap();
        assert!((found.lowest_before - 1.0).abs() < 0.01 && found.lowest_after < 0.03, "{found:?}");
        assert!((5.0..5.6).contains(&found.slow_seconds), "{found:?}");
        assert!((found.at, (found.later * 100.0).round()) == (30.0, 125.0), "{found:?}");
    }

    #[test]
    fn nothing_is_said_of_a_run_that_is_too_short() {
        assert_eq!(Newcomer::of(&forecast([100; 350].into_iter())), None);
        assert_eq!(Newcomer::of(&forecast([].into_iter())), None);
        let early = Forecast { started_us: 5_000_000, ..forecast([100; 2_000].into_iter()) };
        assert_eq!(Newcomer::of(&early), None);
    }
}
