//! How many bytes a message is on the network, about.
//!
//! Rule: near enough for a forecast of traffic. The encoding itself is not known here; it writes
//! small numbers in one to three bytes, names in 32, and these are the sizes that it comes to.

use crate::{Heartbeat, Message};

/// What is around a gossiped message: its source, number, topic, key and signature.
const GOSSIP: u64 = 250;

/// What is around a message to one peer, and its receipt.
const DIRECT: u64 = 70;

/// A request for a blob, and what is around its answer.
pub(crate) const REQUEST: u64 = 130;

const LEASE: u64 = 37;
const CHECKPOINT: u64 = 79;
const RUN: u64 = 7;
const PROGRESS: u64 = 4;
const SCORE: u64 = 9;
const SPAN: u64 = 37;
const BATCH: u64 = 38;
const SHARD: u64 = 1;
const KEY: u64 = 32;

/// A heartbeat without its lists.
const HEARTBEAT: u64 = 35;

/// Bytes of a message to all, as it goes to one peer.
pub(crate) fn gossip(message: &Message) -> u64 {
    GOSSIP + body(message)
}

/// Bytes of a message to one peer.
pub(crate) fn direct(message: &Message) -> u64 {
    DIRECT + body(message)
}

fn body(message: &Message) -> u64 {
    match message {
        Message::Heartbeat(beat) => heartbeat(beat),
        Message::Leases(leases) => list(leases, LEASE),
        Message::Checkpoints(checkpoints) => list(checkpoints, CHECKPOINT),
        Message::Announce(batches) => list(batches, BATCH),
        Message::Provenance(spans) => list(spans, SPAN),
        Message::Request { shards, .. } => SCORE + list(shards, SHARD),
        Message::Score(_) | Message::Goodbye => SCORE,
    }
}

fn heartbeat(beat: &Heartbeat) -> u64 {
    let lists = [
        list(&beat.leases, LEASE),
        list(&beat.progress, PROGRESS),
        list(&beat.held, CHECKPOINT),
        list(&beat.batches, RUN),
        list(&beat.scores, SCORE),
        list(&beat.avoids, KEY),
    ];
    HEARTBEAT + lists.iter().sum::<u64>()
}

fn list<T>(entries: &[T], each: u64) -> u64 {
    1 + each * entries.len() as u64
}
