//! Tests of who takes the next branch.

use super::*;
use crate::known::own::{JobStatus, Phase};
use crate::testing::*;
use crate::{Config, Heartbeat, Output, Plan, Role};

/// Four chapters of two shards; the first shard is trained to the end of the second chapter.
fn plan() -> Plan {
    by_chapter(chain(2, 40, 10))
}

fn scene(plan: Plan) -> Scene {
    let mut scene = Scene::new(plan);
    scene.hold([checkpoint(0, 10), checkpoint(0, 20)]);
    scene
}

fn of_speed(speed: u64) -> Heartbeat {
    Heartbeat { speed, ..heartbeat() }
}

/// The branches that this peer takes now.
fn takes(order: &mut ChapterOrder, scene: &mut Scene) -> Vec<Lease> {
    scene.look();
    scene.outputs();
    order.settle(&scene.known, &mut scene.out);
    let (outputs, facts) = scene.drain();
    let Some(Fact::Leases(leases)) = facts.into_iter().next() else {
        assert!(outputs.is_empty());
        return Vec::new();
    };
    assert_eq!(outputs, [Output::Broadcast(Message::Leases(leases.clone()))]);
    leases
}

fn taken(scene: &mut Scene) -> Vec<Task> {
    takes(&mut ChapterOrder::default(), scene).iter().map(|lease| lease.task).collect()
}

fn worth(speeds: &[u64], shards: usize) -> usize {
    let candidate = |(n, &speed)| Candidate { id: NodeId([n as u8; 32]), speed };
    let candidates: Vec<Candidate> = speeds.iter().enumerate().map(candidate).collect();
    in_turn(&vec![10; shards], &candidates)
}

#[test]
fn who_only_holds_others_up_takes_no_chapter() {
    assert_eq!(worth(&[], 8), 0);
    assert_eq!(worth(&[1], 8), 1);
    assert_eq!(worth(&[100, 100, 100, 100], 8), 4);
    assert_eq!(worth(&[100, 95, 85, 80], 8), 4);
    assert_eq!(worth(&[100, 60, 60, 60], 8), 4);
    assert_eq!(worth(&[100, 100, 50, 25], 8), 2);
    assert_eq!(worth(&[100, 100, 100, 25], 4), 3);
    assert_eq!(worth(&[0, 0], 4), 2);
}

#[test]
fn there_are_no_more_than_shards() {
    assert_eq!(worth(&[100; 6], 4), 4);
}

#[test]
fn the_fastest_free_peer_takes_the_lowest_free_chapter() {
    let mut scene = scene(plan());
    assert_eq!(taken(&mut scene), [Task::chapter(0)]);
    scene.meet(A, of_speed(SPEED - 1));
    assert_eq!(taken(&mut scene), [Task::chapter(0)]);
    scene.meet(A, of_speed(SPEED + 1));
    assert_eq!(taken(&mut scene), [Task::chapter(1)], "A is named for the first");
    scene.lease(&[chapter_lease(&plan(), 0, 1, A)]);
    let taken = takes(&mut ChapterOrder::default(), &mut scene);
    assert_eq!(taken, [chapter_lease(&plan(), 1, 1, ME)]);
}

#[test]
fn a_chapter_whose_owner_is_gone_is_taken_with_the_next_term() {
    let mut scene = scene(plan());
    scene.meet(A, heartbeat());
    scene.lease(&[chapter_lease(&plan(), 0, 5, A), chapter_lease(&plan(), 1, 1, ME)]);
    scene.work([branch_job(1, 0, 12)]);
    assert!(taken(&mut scene).is_empty());
    scene.known.depart(A);
    let taken = takes(&mut ChapterOrder::default(), &mut scene);
    assert_eq!(taken, [chapter_lease(&plan(), 0, 6, ME)], "it is ahead, and waits for it");
}

#[test]
fn only_the_one_that_is_furthest_ahead_takes_a_second_chapter() {
    let mut scene = scene(plan());
    scene.meet(A, heartbeat());
    scene.hold([checkpoint(0, 30)]);
    scene.lease(&[chapter_lease(&plan(), 2, 1, A), chapter_lease(&plan(), 1, 1, ME)]);
    scene.work([branch_job(1, 0, 12)]);
    assert!(taken(&mut scene).is_empty(), "A does it");
    scene.known.depart(A);
    scene.meet(B, heartbeat());
    assert!(taken(&mut scene).is_empty(), "B is free");
}

#[test]
fn whoever_listens_looks_or_leaves_takes_no_chapter() {
    let mut listener = scene(plan());
    listener.at(listener.known.config().listen_ms - 1);
    assert!(taken(&mut listener).is_empty());
    let mut leaver = scene(plan());
    leaver.known.leave();
    assert!(taken(&mut leaver).is_empty());
    let mut observer = Scene::with(Role::Observer, plan(), Config::default());
    assert!(taken(&mut observer).is_empty());
}

#[test]
fn a_chapter_that_the_named_peer_does_not_take_falls_to_the_next_in_order() {
    let mut scene = scene(plan());
    let (mut order, silent_ms) = (ChapterOrder::default(), scene.known.config().silent_ms);
    scene.lease(&[chapter_lease(&plan(), 1, 1, ME)]);
    scene.work([branch_job(1, 0, 12)]);
    scene.meet(NodeId([0; 32]), heartbeat());
    assert!(takes(&mut order, &mut scene).is_empty(), "the other one is free");
    for (ms, takes_it) in [(silent_ms, false), (silent_ms - 1, false), (1, true)] {
        scene.wait(ms);
        scene.hear(NodeId([0; 32]), heartbeat());
        let taken = takes(&mut order, &mut scene);
        assert_eq!(!taken.is_empty(), takes_it, "the other one stands before it");
    }
}

#[test]
fn on_private_data_the_chapters_go_round_whoever_is_fast() {
    let private = || private(plan());
    let mut scene = scene(private());
    scene.meet(A, of_speed(100 * SPEED));
    scene.meet(B, heartbeat());
    assert_eq!(taken(&mut scene), [Task::chapter(0), Task::chapter(1)], "the smallest begins");
    scene.lease(&[chapter_lease(&private(), 0, 1, B)]);
    assert_eq!(taken(&mut scene), [Task::chapter(1)], "after the last comes the first");
    scene.lease(&[chapter_lease(&private(), 0, 2, ME)]);
    scene.work([branch_job(0, 0, 4)]);
    assert!(taken(&mut scene).is_empty(), "A comes after this peer");
}

#[test]
fn on_private_data_a_peer_that_left_is_passed_over() {
    let private = || private(plan());
    let mut scene = scene(private());
    scene.meet_all(&[A, B]);
    scene.lease(&[chapter_lease(&private(), 0, 1, A)]);
    assert!(taken(&mut scene).is_empty(), "B comes after A");
    scene.known.depart(B);
    assert_eq!(taken(&mut scene), [Task::chapter(1)]);
}

#[test]
fn where_nobody_can_be_given_work_nobody_is_named() {
    let mut scene = scene(plan());
    scene.known.leave();
    scene.look();
    let takeable = scene.known.takeable();
    assert_eq!((takeable.len(), takers_of(&scene.known, &takeable)), (2, vec![None, None]));
    assert!(takers_of(&scene.known, &[]).is_empty());
}

#[test]
fn how_many_peers_are_worth_having_depends_on_whether_they_merge() {
    let candidate = |n, speed| Candidate { id: NodeId([n; 32]), speed };
    let candidates = [candidate(1, 100), candidate(2, 40)];
    let worth = |plan| worthwhile(&Scene::new(plan).known, &candidates);
    assert_eq!(worth(by_chapter(chain(2, 40, 10))), 1);
    assert_eq!(worth(merged(chain(2, 40, 10), 4)), 2);
}

/// Six chapters of two shards, each cut into eight branches.
fn cut() -> Plan {
    merged(chain(2, 96, 16), 8)
}

fn branch(chapter: u64, branch: u16) -> Task {
    Task::Branch { chapter, branch }
}

/// The job of an own branch of the second chapter, at the second shard, which waits for its checkpoint.
fn waiting(number: u16) -> JobStatus {
    let phase = Phase::NeedsCheckpoint;
    JobStatus { task: branch(1, number), phase, ..branch_job(1, 1, 16) }
}

/// A, which is slow, has the first chapter's branches but for the last so many; this peer has so many of
/// the second's and waits with all of them.
fn waits(free: u16, own: u16) -> Scene {
    let mut scene = Scene::new(cut());
    scene.meet(A, of_speed(7));
    scene.hold([checkpoint(0, 16)]);
    let first = (0..8 - free).map(|number| branch_lease(&cut(), (0, number), 1, A));
    let second = (0..own).map(|number| branch_lease(&cut(), (1, number), 1, ME));
    scene.lease(&first.chain(second).collect::<Vec<_>>());
    scene.work((0..own).map(waiting));
    scene
}

#[test]
fn the_branches_of_a_chapter_go_to_those_who_are_free_the_fastest_first() {
    let mut scene = Scene::new(cut());
    assert_eq!(taken(&mut scene), [branch(0, 0)]);
    scene.meet(A, of_speed(SPEED + 1));
    let taken_now = takes(&mut ChapterOrder::default(), &mut scene);
    assert_eq!(taken_now, [branch_lease(&cut(), (0, 1), 1, ME)]);
    scene.lease(&[branch_lease(&cut(), (0, 0), 1, A), branch_lease(&cut(), (0, 1), 1, ME)]);
    scene.work([JobStatus { task: branch(0, 1), ..branch_job(0, 0, 3) }]);
    assert_eq!(taken(&mut scene), [], "it has one");
}

#[test]
fn who_waits_for_what_a_slower_peer_has_to_do_takes_another_branch_meanwhile() {
    let mut scene = waits(0, 1);
    assert_eq!(taken(&mut scene), [branch(1, 1)]);
    scene.hear(A, of_speed(8));
    assert_eq!(taken(&mut scene), [], "it would only change the order");
    scene.hear(A, of_speed(7));
    scene.learn(A, [checkpoint(1, 16)]);
    assert_eq!(taken(&mut scene), [], "what it waits for exists");
    let mut ready = waits(0, 1);
    ready.work([branch_job(1, 0, 16)]);
    assert_eq!(taken(&mut ready), [], "it has something to do");
}

#[test]
fn who_waits_with_its_share_of_branches_takes_no_more_unless_all_wait_for_them() {
    let beside = |mut scene: Scene| {
        scene.meet(B, of_speed(7));
        taken(&mut scene)
    };
    // Of the sixteen that can be in work, six are this peer's.
    assert_eq!(beside(waits(0, 5)), [branch(1, 5)]);
    assert_eq!(beside(waits(0, 6)), []);
    assert_eq!(beside(waits(2, 6)), [branch(0, 6)]);
}

#[test]
fn those_who_wait_at_the_same_time_take_different_branches() {
    let mut scene = waits(3, 2);
    assert_eq!(taken(&mut scene), [branch(0, 5)]);
    let other = NodeId([0; 32]);
    scene.meet(other, heartbeat());
    scene.lease(&[branch_lease(&cut(), (1, 7), 1, other)]);
    assert_eq!(taken(&mut scene), [branch(0, 6)]);
}

#[test]
fn where_branches_are_merged_nobody_is_called_back_from_its_branch() {
    let mut scene = waits(1, 1);
    scene.work([branch_job(1, 0, 16)]);
    assert_eq!(taken(&mut scene), [], "it comes to the lowest when it waits for it");
}
