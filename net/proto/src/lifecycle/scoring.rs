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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{A, B, SPEED, Scene, chain, checkpoint, heartbeat, score};
    use crate::{Checkpoint, Config, Heartbeat, Plan, Role};

    const SCORE_MS: u64 = 30_000;

    fn plan() -> Plan {
        Plan { epoch_steps: 10, ..chain(2, 100, 10) }
    }

    /// ME is the fastest and A is here; nobody has shards.
    fn scene() -> (Scene, Scoring) {
        let config = Config { score_ms: SCORE_MS, ..Config::default() };
        let mut scene = Scene::with(Role::Worker, plan(), config);
        scene.meet(A, slow());
        scene.drain();
        (scene, Scoring::default())
    }

    fn slow() -> Heartbeat {
        Heartbeat { speed: SPEED / 2, ..heartbeat() }
    }

    /// The checkpoints of the model at the end of an epoch.
    fn model(epoch: u64) -> [Checkpoint; 2] {
        [0, 1].map(|shard| checkpoint(shard, 10 * epoch))
    }

    /// The epoch that the scorer is asked for, when it is looked at.
    fn asked(scene: &mut Scene, scoring: &mut Scoring) -> Option<u64> {
        scoring.settle(&scene.known, &mut scene.out);
        scene.known.publish_scoring(scoring.view(&scene.known));
        scene.outputs().into_iter().find_map(|output| {
            let Output::Evaluate { epoch, checkpoints } = output else { return None };
            assert_eq!(checkpoints, model(epoch).map(|it| it.blob.hash));
            Some(epoch)
        })
    }

    #[test]
    fn an_epoch_is_scored_once_all_of_it_is_here_and_held_until_then() {
        let (mut scene, mut scoring) = scene();
        scene.hold([model(1)[0]]);
        assert_eq!(asked(&mut scene, &mut scoring), None);
        assert_eq!(scoring.view(&scene.known).evaluating, None, "it is not over yet");
        scene.learn(A, [model(1)[1]]);
        assert_eq!(asked(&mut scene, &mut scoring), None);
        assert_eq!(scoring.view(&scene.known).evaluating, Some(1), "it fetches the rest");
        scene.hold([model(1)[1]]);
        assert_eq!(asked(&mut scene, &mut scoring), Some(1));
        assert!(scoring.view(&scene.known).under_way);
        scene.known.lose_own_copy(model(1)[0].shard, 10, &mut scene.out);
        assert!(scene.out.holds(model(1)[0].blob.hash));
        scoring.scored(score(1), &scene.known, &mut scene.out);
        let (outputs, facts) = scene.drain();
        assert_eq!(facts, [Fact::Scored(score(1))]);
        let told = Output::Broadcast(Message::Score(score(1)));
        assert_eq!(outputs, [Output::Drop(model(1)[0].blob.hash), told]);
        assert_eq!(scoring.view(&scene.known).evaluating, None);
    }

    #[test]
    fn a_peer_that_does_not_work_or_leaves_scores_nothing() {
        let mut observer = Scene::with(Role::Observer, plan(), Config::default());
        observer.hold(model(1));
        assert_eq!(asked(&mut observer, &mut Scoring::default()), None);
        let (mut scene, mut scoring) = scene();
        scene.hold(model(1));
        scene.known.leave();
        assert_eq!(asked(&mut scene, &mut scoring), None);
    }

    #[test]
    fn the_next_peer_scores_when_the_one_before_it_does_not_say_that_it_does() {
        let (mut scene, mut scoring) = scene();
        scene.hear(A, Heartbeat { speed: 2 * SPEED, ..heartbeat() });
        scene.hear(B, slow());
        scene.hold([model(1), model(10)].concat());
        scene.known.learn_score(score(10), &mut scene.out);
        scene.known.learn_score(score(2), &mut scene.out);
        assert_eq!(asked(&mut scene, &mut scoring), None, "A is faster");
        scene.wait(SCORE_MS - 1);
        assert_eq!(asked(&mut scene, &mut scoring), None);
        scene.wait(1);
        assert_eq!(asked(&mut scene, &mut scoring), Some(1));
    }

    #[test]
    fn a_peer_that_says_that_it_scores_is_believed_for_a_while_but_not_at_the_end() {
        let (mut scene, mut scoring) = scene();
        scene.hold(model(1));
        scene.hear(A, Heartbeat { evaluating: 1, ..slow() });
        assert_eq!(asked(&mut scene, &mut scoring), None);
        scene.wait(SCORING_PATIENCE * SCORE_MS - 1);
        assert_eq!(asked(&mut scene, &mut scoring), None);
        scene.wait(1);
        assert_eq!(asked(&mut scene, &mut scoring), Some(1));
        let (mut scene, mut scoring) = self::scene();
        scene.hold(model(10));
        scene.hear(A, Heartbeat { evaluating: 10, ..slow() });
        assert_eq!(asked(&mut scene, &mut scoring), None, "it is A's turn");
        scene.wait(SCORE_MS);
        assert_eq!(asked(&mut scene, &mut scoring), Some(10), "the user waits");
    }

    #[test]
    fn a_score_that_somebody_else_found_or_a_checkpoint_that_is_gone_ends_it() {
        let (mut scene, mut scoring) = scene();
        scene.learn(A, model(1));
        assert_eq!(asked(&mut scene, &mut scoring), None);
        scene.known.learn_score(score(1), &mut scene.out);
        assert_eq!(asked(&mut scene, &mut scoring), None);
        assert_eq!(scoring.view(&scene.known).evaluating, None);
        scene.learn(A, model(2));
        asked(&mut scene, &mut scoring);
        assert_eq!(scoring.view(&scene.known).evaluating, Some(2));
        scene.known.forget_peer(A);
        asked(&mut scene, &mut scoring);
        assert_eq!(scoring.view(&scene.known).evaluating, None);
    }

    /// The scorer's answer when it could not do it.
    fn not_done(epoch: u64) -> Score {
        Score { samples: 0, softmax_correct: 0, other_correct: 0, ..score(epoch) }
    }

    #[test]
    fn an_epoch_that_could_not_be_scored_is_not_tried_again() {
        let (mut scene, mut scoring) = scene();
        scene.hold([model(1), model(2)].concat());
        assert_eq!(asked(&mut scene, &mut scoring), Some(1));
        scoring.scored(not_done(1), &scene.known, &mut scene.out);
        assert_eq!(scene.facts(), [], "there is no score");
        assert_eq!(asked(&mut scene, &mut scoring), Some(2), "the others are");
        scoring.scored(score(2), &scene.known, &mut scene.out);
        scene.known.learn_score(score(2), &mut scene.out);
        assert_eq!(asked(&mut scene, &mut scoring), None);
    }

    #[test]
    fn an_epoch_of_which_something_was_lost_is_scored_when_it_is_here_again() {
        let (mut scene, mut scoring) = scene();
        scene.hold(model(1));
        assert_eq!(asked(&mut scene, &mut scoring), Some(1));
        let lost = model(1)[1];
        let steps = scene.known.lost(lost.blob.hash, &mut scene.out);
        scoring.lost(lost.blob.hash, &steps, &scene.known, &mut scene.out);
        assert_eq!(scene.outputs(), [Output::Drop(lost.blob.hash)], "no reason is left");
        scoring.scored(not_done(1), &scene.known, &mut scene.out);
        assert!(scene.out.holds(model(1)[0].blob.hash));
        scene.hold([lost]);
        assert_eq!(asked(&mut scene, &mut scoring), Some(1));
    }

    #[test]
    fn what_could_not_be_scored_and_is_then_lost_is_tried_again() {
        let (mut scene, mut scoring) = scene();
        scene.hold(model(1));
        asked(&mut scene, &mut scoring);
        scoring.scored(not_done(1), &scene.known, &mut scene.out);
        scoring.lost(model(2)[0].blob.hash, &[20], &scene.known, &mut scene.out);
        assert_eq!(asked(&mut scene, &mut scoring), None);
        scoring.lost(model(1)[0].blob.hash, &[10], &scene.known, &mut scene.out);
        assert_eq!(asked(&mut scene, &mut scoring), Some(1));
    }

    #[test]
    fn a_score_is_hurried_once_when_many_epochs_wait() {
        let (mut scene, mut scoring) = scene();
        let hurries = |scene: &mut Scene, scoring: &mut Scoring| {
            scoring.settle(&scene.known, &mut scene.out);
            scene.outputs().contains(&Output::HurryScore)
        };
        scene.hold(model(1));
        assert_eq!(asked(&mut scene, &mut scoring), Some(1));
        scene.hold([model(2), model(3), model(4)].concat());
        scene.hear(A, Heartbeat { evaluating: 2, ..slow() });
        assert!(!hurries(&mut scene, &mut scoring), "A scores the second");
        assert_eq!(scoring.view(&scene.known).waiting, 2);
        scene.hold(model(5));
        assert!(hurries(&mut scene, &mut scoring));
        assert!(!hurries(&mut scene, &mut scoring));
        scoring.scored(score(1), &scene.known, &mut scene.out);
        scene.known.learn_score(score(1), &mut scene.out);
        scene.hear(A, slow());
        assert_eq!(asked(&mut scene, &mut scoring), Some(2));
        assert!(hurries(&mut scene, &mut scoring), "so is the next one");
    }
}
