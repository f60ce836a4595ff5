//! How much a peer keeps so that nothing is lost, and what gives way when that is too much.
//!
//! Rule: what is kept for recovery is bounded in bytes, and the bound never stops the run. What a
//! reader has still to read is always kept; of what it has read the oldest goes first, which makes
//! recovery dearer, never wrong.

use crate::{BlobRef, Hash, Kept, NodeId, Role, ShardId, state::State, work::Batches};

fn bytes_of<'a>(blobs: impl IntoIterator<Item = &'a BlobRef>) -> u64 {
    blobs.into_iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
}

impl State {
    /// What this peer keeps now.
    pub(crate) fn kept(&self) -> Kept {
        let checkpoints = self.held_bytes();
        Kept {
            batches: self.batch_bytes(),
            checkpoints,
            on_disk: self.config.on_disk,
            full: checkpoints >= self.config.copy_bytes,
        }
    }

    fn batch_bytes(&self) -> u64 {
        let handed_on = self.retained.values().flat_map(Batches::values);
        bytes_of(handed_on.chain(self.columns.values().flat_map(|column| column.made.values())))
    }

    fn held_bytes(&self) -> u64 {
        self.archive.held_by(self.me).fold(0, |sum, it| sum.saturating_add(it.blob.size))
    }

    /// The peers that take copies of others' checkpoints, this one perhaps among them.
    pub(crate) fn takers(&self) -> impl Iterator<Item = NodeId> + '_ {
        let others = self.members.workers().filter(|(_, member)| !member.kept.full);
        let others = others.filter(|(id, _)| !self.is_avoided(*id));
        let takes = self.role == Role::Worker && self.held_bytes() < self.config.copy_bytes;
        others.map(|(id, _)| id).chain(takes.then_some(self.me))
    }

    /// How many peers shall hold each checkpoint: its maker and the replicas, as far as there are
    /// peers with room.
    pub(crate) fn wanted_holders(&self) -> usize {
        self.config.replicas.saturating_add(1).min(self.takers().count()).max(1)
    }

    /// Batches of one shard that are kept, at most: more would only serve a reader that takes no
    /// checkpoints.
    fn many(&self) -> u64 {
        self.config.window.saturating_add(3 * self.plan.chapter_steps)
    }

    /// Whether `shard` may make the batch of step `next`: not while what its readers still need
    /// fills the bound by itself.
    pub(crate) fn has_room_to_keep(&self, shard: ShardId, next: u64) -> bool {
        let slowest = self.slowest_reader(shard).unwrap_or(next);
        let kept = self.retained.get(&shard).map_or(0, |it| it.range(..next).count() as u64);
        let count = kept < self.config.window + 4 * self.plan.chapter_steps;
        count && (next <= slowest || self.batches_kept < self.config.batch_bytes)
    }

    /// Forgets the batches whose readers have a checkpoint beyond them, by shard in `needed`; and
    /// beyond the bounds those that every reader has read, the oldest first.
    pub(crate) fn forget_batches(&mut self, needed: &[u64]) {
        let read: Vec<u64> =
            self.plan.shards().map(|shard| self.need(shard, &self.starts)).collect();
        self.batches_kept = self.batch_bytes();
        let mut excess = self.batches_kept.saturating_sub(self.config.batch_bytes);
        let many = self.many();
        let mut stale: Vec<Hash> = Vec::new();
        for (&shard, batches) in &mut self.retained {
            let readers = self.plan.readers(shard);
            let least = |steps: &[u64]| readers.iter().map(|r| steps[usize::from(r.0)]).min();
            let (safe, read) = (least(needed).unwrap_or(0), least(&read).unwrap_or(0));
            while let Some((&step, &blob)) = batches.first_key_value() {
                let is_over = excess > 0 || batches.len() as u64 > many;
                if step >= safe && !(is_over && step < read) {
                    break;
                }
                batches.remove(&step);
                excess = excess.saturating_sub(blob.size);
                self.batches_kept = self.batches_kept.saturating_sub(blob.size);
                stale.push(blob.hash);
            }
        }
        self.retained.retain(|_, batches| !batches.is_empty());
        for hash in stale {
            self.release(hash);
        }
    }
}
