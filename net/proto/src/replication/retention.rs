//! Which checkpoints and activation batches are still needed.
//!
//! Rule: a checkpoint is forgotten only when no shard above could need it, an activation batch only
//! when a checkpoint of every reader beyond it is held by enough peers, a table only when no lowest
//! shard could need it, wherever that were taken up.

use std::collections::BTreeSet;

use crate::ShardId;
use crate::known::Known;
use crate::outbox::{Fact, Outbox};

/// Epochs without a score whose checkpoints are kept for scoring: short epochs are several
/// between the lowest shard and the highest.
const MAX_UNSCORED: usize = 8;

/// Forgets the checkpoints that nobody can need any more.
pub(crate) fn settle(known: &Known, out: &mut Outbox) {
    let copies = known.wanted_holders();
    let floors = floors(known, &needed_steps(known, copies), copies);
    if let Some(feedback) = known.plan().feedback_shard() {
        out.fact(Fact::FirstTable(floors[usize::from(feedback.0)]));
    }
    for (shard, step) in stale_checkpoints(known, &floors) {
        out.fact(Fact::Forgettable(shard, step));
    }
}

/// For each shard, the step before which nothing that concerns it is needed: it has gone beyond
/// it, enough peers hold a checkpoint at or beyond it, and its batches until there were handed
/// on. A shard that went back lowers it.
pub(crate) fn needed_steps(known: &Known, copies: usize) -> Vec<u64> {
    let needed = |shard: ShardId| {
        if known.plan().feedback_shard() == Some(shard) {
            return needed_tables(known, shard, copies);
        }
        let stable = known.checkpoints().stable(shard, copies);
        stable.min(known.need(shard)).min(known.start(shard))
    };
    known.plan().shards().map(needed).collect()
}

/// The step of the feedback shard before which no batches are needed: it has gone beyond it, and
/// enough peers hold all its tables until then that will be read.
fn needed_tables(known: &Known, feedback: ShardId, copies: usize) -> u64 {
    let is_stable = |step: &u64| known.table(*step).is_some_and(|it| it.holders.len() >= copies);
    match known.tables_needed().find(|step| !is_stable(step)) {
        None => known.plan().steps,
        Some(step) => step
            .saturating_sub(known.plan().chapter_steps)
            .min(known.start(feedback))
            .min(known.need(feedback)),
    }
}

/// For each shard, the checkpoint that it could be taken up from, whoever is lost, so one with all
/// its holders; for the feedback shard, the first that a lowest shard could then read, if that is
/// lower.
fn floors(known: &Known, needed: &[u64], copies: usize) -> Vec<u64> {
    let plan = known.plan();
    let mut floor = vec![0; plan.shard_count()];
    for shard in plan.shards().rev() {
        let above = plan.readers(shard).into_iter().map(|r| floor[usize::from(r.0)]).min();
        let limit = above.unwrap_or(u64::MAX).min(needed[usize::from(shard.0)]);
        let is_over = plan.feedback_shard() == Some(shard) && limit == plan.steps;
        let stable = || known.checkpoints().stable_until(shard, copies, limit);
        floor[usize::from(shard.0)] = if is_over { limit } else { stable() };
    }
    if let Some(feedback) = plan.feedback_shard() {
        let lowest = plan.shards_of(0).into_iter().map(|shard| floor[usize::from(shard.0)]);
        let first = lowest.min().and_then(|step| plan.tables_from(step).next());
        let own = floor[usize::from(feedback.0)];
        floor[usize::from(feedback.0)] = first.map_or(own, |first| first.min(own));
    }
    floor
}

/// This peer's checkpoints below these floors, those aside that an epoch will be scored with.
fn stale_checkpoints(known: &Known, floor: &[u64]) -> Vec<(ShardId, u64)> {
    let (plan, me) = (known.plan(), known.me());
    // News of a checkpoint may come after that of the steps behind it.
    let comes = |shard, step: u64| {
        let done = known.need(shard);
        done < plan.steps && done <= step.saturating_add(known.config().window)
    };
    let can_be_scored = |step: &u64| {
        let mut shards = plan.model_shards();
        shards.all(|shard| known.checkpoints().at(shard, *step).is_some() || comes(shard, *step))
    };
    let is_unscored =
        |step: &u64| plan.epochs_ending(*step).any(|epoch| !known.scores().contains_key(&epoch));
    let steps: BTreeSet<u64> = known.checkpoints().held_by(me).map(|c| c.step).collect();
    let unscored = steps.into_iter().filter(is_unscored).filter(can_be_scored);
    let pinned: Vec<u64> = unscored.take(MAX_UNSCORED).collect();
    let held = known.checkpoints().held_by(me).map(|it| (it.shard, it.step));
    let is_stale = |(shard, step): &(ShardId, u64)| {
        let is_table = plan.feedback_shard() == Some(*shard);
        *step < floor[usize::from(shard.0)] && (is_table || !pinned.contains(step))
    };
    held.filter(is_stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        A, B, Scene, by_chapter, chain, checkpoint, heartbeat, score, shard_lease, with_feedback,
    };
    use crate::{Checkpoint, Heartbeat, Plan};

    /// A and B are here, and hold these as this peer does; A owns all shards and has done so much.
    fn held_by_all(plan: Plan, done: &[u64], cells: &[(u16, u64)]) -> Scene {
        let mut scene = Scene::new(plan);
        let held: Vec<Checkpoint> = cells.iter().map(|it| checkpoint(it.0, it.1)).collect();
        let leases = (0..).zip(done).map(|(shard, _)| shard_lease(shard, 1, A, 0)).collect();
        let progress = (0..).map(ShardId).zip(done.iter().copied()).collect();
        scene.meet(A, Heartbeat { leases, progress, held: held.clone(), ..heartbeat() });
        scene.meet(B, Heartbeat { held: held.clone(), ..heartbeat() });
        scene.hold(held);
        scene.drain();
        scene
    }

    /// The checkpoints that can be forgotten now.
    fn forgettable(scene: &mut Scene) -> Vec<(u16, u64)> {
        scene.look();
        settle(&scene.known, &mut scene.out);
        let cell = |fact: Fact| {
            if let Fact::Forgettable(shard, step) = fact { Some((shard.0, step)) } else { None }
        };
        scene.facts().into_iter().filter_map(cell).collect()
    }

    #[test]
    fn what_a_shard_falls_back_to_has_all_its_holders() {
        let plan = by_chapter(chain(2, 100, 10));
        let mut scene = held_by_all(plan, &[], &[(0, 10), (0, 30), (1, 20)]);
        scene.learn(A, [checkpoint(0, 20)]);
        scene.learn(B, [checkpoint(0, 20)]);
        assert_eq!(forgettable(&mut scene), [], "only two peers hold the one after it");
        scene.hold([checkpoint(0, 20)]);
        assert_eq!(forgettable(&mut scene), [(0, 10)]);
    }

    #[test]
    fn a_shard_keeps_what_the_one_above_it_could_go_back_to() {
        let cells = [(0, 10), (0, 20), (0, 30), (1, 10)];
        let mut scene = held_by_all(chain(2, 100, 10), &[35, 25], &cells);
        scene.learn(A, [checkpoint(1, 20)]);
        assert_eq!(forgettable(&mut scene), []);
        scene.learn(B, [checkpoint(1, 20)]);
        scene.hold([checkpoint(1, 20)]);
        assert_eq!(forgettable(&mut scene), [(0, 10), (1, 10)]);
    }

    #[test]
    fn what_a_peer_that_is_gone_held_counts_no_more() {
        let mut scene = held_by_all(chain(1, 100, 10), &[25], &[(0, 10), (0, 20)]);
        assert_eq!(forgettable(&mut scene), [(0, 10)]);
        scene.known.depart(B);
        scene.known.forget_peer(B);
        scene.meet(crate::testing::C, heartbeat());
        assert_eq!(forgettable(&mut scene), [], "there are three peers and two holders");
    }

    /// All peers hold a checkpoint of the one shard after each of so many epochs of one chapter.
    fn epochs(count: u64) -> Scene {
        let plan = Plan { epoch_steps: 10, ..chain(1, 200, 10) };
        let cells: Vec<_> = (1..=count).map(|epoch| (0, 10 * epoch)).collect();
        held_by_all(plan, &[10 * count], &cells)
    }

    #[test]
    fn what_an_epoch_will_be_scored_with_is_kept() {
        let mut scene = epochs(3);
        assert_eq!(forgettable(&mut scene), []);
        scene.known.learn_score(score(1), &mut scene.out);
        assert_eq!(forgettable(&mut scene), [(0, 10)]);
    }

    #[test]
    fn of_many_epochs_that_wait_for_their_scores_the_first_are_kept() {
        let mut scene = epochs(12);
        assert_eq!(forgettable(&mut scene), [90, 100, 110].map(|step| (0, step)));
    }

    #[test]
    fn an_epoch_that_cannot_be_scored_any_more_keeps_nothing() {
        let plan = Plan { epoch_steps: 10, ..chain(2, 200, 10) };
        let cells = [(0, 10), (0, 60), (1, 60)];
        let mut scene = held_by_all(plan.clone(), &[65, 65], &cells);
        assert_eq!(forgettable(&mut scene), [(0, 10)], "shard 1 is far beyond");
        let mut scene = held_by_all(plan, &[65, 42], &cells);
        assert_eq!(forgettable(&mut scene), [], "news of its checkpoint may come");
    }

    /// All three peers hold each checkpoint of the lowest shard and each table until these steps.
    /// The feedback shard is at the last of them, or has ended.
    fn with_tables(lowest: u64, tables: u64) -> Scene {
        let of = |shard, until: u64| (1..=until / 10).map(move |it| (shard, 10 * it));
        let cells: Vec<_> = of(0, lowest).chain(of(1, lowest)).chain(of(2, tables)).collect();
        let plan = Plan { epoch_steps: 1_000, ..with_feedback(chain(3, 100, 10)) };
        let done = if tables == plan.end(ShardId(2)) { plan.steps } else { tables };
        held_by_all(plan, &[lowest, lowest, done], &cells)
    }

    fn first_table(scene: &mut Scene) -> Option<Fact> {
        scene.look();
        settle(&scene.known, &mut scene.out);
        scene.facts().into_iter().find(|fact| matches!(fact, Fact::FirstTable(_)))
    }

    #[test]
    fn tables_are_kept_from_the_first_that_a_lowest_shard_could_read_again() {
        let mut scene = with_tables(50, 60);
        // Chapter 5 reads the table after 40 steps.
        assert_eq!(first_table(&mut scene), Some(Fact::FirstTable(40)));
        let tables = forgettable(&mut scene).into_iter().filter(|(shard, _)| *shard == 2);
        assert_eq!(tables.collect::<Vec<_>>(), [(2, 10), (2, 20), (2, 30)]);
    }

    #[test]
    fn tables_are_kept_that_are_read_where_all_go_back_for_one_that_is_not_held_by_all() {
        let mut scene = with_tables(50, 30);
        scene.learn(A, [checkpoint(2, 40)]);
        // It would be made again from step 30, where the lowest shard reads the table after 20.
        assert_eq!(first_table(&mut scene), Some(Fact::FirstTable(20)));
        let mut scene = with_tables(50, 40);
        assert_eq!(first_table(&mut scene), Some(Fact::FirstTable(30)));
    }

    #[test]
    fn no_table_is_kept_when_none_will_be_read() {
        let mut scene = with_tables(100, 80);
        let tables = forgettable(&mut scene).into_iter().filter(|(shard, _)| *shard == 2);
        assert_eq!(tables.count(), 8);
    }
}
