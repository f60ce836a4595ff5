//! Tables: the checkpoints of the feedback shard that the lowest shards read.

use super::*;
use crate::testing::{A, ME, batch_blob, chain, checkpoint, shard_lease, with_feedback};

/// ME owns the lowest of three shards, at step 4, where the table after 2 steps is due; A the others.
fn lowest(plan: Plan) -> Bench {
    let mut bench = Bench::new(plan);
    bench.scene.meet_all(&[A]);
    let owners = [(0, ME), (1, A), (2, A)];
    bench.scene.hold([checkpoint(0, 4)]);
    bench.scene.learn(A, [checkpoint(1, 4)]);
    bench.lease(&owners.map(|(shard, owner)| shard_lease(shard, 1, owner, 4)));
    bench.run();
    bench.facts();
    bench
}

fn plan() -> Plan {
    with_feedback(chain(3, 20, 2))
}

/// The tables that these steps read.
fn tables(outputs: &[Output]) -> Vec<Option<Hash>> {
    let table = |output: &Output| {
        let Output::Train { feedback, .. } = output else { return None };
        Some(*feedback)
    };
    outputs.iter().filter_map(table).collect()
}

#[test]
fn a_lowest_shard_waits_for_its_table_and_reads_it_for_a_chapter() {
    let mut bench = lowest(plan());
    assert_eq!(bench.settle(), []);
    bench.scene.learn(A, [checkpoint(2, 2)]);
    assert_eq!(bench.settle(), [], "it is not here");
    bench.scene.hold([checkpoint(2, 2)]);
    let wanted = bench.run();
    assert_eq!(trains(&wanted), [(0, 4), (0, 5)]);
    assert_eq!(tables(&wanted), [Some(checkpoint(2, 2).blob.hash); 2]);
}

#[test]
fn a_table_is_held_until_another_takes_its_place_whatever_becomes_of_the_copy() {
    let mut bench = lowest(plan());
    bench.scene.hold([checkpoint(2, 2)]);
    bench.settle();
    bench.scene.known.lose_own_copy(ShardId(2), 2, &mut bench.scene.out);
    assert_eq!(bench.wanted(), []);
    bench.say(refused(1, 4, None));
    bench.say(refused(1, 5, None));
    assert_eq!(tables(&bench.run()), [Some(checkpoint(2, 2).blob.hash); 2]);
    bench.scene.hold([checkpoint(2, 4)]);
    assert!(bench.run().contains(&Output::Drop(checkpoint(2, 2).blob.hash)));
    bench.lease(&[shard_lease(0, 2, A, 4)]);
    bench.scene.known.lose_own_copy(ShardId(2), 4, &mut bench.scene.out);
    assert_eq!(bench.wanted(), [Output::Drop(checkpoint(2, 4).blob.hash)]);
}

#[test]
fn a_table_that_is_none_is_not_believed_and_nobody_is_blamed() {
    let mut bench = lowest(plan());
    bench.scene.hold([checkpoint(2, 2)]);
    bench.settle();
    bench.say(refused(1, 4, Some(checkpoint(2, 2).blob.hash)));
    assert_eq!(bench.facts(), [Fact::Unreadable(ShardId(2), 2)]);
    bench.scene.known.unreadable(ShardId(2), 2, &mut bench.scene.out);
    bench.say(refused(1, 5, None));
    assert_eq!(bench.settle(), []);
    assert!(!bench.holds(checkpoint(2, 2).blob));
}

#[test]
fn a_chapter_whose_table_is_lost_before_it_is_handed_on_is_trained_again() {
    for (refreshed, again) in [(false, vec![]), (true, vec![(0, 4)])] {
        let mut bench = lowest(Plan { refreshed, ..plan() });
        bench.scene.hold([checkpoint(2, 2)]);
        let steps = bench.settle();
        for input in steps.iter().filter_map(answer) {
            bench.say(input);
        }
        bench.say(Input::Lost { hash: checkpoint(2, 2).blob.hash });
        assert_eq!(loads(&bench.settle()), again, "refreshed: {refreshed}");
    }
}

#[test]
fn the_feedback_shard_stops_at_the_last_table_that_is_read() {
    let mut bench = Bench::new(with_feedback(chain(2, 6, 2)));
    bench.lease(&[shard_lease(0, 1, ME, 0), shard_lease(1, 1, ME, 0)]);
    let mut wanted = bench.run();
    for step in 0..6 {
        let blob = batch_blob(0, step);
        bench.jobs.announced(
            ME,
            &[Batch { shard: ShardId(0), step, blob }],
            &bench.scene.known,
            &mut bench.scene.out,
        );
        wanted.extend(bench.run());
    }
    let feedback = trains(&wanted).into_iter().rfind(|(shard, _)| *shard == 1);
    assert_eq!(feedback, Some((1, 3)));
    assert_eq!(trains(&wanted).last(), Some(&(0, 5)));
    assert!(bench.scene.known.own().jobs.jobs.is_empty(), "both have ended");
}
