//! Branches: a chapter whose owner trains each shard of it in turn.

use super::*;
use crate::testing::{
    A, B, ME, all_changes, batch_blob, branch_lease, by_chapter, chain, change, chapter_lease,
    checkpoint, merged, other_checkpoint, private, with_feedback,
};
use crate::{Change, Checkpoint};

/// ME owns these chapters of a run.
fn owner(plan: Plan, chapters: &[u64]) -> Bench {
    let mut bench = Bench::new(plan.clone());
    bench.scene.meet_all(&[A, B]);
    for &chapter in chapters {
        bench.lease(&[chapter_lease(&plan, chapter, 1, ME)]);
    }
    bench
}

/// The inputs of each step of `shard`.
fn reads(outputs: &[Output], of: u16) -> Vec<Vec<Hash>> {
    let reads = |output: &Output| {
        let Output::Train { shard, inputs, .. } = output else { return None };
        (shard.0 == of).then(|| inputs.clone())
    };
    outputs.iter().filter_map(reads).collect()
}

/// All steps of these shards from one on up to another.
fn steps(shards: &[u16], from: u64, until: u64) -> Vec<(u16, u64)> {
    shards.iter().flat_map(|&shard| (from..until).map(move |step| (shard, step))).collect()
}

#[test]
fn a_branch_trains_each_shard_in_turn_and_reads_what_it_made_itself() {
    let mut bench = owner(by_chapter(Plan::example(&[2, 1], 8, 4)), &[0]);
    let wanted = bench.run();
    assert_eq!(loads(&wanted), [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(trains(&wanted), steps(&[0, 1, 2], 0, 4));
    let both = |step| [0, 1].map(|shard| batch_blob(shard, step).hash).to_vec();
    assert_eq!(reads(&wanted, 2), (0..4).map(both).collect::<Vec<_>>());
    let unloads = wanted.iter().filter(|output| matches!(output, Output::Unload { .. }));
    assert_eq!(unloads.count(), 3);
    let mut batches = (0..4).flat_map(|step| [0, 1].map(|shard| batch_blob(shard, step)));
    assert!(batches.all(|batch| wanted.contains(&Output::Drop(batch.hash))), "they were read");
    assert_eq!(bench.scene.known.own().jobs.bytes, 0);
    assert!(bench.scene.known.own().jobs.jobs.is_empty() && bench.settle().is_empty());
}

#[test]
fn what_a_branch_made_stays_until_the_last_shard_of_the_next_layer_has_read_it() {
    let mut bench = owner(by_chapter(Plan::example(&[1, 2], 4, 4)), &[0]);
    let wanted = bench.run();
    let place = |it: &Output| wanted.iter().position(|output| output == it);
    let reads = |it: &Output| matches!(it, Output::Train { shard: ShardId(2), step: 1, .. });
    let read = wanted.iter().position(reads);
    let drop = place(&Output::Drop(batch_blob(0, 1).hash));
    assert!(read.is_some() && read < drop, "{wanted:?}");
    assert_eq!(trains(&wanted), steps(&[0, 1, 2], 0, 4));
}

#[test]
fn the_next_chapter_goes_on_from_the_checkpoints_of_the_one_before() {
    let mut bench = owner(by_chapter(chain(2, 8, 4)), &[1]);
    assert_eq!(bench.settle(), []);
    bench.scene.learn(A, [checkpoint(0, 4)]);
    assert_eq!(bench.settle(), [], "it is not here");
    bench.say(Input::Fetched { hash: checkpoint(0, 4).blob.hash });
    let wanted = bench.run();
    assert_eq!((loads(&wanted), trains(&wanted)), (vec![(0, 4)], steps(&[0], 4, 8)));
    bench.scene.hold([checkpoint(1, 4)]);
    let wanted = bench.run();
    assert_eq!((loads(&wanted), trains(&wanted)), (vec![(1, 4)], steps(&[1], 4, 8)));
}

#[test]
fn the_lower_of_two_chapters_has_a_shard_first() {
    let plan = by_chapter(chain(2, 8, 4));
    let mut bench = owner(plan.clone(), &[1]);
    bench.scene.hold([checkpoint(0, 4)]);
    assert_eq!(loads(&bench.settle()), [(0, 4)]);
    bench.say(loaded(1, true));
    assert_eq!(trains(&bench.settle()), steps(&[0], 4, 6));
    bench.lease(&[chapter_lease(&plan, 0, 1, ME)]);
    let wanted = bench.settle();
    assert!(wanted.contains(&Output::Unload { shard: ShardId(0) }));
    assert_eq!(loads(&wanted), [(0, 0)]);
    let wanted = bench.run();
    assert_eq!(loads(&wanted), [], "chapter 1 waits, and what was asked for is not answered");
    bench.say(loaded(2, true));
    (4..6).for_each(|step| _ = bench.say(refused(1, step, None)));
    let wanted = bench.run();
    assert_eq!(trains(&wanted)[..2], [(0, 0), (0, 1)]);
    let chapter_1 = trains(&wanted).into_iter().filter(|(_, step)| *step >= 4);
    assert_eq!(chapter_1.collect::<Vec<_>>(), steps(&[0, 1], 4, 8), "it begins again");
}

#[test]
fn a_chapter_that_goes_elsewhere_is_given_up_with_all_that_was_made_of_it() {
    let plan = by_chapter(chain(2, 8, 4));
    let mut bench = owner(plan.clone(), &[0]);
    bench.settle();
    bench.say(loaded(1, true));
    let asked = bench.settle();
    bench.say(answer(&asked[0]).unwrap_or(Input::Wakeup));
    assert_eq!(bench.scene.known.own().jobs.bytes, 1);
    bench.lease(&[chapter_lease(&plan, 0, 2, A)]);
    let dropped = Output::Drop(batch_blob(0, 0).hash);
    assert_eq!(bench.settle(), [dropped, Output::Unload { shard: ShardId(0) }]);
    let late = answer(&asked[1]).map(|input| bench.say(input));
    assert_eq!(late, Some(vec![Output::Drop(batch_blob(0, 1).hash)]));
}

#[test]
fn a_peer_that_leaves_gives_its_chapters_up() {
    let mut bench = owner(by_chapter(chain(2, 8, 4)), &[0]);
    assert_eq!(loads(&bench.settle()), [(0, 0)]);
    bench.scene.known.leave();
    assert_eq!(bench.settle(), [Output::Unload { shard: ShardId(0) }]);
    assert!(bench.scene.known.own().jobs.jobs.is_empty());
}

#[test]
fn where_data_is_private_a_branch_goes_on_from_the_checkpoint_that_stands() {
    let plan = Plan { refreshed: true, ..private(chain(2, 4, 4)) };
    for (by, stands) in [(NodeId([0; 32]), true), (NodeId([9; 32]), false)] {
        let mut bench = owner(plan.clone(), &[0]);
        bench.settle();
        bench.say(loaded(1, true));
        let (other, own) = (other_checkpoint(0, 4, by), Checkpoint { by: ME, ..checkpoint(0, 4) });
        bench.scene.learn(A, [other]);
        let wanted = bench.run();
        assert_eq!(trains(&wanted)[..4], steps(&[0], 0, 4)[..]);
        assert_eq!(wanted.contains(&Output::Keep(own)), !stands);
        assert_eq!(bench.holds(own.blob), !stands);
        assert_eq!(refreshes(&wanted).is_empty(), stands, "it waits for the other one");
        bench.say(Input::Fetched { hash: other.blob.hash });
        let later = bench.run();
        assert_eq!(loads(&later).contains(&(0, 4)), stands);
        assert_eq!(trains(&[wanted, later].concat())[4..], steps(&[1], 0, 4)[..]);
    }
}

#[test]
fn what_was_trained_and_is_refreshed_is_only_handed_on_by_a_branch_that_begins_again() {
    let plan = Plan { refreshed: true, ..by_chapter(chain(2, 4, 4)) };
    let mut bench = owner(plan, &[0]);
    bench.scene.hold([checkpoint(0, 4)]);
    let wanted = bench.run();
    assert_eq!(loads(&wanted), [(0, 4), (1, 0)]);
    assert_eq!(refreshes(&wanted), steps(&[0], 0, 4));
    assert_eq!(trains(&wanted), steps(&[1], 0, 4));
    let handed_on = |step| vec![batch_blob(0, step).hash];
    assert_eq!(reads(&wanted, 1), (0..4).map(handed_on).collect::<Vec<_>>());
}

#[test]
fn a_chapter_is_trained_and_then_handed_on_to_the_next_shard() {
    let plan = Plan { refreshed: true, ..by_chapter(chain(2, 4, 4)) };
    let wanted = owner(plan, &[0]).run();
    assert_eq!(trains(&wanted), steps(&[0, 1], 0, 4));
    assert_eq!(refreshes(&wanted), steps(&[0], 0, 4), "nobody reads the top");
    let emits = |output: &Output| matches!(output, Output::Train { emit: true, .. });
    assert!(!wanted.iter().any(emits));
}

#[test]
fn a_peer_that_could_not_read_what_another_made_of_a_chapter_does_it_for_itself() {
    let plan = by_chapter(chain(2, 8, 4));
    let mut bench = owner(plan.clone(), &[1]);
    bench.lease(&[chapter_lease(&plan, 0, 1, A)]);
    bench.scene.learn(A, [checkpoint(0, 4), checkpoint(1, 4)]);
    bench.settle();
    let tasks =
        |bench: &Bench| bench.scene.known.own().jobs.jobs.keys().copied().collect::<Vec<_>>();
    assert_eq!(tasks(&bench), [Task::chapter(1)]);
    bench.scene.known.unreadable(ShardId(0), 4, &mut bench.scene.out);
    assert_eq!(loads(&bench.settle()), [(0, 0)]);
    assert_eq!(tasks(&bench), [Task::chapter(0), Task::chapter(1)], "whoever owns it");
}

#[test]
fn a_refused_step_begins_the_branch_again() {
    let mut bench = owner(by_chapter(chain(2, 8, 4)), &[0]);
    bench.settle();
    bench.say(loaded(1, true));
    let asked = bench.settle();
    bench.say(answer(&asked[0]).unwrap_or(Input::Wakeup));
    let wanted = bench.say(refused(1, 1, None));
    assert!(wanted.contains(&Output::Drop(batch_blob(0, 0).hash)), "{wanted:?}");
    assert_eq!(loads(&bench.settle()), [(0, 0)]);
    assert!(!bench.facts().iter().any(|fact| matches!(fact, Fact::FalseBatch(_))));
}

#[test]
fn a_branch_whose_batch_is_lost_begins_again() {
    let mut bench = owner(by_chapter(chain(2, 8, 4)), &[0]);
    bench.settle();
    bench.say(loaded(1, true));
    let asked = bench.settle();
    bench.say(answer(&asked[0]).unwrap_or(Input::Wakeup));
    bench.say(Input::Lost { hash: batch_blob(3, 3).hash });
    assert_eq!(loads(&bench.settle()), [], "it is nothing to it");
    let wanted = bench.say(Input::Lost { hash: batch_blob(0, 0).hash });
    assert_eq!(wanted, [Output::Drop(batch_blob(0, 0).hash), Output::Unload { shard: ShardId(0) }]);
    assert_eq!(loads(&bench.settle()), [(0, 0)]);
}

/// ME owns the last chapter of a run of two layers with a feedback shard, and has what it begins with,
/// and its table.
fn reads_a_table() -> Bench {
    let plan = with_feedback(by_chapter(chain(2, 8, 4)));
    let mut bench = owner(plan, &[1]);
    bench.scene.hold([checkpoint(0, 4)]);
    assert_eq!(loads(&bench.settle()), [(0, 4)]);
    bench.say(loaded(1, true));
    assert_eq!(bench.settle(), [], "it lacks its table");
    bench.scene.hold([checkpoint(1, 4)]);
    bench
}

#[test]
fn the_lowest_shards_of_a_branch_read_the_chapters_table() {
    let mut bench = reads_a_table();
    let wanted = bench.run();
    let table = Some(checkpoint(1, 4).blob.hash);
    let reads = |it: &Output| matches!(it, Output::Train { shard: ShardId(0), feedback, .. } if *feedback == table);
    assert_eq!(wanted.iter().filter(|it| reads(it)).count(), 4);
    bench.scene.known.lose_own_copy(ShardId(1), 4, &mut bench.scene.out);
    assert!(!bench.holds(checkpoint(1, 4).blob), "it is not read any more");
}

#[test]
fn a_table_that_a_branch_cannot_read_is_not_believed() {
    let mut bench = reads_a_table();
    bench.settle();
    bench.say(refused(1, 4, Some(checkpoint(1, 4).blob.hash)));
    assert_eq!(bench.facts(), [Fact::Unreadable(ShardId(1), 4)]);
    let mut bench = reads_a_table();
    bench.settle();
    bench.say(Input::Lost { hash: checkpoint(1, 4).blob.hash });
    assert_eq!(loads(&bench.settle()), [(0, 4)], "one that is lost is waited for");
    assert_eq!(bench.facts(), []);
}

/// ME owns these branches of a run of two layers and two chapters, each cut into two.
fn owner_of(branches: &[(u64, u16)]) -> Bench {
    let plan = merged(chain(2, 8, 4), 2);
    let mut bench = Bench::new(plan.clone());
    bench.scene.meet_all(&[A, B]);
    for &task in branches {
        bench.lease(&[branch_lease(&plan, task, 1, ME)]);
    }
    bench
}

/// The change that the trainer made in `shard` at the end of a branch.
fn made(task: (u64, u16), shard: u16, end: u64) -> Change {
    let blob = checkpoint(shard, end).blob;
    Change { blob, by: ME, ..change(task.0, shard, Some(task.1)) }
}

/// The jobs, by chapter and branch.
fn tasks(bench: &Bench) -> Vec<(u64, u16)> {
    let task = |task: &Task| match *task {
        Task::Branch { chapter, branch } => Some((chapter, branch)),
        Task::Shard(_) => None,
    };
    bench.scene.known.own().jobs.jobs.keys().filter_map(task).collect()
}

#[test]
fn the_second_branch_of_a_chapter_begins_in_the_middle_from_the_chapters_start() {
    let mut bench = owner_of(&[(1, 1)]);
    bench.scene.hold([checkpoint(0, 4), checkpoint(1, 4)]);
    let wanted = bench.run();
    let begin = |output: &Output| {
        let Output::Load { shard, step, begin, .. } = output else { return None };
        Some((shard.0, *step, *begin))
    };
    assert_eq!(wanted.iter().filter_map(begin).collect::<Vec<_>>(), [(0, 4, 6), (1, 4, 6)]);
    assert_eq!(trains(&wanted), steps(&[0, 1], 6, 8));
    let handed_on = |step| vec![batch_blob(0, step).hash];
    assert_eq!(reads(&wanted, 1), [6, 7].map(handed_on));
}

#[test]
fn a_branch_tells_at_its_end_what_it_changed_and_is_done() {
    for (task, end) in [((0, 0), 2), ((0, 1), 4)] {
        let mut bench = owner_of(&[task]);
        let wanted = bench.run();
        let due = |output: &&Output| matches!(output, Output::Train { checkpoint: true, .. });
        let due: Vec<Output> = wanted.iter().filter(due).cloned().collect();
        assert_eq!(trains(&due), [(0, end - 1), (1, end - 1)]);
        let changes = [0, 1].map(|shard| made(task, shard, end));
        assert_eq!(bench.facts(), changes.map(Fact::MadeChange));
        assert!(changes.iter().all(|change| bench.holds(change.blob)));
        assert!(tasks(&bench).is_empty() && bench.settle().is_empty());
    }
}

#[test]
fn of_two_branches_the_second_waits_until_the_first_is_through_with_a_shard() {
    let mut bench = owner_of(&[(0, 0), (0, 1)]);
    let wanted = bench.run();
    let mut trained = trains(&wanted);
    trained.sort_unstable();
    assert_eq!(trained, steps(&[0, 1], 0, 4), "none begins again");
    let merges = wanted.iter().filter(|output| matches!(output, Output::Merge { .. }));
    assert_eq!((loads(&wanted).len(), merges.count()), (4, 2));
}

#[test]
fn a_branch_whose_change_is_lost_or_refused_is_trained_again() {
    let mut bench = owner_of(&[(0, 0)]);
    bench.run();
    bench.say(Input::Lost { hash: made((0, 0), 1, 2).blob.hash });
    assert_eq!(trains(&bench.run()), steps(&[0, 1], 0, 2));
    let Scene { known, out, .. } = &mut bench.scene;
    known.refuse_change(made((0, 0), 0, 2).blob.hash, out);
    assert_eq!(trains(&bench.run()), steps(&[0], 0, 2), "the other shard's is here");
}

#[test]
fn a_branch_that_somebody_else_has_done_is_given_up() {
    let mut bench = owner_of(&[(0, 0)]);
    assert_eq!(loads(&bench.settle()), [(0, 0)]);
    bench.scene.learn_changes(A, [change(0, 0, Some(0))]);
    assert_eq!(bench.settle(), []);
    bench.scene.learn_changes(A, [change(0, 1, Some(0))]);
    assert_eq!(bench.settle(), [Output::Unload { shard: ShardId(0) }]);
    assert!(tasks(&bench).is_empty());
}

#[test]
fn all_branches_of_a_chapter_that_could_not_be_read_are_done_again() {
    let mut bench = owner_of(&[(1, 0)]);
    bench.scene.learn(A, [checkpoint(0, 4), checkpoint(1, 4)]);
    bench.settle();
    assert_eq!(tasks(&bench), [(1, 0)]);
    bench.scene.known.unreadable(ShardId(0), 4, &mut bench.scene.out);
    assert_eq!(loads(&bench.settle()), [(0, 0)]);
    assert_eq!(tasks(&bench), [(0, 0), (0, 1), (1, 0)]);
}

#[test]
fn the_changes_that_this_peer_lacks_for_merging_are_to_be_fetched() {
    let mut bench = owner_of(&[(0, 0)]);
    bench.run();
    let other = change(0, 0, Some(1));
    bench.scene.learn_changes(A, [other]);
    bench.settle();
    assert_eq!(bench.scene.known.own().jobs.changes, [(other.blob, A)]);
    bench.scene.known.fetched_change(other.blob.hash, &mut bench.scene.out);
    assert!(matches!(bench.settle()[..], [Output::Merge { shard: ShardId(0), step: 4, .. }]));
    assert!(bench.scene.known.own().jobs.changes.is_empty());
    bench.say(Input::Lost { hash: other.blob.hash });
    assert!(!bench.holds(other.blob), "it is not held for the trainer either");
    let (shard, step, outcome) = (ShardId(0), 4, Merge::Refused(None));
    bench.say(Input::Merged { shard, step, outcome });
    bench.scene.learn_changes(A, all_changes(0, 0, 2));
    bench.settle();
    assert_eq!(bench.scene.known.own().jobs.changes, [(other.blob, A)]);
}

#[test]
fn a_later_branch_keeps_its_shard_unless_it_waits_for_a_table() {
    for (feedback, gives_way) in [(false, false), (true, true)] {
        let plan = Plan { feedback, ..merged(chain(2, 8, 4), 2) };
        let mut bench = Bench::new(plan.clone());
        bench.lease(&[branch_lease(&plan, (1, 0), 1, ME)]);
        bench.scene.hold([checkpoint(0, 4)]);
        assert_eq!(loads(&bench.settle()), [(0, 4)]);
        bench.say(loaded(1, true));
        bench.settle();
        bench.lease(&[branch_lease(&plan, (0, 0), 1, ME)]);
        let wanted = bench.settle();
        assert_eq!(wanted.contains(&Output::Unload { shard: ShardId(0) }), gives_way);
        assert_eq!(loads(&wanted) == [(0, 0)], gives_way, "{wanted:?}");
    }
}
