//! Announcing the batches that were made to their readers.
//!
//! Rule: what was made is kept at once and announced when no sibling of it is about to be made, so
//! that readers hear of a layer's step once, and ask for its bytes once. What a reader will not read
//! soon, or what is lost on the way, is announced in answer to its next request, with all that it has
//! room for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::batches::Batches;
use crate::known::Known;
use crate::known::own::BatchesView;
use crate::outbox::Outbox;
use crate::{Batch, Hash, MAX_BATCHES_PER_MESSAGE, Message, NodeId, ShardId};

/// The duty to keep and announce what was made.
#[derive(Debug, Default)]
pub(crate) struct Announcing {
    batches: Batches,
    /// Batches made lately and not announced yet: at most the shards of the layers and steps
    /// that the trainer has.
    unannounced: Vec<Batch>,
    /// Whether anything has changed since it was last published.
    changed: bool,
}

impl Announcing {
    /// Forgets what nobody can need, and tells the readers' owners of what was made. A reader needs the
    /// batches of all shards of a layer, so those of which the trainer is about to make another wait for
    /// it: one message, and one question for their bytes, for all.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        self.changed |= self.batches.forget(known, out);
        let made = std::mem::take(&mut self.unannounced);
        let (later, due): (Vec<Batch>, Vec<Batch>) =
            made.into_iter().partition(|batch| makes_sibling(batch, known));
        self.unannounced = later;
        let mut told: BTreeMap<NodeId, Vec<Batch>> = BTreeMap::new();
        for batch in due.into_iter().filter(|batch| self.batches.holds(batch)) {
            let readers = known.plan().readers(batch.shard).into_iter();
            let soon = readers.filter(|reader| reads_soon(*reader, batch.step, known));
            let owners: BTreeSet<NodeId> = soon.filter_map(|it| known.owner(it)).collect();
            for owner in owners {
                told.entry(owner).or_default().push(batch);
            }
        }
        for (reader, batches) in told {
            announce(reader, &batches, out);
        }
    }

    /// A job has made a batch, which is held.
    pub(crate) fn made(&mut self, batch: Batch, out: &mut Outbox) {
        self.changed = true;
        self.batches.put(batch, out);
        self.unannounced.push(batch);
    }

    /// `from` asks for the batches of `shards` for these steps.
    pub(crate) fn answer(
        &self,
        from: NodeId,
        shards: &BTreeSet<ShardId>,
        steps: &Range<u64>,
        out: &mut Outbox,
    ) {
        let held =
            |&shard: &ShardId| self.batches.of(shard, steps.clone()).take(MAX_BATCHES_PER_MESSAGE);
        let mut batches: Vec<Batch> = shards.iter().flat_map(held).collect();
        batches.sort_by_key(|batch| batch.step);
        announce(from, &batches, out);
    }

    /// The store lost a blob.
    pub(crate) fn lost(&mut self, hash: Hash, out: &mut Outbox) {
        self.changed = true;
        self.batches.lost(hash, out);
    }

    /// The batches held, if that has changed since the last time.
    pub(crate) fn view(&mut self) -> Option<BatchesView> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| BatchesView { runs: self.batches.runs(), bytes: self.batches.bytes() })
    }
}

/// Whether `reader` does `step` before, or not long after, it says for the next time what it wants,
/// which it does four times in a window.
fn reads_soon(reader: ShardId, step: u64, known: &Known) -> bool {
    step < known.need(reader).saturating_add(known.config().window / 2)
}

/// Whether the trainer has the same step of another shard of the layer.
fn makes_sibling(batch: &Batch, known: &Known) -> bool {
    let layer = known.plan().layer(batch.shard);
    let mut jobs = known.own().jobs().filter(|job| known.plan().layer(job.shard) == layer);
    jobs.any(|job| known.own().jobs.in_trainer.contains(&(job.load, batch.step)))
}

/// Announces batches to a reader's owner.
fn announce(to: NodeId, batches: &[Batch], out: &mut Outbox) {
    for batches in batches.chunks(MAX_BATCHES_PER_MESSAGE) {
        out.send(to, Message::Announce(batches.to_vec()));
    }
}
