//! The simulation's own clock.
//!
//! Rule: it is finer than any node's, which counts milliseconds: a step may take less than one, and
//! a thousand of them must not be rounded a thousand times.

use std::fmt;

use crate::Time;

/// A moment, in microseconds since the simulation began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// The moment `ms` milliseconds after the simulation began.
    pub(crate) const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// This moment plus `ms` milliseconds.
    pub(crate) const fn after(self, ms: u64) -> Self {
        self.after_us(ms.saturating_mul(1_000))
    }

    /// This moment plus `us` microseconds.
    pub(crate) const fn after_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to this moment; zero when `earlier` is later.
    pub(crate) const fn us_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole milliseconds since the simulation began.
    pub(crate) const fn ms(self) -> u64 {
        self.0 / 1_000
    }

    /// The same, as the decisions count.
    pub(crate) const fn time(self) -> Time {
        Time(self.ms())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7}.{:03}", self.ms(), self.0 % 1_000)
    }
}
