//! Payload bytes so far, counted where they come and go.
//!
//! Rule: any thread may read them at any time; nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes sent and received since the start: payload only, without the transport's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Bytes of others' broadcasts, among those received.
    pub gossip_in: u64,
    /// Number of others' broadcasts that were passed on, because not all may have heard them.
    pub passed_on: u64,
}

/// The counters behind a [`Traffic`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    gossip_in: AtomicU64,
    passed_on: AtomicU64,
}

impl Counters {
    pub(crate) fn add_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A broadcast was received.
    pub(crate) fn add_gossip_in(&self, bytes: usize) {
        self.add_in(bytes);
        self.gossip_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A broadcast was passed on.
    pub(crate) fn add_passed_on(&self) {
        self.passed_on.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            gossip_in: self.gossip_in.load(Ordering::Relaxed),
            passed_on: self.passed_on.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_is_part_of_what_came_in() {
        let counters = Counters::default();
        counters.add_in(3);
        counters.add_gossip_in(5);
        counters.add_passed_on();
        counters.add_out(7);
        let traffic = Traffic { bytes_in: 8, bytes_out: 7, gossip_in: 5, passed_on: 1 };
        assert_eq!(counters.traffic(), traffic);
    }
}
