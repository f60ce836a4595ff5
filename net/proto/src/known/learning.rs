//! Taking in checkpoints and scores, and giving them up.
//!
//! Rule: a checkpoint is a fact, whoever says it. One that this peer made is worth more than anything
//! that was said; one that cannot be read is not believed again. A copy that is given up is dropped
//! from the store.

use super::Known;
use super::checkpoints::Learned;
use crate::outbox::Outbox;
use crate::{Checkpoint, Hash, MAX_CHECKPOINTS_PER_SHARD, MAX_SHARDS, NodeId, Notice, Output};
use crate::{Score, ShardId};

/// Tables that others hold and that a lowest shard could need, remembered at most: one for each layer
/// and some for what is under way.
const MAX_TABLES: usize = 2 * MAX_SHARDS;

impl Known {
    /// `holder` says that it holds `checkpoint`.
    pub(crate) fn learn_from(&mut self, checkpoint: Checkpoint, holder: NodeId, out: &mut Outbox) {
        if !self.plan.has_checkpoint(checkpoint.shard, checkpoint.step) {
            return self.blame(holder, "a checkpoint of a cell that the run does not have", out);
        }
        if !self.is_avoided(holder) {
            self.learn(checkpoint, holder, out);
        }
    }

    /// `holder` holds `checkpoint`.
    fn learn(&mut self, checkpoint: Checkpoint, holder: NodeId, out: &mut Outbox) {
        self.settle_conflict(&checkpoint, out);
        let learned = self.checkpoints.learn(checkpoint, holder);
        self.on_learned(learned, checkpoint, holder, out);
    }

    /// A checkpoint was in the store when this peer started; one of no cell of the run is forgotten.
    pub(crate) fn restore(&mut self, checkpoint: Checkpoint, out: &mut Outbox) {
        let Checkpoint { shard, step, blob, .. } = checkpoint;
        out.hold(blob.hash);
        if self.plan.has_checkpoint(shard, step) && !self.holds(shard, step) {
            self.learn(checkpoint, self.me, out);
            let found = self.checkpoints.at(shard, step).map(|entry| entry.checkpoint.blob);
            if self.holds(shard, step) && found == Some(blob) {
                return;
            }
        }
        out.release(blob.hash);
    }

    /// Whether `checkpoint`, which this peer has just made, gives way to another one of its cell: where
    /// each trains on data of its own, somebody else's may stand.
    pub(crate) fn gives_way(&self, checkpoint: &Checkpoint) -> bool {
        let known = self.checkpoints.at(checkpoint.shard, checkpoint.step);
        let is_other = known.is_some_and(|entry| entry.checkpoint.blob != checkpoint.blob);
        is_other && self.plan.is_private() && !self.checkpoints.unseats(checkpoint)
    }

    /// This peer has just made `checkpoint`, which does not give way to another; the store has it, held.
    pub(crate) fn made(&mut self, checkpoint: Checkpoint, out: &mut Outbox) {
        let Checkpoint { shard, step, blob, .. } = checkpoint;
        self.settle_conflict(&checkpoint, out);
        // Somebody may have announced another one, of which a copy was taken.
        let held =
            self.checkpoints.at(shard, step).filter(|entry| entry.holders.contains(&self.me));
        let before = held.map(|entry| entry.checkpoint.blob.hash);
        let learned = self.checkpoints.learn_own(checkpoint, self.me);
        self.on_learned(learned, checkpoint, self.me, out);
        if let Some(before) = before {
            out.release(before);
        }
        if before != Some(blob.hash) {
            out.push(Output::Keep(checkpoint));
        }
    }

    /// A blob came: the checkpoints that it is are held here, too.
    pub(crate) fn fetched(&mut self, hash: Hash, out: &mut Outbox) {
        let is_new = |it: &Checkpoint| it.blob.hash == hash;
        let all = self.plan.shards().flat_map(|shard| self.checkpoints.of(shard));
        let lacking = all.filter(|entry| !entry.holders.contains(&self.me));
        let cells: Vec<Checkpoint> = lacking.map(|entry| entry.checkpoint).filter(is_new).collect();
        for checkpoint in cells {
            out.hold(hash);
            self.learn(checkpoint, self.me, out);
            // Others learn of the copy from the next heartbeat; nobody waits for it.
            out.push(Output::Keep(checkpoint));
        }
    }

    /// `holder` did not deliver a blob: it does not hold the checkpoint that this is.
    pub(crate) fn not_delivered(&mut self, hash: Hash, holder: NodeId) {
        let found = |shard| self.checkpoints.of(shard).find(|it| it.checkpoint.blob.hash == hash);
        let found = self.plan.shards().find_map(found);
        let cell = found.map(|entry| (entry.checkpoint.shard, entry.checkpoint.step));
        if let Some((shard, step)) = cell.filter(|_| holder != self.me) {
            self.checkpoints.forget_copy(shard, step, holder);
        }
    }

    /// The bytes of a checkpoint have their hash and could not be read: they are not taken again.
    /// Whose fault it is cannot be told from here.
    pub(crate) fn unreadable(&mut self, shard: ShardId, step: u64, out: &mut Outbox) {
        let Some(entry) = self.checkpoints.at(shard, step).cloned() else { return };
        self.checkpoints.distrust(shard, step);
        if entry.holders.contains(&self.me) {
            out.release(entry.checkpoint.blob.hash);
        }
    }

    /// Lets unreadable checkpoints of `shard` be tried again.
    pub(crate) fn retry(&mut self, shard: ShardId) {
        self.checkpoints.forgive(shard);
    }

    /// This peer's copy of a checkpoint is not needed, or not there any more.
    pub(crate) fn lose_own_copy(&mut self, shard: ShardId, step: u64, out: &mut Outbox) {
        let entry = self.checkpoints.at(shard, step);
        let held = entry.filter(|entry| entry.holders.contains(&self.me));
        let hash = held.map(|entry| entry.checkpoint.blob.hash);
        self.checkpoints.forget_copy(shard, step, self.me);
        if let Some(hash) = hash {
            out.release(hash);
        }
    }

    /// The store lost a blob: this peer has none of the checkpoints that it was. Returns their steps.
    pub(crate) fn lost(&mut self, hash: Hash, out: &mut Outbox) -> Vec<u64> {
        let held = self.checkpoints.held_by(self.me).filter(|it| it.blob.hash == hash);
        let cells: Vec<_> = held.map(|it| (it.shard, it.step)).collect();
        for &(shard, step) in &cells {
            self.lose_own_copy(shard, step, out);
            self.lacks_model(step);
        }
        cells.into_iter().map(|(_, step)| step).collect()
    }

    /// A checkpoint after `step` steps is not here any more: without those after the last step the
    /// run is not complete.
    pub(crate) fn lacks_model(&mut self, step: u64) {
        if step == self.plan.steps {
            self.own.complete = None;
        }
    }

    /// Makes room for a checkpoint that stands against the known one of its cell, where each
    /// trains on data of its own.
    fn settle_conflict(&mut self, checkpoint: &Checkpoint, out: &mut Outbox) {
        if !self.plan.is_private() {
            return;
        }
        if let Some(fallen) = self.checkpoints.unseat(checkpoint) {
            self.lacks_model(checkpoint.step);
            if fallen.holders.contains(&self.me) {
                out.release(fallen.checkpoint.blob.hash);
            }
        }
    }

    /// Draws the consequences of a checkpoint that was learned.
    fn on_learned(
        &mut self,
        learned: Learned,
        checkpoint: Checkpoint,
        holder: NodeId,
        out: &mut Outbox,
    ) {
        let Checkpoint { shard, by, .. } = checkpoint;
        match learned {
            Learned::New => {
                let chapter = self.plan.chapter_ending(checkpoint.step);
                let is_model = self.plan.feedback_shard() != Some(shard);
                if self.plan.is_private() {
                    self.provenance.correct(shard, chapter, by);
                }
                if is_model && self.provenance.learn(shard, chapter, by) {
                    out.notify(Notice::Chapter(checkpoint));
                }
                self.trim();
            }
            Learned::Known | Learned::Unreadable => {}
            Learned::Conflict if self.plan.is_private() => {}
            Learned::Conflict => self.blame(holder, "a checkpoint unlike another's", out),
        }
    }

    /// Forgets some of what others hold.
    pub(crate) fn trim(&mut self) {
        let Self { checkpoints, plan, scores, tables_from, starts, .. } = self;
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
            let by_default = open.max(MAX_CHECKPOINTS_PER_SHARD);
            if feedback == Some(shard) { MAX_TABLES } else { by_default }
        };
        checkpoints.trim(self.me, is_wanted, most);
    }

    /// Takes in a score that somebody found. The first one that is possible stands.
    pub(crate) fn learn_score(&mut self, score: Score, out: &mut Outbox) {
        let in_plan = (1..=self.plan.epochs()).contains(&score.epoch);
        let right = score.softmax_correct.max(score.other_correct);
        let possible = in_plan && score.samples > 0 && right <= score.samples;
        if possible && !self.scores.contains_key(&score.epoch) {
            self.scores.insert(score.epoch, score);
            self.members.scored(score.epoch);
            out.notify(Notice::Score(score));
        }
    }

    /// Takes in who trained what, as another peer has it on record.
    pub(crate) fn learn_provenance(&mut self, spans: Vec<crate::Span>) {
        for span in spans {
            self.provenance.learn_span(span, &self.plan);
        }
    }
}

#[cfg(test)]
#[path = "tests/learning.rs"]
mod tests;
