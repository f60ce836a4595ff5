//! The activation batches that this peer made and still holds.
//!
//! Rule: what is kept for recovery is bounded in bytes, and the bound never stops the run. What a
//! reader has still to read is always kept; of what it has read the oldest goes first, which makes
//! recovery dearer, never wrong.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::known::Known;
use crate::outbox::Outbox;
use crate::replication::retention::needed_steps;
use crate::{Batch, BlobRef, Hash, ShardId};

/// Batches by shard and step, each held.
#[derive(Debug, Default)]
pub(super) struct Batches {
    made: BTreeMap<ShardId, BTreeMap<u64, BlobRef>>,
    bytes: u64,
}

impl Batches {
    /// Keeps a batch that was just made and is held.
    pub(super) fn put(&mut self, Batch { shard, step, blob }: Batch, out: &mut Outbox) {
        self.bytes = self.bytes.saturating_add(blob.size);
        if let Some(old) = self.made.entry(shard).or_default().insert(step, blob) {
            self.bytes = self.bytes.saturating_sub(old.size);
            out.release(old.hash);
        }
    }

    /// Whether that very batch is still held.
    pub(super) fn holds(&self, batch: &Batch) -> bool {
        self.made.get(&batch.shard).and_then(|it| it.get(&batch.step)) == Some(&batch.blob)
    }

    /// The batches of `shard` for these steps.
    pub(super) fn of(&self, shard: ShardId, steps: Range<u64>) -> impl Iterator<Item = Batch> {
        let held = self.made.get(&shard).into_iter();
        let held = held.flat_map(move |it| it.range(steps.start..steps.end.max(steps.start)));
        held.map(move |(&step, &blob)| Batch { shard, step, blob })
    }

    /// The unbroken runs of steps, by shard.
    pub(super) fn runs(&self) -> BTreeMap<ShardId, Vec<Range<u64>>> {
        let runs = |batches: &BTreeMap<u64, BlobRef>| {
            let mut runs: Vec<Range<u64>> = Vec::new();
            for &step in batches.keys() {
                match runs.last_mut() {
                    Some(run) if run.end == step => run.end = step + 1,
                    _ => runs.push(step..step + 1),
                }
            }
            runs
        };
        self.made.iter().map(|(&shard, batches)| (shard, runs(batches))).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets the batches whose readers have a checkpoint beyond them; and beyond the bounds those
    /// that every reader has read, the oldest first.
    ///
    /// Returns whether there were any.
    pub(super) fn forget(&mut self, known: &Known, out: &mut Outbox) -> bool {
        if self.made.is_empty() {
            return false;
        }
        let before = self.bytes;
        let (plan, config) = (known.plan(), known.config());
        let needed = needed_steps(known, known.wanted_holders());
        let kept = self.bytes.saturating_add(known.own().jobs.bytes);
        let mut excess = kept.saturating_sub(config.batch_bytes);
        // More would only serve a reader that takes no checkpoints.
        let most = config.window.saturating_add(3 * plan.chapter_steps);
        for (&shard, batches) in &mut self.made {
            let readers = plan.readers(shard);
            let safe = readers.iter().map(|reader| needed[usize::from(reader.0)]).min();
            let read = readers.iter().map(|reader| known.need(*reader)).min();
            let (safe, read) = (safe.unwrap_or(0), read.unwrap_or(0));
            while let Some((&step, &blob)) = batches.first_key_value() {
                let is_over = excess > 0 || batches.len() as u64 > most;
                if step >= safe && !(is_over && step < read) {
                    break;
                }
                batches.remove(&step);
                excess = excess.saturating_sub(blob.size);
                self.bytes = self.bytes.saturating_sub(blob.size);
                out.release(blob.hash);
            }
        }
        self.made.retain(|_, batches| !batches.is_empty());
        self.bytes < before
    }

    /// The store lost a blob: it is not announced any more.
    pub(super) fn lost(&mut self, hash: Hash, out: &mut Outbox) {
        for batches in self.made.values_mut() {
            batches.retain(|_, blob| {
                let stays = blob.hash != hash;
                if !stays {
                    self.bytes = self.bytes.saturating_sub(blob.size);
                    out.release(hash);
                }
                stays
            });
        }
        self.made.retain(|_, batches| !batches.is_empty());
    }
}
