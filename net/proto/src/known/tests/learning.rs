//! Tests of what is learned of checkpoints and scores, and what is kept and dropped of it.

use super::MAX_TABLES;
use crate::testing::*;
use crate::{Checkpoint, MAX_CHECKPOINTS_PER_SHARD, Notice, Output, Plan, Score, ShardId, Span};

const S0: ShardId = ShardId(0);

fn scene() -> Scene {
    Scene::new(chain(2, 40, 10))
}

fn steps_known(scene: &Scene, shard: u16) -> Vec<u64> {
    scene.known.checkpoints().of(ShardId(shard)).map(|entry| entry.checkpoint.step).collect()
}

/// The checkpoint that stands in the cell.
fn stands(scene: &Scene, shard: u16, step: u64) -> Option<Checkpoint> {
    scene.known.checkpoints().at(ShardId(shard), step).map(|entry| entry.checkpoint)
}

#[test]
fn a_checkpoint_of_a_cell_that_the_run_does_not_have_is_blamed_on_its_bearer() {
    for (shard, step) in [(0, 0), (0, 3), (0, 50), (0, u64::MAX), (2, 10), (u16::MAX, 10)] {
        let mut scene = scene();
        scene.learn(A, [checkpoint(shard, step)]);
        assert_eq!(scene.blamed(), [A], "shard {shard} step {step}");
        assert!(stands(&scene, shard, step).is_none());
    }
}

#[test]
fn a_chapter_is_told_of_once_and_a_table_never() {
    let mut scene = Scene::new(with_feedback(chain(3, 40, 10)));
    scene.learn(A, [checkpoint(0, 10), checkpoint(2, 10)]);
    scene.learn(B, [checkpoint(0, 10)]);
    assert_eq!(scene.outputs(), [Output::Notify(Notice::Chapter(checkpoint(0, 10)))]);
    let record = [Span { shard: S0, first: 0, last: 0, by: A }];
    assert_eq!(scene.known.provenance().spans(), record, "a table is no part of the model");
}

#[test]
fn whoever_says_something_else_of_a_known_cell_is_blamed_and_not_believed() {
    let mut scene = scene();
    scene.learn(A, [checkpoint(0, 10)]);
    scene.learn(B, [other_checkpoint(0, 10, ME)]);
    assert_eq!(scene.blamed(), [B]);
    assert_eq!(stands(&scene, 0, 10), Some(checkpoint(0, 10)));
}

#[test]
fn on_private_data_the_checkpoint_of_the_smaller_trainer_stands_and_nobody_is_blamed() {
    for order in [[A, B], [B, A]] {
        let mut scene = Scene::new(private(chain(2, 40, 10)));
        for by in order {
            scene.learn(by, [other_checkpoint(0, 10, by)]);
        }
        assert_eq!(stands(&scene, 0, 10), Some(other_checkpoint(0, 10, A)));
        assert_eq!(scene.known.provenance().spans()[0].by, A, "the record follows");
        assert!(scene.blamed().is_empty());
    }
}

#[test]
fn a_copy_of_what_has_fallen_on_private_data_is_dropped_and_the_model_not_complete() {
    let mut scene = Scene::new(private(chain(1, 40, 10)));
    let fallen = other_checkpoint(0, 40, B);
    scene.hold([fallen]);
    scene.known.complete();
    scene.learn(A, [other_checkpoint(0, 40, A)]);
    assert!(scene.outputs().contains(&Output::Drop(fallen.blob.hash)));
    assert!(!scene.known.holds(S0, 40) && scene.known.own().complete.is_none());
}

#[test]
fn only_on_private_data_does_what_was_made_give_way() {
    let (smaller, larger) = (other_checkpoint(0, 10, ME), other_checkpoint(0, 10, B));
    let mut common = scene();
    let mut alone = Scene::new(private(chain(2, 40, 10)));
    assert!(!alone.known.gives_way(&larger), "nothing stands there yet");
    for scene in [&mut common, &mut alone] {
        scene.learn(A, [checkpoint(0, 10)]);
        assert!(!scene.known.gives_way(&checkpoint(0, 10)) && !scene.known.gives_way(&smaller));
    }
    assert!(!common.known.gives_way(&larger) && alone.known.gives_way(&larger));
}

#[test]
fn what_this_peer_made_takes_the_place_of_what_was_said() {
    let (mut scene, forged) = (scene(), checkpoint(0, 10));
    let own = other_checkpoint(0, 10, ME);
    scene.hold([forged]);
    scene.outputs();
    scene.out.hold(own.blob.hash);
    scene.known.made(own, &mut scene.out);
    assert_eq!(scene.outputs(), [Output::Drop(forged.blob.hash), Output::Keep(own)]);
    assert!(scene.known.holds(S0, 10) && scene.out.holds(own.blob.hash));
    scene.out.hold(own.blob.hash);
    scene.known.made(own, &mut scene.out);
    assert!(scene.outputs().is_empty(), "it is kept already");
    scene.out.release(own.blob.hash);
    assert_eq!(scene.outputs(), [Output::Drop(own.blob.hash)], "it was held once");
}

#[test]
fn a_copy_that_comes_is_held_and_kept_in_each_cell_that_it_is() {
    let mut scene = scene();
    let same = Checkpoint { blob: checkpoint(0, 10).blob, ..checkpoint(1, 20) };
    scene.learn(A, [checkpoint(0, 10), same]);
    scene.outputs();
    let hash = same.blob.hash;
    scene.known.fetched(hash, &mut scene.out);
    assert_eq!(scene.outputs(), [Output::Keep(checkpoint(0, 10)), Output::Keep(same)]);
    scene.known.fetched(hash, &mut scene.out);
    assert!(scene.outputs().is_empty());
    scene.known.lose_own_copy(S0, 10, &mut scene.out);
    assert!(scene.out.holds(hash), "the other cell still needs it");
    scene.known.lose_own_copy(ShardId(1), 20, &mut scene.out);
    scene.known.lose_own_copy(ShardId(1), 20, &mut scene.out);
    assert_eq!(scene.outputs(), [Output::Drop(hash)]);
}

#[test]
fn who_does_not_deliver_a_checkpoint_does_not_hold_it() {
    let mut scene = scene();
    let hash = checkpoint(0, 10).blob.hash;
    [A, B].iter().for_each(|&peer| scene.learn(peer, [checkpoint(0, 10)]));
    scene.known.not_delivered(hash, A);
    let holders = |scene: &Scene| Some(scene.known.checkpoints().at(S0, 10)?.holders.len());
    assert_eq!(holders(&scene), Some(1));
    scene.known.not_delivered(hash, ME);
    scene.known.not_delivered(blob("unknown").hash, B);
    assert_eq!(holders(&scene), Some(1));
    scene.known.not_delivered(hash, B);
    assert_eq!(holders(&scene), None, "nobody has it");
}

#[test]
fn bytes_that_are_no_checkpoint_are_dropped_and_not_believed_until_they_may_be_tried_again() {
    let mut scene = scene();
    scene.hold([checkpoint(0, 10)]);
    scene.outputs();
    scene.known.unreadable(S0, 10, &mut scene.out);
    scene.known.unreadable(S0, 10, &mut scene.out);
    assert_eq!(scene.outputs(), [Output::Drop(checkpoint(0, 10).blob.hash)]);
    scene.learn(A, [checkpoint(0, 10)]);
    assert!(stands(&scene, 0, 10).is_none() && scene.blamed().is_empty());
    scene.known.retry(ShardId(1));
    scene.learn(A, [checkpoint(0, 10)]);
    assert!(stands(&scene, 0, 10).is_none(), "another shard was meant");
    scene.known.retry(S0);
    scene.learn(A, [checkpoint(0, 10)]);
    assert!(stands(&scene, 0, 10).is_some());
}

#[test]
fn a_lost_blob_is_not_here_any_more_and_others_still_have_it() {
    let mut scene = scene();
    let hash = checkpoint(0, 10).blob.hash;
    scene.hold([checkpoint(0, 10), checkpoint(0, 20)]);
    scene.learn(A, [checkpoint(0, 10)]);
    scene.outputs();
    assert_eq!(scene.known.lost(hash, &mut scene.out), [10]);
    assert_eq!(scene.outputs(), [Output::Drop(hash)]);
    assert!(!scene.known.holds(S0, 10) && stands(&scene, 0, 10).is_some());
    assert!(scene.known.lost(hash, &mut scene.out).is_empty(), "it was lost once");
}

#[test]
fn only_a_last_checkpoint_that_is_lost_makes_the_model_incomplete() {
    let mut scene = scene();
    scene.hold([checkpoint(0, 30), checkpoint(0, 40)]);
    scene.known.complete();
    scene.known.lost(checkpoint(0, 30).blob.hash, &mut scene.out);
    assert!(scene.known.own().complete.is_some());
    scene.known.lost(checkpoint(0, 40).blob.hash, &mut scene.out);
    assert!(scene.known.own().complete.is_none());
}

#[test]
fn a_stored_checkpoint_of_no_cell_or_of_a_cell_that_is_held_is_forgotten() {
    let mut scene = scene();
    scene.hold([checkpoint(0, 10)]);
    scene.outputs();
    for useless in [checkpoint(0, 3), checkpoint(7, 10), other_checkpoint(0, 10, A)] {
        scene.hold([useless]);
        assert_eq!(scene.outputs(), [Output::Drop(useless.blob.hash)]);
    }
    scene.hold([checkpoint(0, 10)]);
    assert!(scene.outputs().is_empty() && scene.known.holds(S0, 10));
}

#[test]
fn a_stored_checkpoint_unlike_the_one_that_stands_is_forgotten() {
    for plan in [chain(2, 40, 10), private(chain(2, 40, 10))] {
        let mut scene = Scene::new(plan);
        scene.learn(A, [checkpoint(0, 10)]);
        scene.hold([other_checkpoint(0, 10, B)]);
        let dropped = Output::Drop(other_checkpoint(0, 10, B).blob.hash);
        assert!(scene.outputs().contains(&dropped) && !scene.known.holds(S0, 10));
    }
}

#[test]
fn what_an_epoch_can_be_scored_by_is_remembered_until_it_is_scored() {
    let mut scene = Scene::new(Plan { epoch_steps: 20, ..chain(1, 400, 1) });
    scene.learn(A, (1..=5).map(|step| checkpoint(0, step)));
    scene.learn(A, (19..=60).map(|step| checkpoint(0, step)));
    let left = steps_known(&scene, 0);
    assert_eq!(left.len(), MAX_CHECKPOINTS_PER_SHARD + 3, "{left:?}");
    assert!([1, 20, 40, 60].iter().all(|step| left.contains(step)), "{left:?}");
    scene.known.learn_score(score(1), &mut scene.out);
    scene.known.learn_score(score(2), &mut scene.out);
    scene.known.trim();
    assert_eq!(steps_known(&scene, 0).len(), MAX_CHECKPOINTS_PER_SHARD + 1);
}

#[test]
fn where_peers_own_chapters_the_begin_of_each_open_one_is_remembered() {
    let plan = Plan { epoch_steps: 1_000, ..by_chapter(chain(12, 1_000, 1)) };
    let mut scene = Scene::new(plan);
    scene.look();
    scene.learn(A, (1..=100).map(|step| checkpoint(0, step)));
    let begins = scene.known.plan().shard_count() + 1;
    assert_eq!(steps_known(&scene, 0).len(), MAX_CHECKPOINTS_PER_SHARD + begins);
}

#[test]
fn so_many_tables_are_remembered_as_the_lowest_shards_could_need() {
    let mut scene = Scene::new(with_feedback(chain(3, 1_000, 1)));
    scene.known.set_first_table(100);
    scene.learn(A, (1..=500).map(|step| checkpoint(2, step)));
    let tables = steps_known(&scene, 2);
    assert_eq!(tables.len(), MAX_TABLES + MAX_CHECKPOINTS_PER_SHARD);
    assert!(tables.ends_with(&[498, 499, 500]));
}

#[test]
fn the_first_score_that_is_possible_stands() {
    let mut scene = scene();
    let first = score(1);
    let wrong = [
        Score { epoch: 0, ..first },
        Score { epoch: 2, ..first },
        Score { samples: 0, softmax_correct: 0, other_correct: 0, ..first },
        Score { softmax_correct: 11, ..first },
        Score { other_correct: 11, ..first },
    ];
    let later = Score { other_correct: 1, ..first };
    for score in wrong.into_iter().chain([first, later]) {
        scene.known.learn_score(score, &mut scene.out);
    }
    assert_eq!(scene.outputs(), [Output::Notify(Notice::Score(first))]);
    assert!(scene.known.scores().values().eq([&first]));
}

#[test]
fn who_trained_what_is_taken_over_as_far_as_it_is_not_known_better() {
    let mut scene = scene();
    scene.learn(A, [checkpoint(0, 20)]);
    let span = |first, last, by| Span { shard: S0, first, last, by };
    scene.known.learn_provenance(vec![span(0, 2, B)]);
    let record = [span(0, 0, B), span(1, 1, A), span(2, 2, B)];
    assert_eq!(scene.known.provenance().spans(), record);
}
