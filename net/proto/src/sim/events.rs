//! Everything that is yet to happen, in order.
//!
//! Rule: events are ordered by time, and at one moment by the order in which they were planned.
//! Nothing else decides what comes first, so a scenario has one course.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::sim::clock::Moment;
use crate::{Hash, Input, Message};

/// One thing that will happen to a node, or to the world. Nodes are given by their numbers.
#[derive(Debug)]
pub(crate) enum Event {
    /// The next entry of the schedule is due.
    Fault,
    /// A node's decisions asked to be woken at `at`.
    Wake { node: usize, at: Moment },
    /// The shell of a node has an input for its decisions.
    Input { node: usize, input: Box<Input> },
    /// A copy of a message arrives over its last hop, which begins at `via`.
    Deliver { from: usize, via: usize, to: usize, message: Rc<Message> },
    /// A node notices the state of its link to `peer`.
    Notice { node: usize, peer: usize },
    /// A request for a blob arrives.
    Serve { node: usize, asker: usize, token: u64, hash: Hash },
    /// The answer to a request arrives.
    Answer { node: usize, from: usize, token: u64, bytes: Option<Vec<u8>> },
    /// A request was not answered in time.
    GiveUp { node: usize, token: u64 },
    /// The trainer of a node has done its current job.
    JobDone { node: usize },
    /// A slice of the time that scoring an epoch takes is over.
    ScoringSlice { node: usize },
    /// The trainer of a node has benchmarked itself.
    Benchmarked { node: usize },
    /// A node that was asked to leave must be gone by now.
    LeaveDeadline { node: usize },
}

impl Event {
    /// The node that must be alive and awake for it.
    pub(crate) fn node(&self) -> Option<usize> {
        match *self {
            Self::Fault => None,
            Self::Deliver { to, .. } => Some(to),
            Self::Wake { node, .. }
            | Self::Input { node, .. }
            | Self::Notice { node, .. }
            | Self::Serve { node, .. }
            | Self::Answer { node, .. }
            | Self::GiveUp { node, .. }
            | Self::JobDone { node }
            | Self::ScoringSlice { node }
            | Self::Benchmarked { node }
            | Self::LeaveDeadline { node } => Some(node),
        }
    }
}

/// The clock and the events that are planned.
#[derive(Debug, Default)]
pub(crate) struct Events {
    now: Moment,
    /// Events planned so far; orders those of the same moment.
    planned: u64,
    queue: BTreeMap<(Moment, u64), Event>,
}

impl Events {
    /// The current moment.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// Events planned so far.
    pub(crate) fn planned(&self) -> u64 {
        self.planned
    }

    /// Plans an event for `at`, or for now where that is past.
    pub(crate) fn push(&mut self, at: Moment, event: Event) {
        self.planned += 1;
        self.queue.insert((at.max(self.now), self.planned), event);
    }

    /// Advances the clock to the next event and takes it, if it is due by `end`.
    pub(crate) fn pop(&mut self, end: Moment) -> Option<Event> {
        let first = self.queue.first_entry().filter(|first| first.key().0 <= end)?;
        let ((now, _), event) = first.remove_entry();
        self.now = now;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nodes of the events up to `end`.
    fn popped(events: &mut Events, end: u64) -> Vec<usize> {
        let next = || events.pop(Moment::from_ms(end));
        std::iter::from_fn(next).filter_map(|event| event.node()).collect()
    }

    #[test]
    fn events_come_by_time_and_then_as_they_were_planned() {
        let mut events = Events::default();
        for (ms, node) in [(5, 0), (3, 1), (5, 2), (9, 3), (3, 4)] {
            events.push(Moment::from_ms(ms), Event::JobDone { node });
        }
        assert_eq!(popped(&mut events, 5), [1, 4, 0, 2]);
        assert_eq!((events.now(), events.planned()), (Moment::from_ms(5), 5));
    }

    #[test]
    fn nothing_happens_in_the_past() {
        let mut events = Events::default();
        events.push(Moment::from_ms(7), Event::JobDone { node: 0 });
        assert_eq!(popped(&mut events, 9), [0]);
        events.push(Moment::from_ms(2), Event::JobDone { node: 1 });
        assert_eq!((popped(&mut events, 6), popped(&mut events, 7)), (vec![], vec![1]));
    }
}
