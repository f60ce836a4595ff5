//! Taking up a shard, and training it step by step.

use super::*;
use crate::testing::{A, B, ME, batch_blob, chain, checkpoint, heartbeat, run_of, shard_lease};
use crate::{Checkpoint, Heartbeat, ShardId};

/// ME owns the lowest shard, and A the one that reads it.
fn lowest(config: Config) -> Bench {
    let mut bench = Bench::with(chain(2, 100, 10), config);
    bench.scene.meet_all(&[A, B]);
    bench.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, A, 0)]);
    bench
}

/// A says that it has done so many steps of its shard.
fn a_is_at(bench: &mut Bench, done: u64) {
    bench.scene.hear(A, Heartbeat { progress: vec![(ShardId(1), done)], ..heartbeat() });
}

#[test]
fn a_new_shard_is_loaded_as_it_is_initialised_and_trained_with_two_steps_in_flight() {
    let mut bench = lowest(Config::default());
    let load = Output::Load { shard: ShardId(0), load: 1, step: 0, begin: 0, checkpoint: None };
    assert_eq!(bench.settle(), [load]);
    assert_eq!(bench.settle(), [], "the trainer reads it");
    assert_eq!(bench.say(loaded(1, true)), []);
    let train = |step| Output::Train {
        shard: ShardId(0),
        load: 1,
        step,
        inputs: Vec::new(),
        feedback: None,
        emit: true,
        checkpoint: false,
    };
    let steps = bench.settle();
    assert_eq!(steps, [train(0), train(1)]);
    assert_eq!(bench.settle(), []);
    assert_eq!(answer(&steps[0]).map(|input| bench.say(input)), Some(Vec::new()));
    let made = Batch { shard: ShardId(0), step: 0, blob: batch_blob(0, 0) };
    assert!(bench.facts().contains(&Fact::MadeBatch(made)) && bench.holds(made.blob));
    assert_eq!(bench.settle(), [train(2)]);
}

#[test]
fn a_shard_is_trained_no_further_than_a_window_beyond_its_slowest_reader() {
    let mut bench = lowest(Config { window: 4, ..Config::default() });
    assert_eq!(trains(&bench.run()).last(), Some(&(0, 3)));
    a_is_at(&mut bench, 3);
    assert_eq!(trains(&bench.run()), [(0, 4), (0, 5), (0, 6)]);
}

#[test]
fn no_batch_is_made_while_those_that_were_not_read_fill_the_bound() {
    let mut bench = lowest(Config { batch_bytes: 5, ..Config::default() });
    bench.scene.keep(&[run_of(0, 0, 5)]);
    assert_eq!(trains(&bench.run()), [(0, 0)], "the one that is read next is made anyhow");
    bench.scene.keep(&[run_of(0, 1, 5)]);
    assert_eq!(trains(&bench.settle()), [(0, 1), (0, 2)]);
}

#[test]
fn a_chapters_end_makes_a_checkpoint_that_is_kept() {
    let mut bench = lowest(Config::default());
    let wanted = bench.run();
    let ends: Vec<u64> = wanted
        .iter()
        .filter_map(|output| {
            let Output::Train { step, checkpoint: true, .. } = output else { return None };
            Some(*step)
        })
        .collect();
    assert_eq!(ends, [9, 19, 29]);
    let made = Checkpoint { by: ME, ..checkpoint(0, 10) };
    assert!(wanted.contains(&Output::Keep(made)) && bench.scene.known.holds(ShardId(0), 10));
}

#[test]
fn a_shard_waits_for_the_checkpoint_that_it_starts_from() {
    let mut bench = Bench::new(chain(1, 100, 10));
    bench.scene.meet_all(&[A]);
    bench.scene.learn(A, [checkpoint(0, 30)]);
    bench.lease(&[shard_lease(0, 1, ME, 0)]);
    assert_eq!(bench.settle(), []);
    let hash = checkpoint(0, 30).blob.hash;
    bench.say(Input::Fetched { hash });
    let load =
        Output::Load { shard: ShardId(0), load: 1, step: 30, begin: 30, checkpoint: Some(hash) };
    assert_eq!(bench.settle(), [load]);
    bench.say(loaded(1, true));
    assert_eq!(trains(&bench.settle()), [(0, 30), (0, 31)]);
}

#[test]
fn a_checkpoint_that_is_none_is_reported_and_looked_for_again() {
    let mut bench = Bench::new(chain(1, 100, 10));
    bench.scene.hold([checkpoint(0, 30)]);
    bench.lease(&[shard_lease(0, 1, ME, 0)]);
    bench.settle();
    bench.say(loaded(1, false));
    assert_eq!(bench.facts(), [Fact::Unreadable(ShardId(0), 30)]);
    bench.scene.known.unreadable(ShardId(0), 30, &mut bench.scene.out);
    assert_eq!(loads(&bench.settle()), [(0, 0)]);
    bench.say(loaded(1, true));
    assert_eq!(trains(&bench.settle()), [], "that load is over");
}

#[test]
fn a_reader_trains_once_all_that_it_reads_is_here() {
    let mut bench = Bench::new(Plan::example(&[2, 1], 100, 10));
    bench.scene.meet_all(&[A]);
    bench.lease(&[0, 1, 2].map(|shard| shard_lease(shard, 1, if shard < 2 { A } else { ME }, 0)));
    bench.run();
    let batches =
        [0, 1].map(|shard| Batch { shard: ShardId(shard), step: 0, blob: batch_blob(shard, 0) });
    let far = Batch { step: 32, ..batches[0] };
    let Bench { scene, jobs, .. } = &mut bench;
    jobs.announced(A, &[batches[0], batches[1], far], &scene.known, &mut scene.out);
    bench.wanted();
    let announced = batches.map(|batch| (0, batch.blob, A));
    assert_eq!(bench.scene.known.own().jobs.announced, announced, "one is beyond the window");
    bench.say(Input::Fetched { hash: batches[0].blob.hash });
    assert_eq!(bench.settle(), []);
    bench.say(Input::Fetched { hash: batches[1].blob.hash });
    let inputs = batches.map(|batch| batch.blob.hash).to_vec();
    let wanted = bench.settle();
    let reads = |it: &Output| matches!(it, Output::Train { inputs: read, emit: false, .. } if *read == inputs);
    assert!(wanted.iter().any(reads), "{wanted:?}");
    let missing = vec![ShardId(0), ShardId(1)];
    assert_eq!(bench.scene.known.own().jobs.missing[&ShardId(2)], missing, "of the next step");
    bench.say(answer(&wanted[0]).unwrap_or(Input::Wakeup));
    assert!(batches.iter().all(|batch| !bench.holds(batch.blob)), "they were read");
}

#[test]
fn a_batch_that_nobody_delivers_is_missing_again() {
    let mut bench = Bench::new(chain(2, 100, 10));
    bench.scene.meet_all(&[A]);
    bench.lease(&[shard_lease(0, 1, A, 0), shard_lease(1, 1, ME, 0)]);
    bench.run();
    let batch = Batch { shard: ShardId(0), step: 0, blob: batch_blob(0, 0) };
    bench.jobs.announced(A, &[batch], &bench.scene.known, &mut bench.scene.out);
    bench.wanted();
    assert!(bench.scene.known.own().jobs.missing[&ShardId(1)].is_empty());
    assert_eq!(bench.jobs.announced_by(A), [batch.blob.hash]);
    bench.jobs.not_delivered(batch.blob.hash, A);
    bench.wanted();
    assert_eq!(bench.scene.known.own().jobs.missing[&ShardId(1)], [ShardId(0)]);
}

#[test]
fn of_two_shards_the_one_further_behind_is_trained_and_the_lower_one_first() {
    let mut bench = Bench::new(Plan::example(&[2], 100, 10));
    bench.scene.hold([checkpoint(1, 10)]);
    bench.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, ME, 0)]);
    let steps = trains(&bench.run());
    assert!(steps[..10].iter().all(|(shard, _)| *shard == 0), "{steps:?}");
    assert_eq!(steps[10..14], [(0, 10), (1, 10), (0, 11), (1, 11)]);
}

#[test]
fn a_shard_that_shall_move_waits_at_a_chapters_begin() {
    let mut bench = lowest(Config::default());
    bench.scene.known.publish_moves([(ShardId(0), 10)].into_iter().collect());
    assert_eq!(trains(&bench.run()).last(), Some(&(0, 9)));
    bench.scene.known.publish_moves([(ShardId(0), 20)].into_iter().collect());
    assert_eq!(trains(&bench.run()).last(), Some(&(0, 19)));
}

#[test]
fn a_shard_adopts_what_others_made_when_that_is_a_chapter_further() {
    let mut bench = lowest(Config { window: 12, ..Config::default() });
    bench.run();
    let done = bench.scene.known.own().job(ShardId(0)).map(|job| job.done);
    assert_eq!(done, Some(12));
    a_is_at(&mut bench, 100);
    bench.scene.learn(A, [checkpoint(0, 20), checkpoint(0, 30)]);
    let wanted = bench.settle();
    assert!(loads(&wanted).is_empty() && trains(&wanted).is_empty(), "{wanted:?}");
    assert!(bench.facts().contains(&Fact::TakenUp(ShardId(0))));
    bench.say(Input::Fetched { hash: checkpoint(0, 30).blob.hash });
    assert_eq!(loads(&bench.settle()), [(0, 30)]);
}

#[test]
fn a_shard_goes_on_by_itself_when_others_are_less_than_a_chapter_further() {
    let mut bench = lowest(Config { window: 12, ..Config::default() });
    bench.run();
    a_is_at(&mut bench, 100);
    bench.scene.learn(A, [checkpoint(0, 20)]);
    assert_eq!(trains(&bench.settle()), [(0, 12), (0, 13)]);
}

#[test]
fn a_reader_that_is_not_fed_adopts_what_others_made_however_near() {
    let mut bench = Bench::new(chain(2, 100, 10));
    bench.scene.meet_all(&[A]);
    bench.lease(&[shard_lease(0, 1, A, 0), shard_lease(1, 1, ME, 0)]);
    bench.scene.hold([checkpoint(1, 10)]);
    bench.run();
    bench.scene.hold([checkpoint(1, 20)]);
    assert_eq!(loads(&bench.settle()), [(1, 20)]);
}
