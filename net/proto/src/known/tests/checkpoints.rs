//! Tests of the table of checkpoints: who holds which, and which of two stands.

use super::*;
use crate::BlobRef;

const A: NodeId = NodeId([1; 32]);
const B: NodeId = NodeId([2; 32]);

fn checkpoint(step: u64, byte: u8) -> Checkpoint {
    let blob = BlobRef { hash: Hash([byte; 32]), size: 1 };
    Checkpoint { shard: ShardId(0), step, blob, by: A, loss_micro: 0 }
}

#[test]
fn copies_make_a_checkpoint_stable_and_their_loss_unmakes_it() {
    let mut known = Checkpoints::default();
    assert_eq!(known.learn(checkpoint(10, 1), A), Learned::New);
    assert_eq!(known.learn(checkpoint(10, 1), B), Learned::Known);
    known.learn(checkpoint(20, 2), A);
    assert_eq!(known.stable(ShardId(0), 2), 10);
    assert_eq!(known.stable(ShardId(0), 1), 20);
    assert_eq!(known.best(ShardId(0), 19).map(|f| f.checkpoint.step), Some(10));
    known.forget_peer(A);
    assert_eq!(known.latest(ShardId(0)).map(|f| f.checkpoint.step), Some(10));
    known.replace(B, &[], true);
    assert!(known.latest(ShardId(0)).is_none());
}

#[test]
fn a_second_version_of_a_checkpoint_is_a_conflict() {
    let mut known = Checkpoints::default();
    known.learn(checkpoint(10, 1), A);
    assert_eq!(known.learn(checkpoint(10, 9), B), Learned::Conflict);
    assert_eq!(known.at(ShardId(0), 10).map(|f| f.holders.len()), Some(1));
}

#[test]
fn of_two_trainers_the_smaller_stands_whoever_is_heard_first() {
    let other = Checkpoint { by: B, ..checkpoint(10, 0) };
    for order in [[checkpoint(10, 1), other], [other, checkpoint(10, 1)]] {
        let mut known = Checkpoints::default();
        for it in order {
            known.unseat(&it);
            known.learn(it, it.by);
        }
        let stands = known.at(ShardId(0), 10).map(|entry| entry.checkpoint);
        assert_eq!(stands, Some(checkpoint(10, 1)));
    }
    let mut known = Checkpoints::default();
    known.learn(checkpoint(10, 1), A);
    known.distrust(ShardId(0), 10);
    known.learn(other, B);
    assert!(known.unseat(&checkpoint(10, 1)).is_none(), "it was no checkpoint");
}

#[test]
fn what_was_no_checkpoint_is_not_believed_again_unless_it_is_our_own() {
    let mut known = Checkpoints::default();
    known.learn(checkpoint(10, 1), B);
    known.distrust(ShardId(0), 10);
    assert!(known.latest(ShardId(0)).is_none());
    assert_eq!(known.learn(checkpoint(10, 1), B), Learned::Unreadable);
    // Whoever announced it of a step that it is not of does no harm to the one that it is of.
    assert_eq!(known.learn(checkpoint(5, 1), B), Learned::New);
    known.learn(checkpoint(10, 2), B);
    assert_eq!(known.learn_own(checkpoint(10, 1), A), Learned::New);
    assert_eq!(known.at(ShardId(0), 10).map(|f| f.holders.len()), Some(1));
}

#[test]
fn the_table_is_bounded_and_keeps_what_is_ours() {
    let mut known = Checkpoints::default();
    for step in 1..10 {
        known.learn(checkpoint(step, 1), A);
    }
    for step in 10..30 {
        known.learn(checkpoint(step, 1), B);
    }
    known.trim(A, |_, step| step == 16, |_| MAX_CHECKPOINTS_PER_SHARD);
    assert_eq!(known.of(ShardId(0)).count(), 10 + MAX_CHECKPOINTS_PER_SHARD);
    assert!([1, 10, 16, 29].iter().all(|&step| known.at(ShardId(0), step).is_some()));
}

#[test]
fn what_could_not_be_read_may_be_tried_again_when_its_shard_is_forgiven() {
    let mut known = Checkpoints::default();
    known.learn(checkpoint(10, 1), B);
    known.distrust(ShardId(0), 10);
    known.distrust(ShardId(0), 20);
    assert!(known.has_unreadable_from(10) && !known.has_unreadable_from(11));
    known.forgive(ShardId(1));
    assert_eq!(known.learn(checkpoint(10, 1), B), Learned::Unreadable);
    known.forgive(ShardId(0));
    assert!(!known.has_unreadable_from(0));
    assert_eq!(known.learn(checkpoint(10, 1), B), Learned::New);
}

#[test]
fn only_so_many_unreadable_blobs_are_remembered() {
    let mut known = Checkpoints::default();
    for step in 1..=MAX_UNREADABLE as u64 + 1 {
        known.learn(checkpoint(step, 1), B);
        known.distrust(ShardId(0), step);
    }
    assert_eq!(known.unreadable.len(), MAX_UNREADABLE);
    assert_eq!(known.learn(checkpoint(1, 1), B), Learned::New, "the oldest is forgotten");
    assert_eq!(known.learn(checkpoint(2, 1), B), Learned::Unreadable);
}

#[test]
fn a_checkpoint_that_others_built_on_is_not_unseated() {
    let mut known = Checkpoints::default();
    known.learn(Checkpoint { by: B, ..checkpoint(10, 2) }, B);
    assert!(known.unseats(&checkpoint(10, 1)) && !known.unseats(&checkpoint(20, 1)));
    known.learn(Checkpoint { by: B, ..checkpoint(20, 3) }, B);
    assert!(!known.unseats(&checkpoint(10, 1)) && known.unseats(&checkpoint(20, 1)));
}

#[test]
fn a_step_is_stable_up_to_a_limit_and_the_begin_always_is() {
    let mut known = Checkpoints::default();
    assert_eq!(known.stable(ShardId(0), 1), 0);
    for (step, holder) in [(10, A), (10, B), (20, A), (20, B), (30, A)] {
        known.learn(checkpoint(step, step as u8), holder);
    }
    let stable = [9, 19, 20, 99].map(|limit| known.stable_until(ShardId(0), 2, limit));
    assert_eq!(stable, [0, 10, 20, 20]);
}

#[test]
fn a_copy_that_is_given_up_leaves_the_others() {
    let mut known = Checkpoints::default();
    [A, B].iter().for_each(|&holder| _ = known.learn(checkpoint(10, 1), holder));
    known.learn(checkpoint(20, 2), A);
    known.forget_copy(ShardId(0), 10, A);
    assert_eq!(known.held_by(A).map(|it| it.step).collect::<Vec<_>>(), [20]);
    assert_eq!(known.held_by(B).map(|it| it.step).collect::<Vec<_>>(), [10]);
    known.forget_copy(ShardId(0), 20, A);
    assert!(known.at(ShardId(0), 20).is_none(), "nobody has it");
}
