//! Scoring epochs.
//!
//! Rule: each epoch is scored by one peer, and by the next in order if that one does not say that it
//! does. What an epoch is scored with is held until its score is here.

use std::collections::{BTreeMap, BTreeSet};

use super::scoring_order::turn_to_score;
use crate::known::Known;
use crate::known::own::ScoringView;
use crate::outbox::{Fact, Outbox};
use crate::{Hash, Message, Output, Score, Time};

/// A peer that says that it scores an epoch is believed for this many times `score_ms`.
const SCORING_PATIENCE: u64 = 10;

/// Epochs that may wait for their scores before one that is being scored is hurried.
const MAX_WAITING: usize = 2;

/// The duty to score.
#[derive(Debug, Default)]
pub(crate) struct Scoring {
    /// The epoch this peer is to score, from the moment its turn comes.
    evaluating: Option<u64>,
    /// The checkpoints being scored, and whether that was hurried.
    under_way: Option<Vec<Hash>>,
    is_hurried: bool,
    /// Epochs that this peer tried to score and could not.
    unscored: BTreeSet<u64>,
    /// Since when each epoch could be scored.
    scorable: BTreeMap<u64, Time>,
}

impl Scoring {
    /// Has the next epoch scored, when it is this peer's turn.
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        if !known.takes_work() {
            return;
        }
        self.note_scorable(known);
        if self.under_way.is_some() {
            if !self.is_hurried && self.waiting(known) > MAX_WAITING {
                self.is_hurried = true;
                out.push(Output::HurryScore);
            }
            return;
        }
        if self.evaluating.is_none() {
            self.evaluating = self.due_epoch(known);
        }
        let Some(epoch) = self.evaluating else { return };
        if known.scores().contains_key(&epoch) {
            self.evaluating = None;
            return;
        }
        let end = known.plan().epoch_end(epoch);
        let mut shards = known.plan().model_shards();
        if let Some(held) = known.held_at(end) {
            let checkpoints: Vec<Hash> = held.iter().map(|held| held.blob.hash).collect();
            checkpoints.iter().for_each(|hash| out.hold(*hash));
            self.under_way = Some(checkpoints.clone());
            self.is_hurried = false;
            out.push(Output::Evaluate { epoch, checkpoints });
        } else if shards.any(|shard| known.checkpoints().at(shard, end).is_none()) {
            self.evaluating = None;
        }
    }

    /// Finds the epochs without a score whose checkpoints all exist.
    fn note_scorable(&mut self, known: &Known) {
        let (plan, scores) = (known.plan(), known.scores());
        let exist = |epoch: u64| {
            let end = plan.epoch_end(epoch);
            plan.model_shards().all(|shard| known.checkpoints().at(shard, end).is_some())
        };
        self.scorable.retain(|epoch, _| !scores.contains_key(epoch) && exist(*epoch));
        // This is asked all the time, and most epochs of a long run are still to come.
        let latest =
            |shard| known.checkpoints().latest(shard).map_or(0, |entry| entry.checkpoint.step);
        let furthest = plan.model_shards().map(latest).min().unwrap_or(0);
        let ended = (1..=plan.epochs()).take_while(|epoch| plan.epoch_end(*epoch) <= furthest);
        for epoch in ended.filter(|epoch| !scores.contains_key(epoch) && exist(*epoch)) {
            self.scorable.entry(epoch).or_insert(known.now());
        }
    }

    /// The first of them that it is this peer's turn to score.
    fn due_epoch(&self, known: &Known) -> Option<u64> {
        let is_due = |epoch: u64, since: Time| {
            let turn = || turn_to_score(known, epoch).saturating_mul(known.config().score_ms);
            !self.unscored.contains(&epoch)
                && !is_being_scored(known, epoch, since)
                && known.now().since(since) >= turn()
        };
        let mut epochs = self.scorable.iter().map(|(&epoch, &since)| (epoch, since));
        epochs.find(|&(epoch, since)| is_due(epoch, since)).map(|(epoch, _)| epoch)
    }

    /// The number of epochs that could be scored and nobody does.
    fn waiting(&self, known: &Known) -> usize {
        let mine = self.evaluating.filter(|_| self.under_way.is_some());
        let is_left = |epoch, since| mine != Some(epoch) && !is_being_scored(known, epoch, since);
        self.scorable.iter().filter(|(epoch, since)| is_left(**epoch, **since)).count()
    }

    /// The scorer has answered; without samples when it could not do it.
    pub(crate) fn scored(&mut self, score: Score, known: &Known, out: &mut Outbox) {
        for hash in self.under_way.take().into_iter().flatten() {
            out.release(hash);
        }
        self.evaluating = None;
        if score.samples == 0 {
            // Where a checkpoint was lost, it can be scored once that is here again.
            if known.held_at(known.plan().epoch_end(score.epoch)).is_some() {
                self.unscored.insert(score.epoch);
            }
            return;
        }
        out.fact(Fact::Scored(score));
        out.say(Message::Score(score));
    }

    /// The store lost a blob: the scorer cannot read it, and what checkpoints of these steps it was can
    /// be scored once they are here again.
    pub(crate) fn lost(&mut self, hash: Hash, steps: &[u64], known: &Known, out: &mut Outbox) {
        if let Some(read) = &mut self.under_way {
            let before = read.len();
            read.retain(|it| *it != hash);
            (read.len()..before).for_each(|_| out.release(hash));
        }
        self.unscored.retain(|epoch| !steps.contains(&known.plan().epoch_end(*epoch)));
    }

    pub(crate) fn view(&self, known: &Known) -> ScoringView {
        let (evaluating, waiting) = (self.evaluating, self.waiting(known));
        ScoringView { evaluating, under_way: self.under_way.is_some(), waiting }
    }
}

/// Whether another peer scores `epoch`, which could be scored since then. After the last epoch
/// there is nothing else to do, and a score that does not come would keep the user waiting.
fn is_being_scored(known: &Known, epoch: u64, since: Time) -> bool {
    let patience = known.config().score_ms.saturating_mul(SCORING_PATIENCE);
    epoch != known.plan().epochs()
        && known.now().since(since) < patience
        && known.members().workers().any(|(_, member)| member.evaluating == epoch)
}
