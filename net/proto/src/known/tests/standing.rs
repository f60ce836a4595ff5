//! Tests of where each shard stands, would start, and has room.

use crate::known::own::{JobStatus, Phase};
use crate::testing::*;
use crate::{Config, Heartbeat, Plan, Role, ShardId};

const S0: ShardId = ShardId(0);
const S1: ShardId = ShardId(1);
const S2: ShardId = ShardId(2);

fn starts(scene: &mut Scene) -> Vec<u64> {
    scene.look();
    scene.known.plan().shards().map(|shard| scene.known.start(shard)).collect()
}

/// A and its shard 1, at that step of it.
fn reads_at(scene: &mut Scene, step: u64) {
    scene.meet(A, Heartbeat { progress: vec![(S1, step)], ..heartbeat() });
}

/// A owns the upper of two shards and is at step 15 of it; this peer has three checkpoints of each.
fn two_shards() -> Scene {
    let mut scene = Scene::new(chain(2, 40, 10));
    scene.lease(&[shard_lease(1, 1, A, 0)]);
    reads_at(&mut scene, 15);
    scene.hold([10, 20, 30].into_iter().flat_map(|at| [checkpoint(0, at), checkpoint(1, at)]));
    scene
}

#[test]
fn an_own_job_says_where_its_shard_is_and_before_it_is_loaded_what_was_told_does() {
    let mut scene = Scene::new(chain(2, 40, 10));
    scene.lease(&[shard_lease(0, 1, ME, 10), shard_lease(1, 1, A, 0)]);
    assert_eq!(scene.known.position(S0), 10);
    scene.work([JobStatus { phase: Phase::Loading(None), ..job(0, 3) }]);
    assert_eq!(scene.known.position(S0), 10);
    scene.work([job(0, 13)]);
    reads_at(&mut scene, 7);
    assert_eq!((scene.known.position(S0), scene.known.position(S1)), (13, 7));
    assert_eq!(scene.known.own_progress(), [(S0, 13)]);
}

#[test]
fn a_shard_is_where_the_furthest_of_the_chapters_at_it_is() {
    let mut scene = Scene::new(by_chapter(chain(2, 40, 10)));
    scene.work([branch_job(0, 1, 7), branch_job(1, 0, 12)]);
    reads_at(&mut scene, 5);
    assert_eq!((scene.known.position(S0), scene.known.position(S1)), (12, 7));
    reads_at(&mut scene, 9);
    assert_eq!(scene.known.position(S1), 9);
    assert_eq!(scene.known.own_progress(), [(S1, 7), (S0, 12)]);
}

#[test]
fn a_model_is_held_when_all_its_shards_are_without_the_feedback_shard() {
    let mut scene = Scene::new(with_feedback(chain(3, 40, 10)));
    scene.hold([checkpoint(0, 20)]);
    scene.learn(A, [checkpoint(1, 20)]);
    assert_eq!(scene.known.held_at(20), None, "only A holds shard 1");
    scene.hold([checkpoint(1, 20)]);
    assert_eq!(scene.known.held_at(20), Some(vec![checkpoint(0, 20), checkpoint(1, 20)]));
    assert_eq!(scene.known.held_at(30), None);
}

#[test]
fn a_shard_starts_where_no_reader_is_left_without_batches() {
    let mut scene = two_shards();
    assert_eq!(starts(&mut scene), [10, 30], "nobody holds batches from step 15 on");
    scene.keep(&[run_of(0, 12, 19)]);
    assert_eq!(starts(&mut scene), [10, 30]);
    scene.keep(&[run_of(0, 12, 20)]);
    assert_eq!(starts(&mut scene), [20, 30]);
    scene.keep(&[run_of(0, 16, 40)]);
    assert_eq!(starts(&mut scene), [10, 30], "the batch of step 15 is missing");
}

#[test]
fn the_readers_of_a_shard_all_count() {
    let mut scene = Scene::new(Plan::example(&[1, 2], 40, 10));
    scene.lease(&[shard_lease(1, 1, A, 0), shard_lease(2, 1, B, 0)]);
    reads_at(&mut scene, 25);
    scene.meet(B, Heartbeat { progress: vec![(S2, 12)], ..heartbeat() });
    scene.hold([checkpoint(0, 10), checkpoint(0, 20)]);
    assert_eq!(starts(&mut scene)[0], 10);
    assert_eq!(scene.known.slowest_reader(S0), Some(12));
    assert_eq!(scene.known.slowest_reader(S2), None);
}

#[test]
fn a_reader_without_a_living_owner_needs_what_it_would_itself_start_from() {
    let mut scene = two_shards();
    scene.known.depart(A);
    assert_eq!(starts(&mut scene), [30, 30]);
    assert_eq!(scene.known.need(S1), 30);
    scene.lease(&[shard_lease(1, 2, ME, 30)]);
    scene.work([job(1, 33)]);
    assert_eq!(scene.known.need(S1), 33);
    scene.work([JobStatus { phase: Phase::NeedsCheckpoint, ..job(1, 33) }]);
    assert_eq!(scene.known.need(S1), 30);
    scene.work([]);
    assert_eq!(scene.known.need(S1), 40, "it has come to its end");
}

#[test]
fn whoever_holds_the_whole_model_needs_no_batch() {
    let mut scene = two_shards();
    assert!(!scene.known.feeds_from(S0, 35));
    scene.known.complete();
    assert_eq!(scene.known.need(S1), 40);
    assert!(scene.known.feeds_from(S0, 35));
    assert_eq!(starts(&mut scene), [30, 30]);
}

#[test]
fn the_feedback_shard_is_over_where_no_table_is_missing() {
    let mut scene = Scene::new(with_feedback(chain(3, 60, 10)));
    scene.hold([checkpoint(2, 10), checkpoint(2, 20), checkpoint(2, 30)]);
    assert_eq!(starts(&mut scene)[2], 30, "the table of the last chapter is missing");
    assert!(scene.known.feeds_from(S2, 30) && !scene.known.feeds_from(S2, 41));
    scene.hold([checkpoint(2, 40)]);
    assert_eq!(starts(&mut scene)[2], 60);
    assert!(scene.known.feeds_from(S2, 60));
}

#[test]
fn the_feedback_shard_goes_back_for_a_table_that_is_lost() {
    let mut scene = Scene::new(with_feedback(chain(3, 60, 10)));
    scene.hold([10, 20, 30, 40].map(|step| checkpoint(2, step)));
    scene.known.lost(checkpoint(2, 30).blob.hash, &mut scene.out);
    assert_eq!(starts(&mut scene)[2], 20);
    let needed: Vec<u64> = scene.known.tables_needed().collect();
    assert_eq!(needed, [10, 20, 30, 40], "the lowest shard stands at its begin");
    scene.lease(&[shard_lease(0, 1, A, 0)]);
    scene.meet(A, Heartbeat { progress: vec![(S0, 50)], ..heartbeat() });
    assert_eq!(starts(&mut scene)[2], 60, "the lowest shard is beyond it");
}

#[test]
fn a_shard_is_no_further_ahead_than_the_window() {
    let scene = two_shards();
    let window = scene.known.config().window;
    assert!(scene.known.has_room(S0, 14 + window) && !scene.known.has_room(S0, 15 + window));
    assert!(scene.known.has_room(S1, u64::MAX), "nobody reads it");
}

#[test]
fn a_full_store_stops_a_shard_unless_its_slowest_reader_waits() {
    let config = Config { batch_bytes: 4, window: 2, ..Config::default() };
    let mut scene = Scene::with(Role::Worker, chain(2, 400, 1), config);
    scene.lease(&[shard_lease(1, 1, A, 0)]);
    reads_at(&mut scene, 15);
    scene.keep(&[run_of(0, 12, 15)]);
    assert!(scene.known.has_room_to_keep(S0, 16));
    scene.keep(&[run_of(0, 12, 16)]);
    assert!(!scene.known.has_room_to_keep(S0, 16) && scene.known.has_room_to_keep(S0, 15));
    scene.keep(&[run_of(0, 9, 15)]);
    assert!(!scene.known.has_room_to_keep(S0, 15), "six are as many as a window and its chapters");
    assert!(scene.known.has_room_to_keep(S1, 99), "nobody reads it");
}

#[test]
fn tables_are_wanted_by_whoever_reads_them_or_answers_for_them() {
    let mut scene = Scene::new(with_feedback(chain(3, 60, 10)));
    scene.learn(B, [10, 20, 30, 40].map(|step| checkpoint(2, step)));
    scene.look();
    assert!(scene.known.wanted_tables().is_empty(), "this peer has no shard");
    scene.lease(&[shard_lease(0, 1, ME, 0)]);
    scene.work([job(0, 35)]);
    assert_eq!(scene.known.wanted_tables(), [(S2, 20), (S2, 30), (S2, 40)]);
    scene.lease(&[shard_lease(0, 2, A, 30), shard_lease(2, 1, ME, 0)]);
    scene.meet(A, Heartbeat { progress: vec![(S0, 45)], ..heartbeat() });
    scene.work([job(2, 40)]);
    assert_eq!(scene.known.wanted_tables(), [(S2, 30), (S2, 40)]);
    assert!(Scene::new(chain(3, 60, 10)).known.wanted_tables().is_empty());
}
