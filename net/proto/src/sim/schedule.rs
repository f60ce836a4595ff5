//! The faults that are yet to come.
//!
//! Rule: an entry is due when its moment has come and the entry before it has happened.

use std::collections::VecDeque;

use crate::sim::clock::Moment;
use crate::sim::events::{Event, Events};
use crate::sim::faults::{Fault, When};

/// Entries in order, the next one first.
#[derive(Debug)]
pub(crate) struct Schedule {
    entries: VecDeque<(When, Fault)>,
    /// Whether the next entry is among the planned events.
    is_armed: bool,
}

impl Schedule {
    /// A schedule of which nothing has happened.
    pub(crate) fn new(entries: &[(When, Fault)]) -> Self {
        Self { entries: entries.iter().cloned().collect(), is_armed: false }
    }

    /// Whether all of it has happened.
    pub(crate) fn is_over(&self) -> bool {
        self.entries.is_empty()
    }

    /// Plans the next entry, unless it waits for work; `done` says whether this part of all work
    /// was done, per mille.
    pub(crate) fn arm(&mut self, events: &mut Events, done: impl Fn(u64) -> bool) {
        if self.is_armed {
            return;
        }
        let at = match self.entries.front() {
            Some((When::At(ms), _)) => Moment::from_ms(*ms),
            Some((When::After(ms), _)) => events.now().after(*ms),
            Some((When::Done(share), _)) if done(*share) => events.now(),
            Some((When::Done(_), _)) | None => return,
        };
        self.is_armed = true;
        events.push(at, Event::Fault);
    }

    /// Takes the entry that is due.
    pub(crate) fn pop(&mut self) -> Option<Fault> {
        self.is_armed = false;
        self.entries.pop_front().map(|(_, fault)| fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_waits_for_the_one_before_it_and_for_its_work() {
        let faults = [(When::After(5), Fault::Crash(0)), (When::Done(500), Fault::Crash(1))];
        let (mut schedule, mut events) = (Schedule::new(&faults), Events::default());
        schedule.arm(&mut events, |_| true);
        schedule.arm(&mut events, |_| true);
        assert!(matches!(events.pop(Moment::from_ms(5)), Some(Event::Fault)));
        assert_eq!((schedule.pop(), events.planned()), (Some(Fault::Crash(0)), 1));
        schedule.arm(&mut events, |share| share < 500);
        assert_eq!(events.planned(), 1);
        schedule.arm(&mut events, |share| share <= 500);
        assert_eq!((events.planned(), schedule.is_over()), (2, false));
        assert_eq!((schedule.pop(), schedule.is_over()), (Some(Fault::Crash(1)), true));
    }
}
