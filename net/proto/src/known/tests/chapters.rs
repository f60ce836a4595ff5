//! Tests of chapters and branches: which are open, taken, and can be begun.

use super::*;
use crate::testing::*;
use crate::{Heartbeat, Plan, Role};

/// Four chapters of three shards.
fn plan() -> Plan {
    by_chapter(chain(3, 40, 10))
}

/// The one branch of each of these chapters.
fn chapters(chapters: &[u64]) -> Vec<Task> {
    chapters.iter().map(|&chapter| Task::chapter(chapter)).collect()
}

/// A peer that knows the checkpoints of all shards at these steps.
fn at(plan: Plan, steps: &[u64]) -> Scene {
    let mut scene = Scene::new(plan);
    let shards: Vec<u16> = scene.known.plan().shards().map(|shard| shard.0).collect();
    let cells = steps.iter().flat_map(|&at| shards.iter().map(move |&shard| (shard, at)));
    scene.learn(A, cells.map(|(shard, step)| checkpoint(shard, step)));
    scene.look();
    scene
}

#[test]
fn a_chapter_is_open_until_it_is_over_in_every_shard() {
    assert_eq!(at(plan(), &[]).known.open_chapters(), 0..4);
    let mut scene = at(plan(), &[10]);
    scene.learn(A, [checkpoint(0, 20), checkpoint(1, 20)]);
    scene.look();
    assert_eq!(scene.known.open_chapters(), 1..4);
    scene.learn(A, [checkpoint(2, 20)]);
    scene.look();
    assert_eq!(scene.known.open_chapters(), 2..4);
    assert_eq!(at(plan(), &[40]).known.open_chapters(), 4..4);
}

#[test]
fn a_chapter_is_taken_while_its_owner_is_here_to_do_it() {
    let mut scene = at(plan(), &[]);
    let (mine, other) = (Task::chapter(0), Task::chapter(1));
    scene.lease(&[chapter_lease(&plan(), 0, 1, ME), chapter_lease(&plan(), 1, 1, A)]);
    assert!(!scene.known.is_taken(mine), "it has no job there");
    scene.work([branch_job(0, 0, 0)]);
    assert!(scene.known.is_taken(mine) && scene.known.is_taken(other));
    assert!(!scene.known.is_taken(Task::chapter(2)));
    scene.meet(A, Heartbeat { leaving: true, ..heartbeat() });
    assert!(!scene.known.is_taken(other), "what it has begun is lost");
    scene.meet(A, heartbeat());
    assert!(scene.known.is_taken(other));
    scene.known.depart(A);
    assert!(!scene.known.is_taken(other));
}

#[test]
fn a_peer_is_busy_with_a_chapter_that_is_open() {
    let mut scene = at(plan(), &[10]);
    scene.meet(A, heartbeat());
    scene.lease(&[chapter_lease(&plan(), 0, 1, A)]);
    let open = scene.known.open_chapters();
    assert!(!scene.known.has_branch(A, &open), "that one is over");
    scene.lease(&[chapter_lease(&plan(), 2, 1, A)]);
    assert!(scene.known.has_branch(A, &open) && !scene.known.has_branch(B, &open));
    assert_eq!([A, B].map(|peer| scene.known.work_of(peer, &open)), [1, 0]);
}

#[test]
fn where_peers_own_shards_their_work_is_what_these_cost() {
    let mut scene = Scene::new(chain(3, 40, 10));
    scene.lease(&[shard_lease(0, 1, A, 0), shard_lease(2, 1, A, 0), shard_lease(1, 1, B, 0)]);
    let open = scene.known.open_chapters();
    assert_eq!([A, B, C].map(|peer| scene.known.work_of(peer, &open)), [20, 10, 0]);
    assert!(!scene.known.has_branch(A, &open));
}

#[test]
fn a_chapter_can_be_taken_when_its_first_checkpoint_exists_and_nobody_has_it() {
    assert_eq!(at(plan(), &[]).known.takeable(), chapters(&[0]));
    let mut scene = at(plan(), &[]);
    scene.meet(A, heartbeat());
    scene.learn(A, [checkpoint(0, 10), checkpoint(0, 20), checkpoint(0, 30)]);
    scene.look();
    assert_eq!(scene.known.takeable(), chapters(&[0, 1, 2]), "no more than there are shards");
    scene.lease(&[chapter_lease(&plan(), 1, 1, A)]);
    assert_eq!(scene.known.takeable(), chapters(&[0, 2]));
    assert!(at(plan(), &[40]).known.takeable().is_empty());
}

#[test]
fn a_chapter_that_its_first_shard_is_beyond_can_be_begun() {
    let mut scene = at(by_chapter(Plan::example(&[2, 1], 40, 10)), &[]);
    scene.learn(A, [checkpoint(0, 20), checkpoint(1, 10), checkpoint(2, 20)]);
    scene.look();
    assert_eq!((scene.known.start(ShardId(0)), scene.known.open_chapters().start), (20, 1));
    assert_eq!(scene.known.takeable(), chapters(&[1, 2]));
}

#[test]
fn a_chapter_waits_for_the_table_that_it_reads() {
    let plan = with_feedback(plan());
    let mut scene = at(plan, &[]);
    scene.learn(A, [checkpoint(0, 10), checkpoint(0, 20), checkpoint(0, 30)]);
    scene.look();
    assert_eq!(scene.known.takeable(), chapters(&[0, 1]), "chapter 2 reads the table of step 10");
    scene.learn(A, [checkpoint(2, 10)]);
    assert_eq!(scene.known.takeable(), chapters(&[0, 1, 2]));
}

#[test]
fn a_chapter_that_could_not_be_read_is_done_again_by_whoever_waits_for_it() {
    let mut scene = at(plan(), &[]);
    scene.learn(A, [checkpoint(0, 10)]);
    scene.known.unreadable(ShardId(0), 10, &mut scene.out);
    scene.look();
    assert_eq!(scene.known.done_again(), None, "nothing here waits for it");
    scene.work([branch_job(0, 0, 0)]);
    assert_eq!(scene.known.done_again(), None);
    scene.work([branch_job(1, 0, 10)]);
    assert_eq!(scene.known.done_again(), Some(0));
    scene.known.retry(ShardId(0));
    assert_eq!(scene.known.done_again(), None);
}

#[test]
fn a_shard_that_was_trained_and_not_handed_on_is_taken_up_at_the_chapters_end() {
    let refreshed = Plan { refreshed: true, ..plan() };
    let shards = [ShardId(0), ShardId(1), ShardId(2)];
    for (plan, entries) in [(plan(), [10, 10, 10]), (refreshed, [20, 10, 10])] {
        let mut scene = at(plan, &[10]);
        scene.learn(A, [checkpoint(0, 20), checkpoint(2, 20)]);
        assert_eq!(
            shards.map(|it| scene.known.entry_step(it, 1)),
            entries,
            "the top has no reader"
        );
    }
}

#[test]
fn a_branch_needs_a_table_and_the_checkpoints_from_its_shard_up() {
    let mut scene = at(with_feedback(plan()), &[]);
    scene.work([branch_job(0, 0, 0)]);
    assert!(scene.known.branch_needs().is_empty(), "nothing is before the first chapter");
    scene.work([branch_job(2, 0, 20), branch_job(3, 1, 30)]);
    let needs: Vec<_> = scene.known.branch_needs().iter().map(|it| (it.0.0, it.1)).collect();
    assert_eq!(needs, [(2, 10), (0, 20), (1, 20), (2, 20), (1, 30), (2, 30)]);
    scene.work([job(1, 20)]);
    assert!(scene.known.branch_needs().is_empty());
}

#[test]
fn who_is_at_the_top_of_its_chapter_looks_ahead_to_the_next_free_one() {
    let needs = |scene: &Scene| -> Vec<_> {
        scene.known.needs_ahead().iter().map(|it| (it.0.0, it.1)).collect()
    };
    let mut scene = at(by_chapter(Plan::example(&[2, 1], 40, 10)), &[]);
    assert!(needs(&scene).is_empty());
    let lease = |chapter, owner| chapter_lease(&plan(), chapter, 1, owner);
    scene.lease(&[lease(0, ME), lease(1, A)]);
    scene.work([branch_job(0, 1, 5)]);
    assert!(needs(&scene).is_empty(), "it is at a lower layer");
    scene.work([branch_job(0, 2, 5)]);
    assert_eq!(needs(&scene), [(0, 20), (1, 20)]);
    scene.lease(&[lease(2, A), lease(3, A)]);
    assert!(needs(&scene).is_empty(), "none is free");
}

#[test]
fn on_private_data_nobody_looks_ahead() {
    let mut scene = at(private(chain(2, 40, 10)), &[]);
    scene.lease(&[chapter_lease(&plan(), 0, 1, ME)]);
    scene.work([branch_job(0, 1, 5)]);
    assert!(scene.known.needs_ahead().is_empty());
}

#[test]
fn whoever_has_the_chapter_that_begins_at_a_step_takes_the_shards_up_there() {
    let mut scene = at(plan(), &[]);
    scene.lease(&[chapter_lease(&plan(), 1, 1, A)]);
    assert_eq!([10, 15, 20].map(|step| scene.known.taker_at(step)), [Some(A), None, None]);
    scene.known.depart(A);
    assert_eq!(scene.known.taker_at(10), None);
    let mut shards = Scene::with(Role::Worker, chain(2, 40, 10), crate::Config::default());
    shards.lease(&[shard_lease(0, 1, A, 0)]);
    assert_eq!(shards.known.taker_at(0), None);
}

/// Six chapters of three shards, each cut into two branches.
fn cut() -> Plan {
    merged(chain(3, 60, 10), 2)
}

fn branch(chapter: u64, branch: u16) -> Task {
    Task::Branch { chapter, branch }
}

/// The job of an own branch that is at `shard` and waits for the checkpoint to start from.
fn waiting(task: (u64, u16), shard: u16) -> JobStatus {
    let (phase, done) = (Phase::NeedsCheckpoint, cut().branch_steps(task.0, task.1).start);
    JobStatus { task: branch(task.0, task.1), phase, ..branch_job(task.0, shard, done) }
}

#[test]
fn the_branches_of_a_chapter_are_taken_one_by_one_and_not_when_they_are_done() {
    let mut scene = at(cut(), &[]);
    scene.meet(A, heartbeat());
    assert_eq!(scene.known.takeable(), [branch(0, 0), branch(0, 1)]);
    scene.lease(&[branch_lease(&cut(), (0, 0), 1, A)]);
    assert_eq!(scene.known.takeable(), [branch(0, 1)]);
    scene.learn(A, [checkpoint(0, 10)]);
    assert_eq!(scene.known.takeable(), [branch(0, 1), branch(1, 0), branch(1, 1)]);
    scene.learn_changes(A, [0, 1, 2].map(|shard| change(0, shard, Some(1))));
    assert_eq!(scene.known.takeable(), [branch(1, 0), branch(1, 1)]);
    scene.known.depart(A);
    assert_eq!(scene.known.takeable(), [branch(0, 0), branch(1, 0), branch(1, 1)]);
}

#[test]
fn who_has_done_its_branch_is_not_busy() {
    let mut scene = at(cut(), &[]);
    scene.meet(A, heartbeat());
    scene.lease(&[branch_lease(&cut(), (0, 1), 1, A)]);
    let open = scene.known.open_chapters();
    assert!(scene.known.has_branch(A, &open));
    scene.learn_changes(A, [0, 1, 2].map(|shard| change(0, shard, Some(1))));
    assert!(!scene.known.has_branch(A, &open));
}

#[test]
fn a_lease_of_a_branch_that_its_chapter_does_not_have_does_not_stand() {
    let mut scene = at(cut(), &[]);
    let plan = Plan { branches: 9, ..cut() };
    for (task, stands) in [((0, 1), true), ((5, 1), true), ((0, 2), false), ((6, 0), false)] {
        scene.lease(&[branch_lease(&plan, task, 1, A)]);
        let owner = scene.known.leases().owner(branch(task.0, task.1));
        assert_eq!(owner.is_some(), stands, "{task:?}");
    }
}

#[test]
fn a_peer_is_blocked_when_all_that_it_has_waits_for_what_does_not_exist() {
    let mut scene = at(cut(), &[]);
    let first = waiting((0, 0), 1);
    for (jobs, blocked) in [
        (vec![waiting((1, 0), 0)], true),
        (vec![waiting((1, 0), 0), waiting((1, 1), 2)], true),
        (vec![first, waiting((1, 0), 0)], false),
        (vec![JobStatus { phase: Phase::Ready, ..waiting((1, 0), 0) }], false),
        (vec![JobStatus { phase: Phase::Loading(Some(10)), ..waiting((1, 0), 0) }], false),
        (vec![job(1, 20)], false),
    ] {
        scene.work(jobs.clone());
        assert_eq!(scene.known.is_blocked(), blocked, "{jobs:?}");
    }
    scene.work([waiting((1, 0), 0)]);
    scene.learn(A, [checkpoint(0, 10)]);
    assert!(!scene.known.is_blocked(), "it is on its way");
    let mut unmerged = at(plan(), &[]);
    unmerged.work([waiting((1, 0), 0)]);
    assert!(!unmerged.known.is_blocked());
}

#[test]
fn a_shard_that_is_merged_is_taken_up_at_its_chapters_start_by_all_branches() {
    let mut scene = at(Plan { refreshed: true, ..cut() }, &[10]);
    scene.learn(A, [checkpoint(0, 20)]);
    assert_eq!(scene.known.entry_step(ShardId(0), 1), 10);
    scene.work([waiting((1, 1), 1)]);
    let needs: Vec<_> = scene.known.branch_needs().iter().map(|it| (it.0.0, it.1)).collect();
    assert_eq!(needs, [(1, 10), (2, 10)]);
}

#[test]
fn the_owner_of_the_first_branch_that_is_taken_takes_the_shards_up() {
    let mut scene = at(cut(), &[]);
    scene.meet_all(&[A, B]);
    scene.lease(&[branch_lease(&cut(), (1, 1), 1, A)]);
    assert_eq!([5, 10, 15].map(|step| scene.known.taker_at(step)), [None, Some(A), None]);
    scene.lease(&[branch_lease(&cut(), (1, 0), 1, B)]);
    assert_eq!(scene.known.taker_at(10), Some(B));
    scene.known.depart(B);
    assert_eq!(scene.known.taker_at(10), Some(A));
}

#[test]
fn who_is_at_the_top_of_its_branch_looks_ahead_to_the_next_chapter_with_a_free_one() {
    let mut scene = at(cut(), &[10]);
    scene.meet(A, heartbeat());
    let lease = |chapter, branch, owner| branch_lease(&cut(), (chapter, branch), 1, owner);
    scene.lease(&[lease(1, 0, ME), lease(1, 1, A), lease(2, 0, A)]);
    scene.work([waiting((1, 0), 2)]);
    assert_eq!(scene.known.needs_ahead(), [(ShardId(0), 20)]);
    scene.lease(&[lease(2, 1, A)]);
    assert_eq!(scene.known.needs_ahead(), [(ShardId(0), 30)]);
}

#[test]
fn a_peer_is_blocked_while_the_table_that_it_reads_does_not_exist() {
    let mut scene = at(Plan { feedback: true, ..cut() }, &[]);
    let begins = JobStatus { phase: Phase::Ready, ..waiting((2, 1), 0) };
    let has_begun = JobStatus { done: 26, next: 26, ..begins };
    let asked = JobStatus { next: 26, ..begins };
    let above = JobStatus { shard: ShardId(1), ..begins };
    for (job, blocked) in [(begins, true), (has_begun, false), (asked, false), (above, false)] {
        scene.work([job]);
        assert_eq!(scene.known.is_blocked(), blocked, "{job:?}");
    }
    scene.work([begins]);
    scene.learn(A, [checkpoint(2, 10)]);
    assert!(!scene.known.is_blocked(), "it is on its way");
}
