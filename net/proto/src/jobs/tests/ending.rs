//! Shards that end, go elsewhere, or are opened again for readers that starve.

use super::*;
use crate::Heartbeat;
use crate::testing::{A, ME, batch_blob, chain, checkpoint, heartbeat, run_of, shard_lease};

/// ME alone owns the one shard of a run, and has done 8 of its 10 steps.
fn near_the_end() -> Bench {
    let mut bench = Bench::new(chain(1, 10, 4));
    bench.scene.hold([checkpoint(0, 8)]);
    bench.lease(&[shard_lease(0, 1, ME, 0)]);
    bench
}

#[test]
fn a_shard_ends_with_the_last_step() {
    let mut bench = near_the_end();
    let wanted = bench.run();
    assert_eq!(trains(&wanted), [(0, 8), (0, 9)]);
    assert!(wanted.contains(&Output::Unload { shard: ShardId(0) }));
    assert!(bench.facts().contains(&Fact::Ended(ShardId(0))));
    assert!(bench.scene.known.own().jobs.jobs.is_empty() && bench.settle().is_empty());
}

#[test]
fn a_shard_that_others_have_finished_ends_without_a_step() {
    let mut bench = Bench::new(chain(1, 10, 4));
    bench.scene.meet_all(&[A]);
    bench.scene.learn(A, [checkpoint(0, 10)]);
    bench.lease(&[shard_lease(0, 1, ME, 0)]);
    let wanted = bench.run();
    assert!(loads(&wanted).is_empty() && trains(&wanted).is_empty());
    assert!(bench.facts().contains(&Fact::Ended(ShardId(0))));
}

#[test]
fn a_shard_that_goes_elsewhere_is_unloaded_and_what_comes_of_it_later_is_dropped() {
    let mut bench = Bench::new(chain(2, 100, 10));
    bench.scene.meet_all(&[A]);
    bench.lease(&[shard_lease(0, 1, ME, 0)]);
    bench.settle();
    bench.say(loaded(1, true));
    let steps = bench.settle();
    let wanted = bench.lease(&[shard_lease(0, 2, A, 0)]);
    assert_eq!(wanted, [Output::Unload { shard: ShardId(0) }]);
    assert_eq!(bench.facts(), [Fact::TakenUp(ShardId(0))]);
    let late = answer(&steps[0]).map(|input| bench.say(input));
    assert_eq!(late, Some(vec![Output::Drop(batch_blob(0, 0).hash)]));
    assert_eq!((bench.facts(), bench.settle()), (Vec::new(), Vec::new()));
}

#[test]
fn what_the_trainer_reads_is_held_until_it_answers_whoever_owns_the_shard_then() {
    let mut bench = Bench::new(chain(2, 100, 10));
    bench.scene.meet_all(&[A]);
    bench.lease(&[shard_lease(0, 1, A, 0), shard_lease(1, 1, ME, 0)]);
    bench.run();
    let batch = Batch { shard: ShardId(0), step: 0, blob: batch_blob(0, 0) };
    bench.jobs.announced(A, &[batch], &bench.scene.known, &mut bench.scene.out);
    bench.say(Input::Fetched { hash: batch.blob.hash });
    let steps = bench.settle();
    assert_eq!(trains(&steps), [(1, 0)]);
    bench.lease(&[shard_lease(1, 2, A, 0)]);
    assert!(bench.holds(batch.blob));
    bench.say(answer(&steps[0]).unwrap_or(Input::Wakeup));
    assert!(!bench.holds(batch.blob));
}

#[test]
fn a_finished_shard_is_opened_again_when_its_readers_starve() {
    let mut bench = Bench::new(chain(2, 12, 4));
    bench.scene.meet_all(&[A]);
    bench.scene.hold([checkpoint(0, 4), checkpoint(0, 12)]);
    bench.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, A, 0)]);
    let a_is_at = |bench: &mut Bench, done| {
        bench.scene.hear(A, Heartbeat { progress: vec![(ShardId(1), done)], ..heartbeat() });
    };
    a_is_at(&mut bench, 12);
    assert_eq!(loads(&bench.settle()), []);
    assert!(bench.facts().contains(&Fact::Ended(ShardId(0))));
    a_is_at(&mut bench, 5);
    assert_eq!(bench.settle(), [], "it may find them elsewhere");
    bench.scene.known.publish_starving([ShardId(0)].into_iter().collect());
    assert_eq!(loads(&bench.settle()), [(0, 4)]);
}

#[test]
fn a_shard_goes_back_for_readers_that_starve_unless_somebody_feeds_them() {
    let mut bench = Bench::new(chain(2, 100, 10));
    bench.scene.meet_all(&[A]);
    bench.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, A, 0)]);
    bench.run();
    bench.facts();
    bench.scene.known.publish_starving([ShardId(0)].into_iter().collect());
    bench.scene.keep(&[run_of(0, 0, 40)]);
    assert_eq!(bench.settle(), [], "they are here");
    bench.scene.keep(&[run_of(0, 20, 40)]);
    assert_eq!(loads(&bench.settle()), [(0, 0)]);
    assert_eq!(bench.facts(), [Fact::TakenUp(ShardId(0))]);
}
