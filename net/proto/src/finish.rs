//! Scores, completion, and leaving.
//!
//! Rule: each epoch is scored by one peer, the one with least to do, and by the next in order if it
//! does not say that it does. A peer stops by itself only when nothing is lost by it: its shards have new
//! owners, its readers have their batches, and every checkpoint it holds has another holder; or
//! when it waited long enough.

use std::cmp::Reverse;
use std::ops::Range;

use crate::{
    Hash, Message, NodeId, Notice, Output, Role, Score, ShardId, Time, assign::time, keep::rank,
    state::State,
};

/// Whoever says that it scores an epoch is believed for so many times `score_ms`.
const SCORING_PATIENCE: u64 = 10;

/// Epochs that may wait for their scores before one that is being scored is hurried.
const MAX_WAITING: usize = 2;

/// A place in the order of those that could score an epoch; the smallest comes first.
type Place = (u8, bool, u64, Reverse<u64>, Hash);

impl State {
    /// Has the next epoch scored, when it is this peer's turn.
    pub(crate) fn evaluate(&mut self, now: Time) {
        if self.role != Role::Worker || self.leaving.is_some() {
            return;
        }
        self.note_scorable(now);
        if self.scoring.is_some() {
            if !self.is_hurried && self.waiting_for_scores() > MAX_WAITING {
                self.is_hurried = true;
                self.push(Output::HurryScore);
            }
            return;
        }
        if self.evaluating.is_none() {
            self.evaluating = self.due_epoch(now);
        }
        let Some(epoch) = self.evaluating else { return };
        if self.scores.contains_key(&epoch) {
            self.evaluating = None;
            return;
        }
        let end = self.plan.epoch_end(epoch);
        if let Some(held) = self.held_at(end) {
            let checkpoints: Vec<Hash> = held.iter().map(|held| held.blob.hash).collect();
            for hash in &checkpoints {
                self.blobs.hold(*hash);
            }
            self.scoring = Some(checkpoints.clone());
            self.is_hurried = false;
            self.push(Output::Evaluate { epoch, checkpoints });
        } else if self.plan.model_shards().any(|shard| self.archive.at(shard, end).is_none()) {
            self.evaluating = None;
        }
    }

    /// Finds the epochs without a score whose checkpoints all exist.
    fn note_scorable(&mut self, now: Time) {
        let Self { scores, scorable, archive, plan, .. } = self;
        let exist = |epoch: u64| {
            let end = plan.epoch_end(epoch);
            plan.model_shards().all(|shard| archive.at(shard, end).is_some())
        };
        scorable.retain(|epoch, _| !scores.contains_key(epoch) && exist(*epoch));
        // This is asked all the time, and most epochs of a long run are still to come.
        let latest = |shard| archive.latest(shard).map_or(0, |fact| fact.checkpoint.step);
        let furthest = plan.model_shards().map(latest).min().unwrap_or(0);
        let ended = (1..=plan.epochs()).take_while(|epoch| plan.epoch_end(*epoch) <= furthest);
        for epoch in ended.filter(|epoch| !scores.contains_key(epoch) && exist(*epoch)) {
            scorable.entry(epoch).or_insert(now);
        }
    }

    /// The first of them whose turn is ours.
    fn due_epoch(&self, now: Time) -> Option<u64> {
        let is_due = |epoch: u64, since: Time| {
            let turn = || self.turn_to_score(epoch).saturating_mul(self.config.score_ms);
            !self.unscored.contains(&epoch)
                && !self.is_being_scored(epoch, since)
                && now.since(since) >= turn()
        };
        let mut epochs = self.scorable.iter().map(|(&epoch, &since)| (epoch, since));
        epochs.find(|&(epoch, since)| is_due(epoch, since)).map(|(epoch, _)| epoch)
    }

    /// Whether another peer scores `epoch`, which could be scored since then. After the last epoch
    /// there is nothing else to do, and a score that does not come would keep people waiting.
    fn is_being_scored(&self, epoch: u64, since: Time) -> bool {
        let patience = self.config.score_ms.saturating_mul(SCORING_PATIENCE);
        epoch != self.plan.epochs()
            && self.now.since(since) < patience
            && self.members.workers().any(|(_, member)| member.evaluating == epoch)
    }

    /// How many epochs could be scored and nobody does.
    pub(crate) fn waiting_for_scores(&self) -> usize {
        let mine = self.evaluating.filter(|_| self.scoring.is_some());
        let is_left = |epoch, since| mine != Some(epoch) && !self.is_being_scored(epoch, since);
        self.scorable.iter().filter(|(epoch, since)| is_left(**epoch, **since)).count()
    }

    /// How many workers shall score `epoch` before this peer.
    fn turn_to_score(&self, epoch: u64) -> u64 {
        let place = self.places_to_score(epoch);
        let mine = place(self.me, self.speed, 0);
        let others = self.members.workers().map(|(id, it)| place(id, it.speed, it.evaluating));
        others.filter(|other| *other < mine).count() as u64
    }

    /// Who shall score the epoch that ends at `step` and has no score yet, as things stand.
    pub(crate) fn scorer_at(&self, step: u64) -> Option<NodeId> {
        let epoch = self.plan.epochs_ending(step).find(|epoch| !self.scores.contains_key(epoch))?;
        let place = self.places_to_score(epoch);
        let mine = (place(self.me, self.speed, self.evaluating.unwrap_or(0)), self.me);
        let others = self.members.workers();
        let others = others.map(|(id, it)| (place(id, it.speed, it.evaluating), id));
        others.chain([mine]).min().map(|(_, id)| id)
    }

    /// The place of a peer of some speed, which scores an epoch (0: none) now, among those that could
    /// score `epoch`. Whoever scores another one comes last. Who has made all of it need fetch nothing;
    /// then those with less to do, because the others wait for whoever has most. After the last epoch,
    /// for which nobody trains, the faster ones.
    fn places_to_score(&self, epoch: u64) -> impl Fn(NodeId, u64, u64) -> Place {
        let is_last = epoch == self.plan.epochs();
        let open = self.open_chapters();
        let chapter = self.plan.chapter_of(self.plan.epoch_end(epoch).saturating_sub(1));
        let maker = self.turns.owner(chapter);
        move |id, speed, scores| {
            let readiness = match scores {
                at if at == epoch => 0,
                0 => 1,
                _ => 2,
            };
            let busy = if is_last { 0 } else { time(self.work_of(id, &open), speed) };
            (readiness, maker != Some(id), busy, Reverse(speed), rank(ShardId(epoch as u16), id))
        }
    }

    /// What a peer has to train in a step of all shards; where peers own chapters, whether it has one
    /// of the `open` ones.
    pub(crate) fn work_of(&self, id: NodeId, open: &Range<u64>) -> u64 {
        if self.plan.is_by_chapter() {
            return u64::from(self.has_turn(id, open));
        }
        let shards = self.leases.iter().filter(|lease| lease.owner == id);
        shards.map(|lease| self.plan.cost(lease.shard)).sum()
    }

    pub(crate) fn on_evaluated(&mut self, score: Score) {
        for hash in self.scoring.take().into_iter().flatten() {
            self.release(hash);
        }
        self.evaluating = None;
        if score.samples == 0 {
            // Where a checkpoint was lost, it can be scored once that is here again.
            if self.held_at(self.plan.epoch_end(score.epoch)).is_some() {
                self.unscored.insert(score.epoch);
            }
            return;
        }
        self.learn_score(score);
        self.say(Message::Score(score));
    }

    pub(crate) fn learn_score(&mut self, score: Score) {
        let in_plan = (1..=self.plan.epochs()).contains(&score.epoch);
        let right = score.softmax_correct.max(score.other_correct);
        let possible = in_plan && score.samples > 0 && right <= score.samples;
        if possible && !self.scores.contains_key(&score.epoch) {
            self.scores.insert(score.epoch, score);
            self.scorable.remove(&score.epoch);
            self.notify(Notice::Score(score));
        }
    }

    /// A checkpoint of the model, or of an epoch to score, has its hash and cannot be used.
    pub(crate) fn on_unusable(&mut self, shard: ShardId, step: u64) {
        self.distrust(shard, step);
        self.lacks_model(step);
    }

    /// A checkpoint after `step` steps is not here any more: without those after the last step the
    /// run is not complete.
    pub(crate) fn lacks_model(&mut self, step: u64) {
        if step == self.plan.steps {
            self.complete = None;
            self.is_told = false;
        }
    }

    /// Notices completion, and stops when that is asked for and harms nobody.
    pub(crate) fn finish(&mut self, now: Time) {
        if self.complete.is_none() && self.held_at(self.plan.steps).is_some() {
            self.complete = Some(now);
            let beat = self.beat_now();
            self.say(beat);
        }
        let scored = self.scores.contains_key(&self.plan.epochs()) || self.role == Role::Observer;
        if self.complete.is_some()
            && scored
            && !self.is_told
            && let Some(model) = self.held_at(self.plan.steps)
        {
            self.is_told = true;
            self.notify(Notice::Complete(model));
        }
        let lingered = |since: Time| now.since(since) >= self.config.linger_ms;
        let done = match (self.leaving, self.complete) {
            (Some(since), _) => lingered(since) || self.may_leave(),
            (None, Some(since)) if self.config.exit_when_done && self.is_told => {
                lingered(since) || self.nobody_waits()
            }
            _ => false,
        };
        if done {
            self.is_finished = true;
            self.say(Message::Goodbye);
            self.push(Output::Finished);
        }
    }

    /// Whether all who want the model hold it, or go.
    fn nobody_waits(&self) -> bool {
        let mut others = self.members.iter().filter(|(_, member)| member.role != Role::Onlooker);
        others.all(|(_, member)| member.complete || member.leaving)
    }

    /// Whether leaving now loses nothing that somebody here would miss.
    fn may_leave(&self) -> bool {
        if self.members.workers().next().is_none() {
            return true;
        }
        let handed_over = self.owned.is_empty() && self.training.is_empty();
        let drained = self.retained.iter().all(|(shard, batches)| {
            let end = batches.last_key_value().map_or(0, |(step, _)| step + 1);
            self.plan.readers(*shard).into_iter().all(|reader| self.position(reader) >= end)
        });
        let latest = self.plan.shards().filter_map(|shard| self.archive.latest(shard));
        let mut missed = latest.chain(self.tables_at_least(self.tables_from));
        let copied = missed.all(|fact| fact.holders.iter().any(|h| *h != self.me));
        handed_over && drained && copied
    }
}
