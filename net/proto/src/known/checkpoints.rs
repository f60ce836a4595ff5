//! Which checkpoints exist, and who holds them.
//!
//! Rule: a checkpoint is a fact: any two honest ones of the same shard and step are the same bytes,
//! so the first one learned stands and one that differs is evidence against its bearer. Only where
//! each peer trains on data of its own there may be two, and an order decides ([`Checkpoints::unseat`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{Checkpoint, Hash, MAX_CHECKPOINTS_PER_SHARD, NodeId, ShardId};

/// Unreadable blobs remembered, at most.
const MAX_UNREADABLE: usize = 64;

/// A checkpoint and the peers that hold it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) holders: BTreeSet<NodeId>,
}

/// Result of [`Checkpoints::learn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// The checkpoint was unknown.
    New,
    /// The checkpoint was known; the holder may be new.
    Known,
    /// Another checkpoint of the same shard and step is known.
    Conflict,
    /// These bytes were tried and are no checkpoint.
    Unreadable,
}

/// All known checkpoints by shard and step.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    shards: BTreeMap<ShardId, BTreeMap<u64, Entry>>,
    /// Bytes that had their hash and were no checkpoint: not learned again from others.
    unreadable: VecDeque<(ShardId, u64, Hash)>,
}

impl Checkpoints {
    /// Whether the bytes of `checkpoint` were tried and are none.
    fn is_unreadable(&self, checkpoint: &Checkpoint) -> bool {
        let Checkpoint { shard, step, blob, .. } = checkpoint;
        self.unreadable.contains(&(*shard, *step, blob.hash))
    }

    /// Whether `checkpoint` takes the place of the known one of its cell. Where each peer trains on data
    /// of its own, two of them may train one cell. Which of two such checkpoints stands must not depend
    /// on who heard of which first: that of the smaller peer, then that of the smaller hash.
    pub(crate) fn unseats(&self, checkpoint: &Checkpoint) -> bool {
        let order = |it: &Checkpoint| (it.by, it.blob.hash);
        let Some(stands) = self.at(checkpoint.shard, checkpoint.step) else { return false };
        let stands = &stands.checkpoint;
        let falls = stands.blob != checkpoint.blob && order(checkpoint) < order(stands);
        let is_built_on =
            self.latest(checkpoint.shard).is_some_and(|it| it.checkpoint.step > checkpoint.step);
        falls && !is_built_on && !self.is_unreadable(checkpoint)
    }

    /// Forgets the known checkpoint of the cell if it cannot stand against `checkpoint`, and returns it.
    pub(crate) fn unseat(&mut self, checkpoint: &Checkpoint) -> Option<Entry> {
        if !self.unseats(checkpoint) {
            return None;
        }
        self.shards.get_mut(&checkpoint.shard)?.remove(&checkpoint.step)
    }

    /// `holder` holds `checkpoint`.
    pub(crate) fn learn(&mut self, checkpoint: Checkpoint, holder: NodeId) -> Learned {
        if self.is_unreadable(&checkpoint) {
            return Learned::Unreadable;
        }
        let shard = self.shards.entry(checkpoint.shard).or_default();
        match shard.get_mut(&checkpoint.step) {
            Some(entry) if entry.checkpoint.blob != checkpoint.blob => Learned::Conflict,
            Some(entry) => {
                entry.holders.insert(holder);
                Learned::Known
            }
            None => {
                let entry = Entry { checkpoint, holders: BTreeSet::from([holder]) };
                shard.insert(checkpoint.step, entry);
                Learned::New
            }
        }
    }

    /// This peer computed `checkpoint` itself, which is worth more than anything that was said.
    pub(crate) fn learn_own(&mut self, checkpoint: Checkpoint, me: NodeId) -> Learned {
        self.unreadable.retain(|(_, _, hash)| *hash != checkpoint.blob.hash);
        let shard = self.shards.entry(checkpoint.shard).or_default();
        if shard.get(&checkpoint.step).is_some_and(|entry| entry.checkpoint.blob != checkpoint.blob)
        {
            shard.remove(&checkpoint.step);
        }
        self.learn(checkpoint, me)
    }

    /// The bytes of that checkpoint were none.
    pub(crate) fn distrust(&mut self, shard: ShardId, step: u64) {
        let entry = self.shards.get_mut(&shard).and_then(|shard| shard.remove(&step));
        if let Some(entry) = entry {
            if self.unreadable.len() >= MAX_UNREADABLE {
                self.unreadable.pop_front();
            }
            self.unreadable.push_back((shard, step, entry.checkpoint.blob.hash));
        }
    }

    /// Whether some shard's checkpoint after `step` steps or more was tried and was none.
    pub(crate) fn has_unreadable_from(&self, step: u64) -> bool {
        self.unreadable.iter().any(|(_, at, _)| *at >= step)
    }

    /// Lets unreadable checkpoints of `shard` be tried again.
    pub(crate) fn forgive(&mut self, shard: ShardId) {
        self.unreadable.retain(|(of, _, _)| *of != shard);
    }

    /// `holder` holds exactly these of the checkpoints that matter. Where they are not all, because
    /// there was no room, it still holds what it was known to hold and is older than these: of each
    /// shard, the newest are named.
    pub(crate) fn replace(&mut self, holder: NodeId, held: &[Checkpoint], are_all: bool) {
        let stays: BTreeSet<_> = held.iter().map(|c| (c.shard, c.step, c.blob.hash)).collect();
        let mut oldest = BTreeMap::new();
        for Checkpoint { shard, step, .. } in held {
            let oldest = oldest.entry(*shard).or_insert(*step);
            *oldest = (*oldest).min(*step);
        }
        self.forget(|entry| {
            let Checkpoint { shard, step, blob, .. } = entry.checkpoint;
            let is_older = !are_all && oldest.get(&shard).is_some_and(|oldest| step < *oldest);
            if !is_older && !stays.contains(&(shard, step, blob.hash)) {
                entry.holders.remove(&holder);
            }
        });
    }

    /// `holder` is gone, and with it what only it held.
    pub(crate) fn forget_peer(&mut self, holder: NodeId) {
        self.forget(|entry| {
            entry.holders.remove(&holder);
        });
    }

    /// `holder` does not hold that checkpoint (any more).
    pub(crate) fn forget_copy(&mut self, shard: ShardId, step: u64, holder: NodeId) {
        self.forget(|entry| {
            if entry.checkpoint.shard == shard && entry.checkpoint.step == step {
                entry.holders.remove(&holder);
            }
        });
    }

    /// Changes entries, then drops those that nobody holds.
    fn forget(&mut self, mut change: impl FnMut(&mut Entry)) {
        for shard in self.shards.values_mut() {
            shard.retain(|_, entry| {
                change(entry);
                !entry.holders.is_empty()
            });
        }
    }

    /// Forgets checkpoints that only others hold, beyond the bound: the newest and the oldest
    /// stay, and of the rest those that leave the widest gaps, so that whatever step a shard has to
    /// go back to, some checkpoint is not far below. What this peer holds does not count, or it
    /// could crowd out the news; and of what `is_wanted`, of each shard, as many may stay again.
    pub(crate) fn trim(
        &mut self,
        me: NodeId,
        is_wanted: impl Fn(ShardId, u64) -> bool,
        most: impl Fn(ShardId) -> usize,
    ) {
        for (&of, shard) in &mut self.shards {
            let others = shard.iter().filter(|(_, entry)| !entry.holders.contains(&me));
            let (wanted, mut steps): (Vec<u64>, Vec<u64>) =
                others.map(|(&step, _)| step).partition(|&step| is_wanted(of, step));
            steps.extend(wanted.iter().rev().skip(most(of)));
            steps.sort_unstable();
            while steps.len() > MAX_CHECKPOINTS_PER_SHARD {
                let gaps = steps.windows(3).map(|at| at[2] - at[0]).enumerate();
                let Some((before, _)) = gaps.min_by_key(|&(_, gap)| gap) else { break };
                shard.remove(&steps.remove(before + 1));
            }
        }
    }

    pub(crate) fn at(&self, shard: ShardId, step: u64) -> Option<&Entry> {
        self.shards.get(&shard)?.get(&step)
    }

    /// The entries of a shard, oldest first.
    pub(crate) fn of(&self, shard: ShardId) -> impl DoubleEndedIterator<Item = &Entry> {
        self.shards.get(&shard).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn latest(&self, shard: ShardId) -> Option<&Entry> {
        self.of(shard).next_back()
    }

    /// The furthest checkpoint of `shard` at or below `limit`.
    pub(crate) fn best(&self, shard: ShardId, limit: u64) -> Option<&Entry> {
        self.of(shard).rev().find(|entry| entry.checkpoint.step <= limit)
    }

    /// The furthest step of `shard` whose checkpoint at least `copies` peers hold; 0 without one,
    /// because the initial state needs no copy.
    pub(crate) fn stable(&self, shard: ShardId, copies: usize) -> u64 {
        self.stable_until(shard, copies, u64::MAX)
    }

    /// The same, of the steps up to `limit`.
    pub(crate) fn stable_until(&self, shard: ShardId, copies: usize, limit: u64) -> u64 {
        let held = |entry: &&Entry| entry.checkpoint.step <= limit && entry.holders.len() >= copies;
        self.of(shard).rev().find(held).map_or(0, |entry| entry.checkpoint.step)
    }

    /// The checkpoints that `holder` holds.
    pub(crate) fn held_by(&self, holder: NodeId) -> impl Iterator<Item = Checkpoint> + '_ {
        self.shards
            .values()
            .flat_map(BTreeMap::values)
            .filter(move |entry| entry.holders.contains(&holder))
            .map(|entry| entry.checkpoint)
    }
}

#[cfg(test)]
#[path = "tests/checkpoints.rs"]
mod tests;
