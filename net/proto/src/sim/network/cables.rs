//! The network between machines: late, lossy, repeating, overtaking, and cut at times.
//!
//! Rule: it is never kinder than a real one. A cut takes effect at once, but the ends hear of it
//! late; each copy of a message has a fate of its own; what is under way when a link is cut is
//! lost. Machines are numbered; which process runs on one is not known here.

use std::collections::{BTreeMap, BTreeSet};

use crate::sim::clock::Moment;
use crate::sim::rng::Rng;

/// How bad the network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Copies lost, per mille.
    pub loss: u64,
    /// Messages that arrive twice, per mille.
    pub repeats: u64,
    /// Every link has a latency of its own between these, microseconds.
    pub latency: (u64, u64),
    /// Every copy is late by up to this much more, microseconds: so copies overtake each other.
    pub jitter: u64,
    /// Copies that come very late, per mille.
    pub stray: u64,
    /// How late a stray copy is at most, ms.
    pub stray_ms: u64,
    /// Bytes that a machine's cable carries in a millisecond each way, one blob after the other; 0
    /// for any number.
    pub bytes_per_ms: u64,
}

impl Weather {
    /// A good LAN.
    pub const CALM: Self = Self {
        loss: 0,
        repeats: 0,
        latency: (1_000, 3_000),
        jitter: 2_000,
        stray: 0,
        stray_ms: STRAY_MS,
        bytes_per_ms: 0,
    };
}

/// How late a stray copy of a message can be, ms, in bad weather.
pub(crate) const STRAY_MS: u64 = 8_000;

/// How long a machine takes to notice that another one came, ms.
const DISCOVERY_MS: (u64, u64) = (30, 1_200);

/// How long it takes to notice that a connection was reset, ms.
const RESET_MS: (u64, u64) = (1, 60);

/// How long it takes to notice that nothing answers any more, ms.
const TIMEOUT_MS: (u64, u64) = (500, 8_000);

/// Why the ends of a link will hear something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It can be used (again).
    Found,
    /// One end closed it.
    Closed,
    /// It went dead.
    Dead,
}

/// All links between machines.
#[derive(Debug)]
pub(crate) struct Network {
    weather: Weather,
    rng: Rng,
    /// Latency in microseconds by (lower machine, higher machine).
    latency: BTreeMap<(usize, usize), u64>,
    /// Directions in which nothing passes.
    cuts: BTreeSet<(usize, usize)>,
    /// Until when the cables of machines are busy with blobs, outward and inward.
    busy: BTreeMap<usize, (Moment, Moment)>,
}

impl Network {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        Self {
            weather,
            rng: Rng::new(seed, "network"),
            latency: BTreeMap::new(),
            cuts: BTreeSet::new(),
            busy: BTreeMap::new(),
        }
    }

    /// The weather changes; latencies of links already in use stay.
    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Nothing passes from any of `from` to any of `to` any more.
    pub(crate) fn cut(&mut self, from: &[usize], to: &[usize]) {
        self.cuts.extend(from.iter().flat_map(|&a| to.iter().map(move |&b| (a, b))));
    }

    /// Everything passes again.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Whether something passes in this direction.
    pub(crate) fn open(&self, from: usize, to: usize) -> bool {
        !self.cuts.contains(&(from, to))
    }

    /// Whether a connection can live between two machines: it needs both directions.
    pub(crate) fn connectable(&self, a: usize, b: usize) -> bool {
        self.open(a, b) && self.open(b, a)
    }

    /// How long one copy takes in this direction, microseconds.
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

    /// The delays, in microseconds, of the copies of one message along `path`: none when it is lost, two when it
    /// is repeated.
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

    /// When a blob of `size` bytes that is sent now has arrived.
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

    /// How long an end of a link takes to hear of what happened to it, ms.
    pub(crate) fn notice(&mut self, cause: Cause) -> u64 {
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
        let mut network = Network::new(1, Weather::CALM);
        network.cut(&[0], &[1, 2]);
        assert!(!network.open(0, 1) && network.open(1, 0) && !network.connectable(1, 0));
        assert!(network.connectable(1, 2));
        network.heal();
        assert!(network.open(0, 1));
    }

    #[test]
    fn copies_are_lost_and_repeated_about_as_often_as_asked() {
        let weather = Weather { loss: 300, repeats: 100, ..Weather::CALM };
        let mut network = Network::new(2, weather);
        let fates: Vec<usize> = (0..1000).map(|_| network.copies(&[0, 1]).len()).collect();
        let lost = fates.iter().filter(|&&copies| copies == 0).count();
        let twice = fates.iter().filter(|&&copies| copies == 2).count();
        assert!((200..400).contains(&lost) && (20..100).contains(&twice), "{lost} {twice}");
    }

    #[test]
    fn a_narrow_link_carries_one_blob_after_the_other() {
        let weather = Weather { bytes_per_ms: 10, jitter: 0, ..Weather::CALM };
        let mut network = Network::new(3, weather);
        let mut arrives = |from, to| network.occupy(from, to, 100, Moment(0)).ms();
        assert_eq!((arrives(0, 1), arrives(0, 1)), (10, 20));
        assert_eq!(arrives(0, 2), 30, "a machine has one cable for all");
        assert_eq!(arrives(3, 1), 30, "and one way in");
        assert_eq!(arrives(1, 0), 10, "both ways at once");
    }
}
