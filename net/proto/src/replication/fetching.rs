//! Fetching: what is needed, from whom, and how much at once.
//!
//! Rule: at most [`MAX_FETCHES`] blobs are on their way at once; batches and what a shard waits for come
//! first, and nothing else is asked for while [`MAX_FETCH_BYTES`] are on their way.

use std::collections::BTreeMap;

use super::copies::{bridges, copy_duties};
use super::pacing::Pacing;
use crate::known::Known;
use crate::known::own::Phase;
use crate::outbox::{Fact, Outbox};
use crate::{BlobRef, Hash, MAX_FETCH_BYTES, MAX_FETCHES, NodeId, Output, Role, ShardId, Time};

/// A blob, and a peer that has it.
type Source = (BlobRef, NodeId);

/// The duty to fetch what is needed.
#[derive(Debug)]
pub(crate) struct Fetching {
    /// Blobs asked for and not answered, with the peer that was asked and their bytes.
    in_flight: BTreeMap<Hash, (NodeId, u64)>,
    pacing: Pacing,
}

impl Fetching {
    pub(crate) fn new(now: Time) -> Self {
        Self { in_flight: BTreeMap::new(), pacing: Pacing::new(now) }
    }

    /// Asks for the blobs that are needed and not on their way, as far as the bounds allow.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        self.pacing.look(known);
        if known.role() == Role::Onlooker || self.in_flight.len() >= MAX_FETCHES {
            return;
        }
        // A shard that waits for a checkpoint does not wait for copies, too.
        for source in announced(known).into_iter().chain(needed_checkpoints(known)) {
            self.ask(source, u64::MAX, out);
        }
        for source in wanted_checkpoints(known) {
            self.ask(source, MAX_FETCH_BYTES, out);
        }
        if self.pacing.may_ask(known) {
            let mut due = unhurried(known);
            due.retain(|(blob, _)| !self.in_flight.contains_key(&blob.hash));
            self.pacing.due(due.len());
            if let Some(&source) = due.first()
                && self.ask(source, MAX_FETCH_BYTES, out)
            {
                self.pacing.asked(source.0.hash, known.now());
            }
        }
    }

    /// Asks for a blob unless it is here or on its way, or so much else is. Returns whether it did.
    fn ask(&mut self, (blob, from): Source, most_bytes: u64, out: &mut Outbox) -> bool {
        // Sizes are what others claim.
        let bytes = self.in_flight.values().map(|(_, size)| *size).fold(0, u64::saturating_add);
        let is_full = self.in_flight.len() >= MAX_FETCHES || bytes >= most_bytes;
        if is_full || self.in_flight.contains_key(&blob.hash) {
            return false;
        }
        if out.holds(blob.hash) {
            out.fact(Fact::Here(blob.hash));
            return false;
        }
        self.in_flight.insert(blob.hash, (from, blob.size));
        out.push(Output::Fetch { blob, from });
        true
    }

    /// A blob is here.
    pub(crate) fn fetched(&mut self, hash: Hash, now: Time) {
        self.in_flight.remove(&hash);
        self.pacing.ended(hash, now);
    }

    /// `from` did not deliver a blob.
    pub(crate) fn failed(&mut self, hash: Hash, from: NodeId, now: Time) {
        if self.in_flight.get(&hash).is_some_and(|(asked, _)| *asked == from) {
            self.fetched(hash, now);
        }
    }

    /// The blobs that `peer` was asked for and did not deliver yet.
    pub(crate) fn asked_of(&self, peer: NodeId) -> Vec<Hash> {
        let asked = self.in_flight.iter().filter(|(_, (from, _))| *from == peer);
        asked.map(|(hash, _)| *hash).collect()
    }

    /// Blobs on their way.
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }
}

/// Batches announced and not here, the earliest step first.
fn announced(known: &Known) -> Vec<Source> {
    let mut all = known.own().jobs.announced.clone();
    all.sort_by_key(|(step, blob, _)| (*step, blob.hash));
    all.into_iter().map(|(_, blob, from)| (blob, from)).collect()
}

/// Checkpoints and tables that this peer's jobs wait for.
fn needed_checkpoints(known: &Known) -> Vec<Source> {
    let jobs = known.own().jobs().filter(|job| job.phase == Phase::NeedsCheckpoint);
    let shards = jobs.filter_map(|job| job.task.shard());
    let mut cells: Vec<(ShardId, u64)> = shards.map(|shard| (shard, known.start(shard))).collect();
    cells.extend(known.branch_needs());
    cells.extend(known.wanted_tables());
    elsewhere(known, cells)
}

/// Checkpoints that this peer will need, those of the whole model, and those that somebody cannot
/// reach.
fn wanted_checkpoints(known: &Known) -> Vec<Source> {
    let (plan, mut cells) = (known.plan(), known.needs_ahead());
    let at_end = |shard| known.checkpoints().at(shard, plan.steps).is_some();
    if plan.model_shards().all(at_end) {
        cells.extend(plan.model_shards().map(|shard| (shard, plan.steps)));
    }
    cells.extend(bridges(known));
    elsewhere(known, cells)
}

/// What nobody waits for: what an epoch is scored with, and what this peer has the duty to hold.
fn unhurried(known: &Known) -> Vec<Source> {
    let scoring = known.own().scoring;
    let scored = scoring.evaluating.filter(|_| !scoring.under_way);
    let scored = scored.map(|epoch| known.plan().epoch_end(epoch)).into_iter();
    let scored = scored.flat_map(|end| known.plan().model_shards().map(move |shard| (shard, end)));
    elsewhere(known, scored.chain(copy_duties(known)))
}

/// Those of these checkpoints that others hold and this peer does not, and who does.
fn elsewhere(known: &Known, cells: impl IntoIterator<Item = (ShardId, u64)>) -> Vec<Source> {
    cells
        .into_iter()
        .filter_map(|(shard, step)| known.checkpoints().at(shard, step))
        .filter(|entry| !entry.holders.contains(&known.me()))
        .filter_map(|entry| Some((entry.checkpoint.blob, *entry.holders.first()?)))
        .collect()
}
