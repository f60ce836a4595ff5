//! Tests of what is kept and forgotten.

use super::*;
use crate::testing::{
    A, B, C, Scene, by_chapter, chain, change, checkpoint, heartbeat, merged, score, shard_lease,
    with_feedback,
};
use crate::{Checkpoint, Config, Heartbeat, Plan};

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
fn in_merged_runs_a_worker_keeps_the_newest_that_it_has_of_each_shard() {
    let (plan, both) = (chain(2, 100, 10), vec![(0, 10), (0, 20), (1, 10)]);
    for (role, plan, expected) in [
        (Role::Worker, by_chapter(plan.clone()), both.clone()),
        (Role::Worker, merged(plan.clone(), 2), vec![(0, 10)]),
        (Role::Observer, merged(plan.clone(), 2), both.clone()),
    ] {
        let mut scene = Scene::with(role, plan, Config::default());
        scene.hold(both.iter().map(|it| checkpoint(it.0, it.1)));
        for peer in [A, B, C] {
            let held = vec![checkpoint(0, 40), checkpoint(1, 40)];
            scene.meet(peer, Heartbeat { held, ..heartbeat() });
        }
        scene.drain();
        assert_eq!(forgettable(&mut scene), expected, "{role:?}");
    }
}

#[test]
fn the_newest_that_is_kept_is_the_one_that_is_here_now() {
    let mut scene = held_by_all(merged(chain(1, 100, 10), 2), &[], &[(0, 10), (0, 40)]);
    assert_eq!(forgettable(&mut scene), [(0, 10)]);
    scene.hold([checkpoint(0, 20)]);
    assert_eq!(forgettable(&mut scene), [(0, 10), (0, 20)]);
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
    scene.meet(C, heartbeat());
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

/// The changes that this peer need not hold any more.
fn settled(scene: &mut Scene) -> Vec<(u64, Option<u16>)> {
    scene.look();
    settle(&scene.known, &mut scene.out);
    let of = |fact| {
        if let Fact::Settled(change) = fact { Some((change.chapter, change.branch)) } else { None }
    };
    scene.facts().into_iter().filter_map(of).collect()
}

/// This peer holds the changes of the first branches of these chapters and their means.
fn with_changes(scene: &mut Scene, chapters: std::ops::Range<u64>) {
    let all = chapters.flat_map(|it| [None, Some(0)].map(|branch| change(it, 0, branch)));
    scene.make_changes(all);
}

#[test]
fn a_change_is_kept_until_enough_peers_hold_what_was_made_of_it_and_a_mean_for_some_chapters_more()
{
    let plan = || merged(chain(1, 60, 10), 2);
    for (held, expected) in [
        (vec![], vec![]),
        (vec![(0, 10)], vec![(0, Some(0))]),
        (vec![(0, 10), (0, 20)], vec![(0, Some(0)), (1, Some(0))]),
        (vec![(0, 20)], vec![(0, Some(0)), (1, Some(0))]),
        (vec![(0, 30)], vec![(0, None), (0, Some(0)), (1, Some(0)), (2, Some(0))]),
    ] {
        let mut scene = held_by_all(plan(), &[], &held);
        with_changes(&mut scene, 0..3);
        assert_eq!(settled(&mut scene), expected, "{held:?}");
    }
    let mut scene = held_by_all(plan(), &[], &[]);
    scene.hold([checkpoint(0, 10)]);
    scene.learn(A, [checkpoint(0, 10)]);
    with_changes(&mut scene, 0..1);
    assert_eq!(settled(&mut scene), [], "B does not hold it");
    scene.learn(B, [checkpoint(0, 10)]);
    assert_eq!(settled(&mut scene), [(0, Some(0))]);
}

#[test]
fn changes_are_kept_where_what_was_made_of_them_is_to_be_made_again() {
    let mut scene = held_by_all(merged(chain(2, 60, 10), 2), &[], &[(0, 10), (0, 40)]);
    with_changes(&mut scene, 0..1);
    scene.known.unreadable(ShardId(0), 10, &mut scene.out);
    assert_eq!(settled(&mut scene), []);
    let mut scene = held_by_all(merged(chain(2, 60, 10), 2), &[], &[(0, 10), (0, 40)]);
    with_changes(&mut scene, 0..1);
    assert_eq!(settled(&mut scene), [(0, None), (0, Some(0))]);
}

#[test]
fn the_last_mean_stays_for_those_who_come_late() {
    let held = [(0, 10), (0, 20)];
    let mut scene = held_by_all(merged(chain(1, 20, 10), 2), &[], &held);
    with_changes(&mut scene, 0..2);
    assert_eq!(settled(&mut scene), [(0, None), (0, Some(0)), (1, Some(0))]);
}

#[test]
fn changes_that_only_others_hold_are_theirs_to_settle() {
    let mut scene = held_by_all(merged(chain(1, 40, 10), 2), &[], &[(0, 10), (0, 20)]);
    scene.learn_changes(A, [change(1, 0, None), change(1, 0, Some(0))]);
    assert_eq!(settled(&mut scene), []);
}
