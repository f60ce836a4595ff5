//! Changes that branches made to shards: which exist, and who holds them.
//!
//! Rule: a change is a fact, like a checkpoint. The first one learned stands until nobody delivers it,
//! or it turns out to be none; who lied when two differ cannot be told. It matters until the checkpoint
//! that is made of it is held by enough peers; until then, a change that nobody holds any more is as
//! if it had never been made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use super::Known;
use crate::outbox::Outbox;
use crate::{Change, Hash, NodeId, Role, ShardId, Task};

/// Changes that a heartbeat tells of: it has room for all of its lists within a broadcast.
const MAX_TOLD: usize = 24;

/// Chapters beyond the first open one whose changes are remembered, at most: no honest peer is further
/// ahead.
const MAX_AHEAD: u64 = 128;

/// Refused changes remembered, at most.
const MAX_REFUSED: usize = 64;

/// The part of a run that a change is of: its chapter, its shard, and the branch or the mean of all.
type Cell = (u64, ShardId, Option<u16>);

/// A change and the peers that hold it.
#[derive(Clone, Debug)]
pub(crate) struct ChangeEntry {
    pub(crate) change: Change,
    pub(crate) holders: BTreeSet<NodeId>,
}

/// All known changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    map: BTreeMap<Cell, ChangeEntry>,
    /// Bytes that had their hash and were no change: not learned again.
    refused: VecDeque<Hash>,
}

fn cell(change: &Change) -> Cell {
    (change.chapter, change.shard, change.branch)
}

impl Changes {
    fn learn(&mut self, change: Change, holder: NodeId) {
        if self.refused.contains(&change.blob.hash) {
            return;
        }
        match self.map.get_mut(&cell(&change)) {
            Some(entry) => {
                if entry.change.blob == change.blob {
                    entry.holders.insert(holder);
                }
            }
            None => {
                let holders = BTreeSet::from([holder]);
                self.map.insert(cell(&change), ChangeEntry { change, holders });
            }
        }
    }

    pub(crate) fn at(
        &self,
        chapter: u64,
        shard: ShardId,
        branch: Option<u16>,
    ) -> Option<&ChangeEntry> {
        self.map.get(&(chapter, shard, branch))
    }

    /// The changes that `holder` holds, the earliest chapters first.
    pub(crate) fn held_by(&self, holder: NodeId) -> impl DoubleEndedIterator<Item = Change> + '_ {
        let held = self.map.values().filter(move |entry| entry.holders.contains(&holder));
        held.map(|entry| entry.change)
    }

    /// Changes entries, then drops those that nobody holds.
    fn forget(&mut self, mut change: impl FnMut(&mut ChangeEntry)) {
        self.map.retain(|_, entry| {
            change(entry);
            !entry.holders.is_empty()
        });
    }

    pub(super) fn forget_peer(&mut self, holder: NodeId) {
        self.forget(|entry| {
            entry.holders.remove(&holder);
        });
    }
}

impl Known {
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Whether this peer holds that change.
    pub(crate) fn has_change(&self, chapter: u64, shard: ShardId, branch: Option<u16>) -> bool {
        self.changes.at(chapter, shard, branch).is_some_and(|it| it.holders.contains(&self.me))
    }

    /// Whether the changes of all branches of a chapter in a shard exist.
    pub(crate) fn is_all_changed(&self, chapter: u64, shard: ShardId) -> bool {
        let mut branches = 0..self.plan.branches_of(chapter);
        branches.all(|branch| self.changes.at(chapter, shard, Some(branch)).is_some())
    }

    /// Whether nothing of a task is left to train: what it changes exists, or what is made of that.
    pub(crate) fn is_done(&self, task: Task) -> bool {
        let Task::Branch { chapter, branch } = task else { return false };
        let (begin, end) = (self.plan.chapter_start(chapter), self.plan.chapter_start(chapter + 1));
        let is_there = |shard| {
            // The feedback shard ends before the run does.
            begin >= self.plan.end(shard)
                || self.start(shard) >= end
                || self.checkpoints.at(shard, end).is_some()
                || self.changes.at(chapter, shard, Some(branch)).is_some()
        };
        self.plan.merged && self.plan.shards().all(is_there)
    }

    /// How a checkpoint can be made of means: from the last one of the shard that this peer holds
    /// below `step`, and the means of the chapters since, if all of these exist and are less than
    /// `most` bytes together.
    pub(crate) fn route(&self, shard: ShardId, step: u64, most: u64) -> Option<(u64, Range<u64>)> {
        // Only workers have a trainer, which merges.
        if !self.plan.merged || self.role != Role::Worker {
            return None;
        }
        let held = self.checkpoints.of(shard).rev().map(|entry| (entry, entry.checkpoint.step));
        let mut held = held.filter(|(entry, at)| *at < step && entry.holders.contains(&self.me));
        let from = held.next().map_or(0, |(_, at)| at);
        let chapters = self.plan.chapter_of(from)..self.plan.chapter_ending(step) + 1;
        let sizes =
            chapters.clone().map(|it| Some(self.changes.at(it, shard, None)?.change.blob.size));
        // Sizes are what others claim.
        let bytes = sizes.reduce(|sum, size| Some(sum?.saturating_add(size?))).flatten();
        bytes.filter(|bytes| *bytes < most).map(|_| (from, chapters))
    }

    /// `holder` says that it holds `change`.
    pub(crate) fn learn_change(&mut self, change: Change, holder: NodeId, out: &mut Outbox) {
        let Change { shard, chapter, branch, .. } = change;
        let is_cell = self.plan.has(shard)
            && self.plan.merges(shard)
            && chapter < self.plan.chapters()
            && branch.is_none_or(|branch| branch < self.plan.branches_of(chapter));
        if !is_cell {
            return self.blame(holder, "a change of a cell that the run does not have", out);
        }
        let open = self.remembered();
        if self.is_avoided(holder) || !open.contains(&chapter) {
            return;
        }
        self.changes.learn(change, holder);
    }

    /// Chapters whose means are kept when they are over: machines that take part in turn make several at
    /// once up.
    pub(crate) fn means_kept(&self) -> u64 {
        self.plan.layers.len() as u64 + 1
    }

    /// The chapters whose changes matter.
    fn remembered(&self) -> Range<u64> {
        let first = self.open_chapters().start;
        first.saturating_sub(self.means_kept())..first.saturating_add(MAX_AHEAD)
    }

    /// This peer has just made `change`; the store has it, held.
    pub(crate) fn made_change(&mut self, change: Change, out: &mut Outbox) {
        if self.has_change(change.chapter, change.shard, change.branch) {
            let known = self.changes.map.get(&cell(&change)).map(|entry| entry.change.blob.hash);
            known.into_iter().for_each(|hash| out.release(hash));
        }
        let holders = match self.changes.map.remove(&cell(&change)) {
            Some(entry) if entry.change.blob == change.blob => entry.holders,
            _ => BTreeSet::new(),
        };
        self.changes.map.insert(cell(&change), ChangeEntry { change, holders });
        self.changes.refused.retain(|hash| *hash != change.blob.hash);
        self.changes.learn(change, self.me);
    }

    /// A blob came: the changes that it is are held here, too.
    pub(crate) fn fetched_change(&mut self, hash: Hash, out: &mut Outbox) {
        let me = self.me;
        for entry in self.changes.map.values_mut().filter(|entry| entry.change.blob.hash == hash) {
            if entry.holders.insert(me) {
                out.hold(hash);
            }
        }
    }

    /// `holder` does not hold the changes that a blob is (any more).
    pub(crate) fn lose_change(&mut self, hash: Hash, holder: NodeId, out: &mut Outbox) {
        let mut lost = 0;
        self.changes.forget(|entry| {
            if entry.change.blob.hash == hash && entry.holders.remove(&holder) {
                lost += 1;
            }
        });
        if holder == self.me {
            (0..lost).for_each(|_| out.release(hash));
        }
    }

    /// A blob is none of the changes that it passes for, whoever holds it.
    pub(crate) fn refuse_change(&mut self, hash: Hash, out: &mut Outbox) {
        let me = self.me;
        if self.changes.refused.len() >= MAX_REFUSED {
            self.changes.refused.pop_front();
        }
        self.changes.refused.push_back(hash);
        self.changes.map.retain(|_, entry| {
            let is_it = entry.change.blob.hash == hash;
            if is_it && entry.holders.contains(&me) {
                out.release(hash);
            }
            !is_it
        });
    }

    /// This peer's copy of a change is not needed any more.
    pub(crate) fn settle_change(&mut self, change: &Change, out: &mut Outbox) {
        let me = self.me;
        let Some(entry) = self.changes.map.get_mut(&cell(change)) else { return };
        if entry.holders.remove(&me) {
            out.release(entry.change.blob.hash);
        }
        self.changes.forget(|_| {});
    }

    /// `holder` holds exactly these changes, as far as a heartbeat has room.
    pub(super) fn replace_changes(&mut self, holder: NodeId, held: Vec<Change>, out: &mut Outbox) {
        let are_all = held.len() < MAX_TOLD;
        let told: BTreeSet<(Cell, Hash)> = held.iter().map(|it| (cell(it), it.blob.hash)).collect();
        let last = told.last().map_or(0, |((chapter, ..), _)| *chapter);
        self.changes.forget(|entry| {
            let at = cell(&entry.change);
            if (are_all || at.0 < last) && !told.contains(&(at, entry.change.blob.hash)) {
                entry.holders.remove(&holder);
            }
        });
        held.into_iter().for_each(|change| self.learn_change(change, holder, out));
    }

    /// The changes of this peer that a heartbeat has room for.
    pub(super) fn changes_to_tell(&self) -> Vec<Change> {
        self.changes.held_by(self.me).take(MAX_TOLD).collect()
    }

    /// Forgets the changes of chapters that are over, and those of others that are ahead of all.
    pub(super) fn close_changes(&mut self) {
        let (open, me) = (self.remembered(), self.me);
        // What this peer holds is given up by itself, in its own time.
        self.changes
            .map
            .retain(|(chapter, ..), entry| open.contains(chapter) || entry.holders.contains(&me));
    }
}

#[cfg(test)]
mod tests;
