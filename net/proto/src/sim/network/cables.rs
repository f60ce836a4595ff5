//! The cables between machines: late, lossy, repeating, overtaking, and cut at times.
//!
//! Rule: they are never kinder than real ones. A cut takes effect at once, but the ends learn of it
//! late; each copy of a message has a fate of its own; copies that are under way when a link is cut
//! are lost. Machines are numbered; which process runs on one is not known here.

use std::collections::{BTreeMap, BTreeSet};

use crate::sim::clock::Moment;
use crate::sim::network::weather::Weather;
use crate::sim::rng::Rng;

/// The time in which a machine notices that another one came, ms.
const DISCOVERY_MS: (u64, u64) = (30, 1_200);

/// The time in which it notices that a connection was reset, ms.
const RESET_MS: (u64, u64) = (1, 60);

/// The time in which it notices that nothing answers any more, ms.
const TIMEOUT_MS: (u64, u64) = (500, 8_000);

/// The reason for which the ends of a link will notice something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It can be used (again).
    Found,
    /// One end closed it.
    Closed,
    /// It went dead.
    Dead,
}

/// All cables between machines.
#[derive(Debug)]
pub(crate) struct Cables {
    weather: Weather,
    rng: Rng,
    /// Latency in microseconds by (lower machine, higher machine).
    latency: BTreeMap<(usize, usize), u64>,
    /// Directions in which nothing passes.
    cuts: BTreeSet<(usize, usize)>,
    /// The moments until which machines are busy with blobs, outward and inward.
    busy: BTreeMap<usize, (Moment, Moment)>,
}

impl Cables {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        Self {
            weather,
            rng: Rng::new(seed, "network"),
            latency: BTreeMap::new(),
            cuts: BTreeSet::new(),
            busy: BTreeMap::new(),
        }
    }

    /// Changes the weather; latencies of links already in use stay.
    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Lets nothing pass from any of `from` to any of `to` any more.
    pub(crate) fn cut(&mut self, from: &[usize], to: &[usize]) {
        self.cuts.extend(from.iter().flat_map(|&a| to.iter().map(move |&b| (a, b))));
    }

    /// Lets everything pass again.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Whether something passes in this direction.
    pub(crate) fn is_open(&self, from: usize, to: usize) -> bool {
        !self.cuts.contains(&(from, to))
    }

    /// Whether a connection can live between two machines: it needs both directions.
    pub(crate) fn can_connect(&self, a: usize, b: usize) -> bool {
        self.is_open(a, b) && self.is_open(b, a)
    }

    /// The time that one copy takes in this direction, microseconds.
    pub(crate) fn delay(&mut self, from: usize, to: usize) -> u64 {
        let (low, high) = self.weather.latency;
        let (rng, jitter) = (&mut self.rng, self.weather.jitter);
        let link = (from.min(to), from.max(to));
        let base = *self.latency.entry(link).or_insert_with(|| rng.between(low, high));
        base + self.rng.between(0, jitter)
    }

    /// Whether this copy is lost.
    pub(crate) fn loses(&mut self) -> bool {
        self.rng.hit(self.weather.loss)
    }

    /// Whether a failure shows at once (a reset) and not by a timeout only.
    pub(crate) fn resets(&mut self) -> bool {
        self.rng.hit(500)
    }

    /// The delays, in microseconds, of the copies of one message along `path`: empty when it is lost,
    /// two when it is repeated.
    pub(crate) fn copies(&mut self, path: &[usize]) -> Vec<u64> {
        let mut delays = Vec::new();
        let count = if self.rng.hit(self.weather.repeats) { 2 } else { 1 };
        for _ in 0..count {
            let stray = self.rng.hit(self.weather.stray);
            let late = if stray { self.rng.below(self.weather.stray_ms) } else { 0 };
            let mut delay = late * 1_000;
            let arrives = path.windows(2).all(|hop| {
                delay += self.delay(hop[0], hop[1]);
                !self.loses()
            });
            if arrives {
                delays.push(delay);
            }
        }
        delays
    }

    /// The moment at which a blob of `size` bytes that is sent now has arrived.
    pub(crate) fn transfer(&mut self, from: usize, to: usize, size: u64, now: Moment) -> Moment {
        let delay = self.delay(from, to);
        self.occupy(from, to, size, now).after_us(delay)
    }

    /// Has the cables of both ends carry `size` bytes; returns when they have, latency aside.
    pub(crate) fn occupy(&mut self, from: usize, to: usize, size: u64, now: Moment) -> Moment {
        if self.weather.bytes_per_ms == 0 {
            return now;
        }
        let takes = size * 1_000 / self.weather.bytes_per_ms;
        let out = &mut self.busy.entry(from).or_default().0;
        let begin = (*out).max(now);
        *out = begin.after_us(takes);
        // The first byte comes in as soon as it went out.
        let inward = &mut self.busy.entry(to).or_default().1;
        *inward = (*inward).max(begin).after_us(takes);
        *inward
    }

    /// The time in which an end of a link notices what happened to it, ms.
    pub(crate) fn notice_ms(&mut self, cause: Cause) -> u64 {
        let (low, high) = match cause {
            Cause::Found => DISCOVERY_MS,
            Cause::Closed => RESET_MS,
            Cause::Dead => TIMEOUT_MS,
        };
        self.rng.between(low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_may_have_one_direction_and_heals() {
        let mut cables = Cables::new(1, Weather::CALM);
        cables.cut(&[0], &[1, 2]);
        assert!(!cables.is_open(0, 1) && cables.is_open(1, 0) && !cables.can_connect(1, 0));
        assert!(cables.can_connect(1, 2));
        cables.heal();
        assert!(cables.is_open(0, 1));
    }

    #[test]
    fn copies_are_lost_and_repeated_about_as_often_as_asked() {
        let weather = Weather { loss: 300, repeats: 100, ..Weather::CALM };
        let mut cables = Cables::new(2, weather);
        let fates: Vec<usize> = (0..1000).map(|_| cables.copies(&[0, 1]).len()).collect();
        let lost = fates.iter().filter(|&&copies| copies == 0).count();
        let twice = fates.iter().filter(|&&copies| copies == 2).count();
        assert!((200..400).contains(&lost) && (20..100).contains(&twice), "{lost} {twice}");
    }

    #[test]
    fn a_narrow_link_carries_one_blob_after_the_other() {
        let weather = Weather { bytes_per_ms: 10, jitter: 0, ..Weather::CALM };
        let mut cables = Cables::new(3, weather);
        let mut arrives = |from, to| cables.occupy(from, to, 100, Moment(0)).ms();
        assert_eq!((arrives(0, 1), arrives(0, 1)), (10, 20));
        assert_eq!(arrives(0, 2), 30, "a machine has one cable for all");
        assert_eq!(arrives(3, 1), 30, "and one way in");
        assert_eq!(arrives(1, 0), 10, "both ways at once");
    }
}
