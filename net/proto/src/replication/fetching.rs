//! Fetching: what is needed, from whom, and how much at once.
//!
//! Rule: at most [`MAX_FETCHES`] blobs are on their way at once; batches and what a shard waits for come
//! first, and nothing else is asked for while [`MAX_FETCH_BYTES`] are on their way.

use std::collections::{BTreeMap, BTreeSet};

use super::copies::{bridges, copy_duties};
use super::pacing::Pacing;
use crate::known::Known;
use crate::known::changes::ChangeEntry;
use crate::known::own::Phase;
use crate::outbox::{Fact, Outbox};
use crate::{BlobRef, Hash, MAX_FETCH_BYTES, MAX_FETCHES, NodeId, Output, Role, ShardId, Time};

/// A shard and the step of one of its checkpoints.
type Cell = (ShardId, u64);

/// A blob, and a peer that has it.
type Source = (BlobRef, NodeId);

/// The duty to fetch what is needed.
#[derive(Debug)]
pub(crate) struct Fetching {
    /// Blobs asked for and not answered, with the peer that was asked and their bytes.
    in_flight: BTreeMap<Hash, (NodeId, u64)>,
    pacing: Pacing,
    routes: BTreeSet<Cell>,
}

impl Fetching {
    pub(crate) fn new(now: Time) -> Self {
        Self { in_flight: BTreeMap::new(), pacing: Pacing::new(now), routes: BTreeSet::new() }
    }

    /// Asks for the blobs that are needed and not on their way, as far as the bounds allow.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        self.pacing.look(known);
        let (needed, wanted) = (needed_checkpoints(known), wanted_checkpoints(known));
        self.routes = routes(known, needed.iter().chain(&wanted));
        if known.role() == Role::Onlooker || self.in_flight.len() >= MAX_FETCHES {
            return;
        }
        // A shard that waits for a checkpoint does not wait for copies, too.
        let changes = known.own().jobs.changes.iter().copied();
        let waited_for = announced(known).into_iter().chain(changes);
        for source in waited_for.chain(elsewhere(known, needed)) {
            self.ask(source, None, out);
        }
        for source in elsewhere(known, wanted) {
            self.ask(source, Some(MAX_FETCH_BYTES), out);
        }
        if self.pacing.may_ask(known) {
            let cells = unhurried(known);
            self.routes.append(&mut routes(known, cells.iter()));
            let mut due = elsewhere(known, cells);
            due.retain(|(blob, _)| !self.in_flight.contains_key(&blob.hash));
            self.pacing.due(due.len());
            if let Some(&source) = due.first()
                && self.ask(source, Some(MAX_FETCH_BYTES), out)
            {
                self.pacing.asked(source.0.hash, known.now());
            }
        }
    }

    /// The checkpoints that this peer will make of means, all of which are here.
    pub(crate) fn routes(&self) -> BTreeSet<(ShardId, u64)> {
        self.routes.clone()
    }

    /// Asks for a blob unless it is here or on its way, or so much else is, as far as that matters.
    /// Returns whether it did.
    fn ask(&mut self, (blob, from): Source, most_bytes: Option<u64>, out: &mut Outbox) -> bool {
        // Sizes are what others claim: none holds up what is waited for.
        let bytes = self.in_flight.values().map(|(_, size)| *size).fold(0, u64::saturating_add);
        let is_full = self.in_flight.len() >= MAX_FETCHES
            || most_bytes.is_some_and(|most_bytes| bytes >= most_bytes);
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
fn needed_checkpoints(known: &Known) -> Vec<Cell> {
    let jobs = known.own().jobs().filter(|job| job.phase == Phase::NeedsCheckpoint);
    let shards = jobs.filter_map(|job| job.task.shard());
    let mut cells: Vec<Cell> = shards.map(|shard| (shard, known.start(shard))).collect();
    cells.extend(known.branch_needs());
    cells.extend(known.wanted_tables());
    cells
}

/// Checkpoints that this peer will need, those of the whole model, and those that somebody cannot
/// reach.
fn wanted_checkpoints(known: &Known) -> Vec<Cell> {
    let (plan, mut cells) = (known.plan(), known.needs_ahead());
    let at_end = |shard| known.checkpoints().at(shard, plan.steps).is_some();
    if plan.model_shards().all(at_end) {
        cells.extend(plan.model_shards().map(|shard| (shard, plan.steps)));
    }
    cells.extend(bridges(known));
    cells
}

/// Fetches that nobody waits for: what an epoch is scored with, and what this peer has the duty to hold.
fn unhurried(known: &Known) -> Vec<Cell> {
    let scoring = known.own().scoring;
    let scored = scoring.evaluating.filter(|_| !scoring.under_way);
    let scored = scored.map(|epoch| known.plan().epoch_end(epoch)).into_iter();
    let scored = scored.flat_map(|end| known.plan().model_shards().map(move |shard| (shard, end)));
    scored.chain(copy_duties(known)).collect()
}

/// What to fetch for those of these checkpoints that others hold and this peer does not: the checkpoints
/// themselves, or the means of which it can make them.
fn elsewhere(known: &Known, cells: impl IntoIterator<Item = Cell>) -> Vec<Source> {
    let mut sources = Vec::new();
    for (shard, step) in cells {
        let Some(entry) = known.checkpoints().at(shard, step) else { continue };
        if entry.holders.contains(&known.me()) {
            continue;
        }
        if let Some((_, chapters)) = known.route(shard, step, entry.checkpoint.blob.size) {
            let means = chapters.filter_map(|it| known.changes().at(it, shard, None));
            let lacking = means.filter(|mean| !mean.holders.contains(&known.me()));
            sources.extend(lacking.filter_map(|mean| mean_source(known, mean)));
        } else if let Some(&holder) = entry.holders.first() {
            sources.push((entry.checkpoint.blob, holder));
        }
    }
    sources
}

/// A mean and one of its holders; not the same one for all who fetch it.
fn mean_source(known: &Known, mean: &ChangeEntry) -> Option<Source> {
    let turn = usize::from(known.me().0[0] ^ mean.change.blob.hash.0[0]);
    let holder = mean.holders.iter().nth(turn.checked_rem(mean.holders.len())?)?;
    Some((mean.change.blob, *holder))
}

/// Those of these checkpoints that this peer lacks and can make, because all means that lead to them
/// are here.
fn routes<'a>(known: &Known, cells: impl Iterator<Item = &'a Cell>) -> BTreeSet<Cell> {
    let can = |&(shard, step): &Cell| {
        let entry = known.checkpoints().at(shard, step);
        let most = entry.map_or(u64::MAX, |entry| entry.checkpoint.blob.size);
        let route = known.route(shard, step, most).filter(|_| !known.holds(shard, step));
        route.is_some_and(|(_, mut chapters)| chapters.all(|it| known.has_change(it, shard, None)))
    };
    cells.copied().filter(can).collect()
}

#[cfg(test)]
#[path = "tests/fetching.rs"]
mod tests;
