//! Completion: noticing that the whole model is here, and telling the user.
//!
//! Rule: a run is complete for a peer when it holds every shard's last checkpoint, and told when the
//! last epoch is scored. If some of it is lost, it is not complete any more, and is told again.

use crate::known::Known;
use crate::outbox::{Fact, Outbox};
use crate::{Notice, Role, Time};

/// The duty to notice completion.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    /// The completion that was told, by when it was.
    told: Option<Time>,
}

impl Completion {
    pub(crate) fn settle(&mut self, known: &Known, out: &mut Outbox) {
        let (plan, complete) = (known.plan(), known.own().complete);
        if complete.is_none() {
            self.told = None;
        }
        if self.told.is_some() {
            return;
        }
        let Some(model) = known.held_at(plan.steps) else { return };
        if complete.is_none() {
            out.fact(Fact::Complete);
            out.heartbeat(Vec::new());
        }
        if known.scores().contains_key(&plan.epochs()) || known.role() == Role::Observer {
            self.told = Some(complete.unwrap_or_else(|| known.now()));
            out.notify(Notice::Complete(model));
        }
    }

    /// Whether the user was told.
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Effect;
    use crate::testing::{A, Scene, chain, checkpoint, score, with_feedback};
    use crate::{Checkpoint, Config, Output, Plan};

    /// The notices about the model that are sent now; the facts are taken in.
    fn told(scene: &mut Scene, completion: &mut Completion) -> Option<Vec<Checkpoint>> {
        completion.settle(&scene.known, &mut scene.out);
        let mut model = None;
        while let Some(effect) = scene.out.next() {
            match effect {
                Effect::Fact(Fact::Complete) => scene.known.complete(),
                Effect::Output(Output::Notify(Notice::Complete(it))) => model = Some(it),
                Effect::Output(_) | Effect::Fact(_) | Effect::Heartbeat(_) => {}
            }
        }
        model
    }

    fn plan() -> Plan {
        Plan { epoch_steps: 10, ..chain(2, 20, 10) }
    }

    #[test]
    fn the_model_is_told_when_all_of_it_is_here_and_the_last_epoch_is_scored() {
        let (mut scene, mut completion) = (Scene::new(plan()), Completion::default());
        let model = [checkpoint(0, 20), checkpoint(1, 20)];
        scene.hold([model[0]]);
        scene.learn(A, [model[1]]);
        assert_eq!(told(&mut scene, &mut completion), None);
        assert_eq!(scene.known.own().complete, None, "A has the rest");
        scene.hold([model[1]]);
        assert_eq!(told(&mut scene, &mut completion), None);
        assert_eq!(scene.known.own().complete, Some(scene.known.now()));
        scene.known.learn_score(score(1), &mut scene.out);
        assert_eq!(told(&mut scene, &mut completion), None);
        scene.known.learn_score(score(2), &mut scene.out);
        assert!(!completion.is_told());
        assert_eq!(told(&mut scene, &mut completion), Some(model.to_vec()));
        assert!(completion.is_told());
        assert_eq!(told(&mut scene, &mut completion), None, "once");
    }

    #[test]
    fn others_hear_at_once_that_this_peer_holds_the_model() {
        let mut scene = Scene::new(plan());
        scene.hold([checkpoint(0, 20), checkpoint(1, 20)]);
        scene.drain();
        Completion::default().settle(&scene.known, &mut scene.out);
        assert!(matches!(scene.out.next(), Some(Effect::Fact(Fact::Complete))));
        assert!(matches!(scene.out.next(), Some(Effect::Heartbeat(first)) if first.is_empty()));
        assert!(scene.out.next().is_none());
    }

    #[test]
    fn a_peer_that_only_exports_does_not_wait_for_scores() {
        let mut scene = Scene::with(Role::Observer, plan(), Config::default());
        scene.hold([checkpoint(0, 20), checkpoint(1, 20)]);
        assert!(told(&mut scene, &mut Completion::default()).is_some());
    }

    #[test]
    fn the_feedback_shard_is_no_part_of_the_model() {
        let mut scene =
            Scene::with(Role::Observer, with_feedback(chain(3, 20, 10)), Config::default());
        scene.hold([checkpoint(0, 20), checkpoint(1, 20)]);
        let model = told(&mut scene, &mut Completion::default());
        assert_eq!(model.map(|it| it.len()), Some(2));
    }

    #[test]
    fn a_model_of_which_some_is_lost_is_told_again_when_it_is_whole() {
        let mut scene = Scene::with(Role::Observer, plan(), Config::default());
        let mut completion = Completion::default();
        scene.hold([checkpoint(0, 20), checkpoint(1, 20)]);
        assert!(told(&mut scene, &mut completion).is_some());
        scene.known.lost(checkpoint(1, 20).blob.hash, &mut scene.out);
        assert_eq!(told(&mut scene, &mut completion), None);
        assert!(!completion.is_told());
        scene.wait(7);
        scene.hold([checkpoint(1, 20)]);
        assert!(told(&mut scene, &mut completion).is_some());
        assert_eq!(scene.known.own().complete, Some(scene.known.now()));
    }
}
