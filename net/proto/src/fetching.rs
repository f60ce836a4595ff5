//! Fetching: what is needed, from whom, and how much at once.
//!
//! Rule: at most [`MAX_FETCHES`] blobs are on their way at once; batches and what a shard waits for come
//! first, and nothing else is asked for while [`MAX_FETCH_BYTES`] are on their way.

use std::collections::BTreeMap;

use crate::{
    BlobRef, Checkpoint, Hash, MAX_FETCH_BYTES, MAX_FETCHES, NodeId, Output, Role, ShardId,
    state::State,
    work::{Phase, Slot},
};

/// Blobs asked for and not answered, with the peer that was asked and their bytes.
pub(crate) type InFlight = BTreeMap<Hash, (NodeId, u64)>;

impl State {
    /// Asks for the blobs that are needed and not on their way, as far as the bound allows.
    pub(crate) fn fetch(&mut self) {
        if self.role == Role::Onlooker || self.in_flight.len() >= MAX_FETCHES {
            return;
        }
        // A shard that waits for a checkpoint does not wait for copies, too.
        let needed = self.wanted_batches().into_iter().chain(self.needed_checkpoints());
        for (blob, from) in needed.collect::<Vec<_>>() {
            self.ask(blob, from, u64::MAX);
        }
        for (blob, from) in self.wanted_checkpoints() {
            self.ask(blob, from, MAX_FETCH_BYTES);
        }
        if self.may_spread() {
            let due = self.unhurried();
            self.spread.due(due.len());
            if let Some(&(blob, from)) = due.first()
                && self.ask(blob, from, MAX_FETCH_BYTES)
            {
                self.spread.asked(blob.hash, self.now);
            }
        }
    }

    /// Asks for a blob unless it is here or on its way, or so much else is. Returns whether it did.
    fn ask(&mut self, blob: BlobRef, from: NodeId, most_bytes: u64) -> bool {
        // Sizes are what others claim.
        let bytes = self.in_flight.values().map(|(_, size)| *size).fold(0, u64::saturating_add);
        let is_full = self.in_flight.len() >= MAX_FETCHES || bytes >= most_bytes;
        if is_full || self.in_flight.contains_key(&blob.hash) {
            return false;
        }
        if self.blobs.contains(blob.hash) {
            self.on_fetched(blob.hash);
            return false;
        }
        self.in_flight.insert(blob.hash, (from, blob.size));
        self.push(Output::Fetch { blob, from });
        true
    }

    /// Batches announced and not here, the earliest step first.
    fn wanted_batches(&self) -> Vec<(BlobRef, NodeId)> {
        let mut wanted: Vec<(u64, BlobRef, NodeId)> = self
            .owned
            .values()
            .filter(|owned| owned.phase == Phase::Ready)
            .flat_map(|owned| &owned.inputs)
            .flat_map(|(&step, slots)| slots.iter().flatten().map(move |slot| (step, slot)))
            .filter(|(_, slot)| !slot.here)
            .filter_map(|(step, slot)| Some((step, slot.blob, *slot.holders.first()?)))
            .collect();
        wanted.sort_by_key(|(step, blob, _)| (*step, blob.hash));
        wanted.into_iter().map(|(_, blob, from)| (blob, from)).collect()
    }

    /// Checkpoints and tables that shards of this peer wait for.
    fn needed_checkpoints(&self) -> Vec<(BlobRef, NodeId)> {
        let seeking = self.owned.iter().filter(|(_, owned)| owned.phase == Phase::Seeking);
        let mut cells: Vec<(ShardId, u64)> =
            seeking.map(|(&shard, _)| (shard, self.starts[usize::from(shard.0)])).collect();
        cells.extend(self.column_needs());
        cells.extend(self.wanted_tables());
        self.elsewhere(cells.into_iter())
    }

    /// Checkpoints that this peer will need, those of the whole model, and those that somebody cannot
    /// reach.
    fn wanted_checkpoints(&self) -> Vec<(BlobRef, NodeId)> {
        let mut cells: Vec<(ShardId, u64)> = self.needs_ahead().into_iter().collect();
        if self.plan.model_shards().all(|shard| self.archive.at(shard, self.plan.steps).is_some()) {
            cells.extend(self.plan.model_shards().map(|shard| (shard, self.plan.steps)));
        }
        cells.extend(self.bridges());
        self.elsewhere(cells.into_iter())
    }

    /// What nobody waits for: what an epoch is scored with, and what this peer has the duty to hold.
    fn unhurried(&self) -> Vec<(BlobRef, NodeId)> {
        let scored = self.evaluating.filter(|_| self.scoring.is_none());
        let scored = scored.map(|epoch| self.plan.epoch_end(epoch));
        let scored = scored
            .into_iter()
            .flat_map(|end| self.plan.model_shards().map(move |shard| (shard, end)));
        let mut due = self.elsewhere(scored.chain(self.copy_duties()));
        due.retain(|(blob, _)| !self.in_flight.contains_key(&blob.hash));
        due
    }

    /// Those of these checkpoints that others hold and this peer does not, and who does.
    fn elsewhere(&self, cells: impl Iterator<Item = (ShardId, u64)>) -> Vec<(BlobRef, NodeId)> {
        cells
            .filter_map(|(shard, step)| self.archive.at(shard, step))
            .filter(|fact| !fact.holders.contains(&self.me))
            .filter_map(|fact| Some((fact.checkpoint.blob, *fact.holders.first()?)))
            .collect()
    }

    pub(crate) fn on_fetched(&mut self, hash: Hash) {
        self.in_flight.remove(&hash);
        self.spread.ended(hash, self.now);
        let is_here = |slot: &&mut Slot| slot.blob.hash == hash && !slot.here;
        for owned in self.owned.values_mut().filter(|owned| owned.phase == Phase::Ready) {
            for slot in owned.inputs.values_mut().flatten().flatten().filter(is_here) {
                slot.here = true;
                self.blobs.hold(hash);
            }
        }
        let cells: Vec<Checkpoint> = self
            .plan
            .shards()
            .flat_map(|shard| self.archive.of(shard))
            .filter(|fact| fact.checkpoint.blob.hash == hash)
            .filter(|fact| !fact.holders.contains(&self.me))
            .map(|fact| fact.checkpoint)
            .collect();
        for checkpoint in cells {
            self.blobs.hold(hash);
            self.learn(checkpoint, self.me);
            // Others learn of the copy from the next heartbeat; nobody waits for it.
            self.push(Output::Keep(checkpoint));
        }
        if !self.blobs.contains(hash) {
            self.push(Output::Drop(hash));
        }
    }

    pub(crate) fn on_fetch_failed(&mut self, hash: Hash, from: NodeId) {
        if self.in_flight.get(&hash).is_some_and(|(asked, _)| *asked == from) {
            self.in_flight.remove(&hash);
            self.spread.ended(hash, self.now);
        }
        for slots in self.owned.values_mut().flat_map(|owned| owned.inputs.values_mut()) {
            for entry in slots {
                let Some(slot) = entry else { continue };
                if slot.blob.hash == hash && !slot.here {
                    slot.holders.retain(|holder| *holder != from);
                    if slot.holders.is_empty() {
                        *entry = None;
                    }
                }
            }
        }
        let cell = self
            .plan
            .shards()
            .flat_map(|shard| self.archive.of(shard))
            .find(|fact| fact.checkpoint.blob.hash == hash)
            .map(|fact| (fact.checkpoint.shard, fact.checkpoint.step));
        if let Some((shard, step)) = cell.filter(|_| from != self.me) {
            self.lose_copy(shard, step, from);
        }
    }

    /// `peer` cannot deliver any more.
    pub(crate) fn abandon_fetches(&mut self, peer: NodeId) {
        let lost: Vec<Hash> =
            self.in_flight.iter().filter(|(_, (from, _))| *from == peer).map(|(h, _)| *h).collect();
        for hash in lost {
            self.on_fetch_failed(hash, peer);
        }
    }
}
