//! Leaving: when a peer may stop.
//!
//! Rule: a peer stops by itself only when nothing is lost by it: its shards have new owners, its
//! readers have their batches, and every checkpoint it holds has another holder; or when it waited
//! long enough.

use crate::Role;
use crate::known::Known;

/// Whether a peer that was asked to go, or that has told the whole model, may stop now.
pub(crate) fn may_stop(known: &Known, is_told: bool) -> bool {
    let own = known.own();
    let lingered = |since| known.now().since(since) >= known.config().linger_ms;
    match (own.leaving, own.complete) {
        (Some(since), _) => lingered(since) || may_leave(known),
        (None, Some(since)) if known.config().exit_when_done && is_told => {
            lingered(since) || nobody_waits(known)
        }
        _ => false,
    }
}

/// Whether all who want the model hold it, or go.
fn nobody_waits(known: &Known) -> bool {
    let mut others = known.members().iter().filter(|(_, member)| member.role != Role::Onlooker);
    others.all(|(_, member)| member.complete || member.leaving)
}

/// Whether leaving now loses nothing that somebody here would miss.
fn may_leave(known: &Known) -> bool {
    if known.members().workers().next().is_none() {
        return true;
    }
    let own = known.own();
    let shards = own.jobs().filter(|job| job.task.shard().is_some());
    let handed_over = shards.count() == 0 && own.jobs.in_trainer.is_empty();
    let drained = own.batches.runs.iter().all(|(shard, runs)| {
        let end = runs.last().map_or(0, |run| run.end);
        known.plan().readers(*shard).into_iter().all(|reader| known.position(reader) >= end)
    });
    let latest = known.plan().shards().filter_map(|shard| known.checkpoints().latest(shard));
    let mut missed = latest.chain(known.tables_at_least(known.first_table()));
    let copied = missed.all(|entry| entry.holders.iter().any(|holder| *holder != known.me()));
    handed_over && drained && copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::own::JobsView;
    use crate::testing::{
        A, B, Scene, chain, checkpoint, heartbeat, job, run_of, shard_lease, with_feedback,
    };
    use crate::{Config, Heartbeat, Plan, ShardId};

    const LINGER_MS: u64 = 15_000;

    /// ME is asked to go, and A is here.
    fn leaves(plan: Plan) -> Scene {
        let mut scene = Scene::with(Role::Worker, plan, config());
        scene.meet_all(&[A]);
        scene.known.leave();
        scene
    }

    fn config() -> Config {
        Config { linger_ms: LINGER_MS, exit_when_done: true, ..Config::default() }
    }

    #[test]
    fn a_peer_that_was_not_asked_to_go_stays() {
        let mut scene = Scene::new(chain(2, 20, 10));
        assert!(!may_stop(&scene.known, false) && !may_stop(&scene.known, true));
        scene.known.complete();
        scene.wait(2 * LINGER_MS);
        assert!(!may_stop(&scene.known, true), "it does not stop by itself");
    }

    #[test]
    fn a_peer_alone_goes_at_once() {
        let mut scene = Scene::with(Role::Worker, chain(2, 20, 10), config());
        scene.work([job(0, 3)]);
        scene.hold([checkpoint(0, 10)]);
        scene.known.leave();
        assert!(may_stop(&scene.known, false));
        scene.meet(A, Heartbeat { role: Role::Observer, ..heartbeat() });
        assert!(may_stop(&scene.known, false), "A could take nothing over");
    }

    #[test]
    fn shards_are_handed_over_first_and_for_no_longer_than_it_lingers() {
        let mut scene = leaves(chain(2, 20, 10));
        scene.work([job(0, 3)]);
        assert!(!may_stop(&scene.known, false));
        scene.wait(LINGER_MS - 1);
        assert!(!may_stop(&scene.known, false));
        scene.wait(1);
        assert!(may_stop(&scene.known, false));
        let mut scene = leaves(chain(2, 20, 10));
        scene.work([]);
        assert!(may_stop(&scene.known, false));
    }

    #[test]
    fn what_the_trainer_has_is_waited_for() {
        let mut scene = leaves(chain(2, 20, 10));
        let in_trainer = [(1, 3)].into_iter().collect();
        scene.known.publish_jobs(JobsView { in_trainer, ..JobsView::default() });
        assert!(!may_stop(&scene.known, false));
    }

    #[test]
    fn all_readers_have_their_batches_first() {
        let mut scene = leaves(Plan::example(&[1, 2], 20, 10));
        scene.lease(&[shard_lease(1, 1, A, 0), shard_lease(2, 1, A, 0)]);
        scene.keep(&[run_of(0, 0, 2), run_of(0, 3, 6)]);
        let a_is_at = |scene: &mut Scene, done: [u64; 2]| {
            let progress = [1, 2].map(ShardId).into_iter().zip(done).collect();
            scene.hear(A, Heartbeat { progress, ..heartbeat() });
            may_stop(&scene.known, false)
        };
        assert!(!a_is_at(&mut scene, [6, 5]) && !a_is_at(&mut scene, [5, 6]));
        assert!(a_is_at(&mut scene, [6, 6]));
    }

    #[test]
    fn the_furthest_checkpoints_and_the_tables_have_another_holder_first() {
        let mut scene = leaves(with_feedback(chain(3, 100, 10)));
        scene.hold([checkpoint(0, 10), checkpoint(0, 20), checkpoint(2, 10), checkpoint(2, 20)]);
        assert!(!may_stop(&scene.known, false));
        scene.learn(A, [checkpoint(0, 20), checkpoint(2, 20)]);
        assert!(!may_stop(&scene.known, false), "only it has the table after 10 steps");
        scene.known.set_first_table(20);
        assert!(may_stop(&scene.known, false), "nobody needs that table any more");
        scene.hold([checkpoint(1, 10)]);
        assert!(!may_stop(&scene.known, false));
    }

    /// ME holds the model and has told it; A is here in this role.
    fn done(role: Role) -> Scene {
        let mut scene = Scene::with(Role::Worker, chain(2, 20, 10), config());
        scene.meet(A, Heartbeat { role, ..heartbeat() });
        scene.known.complete();
        scene
    }

    #[test]
    fn a_peer_that_is_done_waits_for_all_who_want_the_model_but_not_for_ever() {
        let mut scene = done(Role::Worker);
        assert!(!may_stop(&scene.known, true));
        scene.wait(LINGER_MS);
        assert!(!may_stop(&scene.known, false), "the user was not told");
        assert!(may_stop(&scene.known, true));
        assert!(!may_stop(&done(Role::Observer).known, true));
        assert!(may_stop(&done(Role::Onlooker).known, true), "it only looks");
    }

    #[test]
    fn nobody_waits_for_a_peer_that_has_the_model_or_goes() {
        for (complete, leaving) in [(true, false), (false, true)] {
            let mut scene = done(Role::Worker);
            scene.hear(A, Heartbeat { complete, leaving, ..heartbeat() });
            assert!(may_stop(&scene.known, true));
            scene.meet_all(&[B]);
            assert!(!may_stop(&scene.known, true), "B has nothing");
        }
    }
}
