//! Steps that the trainer refuses, and blobs that are lost.

use super::*;
use crate::testing::{A, B, ME, batch_blob, chain, checkpoint, shard_lease};

/// ME owns a shard that reads A's; so many of A's batches are here, and the first two steps are with
/// the trainer.
fn reader(plan: Plan, here: u64) -> Bench {
    let mut bench = Bench::new(plan);
    bench.scene.meet_all(&[A, B]);
    bench.lease(&[shard_lease(0, 1, A, 0), shard_lease(1, 1, ME, 0)]);
    bench.settle();
    bench.say(loaded(1, true));
    announce(&mut bench, A, here);
    for step in 0..here {
        bench.say(Input::Fetched { hash: batch_blob(0, step).hash });
    }
    assert_eq!(trains(&bench.settle()), [(1, 0), (1, 1)]);
    bench.facts();
    bench
}

/// `from` announces the batches of the first steps.
fn announce(bench: &mut Bench, from: NodeId, count: u64) {
    let batch = |step| Batch { shard: ShardId(0), step, blob: batch_blob(0, step) };
    let batches: Vec<Batch> = (0..count).map(batch).collect();
    bench.jobs.announced(from, &batches, &bench.scene.known, &mut bench.scene.out);
    bench.wanted();
}

#[test]
fn a_refused_step_is_done_again_with_those_behind_it_once_all_are_answered() {
    let mut bench = reader(chain(2, 100, 10), 3);
    bench.say(refused(1, 0, None));
    assert_eq!(trains(&bench.settle()), [(1, 0)], "step 1 is with the trainer");
    bench.say(refused(1, 1, None));
    assert_eq!(trains(&bench.settle()), [(1, 1)]);
    assert_eq!(bench.facts(), []);
}

#[test]
fn a_batch_that_is_none_is_blamed_on_those_that_announced_it() {
    let mut bench = reader(chain(2, 100, 10), 2);
    let bad = batch_blob(0, 0).hash;
    bench.say(refused(1, 0, Some(bad)));
    let (shard, step) = (ShardId(1), 0);
    assert_eq!(bench.facts(), [Fact::AskLater(shard, step), Fact::FalseBatch(A)]);
    bench.say(refused(1, 1, Some(batch_blob(0, 1).hash)));
    assert_eq!(bench.facts(), [], "it was refused because of the one before it");
    assert_eq!(trains(&bench.settle()), [], "step 0 is lacking");
    assert!(!bench.holds(batch_blob(0, 0)) && bench.holds(batch_blob(0, 1)));
}

#[test]
fn a_batch_of_this_peers_own_that_is_none_is_made_again() {
    let mut bench = Bench::new(chain(2, 100, 10));
    bench.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, ME, 0)]);
    bench.run();
    let own = batch_blob(0, 0);
    announce(&mut bench, ME, 1);
    assert_eq!(trains(&bench.settle()), [(1, 0)]);
    bench.facts();
    let load = bench.scene.known.own().job(ShardId(1)).map_or(0, |job| job.load);
    bench.say(refused(load, 0, Some(own.hash)));
    assert_eq!(bench.facts(), [Fact::AskLater(ShardId(1), 0), Fact::Spoiled(own.hash)]);
}

#[test]
fn a_refusal_of_another_load_changes_nothing() {
    let mut bench = reader(chain(2, 100, 10), 2);
    bench.say(refused(7, 0, Some(batch_blob(0, 0).hash)));
    assert_eq!((bench.facts(), trains(&bench.settle())), (Vec::new(), Vec::new()));
}

#[test]
fn a_lost_batch_is_asked_for_again_and_the_steps_that_read_it_wait() {
    let mut bench = reader(chain(2, 100, 10), 3);
    let lost = batch_blob(0, 1);
    let wanted = bench.say(Input::Lost { hash: lost.hash });
    assert_eq!(wanted, [Output::Drop(lost.hash)], "no reason to hold it is left");
    assert_eq!(bench.facts(), [Fact::AskAgain(ShardId(1))]);
    bench.say(refused(1, 1, None));
    assert_eq!(trains(&bench.settle()), []);
    bench.say(Input::Fetched { hash: lost.hash });
    assert_eq!(trains(&bench.settle()), [(1, 1)]);
}

#[test]
fn a_checkpoint_that_is_lost_while_it_is_loaded_is_looked_for_again() {
    let mut bench = Bench::new(chain(1, 100, 10));
    bench.scene.hold([checkpoint(0, 10)]);
    bench.lease(&[shard_lease(0, 1, ME, 0)]);
    assert_eq!(loads(&bench.settle()), [(0, 10)]);
    bench.say(Input::Lost { hash: checkpoint(0, 10).blob.hash });
    assert_eq!(loads(&bench.settle()), [(0, 0)]);
    bench.say(loaded(1, false));
    assert_eq!(bench.facts(), [], "nothing is wrong with the one that was lost");
}

/// The same reader, of three layers, in a run whose chapters of two steps are handed on at their end.
fn refreshed_reader() -> Bench {
    let mut bench = reader(Plan { refreshed: true, ..chain(3, 8, 2) }, 2);
    for step in 0..2 {
        let (batch, checkpoint) = (None, (step == 1).then(|| (checkpoint(1, 2).blob, 0)));
        bench.say(Input::Trained { shard: ShardId(1), load: 1, step, batch, checkpoint });
    }
    assert!((0..2).all(|step| bench.holds(batch_blob(0, step))), "they are read once more");
    bench
}

#[test]
fn a_chapter_is_handed_on_at_its_end_and_then_what_it_read_is_dropped() {
    let mut bench = refreshed_reader();
    let wanted = bench.run();
    assert_eq!(refreshes(&wanted), [(1, 0), (1, 1)]);
    assert!((0..2).all(|step| wanted.contains(&Output::Drop(batch_blob(0, step).hash))));
    let made = |step| Batch { shard: ShardId(1), step, blob: batch_blob(1, step) };
    let facts = bench.facts();
    assert!((0..2).all(|step| facts.contains(&Fact::MadeBatch(made(step)))));
}

#[test]
fn a_chapter_that_cannot_be_handed_on_is_trained_again() {
    let mut bench = refreshed_reader();
    assert_eq!(refreshes(&bench.settle()), [(1, 0), (1, 1)]);
    bench.say(refused(1, 0, Some(batch_blob(0, 0).hash)));
    bench.say(refused(1, 1, None));
    assert_eq!(loads(&bench.settle()), [(1, 0)]);
    let blames = |fact: &Fact| matches!(fact, Fact::FalseBatch(_));
    assert!(!bench.facts().iter().any(blames), "it could be read before");
}

#[test]
fn a_chapter_whose_batch_is_lost_before_it_is_handed_on_is_trained_again() {
    let mut bench = refreshed_reader();
    bench.say(Input::Lost { hash: batch_blob(0, 1).hash });
    assert_eq!(loads(&bench.settle()), [(1, 0)]);
    let mut bench = reader(Plan { refreshed: true, ..chain(3, 8, 2) }, 2);
    bench.say(Input::Lost { hash: batch_blob(0, 1).hash });
    bench.say(refused(1, 1, None));
    assert_eq!(loads(&bench.settle()), [], "it was not trained yet");
}
