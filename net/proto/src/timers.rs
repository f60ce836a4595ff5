//! When a peer has to be woken, and when it says how it is.
//!
//! Rule: duties are looked at no less often than [`TICK_MS`]; a heartbeat that others wait for is not
//! put off.

use crate::Time;

/// Duties are looked at no less often than this, ms.
const TICK_MS: u64 = 100;

/// The next moments, and the number of heartbeats so far.
#[derive(Debug)]
pub(crate) struct Timers {
    next_beat: Time,
    next_tick: Time,
    beats: u64,
    is_finished: bool,
}

impl Timers {
    pub(crate) fn new(now: Time) -> Self {
        Self { next_beat: now, next_tick: now, beats: 0, is_finished: false }
    }

    /// When it must be woken, at the latest.
    pub(crate) fn next(&self) -> Time {
        self.next_beat.min(self.next_tick)
    }

    /// The duties are looked at now.
    pub(crate) fn tick(&mut self, now: Time) {
        self.next_tick = now.after(TICK_MS);
        if self.is_finished {
            // Nothing is due any more, and no heartbeat either.
            self.next_beat = self.next_tick;
        }
    }

    /// Something that others wait for happened: the next heartbeat is due now.
    pub(crate) fn beat_now(&mut self, now: Time) {
        self.next_beat = now;
    }

    /// Whether a heartbeat is due; the next one is after `pause_ms`.
    pub(crate) fn beat(&mut self, now: Time, pause_ms: u64) -> bool {
        let is_due = now >= self.next_beat && !self.is_finished;
        if is_due {
            self.next_beat = now.after(pause_ms);
        }
        is_due
    }

    /// The number of the heartbeat that is about to be sent.
    pub(crate) fn next_heartbeat(&mut self) -> u64 {
        self.beats += 1;
        self.beats
    }

    /// All that could be done is done.
    pub(crate) fn finish(&mut self) {
        self.is_finished = true;
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_due_in_its_time_or_at_once_and_not_after_the_end() {
        let mut timers = Timers::new(Time(7));
        assert!(timers.beat(Time(7), 500) && !timers.beat(Time(500), 500));
        timers.tick(Time(500));
        assert_eq!(timers.next(), Time(507));
        timers.beat_now(Time(500));
        assert!(timers.beat(Time(500), 500));
        timers.finish();
        timers.tick(Time(2_000));
        assert!(!timers.beat(Time(2_000), 500));
        assert_eq!(timers.next(), Time(2_000 + TICK_MS));
        assert_eq!([timers.next_heartbeat(), timers.next_heartbeat()], [1, 2]);
    }

    #[test]
    fn a_peer_is_woken_for_the_next_look_or_the_next_heartbeat() {
        let mut timers = Timers::new(Time(0));
        timers.tick(Time(0));
        assert!(timers.beat(Time(0), 30) && timers.next() == Time(30));
        assert!(timers.beat(Time(30), 500) && timers.next() == Time(TICK_MS));
        timers.tick(Time(TICK_MS));
        assert_eq!((timers.next(), timers.is_finished()), (Time(2 * TICK_MS), false));
    }
}
