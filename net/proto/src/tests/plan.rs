//! Tests of the shape of a run.

use super::*;

fn plan() -> Plan {
    Plan { epoch_steps: 12, ..Plan::example(&[1, 2, 1], 25, 10) }
}

#[test]
fn shards_are_numbered_layer_by_layer() {
    let plan = plan();
    assert_eq!(plan.shard_count(), 4);
    assert_eq!(plan.shards().map(|shard| plan.layer(shard)).collect::<Vec<_>>(), [0, 1, 1, 2]);
    assert_eq!(plan.inputs(ShardId(0)), []);
    assert_eq!(plan.inputs(ShardId(3)), [ShardId(1), ShardId(2)]);
    assert_eq!(plan.readers(ShardId(0)), [ShardId(1), ShardId(2)]);
    assert_eq!(plan.readers(ShardId(3)), []);
}

#[test]
fn chapters_and_epochs_end_where_they_should() {
    let plan = plan();
    assert!(plan.is_boundary(10) && plan.is_boundary(25) && !plan.is_boundary(12));
    assert_eq!(plan.chapter_ending(10), 0);
    assert_eq!(plan.chapter_ending(25), 2);
    assert_eq!((plan.chapters(), plan.chapter_of(19), plan.chapter_of(20)), (3, 1, 2));
    assert_eq!((plan.chapter_start(2), plan.chapter_start(3)), (20, 25));
    assert_eq!(plan.epochs(), 3);
    assert_eq!((1..=3).map(|e| plan.epoch_end(e)).collect::<Vec<_>>(), [20, 25, 25]);
    assert_eq!(plan.epochs_ending(20).collect::<Vec<_>>(), [1]);
    assert_eq!(plan.epochs_ending(25).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(plan.epochs_ending(10).count(), 0);
}

#[test]
fn a_chapter_is_cut_into_branches() {
    let plan = Plan { branches: 4, ..plan() };
    let steps =
        |chapter| (0..5).map(|branch| plan.branch_steps(chapter, branch)).collect::<Vec<_>>();
    assert_eq!(steps(0), [0..2, 2..5, 5..7, 7..10, 10..10]);
    assert_eq!(steps(2), [20..21, 21..22, 22..23, 23..25, 25..25]);
    let plan = Plan { branches: 9, ..plan };
    assert_eq!((plan.branches_of(0), plan.branches_of(2), plan.branches_of(3)), (9, 5, 1));
    assert_eq!(plan.branch_steps(2, 4), 24..25);
}

#[test]
fn the_feedback_shard_is_no_part_of_the_model_and_read_after_a_delay() {
    let plan = Plan { feedback: true, ..plan() };
    assert_eq!(plan.feedback_shard(), Some(ShardId(3)));
    assert_eq!(plan.model_shards().count(), 3);
    assert_eq!(
        (0..4).map(|c| plan.feedback_step(c)).collect::<Vec<_>>(),
        [None, None, Some(10), Some(20)]
    );
    assert_eq!(plan.table_of(ShardId(0), 24), Some(10));
    assert_eq!((plan.table_of(ShardId(0), 19), plan.table_of(ShardId(1), 24)), (None, None));
    assert_eq!(plan.tables_from(0).collect::<Vec<_>>(), [10]);
    assert_eq!(plan.tables_from(25).count(), 0);
    assert_eq!((plan.end(ShardId(3)), plan.end(ShardId(2))), (10, 25));
}

#[test]
fn a_plan_without_feedback_reads_no_tables() {
    let plan = plan();
    assert_eq!((plan.feedback_shard(), plan.feedback_step(9)), (None, None));
    assert_eq!((plan.model_shards().count(), plan.tables_from(0).count()), (4, 0));
}

#[test]
fn only_what_is_read_is_refreshed() {
    let plan = Plan { refreshed: true, ..plan() };
    assert!(plan.is_refreshed(ShardId(0)) && !plan.is_refreshed(ShardId(3)));
    assert_eq!((plan.chapter_end(9), plan.chapter_end(10), plan.chapter_end(24)), (10, 20, 25));
    let (shard, top) = (ShardId(0), ShardId(3));
    let handed_on = (0..30).filter(|&step| plan.can_hand_on(shard, 20, step));
    assert!(handed_on.eq(10..20) && plan.can_hand_on(shard, 25, 24));
    assert!(!plan.can_hand_on(shard, 15, 14) && !plan.can_hand_on(top, 20, 10));
}

#[test]
fn a_shard_is_trained_step_by_step_and_ends() {
    let plan = Plan { feedback: true, ..plan() };
    assert!((0..30).filter(|&step| plan.can_train(ShardId(0), 7, step)).eq([7]));
    let last = |shard| (0..30).rfind(|&at| plan.can_train(shard, at, at));
    assert_eq!((last(ShardId(0)), last(ShardId(3))), (Some(24), Some(9)));
    assert!(!plan.can_train(ShardId(0), u64::MAX, u64::MAX));
}

#[test]
fn a_checkpoint_is_of_a_shard_and_an_end_that_the_run_has() {
    let plan = plan();
    let has = |shard, step| plan.has_checkpoint(ShardId(shard), step);
    assert!((0..50).filter(|&step| has(0, step)).eq([10, 20, 25]));
    assert!(has(3, 25) && !has(4, 25) && !has(u16::MAX, 10) && !has(0, u64::MAX));
}

#[test]
fn what_the_run_does_not_have_costs_something_and_reads_nothing() {
    let mut plan = plan();
    assert_eq!((plan.layer(ShardId(9)), plan.shards_of(9)), (2, vec![]));
    plan.layers[1].step_cost = 0;
    assert_eq!([0, 1, 9].map(|shard| plan.cost(ShardId(shard))), [10, 1, 10]);
    plan.layers.clear();
    assert_eq!((plan.shard_count(), plan.cost(ShardId(0))), (0, 1));
}

#[test]
fn whether_peers_own_chapters_and_have_data_of_their_own_follows_from_the_placement() {
    let of = |placement| {
        let plan = Plan { placement, ..plan() };
        (plan.is_by_chapter(), plan.is_private())
    };
    assert_eq!(of(Placement::SingleLayer), (false, false));
    assert_eq!(of(Placement::Sequential), (false, false));
    assert_eq!(of(Placement::AllLayers), (true, false));
    assert_eq!(of(Placement::Federated), (true, true));
}

#[test]
fn one_layer_alone_has_no_feedback_and_hands_nothing_on() {
    let plan = Plan { feedback: true, refreshed: true, ..Plan::example(&[2], 20, 10) };
    assert_eq!((plan.feedback_shard(), plan.model_shards().count()), (None, 2));
    assert!(!plan.is_refreshed(ShardId(0)));
}

#[test]
fn a_run_too_short_for_a_table_leaves_the_feedback_shard_nothing_to_do() {
    let plan = Plan { feedback: true, ..Plan::example(&[1, 1, 1], 10, 10) };
    assert_eq!((plan.end(ShardId(2)), plan.tables_from(0).count()), (0, 0));
}

#[test]
fn a_branch_ends_where_the_next_begins_and_the_last_with_its_chapter() {
    let plan = Plan { branches: 4, ..plan() };
    assert_eq!([0, 1, 2, 9, 10, 24, 99].map(|at| plan.branch_end(at)), [2, 2, 5, 10, 12, 25, 25]);
    let ends = |plan: &Plan| (0..30).filter(|&done| plan.ends_branch(done)).collect::<Vec<_>>();
    assert_eq!(ends(&plan), [2, 5, 7, 10, 12, 15, 17, 20, 21, 22, 23, 25]);
    assert_eq!(ends(&Plan { branches: 1, ..plan.clone() }), [10, 20, 25]);
    let plan = Plan { refreshed: true, ..plan };
    assert!((0..30).filter(|&step| plan.can_hand_on(ShardId(0), 5, step)).eq(2..5));
}

#[test]
fn another_branch_merges_in_each_shard_and_each_chapter() {
    let plan = Plan { branches: 3, ..plan() };
    let merging = |chapter| [0, 1, 2, 3].map(|it| plan.merging_branch(chapter, ShardId(it)));
    assert_eq!([0, 1].map(merging), [[0, 1, 2, 0], [1, 2, 0, 1]]);
    let short = Plan { branches: 9, ..plan };
    let merging = [0, 1, 2, 3].map(|it| short.merging_branch(2, ShardId(it)));
    assert_eq!(merging, [2, 3, 4, 0], "the last chapter has five steps");
}

#[test]
fn only_where_all_data_is_shared_and_peers_own_chapters_these_are_cut() {
    let cuts = |placement: Placement| [1, 2].map(|branches| placement.cuts(branches));
    assert_eq!(cuts(Placement::AllLayers), [true, true]);
    assert_eq!(cuts(Placement::Federated), [true, false]);
    assert_eq!(cuts(Placement::SingleLayer), [true, false]);
    assert_eq!(cuts(Placement::Sequential), [true, false]);
}
