//! Tests of what comes in: leases, signs of life, speeds, and what an assignment rests on.

use crate::testing::*;
use crate::{
    Config, Heartbeat, Lease, MAX_MEMBERS, NodeId, Notice, Output, Plan, Role, ShardId, Task, Term,
};

const S0: ShardId = ShardId(0);

fn scene() -> Scene {
    Scene::new(chain(2, 40, 10))
}

#[test]
fn a_lease_of_what_the_run_does_not_have_is_not_taken_in() {
    let (shards, chapters) = (chain(2, 40, 10), by_chapter(chain(2, 40, 10)));
    let lease = |task| Lease { task, term: Term(1), owner: A, from: 0 };
    let (shard, chapter) = (Task::Shard(S0), Task::chapter(3));
    let branch = Task::Branch { chapter: 0, branch: 1 };
    let cases = [
        (&shards, shard, true),
        (&shards, Task::Shard(ShardId(2)), false),
        (&shards, chapter, false),
        (&chapters, chapter, true),
        (&chapters, Task::chapter(4), false),
        (&chapters, branch, false),
        (&chapters, shard, false),
    ];
    for (plan, task, stands) in cases {
        let mut scene = Scene::new(plan.clone());
        assert_eq!(scene.known.merge_lease(lease(task), &mut scene.out), stands, "{task:?}");
        assert_eq!(scene.known.leases().owner(task), stands.then_some(A));
    }
}

#[test]
fn of_conflicting_leases_the_higher_term_stands_and_then_the_smaller_peer() {
    let leases = [(1, B), (2, C), (2, B), (1, ME)].map(|(term, by)| shard_lease(0, term, by, 0));
    for first in 0..leases.len() {
        let mut scene = scene();
        (0..leases.len()).for_each(|next| scene.lease(&[leases[(first + next) % leases.len()]]));
        assert_eq!(scene.known.owner(S0), Some(B));
        assert!(scene.outputs().contains(&Output::Notify(Notice::Owner(leases[2]))));
    }
}

#[test]
fn an_owner_that_is_only_told_of_gets_the_time_to_be_heard() {
    let mut scene = scene();
    scene.lease(&[shard_lease(0, 1, A, 0), shard_lease(1, 1, ME, 0)]);
    assert!(scene.known.members().contains(A) && !scene.known.members().contains(ME));
    assert_eq!(scene.known.members().workers().count(), 0, "it said nothing of itself");
    scene.wait(scene.known.config().silent_ms);
    assert_eq!(scene.known.expire(), [(A, Role::Worker)]);
}

#[test]
fn a_lease_says_from_where_its_shard_goes_on() {
    let mut scene = scene();
    scene.lease(&[shard_lease(0, 1, A, 20)]);
    assert_eq!(scene.known.position(S0), 20);
    scene.lease(&[shard_lease(0, 2, B, 10)]);
    assert_eq!(scene.known.position(S0), 10, "the shard went back");
    scene.lease(&[shard_lease(0, 1, C, 30)]);
    assert_eq!(scene.known.position(S0), 10, "that one does not stand");
    scene.lease(&[shard_lease(0, 3, C, u64::MAX)]);
    assert_eq!(scene.known.position(S0), 40);
}

#[test]
fn nobody_is_told_who_has_the_feedback_shard() {
    let mut scene = Scene::new(with_feedback(chain(3, 40, 10)));
    scene.lease(&[shard_lease(2, 1, A, 0)]);
    assert!(scene.outputs().is_empty() && scene.known.owner(ShardId(2)) == Some(A));
    scene.lease(&[shard_lease(1, 1, A, 0)]);
    assert_eq!(scene.outputs(), [Output::Notify(Notice::Owner(shard_lease(1, 1, A, 0)))]);
}

#[test]
fn chapters_that_are_over_are_forgotten_at_the_next_look() {
    let plan = by_chapter(chain(1, 40, 10));
    let mut scene = Scene::new(plan.clone());
    (0..4).for_each(|chapter| scene.lease(&[chapter_lease(&plan, chapter, 1, A)]));
    scene.learn(A, [checkpoint(0, 30)]);
    scene.look();
    let left: Vec<Task> = scene.known.leases().iter().map(|lease| lease.task).collect();
    assert_eq!(left, [Task::chapter(2), Task::chapter(3)], "the next may follow from the last");
}

#[test]
fn a_speed_is_told_of_when_it_is_new_or_changes_much() {
    let mut scene = Scene::new(chain(2, 40, 10));
    let version = scene.known.version();
    for (speed, told) in [(9, 10), (11, 10), (12, 12), (13, 12), (14, 14), (7, 7), (0, 0)] {
        assert!(!scene.known.set_speed(speed), "nobody waits for it");
        assert_eq!(scene.known.heartbeat(1).speed, told);
    }
    assert!(scene.known.set_speed(100), "others may wait for the first one");
    assert_ne!(scene.known.version(), version);
}

#[test]
fn an_assignment_rests_on_who_is_here_what_they_own_and_how_fast_they_are() {
    let mut scene = scene();
    scene.meet(A, heartbeat());
    let mut changes = |change: &dyn Fn(&mut Scene)| {
        let before = scene.known.version();
        change(&mut scene);
        scene.known.version() != before
    };
    assert!(!changes(&|it| it.meet(A, heartbeat())), "it says nothing new");
    let progress = Heartbeat { progress: vec![(S0, 3)], complete: true, ..heartbeat() };
    assert!(!changes(&|it| it.meet(A, progress.clone())));
    assert!(changes(&|it| it.meet(A, Heartbeat { speed: 99, ..heartbeat() })));
    assert!(changes(&|it| it.meet(A, Heartbeat { leaving: true, ..heartbeat() })));
    assert!(changes(&|it| it.meet(A, Heartbeat { avoids: vec![B], ..heartbeat() })));
    assert!(changes(&|it| it.meet(A, Heartbeat { role: Role::Observer, ..heartbeat() })));
    assert!(changes(&|it| it.lease(&[shard_lease(0, 2, A, 0)])));
    assert!(!changes(&|it| it.lease(&[shard_lease(0, 1, B, 0)])), "it does not stand");
    assert!(changes(&|it| it.known.leave()));
    assert!(changes(&|it| _ = it.known.depart(A)));
    assert!(changes(&|it| it.meet(C, heartbeat())));
    assert!(changes(&|it| {
        it.wait(it.known.config().silent_ms);
        it.known.expire();
    }));
}

#[test]
fn a_worker_that_is_not_to_go_takes_work_once_it_has_listened() {
    let config = Config::default();
    let mut scene = scene();
    scene.at(config.listen_ms - 1);
    assert!(scene.known.only_listens());
    scene.at(config.listen_ms);
    assert!(!scene.known.only_listens() && scene.known.takes_work());
    assert_eq!(scene.known.age_ms(), config.listen_ms);
    scene.known.leave();
    assert!(!scene.known.takes_work() && scene.known.is_leaving());
    for role in [Role::Observer, Role::Onlooker] {
        let other = Scene::with(role, chain(2, 40, 10), config.clone());
        assert!(!other.known.takes_work() && other.known.role() == role);
    }
}

#[test]
fn what_is_asked_twice_or_overtaken_is_not_answered_except_to_oneself() {
    let mut scene = scene();
    assert!(!scene.known.is_new_request(A, 1), "it is not here");
    scene.meet(A, heartbeat());
    let asked = [3, 3, 2, 4].map(|seq| scene.known.is_new_request(A, seq));
    assert_eq!(asked, [true, false, false, true]);
    assert!(scene.known.is_new_request(ME, 1) && scene.known.is_new_request(ME, 1));
}

#[test]
fn a_peer_that_left_is_not_heard_and_one_that_fell_silent_is() {
    let mut scene = scene();
    scene.meet_all(&[A, B]);
    scene.learn(A, [checkpoint(0, 10)]);
    assert_eq!(scene.known.depart(A), Some(Role::Worker));
    scene.known.forget_peer(A);
    assert!(scene.known.checkpoints().latest(S0).is_none());
    assert!(!scene.known.heard(A));
    scene.known.disconnected(B);
    scene.wait(scene.known.config().disconnected_ms);
    assert_eq!(scene.known.expire(), [(B, Role::Worker)]);
    assert!(scene.known.heard(B));
}

#[test]
fn more_peers_than_can_be_remembered_are_not_heard() {
    let mut scene = scene();
    let peer = |number: u16| {
        let mut id = [9; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    };
    for number in 0..MAX_MEMBERS as u16 {
        assert!(scene.known.heard(peer(number)));
    }
    assert!(!scene.known.heard(A) && scene.known.heard(peer(7)));
    (0..2 * MAX_MEMBERS as u16).for_each(|number| _ = scene.known.depart(peer(number)));
    assert!(scene.known.heard(A) && scene.known.heard(peer(0)), "the oldest goodbye is forgotten");
}

#[test]
fn a_plan_without_the_shard_answers_nothing_of_it() {
    let scene = Scene::new(Plan::example(&[1], 40, 10));
    let unknown = ShardId(7);
    assert_eq!((scene.known.start(unknown), scene.known.owner(unknown)), (0, None));
    assert_eq!((scene.known.position(unknown), scene.known.first_table()), (0, 0));
}
