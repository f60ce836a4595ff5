//! Tests of changes: which are learned, who holds them, and when a branch is done.

use super::{MAX_AHEAD, MAX_REFUSED, MAX_TOLD};
use crate::testing::*;
use crate::{BlobRef, Change, Config, Heartbeat, NodeId, Output, Plan, Role, ShardId, Task};

/// Four chapters of two shards, each cut into two branches.
fn plan() -> Plan {
    merged(chain(2, 40, 10), 2)
}

fn scene() -> Scene {
    Scene::new(plan())
}

/// The change of the first branch of the first chapter in the first shard.
fn first() -> Change {
    change(0, 0, Some(0))
}

/// The change that stands in a cell, and who holds it.
fn stands(scene: &Scene, of: &Change) -> Option<(Change, Vec<NodeId>)> {
    let entry = scene.known.changes().at(of.chapter, of.shard, of.branch)?;
    Some((entry.change, entry.holders.iter().copied().collect()))
}

fn holds(scene: &Scene, change: &Change) -> bool {
    scene.out.holds(change.blob.hash)
}

/// A peer that says that it holds these changes.
fn holding(changes: &[Change]) -> Heartbeat {
    Heartbeat { changes: changes.to_vec(), ..heartbeat() }
}

#[test]
fn a_change_is_learned_with_all_who_hold_it() {
    let mut scene = scene();
    scene.learn_changes(A, [first(), change(0, 0, None)]);
    scene.learn_changes(B, [Change { by: B, loss_micro: 9, ..first() }]);
    assert_eq!(stands(&scene, &first()), Some((first(), vec![A, B])));
    assert_eq!(stands(&scene, &change(0, 0, None)), Some((change(0, 0, None), vec![A])));
    assert_eq!(stands(&scene, &change(0, 1, Some(0))), None);
    assert_eq!(scene.known.changes().held_by(A).collect::<Vec<_>>(), [change(0, 0, None), first()]);
    assert!(!scene.known.has_change(0, ShardId(0), Some(0)) && !holds(&scene, &first()));
}

#[test]
fn of_two_changes_the_first_stands_and_nobody_is_blamed() {
    let mut scene = scene();
    scene.learn_changes(A, [first()]);
    scene.learn_changes(B, [other_change(0, 0, Some(0), B)]);
    assert_eq!(stands(&scene, &first()), Some((first(), vec![A])));
    assert!(scene.blamed().is_empty());
    scene.known.lose_change(first().blob.hash, A, &mut scene.out);
    scene.learn_changes(B, [other_change(0, 0, Some(0), B)]);
    let other = other_change(0, 0, Some(0), B);
    assert_eq!(stands(&scene, &other), Some((other, vec![B])), "the first is delivered by nobody");
}

#[test]
fn a_change_of_a_cell_that_the_run_does_not_have_is_blamed_on_its_bearer() {
    for (chapter, shard, branch) in [
        (4, 0, Some(0)),
        (0, 2, Some(0)),
        (0, 0, Some(2)),
        (u64::MAX, 0, None),
        (0, u16::MAX, None),
    ] {
        let mut scene = scene();
        let change = change(chapter, shard, branch);
        scene.learn_changes(A, [change]);
        assert_eq!((scene.blamed(), stands(&scene, &change)), (vec![A], None), "{change:?}");
    }
    let mut unmerged = Scene::new(by_chapter(chain(2, 40, 10)));
    unmerged.learn_changes(A, [first()]);
    assert_eq!((unmerged.blamed(), stands(&unmerged, &first())), (vec![A], None));
}

#[test]
fn a_short_chapter_has_as_many_branches_as_steps() {
    let mut scene = Scene::new(merged(chain(1, 41, 10), 2));
    scene.learn_changes(A, [change(4, 0, Some(0)), change(4, 0, Some(1))]);
    assert_eq!(scene.blamed(), [A]);
    assert!(scene.known.is_all_changed(4, ShardId(0)), "it has one step");
}

#[test]
fn changes_are_remembered_from_some_chapters_before_the_open_ones_and_so_far_ahead() {
    let mut scene = Scene::new(merged(chain(1, 2_000, 10), 2));
    scene.learn(A, [checkpoint(0, 30)]);
    scene.look();
    assert_eq!(scene.known.open_chapters().start, 3);
    assert_eq!(scene.known.means_kept(), 2, "one more than layers");
    let chapters = [0, 1, 2, 3, 2 + MAX_AHEAD, 3 + MAX_AHEAD, 199];
    scene.learn_changes(A, chapters.map(|chapter| change(chapter, 0, Some(0))));
    let known = scene.known.changes().held_by(A).map(|it| it.chapter);
    assert_eq!(known.collect::<Vec<_>>(), [1, 2, 3, 2 + MAX_AHEAD]);
    assert!(scene.blamed().is_empty(), "it may be ahead of this peer");
}

#[test]
fn who_is_shut_out_holds_nothing_that_could_be_had() {
    let mut scene = scene();
    scene.learn_changes(A, [first()]);
    (0..3).for_each(|_| _ = scene.known.lied(A, "junk", &mut scene.out));
    scene.look();
    assert_eq!(stands(&scene, &first()), None);
    scene.learn_changes(A, [first()]);
    assert_eq!(stands(&scene, &first()), None);
}

#[test]
fn a_change_that_nobody_holds_any_more_is_as_if_it_had_never_been_made() {
    let mut scene = scene();
    for holder in [A, B] {
        scene.learn_changes(holder, [first(), change(0, 1, Some(1))]);
    }
    scene.known.lose_change(first().blob.hash, A, &mut scene.out);
    assert_eq!(stands(&scene, &first()), Some((first(), vec![B])));
    scene.known.forget_peer(B);
    assert_eq!(stands(&scene, &first()), None);
    let other = change(0, 1, Some(1));
    assert_eq!(stands(&scene, &other), Some((other, vec![A])));
    scene.known.lose_change(other.blob.hash, C, &mut scene.out);
    assert_eq!(stands(&scene, &other), Some((other, vec![A])), "it never held it");
}

#[test]
fn what_was_no_change_is_not_learned_again_unless_it_is_our_own() {
    let mut scene = scene();
    scene.learn_changes(A, [first()]);
    scene.known.refuse_change(first().blob.hash, &mut scene.out);
    scene.learn_changes(A, [first()]);
    scene.learn_changes(B, [Change { branch: Some(1), ..first() }]);
    assert_eq!(scene.known.changes().held_by(A).chain(scene.known.changes().held_by(B)).count(), 0);
    scene.make_changes([first()]);
    scene.learn_changes(A, [first()]);
    assert_eq!(stands(&scene, &first()), Some((first(), vec![ME, A])));
}

#[test]
fn only_so_many_refused_changes_are_remembered() {
    let mut scene = scene();
    scene.known.refuse_change(first().blob.hash, &mut scene.out);
    for number in 1..MAX_REFUSED {
        scene.known.refuse_change(blob(&number.to_string()).hash, &mut scene.out);
    }
    scene.learn_changes(A, [first()]);
    assert_eq!(stands(&scene, &first()), None);
    scene.known.refuse_change(blob("one more").hash, &mut scene.out);
    scene.learn_changes(A, [first()]);
    assert!(stands(&scene, &first()).is_some(), "the oldest is forgotten");
}

#[test]
fn an_own_change_takes_the_place_of_a_claimed_one() {
    let mut scene = scene();
    let other = other_change(0, 0, Some(0), B);
    scene.learn_changes(B, [other]);
    scene.make_changes([first()]);
    assert_eq!(stands(&scene, &first()), Some((first(), vec![ME])));
    scene.learn_changes(A, [first()]);
    scene.make_changes([first()]);
    assert_eq!(stands(&scene, &first()), Some((first(), vec![ME, A])), "A holds the same");
    scene.learn_changes(B, [other]);
    assert_eq!(stands(&scene, &first()), Some((first(), vec![ME, A])));
}

#[test]
fn a_copy_of_a_claimed_change_is_dropped_when_this_peer_makes_another() {
    let mut scene = scene();
    let other = other_change(0, 0, Some(0), B);
    scene.learn_changes(B, [other]);
    scene.known.fetched_change(other.blob.hash, &mut scene.out);
    assert!(holds(&scene, &other));
    scene.make_changes([first()]);
    assert!(holds(&scene, &first()) && !holds(&scene, &other));
    assert_eq!(scene.outputs(), [Output::Drop(other.blob.hash)]);
}

#[test]
fn a_change_is_held_once_however_often_it_is_made_or_fetched() {
    let mut scene = scene();
    (0..2).for_each(|_| scene.make_changes([first()]));
    scene.known.fetched_change(first().blob.hash, &mut scene.out);
    assert!(holds(&scene, &first()) && scene.outputs().is_empty());
    scene.known.settle_change(&first(), &mut scene.out);
    assert_eq!(scene.outputs(), [Output::Drop(first().blob.hash)]);
    assert_eq!(stands(&scene, &first()), None);
    scene.known.settle_change(&first(), &mut scene.out);
    assert!(scene.outputs().is_empty());
}

#[test]
fn a_fetched_blob_is_every_change_that_it_is_and_no_other() {
    let mut scene = scene();
    let same = Change { branch: Some(1), ..first() };
    scene.learn_changes(A, [first(), same, change(1, 0, Some(0))]);
    scene.known.fetched_change(blob("nothing").hash, &mut scene.out);
    assert_eq!(scene.known.changes().held_by(ME).count(), 0);
    scene.known.fetched_change(first().blob.hash, &mut scene.out);
    assert_eq!(scene.known.changes().held_by(ME).collect::<Vec<_>>(), [first(), same]);
    scene.known.settle_change(&first(), &mut scene.out);
    assert!(holds(&scene, &same), "it is held for the other one");
    scene.known.lose_change(first().blob.hash, ME, &mut scene.out);
    assert!(!holds(&scene, &same));
    assert_eq!(stands(&scene, &same), Some((same, vec![A])));
}

#[test]
fn what_is_lost_or_refused_here_is_held_no_more() {
    for (loses, others) in [(true, vec![A]), (false, vec![])] {
        let mut scene = scene();
        scene.make_changes([first()]);
        scene.learn_changes(A, [first()]);
        if loses {
            scene.known.lose_change(first().blob.hash, ME, &mut scene.out);
        } else {
            scene.known.refuse_change(first().blob.hash, &mut scene.out);
        }
        assert_eq!(scene.outputs(), [Output::Drop(first().blob.hash)]);
        assert_eq!(stands(&scene, &first()).map_or(vec![], |it| it.1), others);
    }
}

#[test]
fn a_heartbeat_takes_back_the_changes_that_its_sender_holds_no_more() {
    let mut scene = scene();
    scene.meet(A, holding(&[first(), change(1, 0, Some(0))]));
    scene.meet(B, holding(&[first()]));
    scene.hear(A, holding(&[change(1, 0, Some(0))]));
    assert_eq!(stands(&scene, &first()), Some((first(), vec![B])));
    let other = other_change(1, 0, Some(0), A);
    scene.hear(A, holding(&[other]));
    assert_eq!(stands(&scene, &other), Some((other, vec![A])), "it has made another one");
    scene.hear(A, heartbeat());
    assert_eq!(stands(&scene, &other), None);
}

#[test]
fn a_heartbeat_without_room_for_more_takes_back_nothing_later() {
    let mut scene = Scene::new(merged(chain(1, 2_000, 10), 2));
    let all: Vec<Change> = (0..=99).flat_map(|chapter| all_changes(chapter, 0, 2)).collect();
    scene.meet(A, holding(&all[MAX_TOLD..=MAX_TOLD]));
    scene.hear(A, holding(&all[..MAX_TOLD]));
    assert!(stands(&scene, &all[MAX_TOLD]).is_some(), "there was no room for it");
    let without: Vec<Change> = all[..=MAX_TOLD].iter().skip(1).copied().collect();
    scene.hear(A, holding(&without));
    assert!(stands(&scene, &all[0]).is_none() && stands(&scene, &all[MAX_TOLD]).is_some());
    scene.make_changes(all.iter().copied());
    let told = scene.known.heartbeat(1).changes;
    assert_eq!(told, all[..MAX_TOLD], "the earliest are wanted first");
}

#[test]
fn a_branch_is_done_when_it_has_changed_every_shard_or_all_is_merged() {
    let mut scene = scene();
    let task = |branch| Task::Branch { chapter: 0, branch };
    scene.learn_changes(A, [first()]);
    assert!(!scene.known.is_done(task(0)));
    scene.learn_changes(B, [change(0, 1, Some(0))]);
    assert!(scene.known.is_done(task(0)) && !scene.known.is_done(task(1)));
    scene.known.forget_peer(B);
    assert!(!scene.known.is_done(task(0)), "it is lost");
    scene.learn(A, [checkpoint(1, 10)]);
    assert!(scene.known.is_done(task(0)) && !scene.known.is_done(task(1)));
    scene.learn(A, [checkpoint(0, 20), checkpoint(1, 20)]);
    scene.look();
    assert!(scene.known.is_done(task(1)), "the shards are beyond it");
    assert!(!scene.known.is_done(Task::Branch { chapter: 2, branch: 0 }));
}

#[test]
fn a_branch_is_done_without_the_feedback_shard_where_that_has_ended() {
    let mut scene = Scene::new(Plan { feedback: true, ..merged(chain(3, 40, 10), 2) });
    assert_eq!(scene.known.plan().end(ShardId(2)), 20);
    scene.learn_changes(A, [0, 1].map(|shard| change(2, shard, Some(0))));
    scene.learn_changes(A, [0, 1].map(|shard| change(1, shard, Some(0))));
    let is_done = |chapter| scene.known.is_done(Task::Branch { chapter, branch: 0 });
    assert!(is_done(2) && !is_done(1));
}

#[test]
fn nothing_but_a_merged_branch_is_ever_done() {
    let unmerged = Scene::new(by_chapter(Plan::example(&[], 40, 10)));
    assert!(!unmerged.known.is_done(Task::chapter(0)));
    assert!(!scene().known.is_done(Task::Shard(ShardId(0))));
}

#[test]
fn all_is_changed_when_every_branch_is() {
    let mut scene = scene();
    scene.learn_changes(A, [change(0, 1, None), change(0, 1, Some(1))]);
    assert!(!scene.known.is_all_changed(0, ShardId(1)));
    scene.learn_changes(B, [change(0, 1, Some(0))]);
    assert!(scene.known.is_all_changed(0, ShardId(1)));
    assert!(
        !scene.known.is_all_changed(0, ShardId(0)) && !scene.known.is_all_changed(1, ShardId(1))
    );
}

#[test]
fn changes_of_chapters_that_are_over_are_forgotten_unless_they_are_held_here() {
    let mut scene = Scene::new(merged(chain(2, 100, 10), 2));
    scene.learn_changes(A, all_changes(0, 0, 2));
    scene.learn_changes(A, [change(1, 0, Some(0))]);
    scene.make_changes([first()]);
    let until =
        |step: u64| (1..=step / 10).flat_map(|it| [0, 1].map(|shard| checkpoint(shard, 10 * it)));
    scene.learn(A, until(30));
    scene.look();
    assert_eq!(scene.known.changes().held_by(A).count(), 3, "they may serve those who come late");
    scene.learn(A, until(40));
    scene.look();
    assert_eq!(scene.known.open_chapters().start, 4);
    let mine = scene.known.changes().held_by(ME);
    assert_eq!(mine.collect::<Vec<_>>(), [first()], "it is given up in its own time");
    let others = scene.known.changes().held_by(A);
    assert_eq!(others.collect::<Vec<_>>(), [first(), change(1, 0, Some(0))]);
}

/// A has the means of these chapters in the first shard, each of so many bytes.
fn with_means(scene: &mut Scene, chapters: &[u64], size: u64) {
    for &chapter in chapters {
        let mean = change(chapter, 0, None);
        let blob = BlobRef { size, ..mean.blob };
        scene.learn_changes(A, [Change { blob, ..mean }]);
    }
}

#[test]
fn a_route_begins_with_the_last_own_checkpoint_and_needs_every_mean_from_there() {
    let mut scene = scene();
    let route = |scene: &Scene, step| scene.known.route(ShardId(0), step, u64::MAX);
    with_means(&mut scene, &[0, 1, 3], 1);
    assert_eq!(route(&scene, 10), Some((0, 0..1)));
    assert_eq!(route(&scene, 20), Some((0, 0..2)));
    assert_eq!(route(&scene, 30), None, "there is no mean of the third chapter");
    assert_eq!(route(&scene, 40), None);
    scene.learn(A, [checkpoint(0, 10), checkpoint(0, 30)]);
    assert_eq!(route(&scene, 20), Some((0, 0..2)), "those of others are no beginning");
    scene.hold([checkpoint(0, 10), checkpoint(1, 20)]);
    assert_eq!(route(&scene, 20), Some((10, 1..2)));
    assert_eq!(route(&scene, 10), Some((0, 0..1)), "it begins before");
    scene.hold([checkpoint(0, 30)]);
    assert_eq!((route(&scene, 40), route(&scene, 30)), (Some((30, 3..4)), None));
    assert_eq!(scene.known.route(ShardId(1), 40, u64::MAX), None, "it has no means");
}

#[test]
fn a_route_is_shorter_than_what_it_leads_to() {
    let mut scene = scene();
    with_means(&mut scene, &[0, 1], 5);
    let mut is_taken = |most| scene.known.route(ShardId(0), 20, most).is_some();
    assert_eq!([9, 10, 11].map(&mut is_taken), [false, false, true]);
    let mut scene = self::scene();
    with_means(&mut scene, &[0, 1], u64::MAX);
    assert_eq!(scene.known.route(ShardId(0), 20, u64::MAX), None, "whatever sizes are claimed");
}

#[test]
fn only_workers_of_a_merged_run_have_routes() {
    for (role, has) in [(Role::Worker, true), (Role::Observer, false), (Role::Onlooker, false)] {
        let mut scene = Scene::with(role, plan(), Config::default());
        with_means(&mut scene, &[0], 1);
        assert_eq!(scene.known.route(ShardId(0), 10, u64::MAX).is_some(), has, "{role:?}");
    }
    let mut unmerged = Scene::new(by_chapter(chain(2, 40, 10)));
    unmerged.make_changes([change(0, 0, None)]);
    assert_eq!(unmerged.known.route(ShardId(0), 10, u64::MAX), None);
}
