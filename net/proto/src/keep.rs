//! Copying what must not be lost, forgetting the rest.
//!
//! Rule: a checkpoint is forgotten only when no shard above could need it, an activation batch only
//! when a checkpoint of every reader beyond it is held by enough peers.

use std::collections::BTreeSet;

use crate::{
    Checkpoint, Hash, MAX_CHECKPOINTS_PER_SHARD, MAX_SHARDS, NodeId, Output, Role, ShardId,
    archive::Fact, state::State,
};

/// Epochs without a score whose checkpoints are kept for scoring: short epochs are several
/// between the lowest shard and the highest.
const MAX_UNSCORED: usize = 8;

/// Tables that others hold and that a lowest shard could need, remembered at most: one for each layer
/// and some for what is under way.
const MAX_TABLES: usize = 2 * MAX_SHARDS;

impl State {
    /// This peer has just made `checkpoint`; the store has it. Returns whether it stands.
    pub(crate) fn archive_own(&mut self, checkpoint: Checkpoint) -> bool {
        let Checkpoint { shard, step, blob, .. } = checkpoint;
        self.settle_conflict(&checkpoint);
        let other = self.archive.at(shard, step).is_some_and(|fact| fact.checkpoint.blob != blob);
        if other && self.plan.is_private() {
            self.release(blob.hash);
            return false;
        }
        // Somebody may have announced another one, of which a copy was taken.
        let held = self.archive.at(shard, step).filter(|fact| fact.holders.contains(&self.me));
        let before = held.map(|fact| fact.checkpoint.blob.hash);
        let learned = self.archive.learn_own(checkpoint, self.me);
        self.on_learned(learned, checkpoint, self.me);
        let stands = self.holds(shard, step);
        if let Some(before) = before {
            self.release(before);
        }
        if !stands {
            self.release(blob.hash);
        } else if before != Some(blob.hash) {
            self.push(Output::Keep(checkpoint));
        }
        stands
    }

    /// Makes room for a checkpoint that stands against the known one of its cell, where each
    /// trains on data of its own.
    pub(crate) fn settle_conflict(&mut self, checkpoint: &Checkpoint) {
        let step = checkpoint.step;
        if !self.plan.is_private() {
            return;
        }
        if let Some(fallen) = self.archive.unseat(checkpoint) {
            self.lacks_model(step);
            if fallen.holders.contains(&self.me) {
                self.release(fallen.checkpoint.blob.hash);
            }
        }
    }

    /// Whether this peer holds that checkpoint.
    pub(crate) fn holds(&self, shard: ShardId, step: u64) -> bool {
        self.archive.at(shard, step).is_some_and(|fact| fact.holders.contains(&self.me))
    }

    /// The checkpoint of every shard of the model after `step` steps, when this peer holds them all.
    pub(crate) fn held_at(&self, step: u64) -> Option<Vec<Checkpoint>> {
        let held = |shard| {
            let fact = self.archive.at(shard, step)?;
            fact.holders.contains(&self.me).then_some(fact.checkpoint)
        };
        self.plan.model_shards().map(held).collect()
    }

    /// The bytes of a checkpoint have their hash and could not be read: they are not taken again.
    /// Whose fault it is cannot be told from here.
    pub(crate) fn distrust(&mut self, shard: ShardId, step: u64) {
        let Some(fact) = self.archive.at(shard, step).cloned() else { return };
        self.archive.distrust(shard, step);
        if fact.holders.contains(&self.me) {
            self.release(fact.checkpoint.blob.hash);
        }
    }

    /// A copy of a checkpoint turned out not to be there, or not to be usable.
    pub(crate) fn lose_copy(&mut self, shard: ShardId, step: u64, holder: NodeId) {
        let hash = self.archive.at(shard, step).map(|fact| fact.checkpoint.blob.hash);
        let held = self.holds(shard, step);
        self.archive.forget_copy(shard, step, holder);
        if let (true, true, Some(hash)) = (holder == self.me, held, hash) {
            self.release(hash);
        }
    }

    /// The checkpoints of which this peer should hold copies: the latest of each shard, and tables,
    /// that have too few holders and have this peer among the first in the order that shard and peers
    /// fix. Shards that could lose most come first.
    pub(crate) fn copy_duties(&self) -> Vec<(ShardId, u64)> {
        if self.role != Role::Worker {
            return Vec::new();
        }
        let (wanted, takers) = (self.wanted_holders(), self.takers().collect::<Vec<NodeId>>());
        let anyone_cut = self.anyone_is_cut();
        let mine = self.worth_copies().filter(|fact| {
            // Whoever goes on from it gets it without being told to.
            let taker = self.taker_at(fact.checkpoint.step).filter(|id| !fact.holders.contains(id));
            let holders = fact.holders.len() + usize::from(taker.is_some());
            !(anyone_cut && self.is_cut_off(&fact.holders))
                && self.is_among_first(fact, wanted.saturating_sub(holders), &takers, taker)
        });
        let mut mine: Vec<_> = mine.map(|it| (it.checkpoint.shard, it.checkpoint.step)).collect();
        mine.sort_by_cached_key(|&(shard, step)| (self.archive.stable(shard, wanted), step, shard));
        mine
    }

    /// The checkpoints of which this peer should hold copies so that those who cannot reach their
    /// makers reach them; for that, there is always room.
    pub(crate) fn bridges(&self) -> Vec<(ShardId, u64)> {
        if self.role != Role::Worker || !self.anyone_is_cut() {
            return Vec::new();
        }
        let facts = self.worth_copies().chain(self.at_open_chapters());
        let mine = facts.filter(|fact| self.is_cut_off(&fact.holders)).filter(|fact| {
            let workers = self.members.workers().map(|(id, _)| id).chain([self.me]);
            let able = workers.filter(|id| !self.is_cut_from(*id, &fact.holders));
            self.is_among_first(fact, 1, &able.collect::<Vec<_>>(), None)
        });
        mine.map(|it| (it.checkpoint.shard, it.checkpoint.step)).collect()
    }

    /// The latest checkpoint of each shard, and the tables that could be needed.
    fn worth_copies(&self) -> impl Iterator<Item = &Fact> {
        let latest = self.plan.model_shards().filter_map(|shard| self.archive.latest(shard));
        latest.chain(self.tables_at_least(self.tables_from))
    }

    /// Whether there may be checkpoints that somebody cannot reach and waits for: where peers own
    /// chapters, nobody rests for that.
    fn anyone_is_cut(&self) -> bool {
        self.plan.is_by_chapter() && self.anyone_avoids()
    }

    /// Whether this peer is among the first `missing` of these that do not hold it; `taker` will.
    fn is_among_first(
        &self,
        fact: &Fact,
        missing: usize,
        others: &[NodeId],
        taker: Option<NodeId>,
    ) -> bool {
        let shard = fact.checkpoint.shard;
        let lacks = |id: &NodeId| !fact.holders.contains(id) && taker != Some(*id);
        if missing == 0 || !lacks(&self.me) || !others.contains(&self.me) {
            return false;
        }
        // Whoever will score the epoch fetches all of this anyhow, and comes first.
        let scorer = self.scorer_at(fact.checkpoint.step);
        let place = |id: NodeId| (scorer != Some(id), rank(shard, id));
        // A rank is a hash, and there may be many others: most often few of them tell enough.
        let mine = place(self.me);
        let before = others.iter().filter(|id| lacks(id) && place(**id) < mine);
        before.take(missing).count() < missing
    }

    /// The checkpoints that an open chapter begins with, where peers own chapters.
    fn at_open_chapters(&self) -> impl Iterator<Item = &Fact> {
        self.plan.model_shards().flat_map(|shard| {
            let start = self.starts[usize::from(shard.0)];
            self.archive.of(shard).filter(move |fact| fact.checkpoint.step >= start)
        })
    }

    /// Forgets the batches and checkpoints that nobody can need any more.
    pub(crate) fn forget(&mut self) {
        let wanted = self.wanted_holders();
        let needed = self.needed_steps(wanted);
        self.forget_batches(&needed);
        let floors = self.floors(&needed, wanted);
        if let Some(shard) = self.plan.feedback_shard() {
            self.tables_from = floors[usize::from(shard.0)];
        }
        for (shard, step) in self.stale_checkpoints(&floors) {
            self.lose_copy(shard, step, self.me);
        }
    }

    /// For each shard, the step before which nothing that concerns it is needed: it has gone beyond
    /// it, enough peers hold a checkpoint at or beyond it, and its batches until there were handed
    /// on. A shard that went back lowers it.
    fn needed_steps(&self, copies: usize) -> Vec<u64> {
        let needed = |shard: ShardId| {
            if self.plan.feedback_shard() == Some(shard) {
                return self.needed_tables(copies);
            }
            let start = self.starts[usize::from(shard.0)];
            self.archive.stable(shard, copies).min(self.need(shard, &self.starts)).min(start)
        };
        self.plan.shards().map(needed).collect()
    }

    /// Whether an epoch that ends at `step` has no score yet.
    fn is_unscored(&self, step: u64) -> bool {
        self.plan.epochs_ending(step).any(|epoch| !self.scores.contains_key(&epoch))
    }

    /// Forgets some of what others hold.
    pub(crate) fn trim(&mut self) {
        let Self { archive, plan, scores, tables_from, starts, .. } = self;
        let feedback = plan.feedback_shard();
        let is_unscored = |step| plan.epochs_ending(step).any(|it| !scores.contains_key(&it));
        // As many chapters as shards can be open, and each begins with a checkpoint of every shard.
        let begins = |shard: ShardId, step| {
            plan.is_by_chapter() && starts.get(usize::from(shard.0)).is_some_and(|&it| it <= step)
        };
        let is_wanted = |shard, step| {
            let is_table = feedback == Some(shard);
            if is_table { step >= *tables_from } else { is_unscored(step) || begins(shard, step) }
        };
        let open = if plan.is_by_chapter() { plan.shard_count() + 1 } else { 0 };
        let most = |shard| {
            let usual = open.max(MAX_CHECKPOINTS_PER_SHARD);
            if feedback == Some(shard) { MAX_TABLES } else { usual }
        };
        archive.trim(self.me, is_wanted, most);
    }

    /// For each shard, the checkpoint that it could be taken up from, whoever is lost, so one with all
    /// its holders; for the feedback shard, the first that a lowest shard could then read, if that is lower.
    fn floors(&self, needed: &[u64], copies: usize) -> Vec<u64> {
        let mut floor = vec![0; self.plan.shard_count()];
        for shard in self.plan.shards().rev() {
            let above = self.plan.readers(shard).into_iter().map(|r| floor[usize::from(r.0)]).min();
            let limit = above.unwrap_or(u64::MAX).min(needed[usize::from(shard.0)]);
            let is_over = self.plan.feedback_shard() == Some(shard) && limit == self.plan.steps;
            let stable = || self.archive.stable_until(shard, copies, limit);
            floor[usize::from(shard.0)] = if is_over { limit } else { stable() };
        }
        if let Some(shard) = self.plan.feedback_shard() {
            let lowest =
                self.plan.shards_of(0).into_iter().map(|shard| floor[usize::from(shard.0)]);
            let first = lowest.min().and_then(|step| self.plan.tables_from(step).next());
            let own = floor[usize::from(shard.0)];
            floor[usize::from(shard.0)] = first.map_or(own, |first| first.min(own));
        }
        floor
    }

    /// This peer's checkpoints below these floors, scoring aside.
    fn stale_checkpoints(&self, floor: &[u64]) -> Vec<(ShardId, u64)> {
        // News of a checkpoint may come after that of the steps behind it.
        let comes = |shard, step: u64| {
            let done = self.need(shard, &self.starts);
            done < self.plan.steps && done <= step.saturating_add(self.config.window)
        };
        let can_be_scored = |step: &u64| {
            let mut shards = self.plan.model_shards();
            shards.all(|shard| self.archive.at(shard, *step).is_some() || comes(shard, *step))
        };
        let steps: BTreeSet<u64> = self.archive.held_by(self.me).map(|c| c.step).collect();
        let unscored =
            steps.into_iter().filter(|step| self.is_unscored(*step)).filter(can_be_scored);
        let pinned: Vec<u64> = unscored.take(MAX_UNSCORED).collect();
        self.archive
            .held_by(self.me)
            .map(|checkpoint| (checkpoint.shard, checkpoint.step))
            .filter(|(shard, step)| {
                let is_table = self.plan.feedback_shard() == Some(*shard);
                *step < floor[usize::from(shard.0)] && (is_table || !pinned.contains(step))
            })
            .collect()
    }
}

/// A peer's place in the order that `shard` fixes: every shard has its own, and it does not change
/// when other peers come or go (rendezvous hashing, Thaler and Ravishankar 1998).
pub(crate) fn rank(shard: ShardId, peer: NodeId) -> Hash {
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&shard.0.to_le_bytes());
    bytes[2..].copy_from_slice(&peer.0);
    Hash::of(&bytes)
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;
