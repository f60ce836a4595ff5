//! Tests of checkpoints that are made of the means of chapters.

use super::*;

/// The output that asks for that, of means.
fn follow(shard: u16, step: u64, start: Option<Checkpoint>, means: &[Change]) -> Output {
    let parts = Parts::Means(means.iter().map(|it| it.blob.hash).collect());
    let (from, start) = (start.map_or(0, |it| it.step), start.map(|it| it.blob.hash));
    Output::Merge { shard: ShardId(shard), step, from, start, parts }
}

#[test]
fn others_make_the_checkpoint_from_the_mean() {
    let mut bench = Bench::new(plan());
    let mean = Change { loss_micro: 7, ..change(1, 0, None) };
    bench.scene.learn_changes(A, [mean]);
    bench.scene.learn(A, [checkpoint(0, 10), checkpoint(0, 20)]);
    bench.routes(&[(0, 20)]);
    assert_eq!(bench.settle(), []);
    bench.scene.known.fetched_change(mean.blob.hash, &mut bench.scene.out);
    assert_eq!(bench.settle(), [], "it lacks the start");
    bench.scene.hold([checkpoint(0, 10)]);
    bench.routes(&[]);
    assert_eq!(bench.settle(), [], "nothing needs what it would make");
    bench.routes(&[(0, 20)]);
    assert_eq!(bench.settle(), [follow(0, 20, Some(checkpoint(0, 10)), &[mean])]);
    assert_eq!(bench.settle(), [], "once");
    let facts = bench.answer((0, 20), outcome(0, 20));
    assert_eq!(facts, [Fact::Merged(checkpoint(0, 20), mean)]);
    assert_eq!(bench.settle(), [], "it is here now");
    bench.give_up(&[(0, 10), (0, 20)]);
    assert_eq!(bench.holds([mean.blob, checkpoint(0, 20).blob]), [false; 2]);
}

#[test]
fn what_is_made_of_a_mean_names_who_merged() {
    let mut bench = Bench::new(plan());
    let mean = Change { loss_micro: 7, by: B, ..change(0, 0, None) };
    bench.fetch_means(&[mean]);
    bench.routes(&[(0, 10)]);
    assert_eq!(bench.settle(), [follow(0, 10, None, &[mean])]);
    let facts = bench.answer((0, 10), outcome(0, 10));
    let made = Checkpoint { by: B, loss_micro: 7, ..checkpoint(0, 10) };
    assert_eq!(facts, [Fact::Merged(made, mean)]);
}

#[test]
fn a_cell_is_merged_once_though_its_branches_and_its_mean_are_here() {
    let mut bench = Bench::new(plan());
    bench.scene.make_changes(all_changes(0, 0, 2));
    bench.fetch_means(&[change(0, 0, None)]);
    bench.routes(&[(0, 10)]);
    assert_eq!(bench.settle(), [merge(0, 10, None, &all_changes(0, 0, 2))]);
}

#[test]
fn several_chapters_are_one_merge_of_their_means() {
    let mut bench = Bench::new(plan());
    let means =
        [1, 2].map(|chapter| Change { by: B, loss_micro: chapter, ..change(chapter, 0, None) });
    bench.scene.hold([checkpoint(0, 10)]);
    bench.fetch_means(&means[1..]);
    bench.routes(&[(0, 30)]);
    assert_eq!(bench.settle(), [], "one of them is not here");
    bench.fetch_means(&means);
    assert_eq!(bench.settle(), [follow(0, 30, Some(checkpoint(0, 10)), &means)]);
    bench.give_up(&[(0, 10)]);
    let reads = [checkpoint(0, 10).blob, means[0].blob, means[1].blob];
    assert_eq!(bench.holds(reads), [true; 3], "until the answer");
    let facts = bench.answer((0, 30), outcome(0, 30));
    let made = Checkpoint { by: B, loss_micro: 2, ..checkpoint(0, 30) };
    assert_eq!(facts, [Fact::Merged(made, means[1])]);
    assert_eq!(bench.holds(reads), [false, false, true], "the last one was made here, too");
    assert!(bench.scene.known.holds(S0, 30) && !bench.scene.known.holds(S0, 20));
    assert_eq!(bench.settle(), []);
}

#[test]
fn a_mean_that_makes_another_checkpoint_than_the_known_one_is_dropped() {
    let mut bench = Bench::new(plan());
    let (mean, known) = (change(0, 0, None), other_checkpoint(0, 10, B));
    bench.scene.learn(B, [known]);
    bench.fetch_means(&[mean]);
    bench.routes(&[(0, 10)]);
    assert_eq!(bench.settle(), [follow(0, 10, None, &[mean])]);
    assert_eq!(bench.answer((0, 10), outcome(0, 10)), [Fact::FalseChange(mean.blob.hash)]);
    assert_eq!(bench.holds([mean.blob, checkpoint(0, 10).blob]), [false; 2]);
    let stands = bench.scene.known.checkpoints().at(S0, 10).map(|it| it.checkpoint);
    assert_eq!(stands, Some(known));
    bench.scene.learn_changes(A, [mean]);
    assert!(bench.scene.known.changes().at(0, S0, None).is_none() && bench.settle().is_empty());
}

#[test]
fn all_means_that_lead_to_another_checkpoint_than_the_known_one_are_refused() {
    let mut bench = Bench::new(plan());
    let (means, known) = ([0, 1].map(|it| change(it, 0, None)), other_checkpoint(0, 20, B));
    bench.fetch_means(&means);
    bench.scene.learn(B, [known]);
    bench.routes(&[(0, 20)]);
    assert_eq!(bench.settle(), [follow(0, 20, None, &means)]);
    let facts = bench.answer((0, 20), outcome(0, 20));
    assert_eq!(facts, means.map(|it| Fact::FalseChange(it.blob.hash)));
    assert_eq!(bench.holds([means[0].blob, means[1].blob, checkpoint(0, 20).blob]), [false; 3]);
    let stands = bench.scene.known.checkpoints().at(S0, 20).map(|it| it.checkpoint);
    assert_eq!(stands, Some(known));
    bench.scene.learn_changes(A, means);
    assert!(bench.scene.known.route(S0, 20, u64::MAX).is_none() && bench.settle().is_empty());
}

#[test]
fn of_several_means_only_the_one_that_is_none_is_refused() {
    let mut bench = Bench::new(plan());
    let means = [0, 1].map(|it| change(it, 0, None));
    bench.fetch_means(&means);
    bench.routes(&[(0, 20)]);
    bench.settle();
    let facts = bench.answer((0, 20), Merge::Refused(Some(means[0].blob.hash)));
    assert_eq!(facts, [Fact::FalseChange(means[0].blob.hash)]);
    assert_eq!(bench.holds(means.map(|it| it.blob)), [false, true]);
    assert_eq!(bench.settle(), []);
}

#[test]
fn the_start_of_means_that_is_no_checkpoint_is_not_believed() {
    let mut bench = Bench::new(plan());
    bench.scene.hold([checkpoint(0, 10)]);
    bench.fetch_means(&[1, 2].map(|it| change(it, 0, None)));
    bench.routes(&[(0, 30)]);
    bench.settle();
    let start = checkpoint(0, 10).blob;
    let facts = bench.answer((0, 30), Merge::Refused(Some(start.hash)));
    assert_eq!(facts, [Fact::Unreadable(S0, 10)]);
    assert_eq!(bench.holds([start, change(1, 0, None).blob]), [false, true]);
    assert_eq!(bench.settle(), []);
}
