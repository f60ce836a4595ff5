//! Heartbeats: a peer's account of itself, and how it takes in those of others.
//!
//! Rule: a heartbeat is whole: a peer that missed everything before it knows from the next one all
//! that it needs of its sender, as far as lists are bounded.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Known;
use crate::outbox::Outbox;
use crate::{BatchRun, Checkpoint, Heartbeat, Kept, MAX_LIST, NodeId, Role};

/// A speed beyond this is no honest one, in millions of multiply-accumulates a second.
const MAX_SPEED: u64 = 1 << 40;

/// Checkpoints that a heartbeat tells of: more than there are shards.
const MAX_HELD: usize = MAX_LIST / 2;

/// The latest scores that a heartbeat tells of.
const MAX_SCORES: usize = 8;

/// Runs of batches that a heartbeat tells of, per shard.
const MAX_RUNS: usize = 3;

impl Known {
    /// Takes in what `from` says of itself, leases aside. Returns whether it is new here; `None` when
    /// it is out of date.
    pub(crate) fn on_heartbeat(&mut self, from: NodeId, heartbeat: &mut Heartbeat) -> Option<bool> {
        heartbeat.speed = heartbeat.speed.min(MAX_SPEED);
        heartbeat.batches.retain(|run| run.from < run.until && run.until <= self.plan.steps);
        self.members.heartbeat(from, heartbeat, self.now, &self.config)
    }

    /// Takes in how far the shards of `from` are, what it holds, and the scores it knows.
    pub(crate) fn learn_status(&mut self, from: NodeId, heartbeat: Heartbeat, out: &mut Outbox) {
        for &(shard, done) in &heartbeat.progress {
            let is_its = self.owner(shard) == Some(from) || self.plan.is_by_chapter();
            if is_its && self.plan.has(shard) {
                self.note_progress(shard, done);
            }
        }
        self.checkpoints.replace(from, &heartbeat.held, heartbeat.held.len() < MAX_HELD);
        for checkpoint in heartbeat.held {
            self.learn_from(checkpoint, from, out);
        }
        self.replace_changes(from, heartbeat.changes, out);
        for score in heartbeat.scores {
            self.learn_score(score, out);
        }
    }

    /// Between two heartbeats among those who are here, ms.
    pub(crate) fn heartbeat_interval_ms(&self) -> u64 {
        self.config.heartbeat_interval_ms(self.members.iter().count())
    }

    /// The heartbeat of this peer, with that number.
    pub(crate) fn heartbeat(&self, seq: u64) -> Heartbeat {
        let runs = self.own.batches.runs.iter().flat_map(|(&shard, runs)| {
            let runs = runs.iter().take(MAX_RUNS);
            runs.map(move |run| BatchRun { shard, from: run.start, until: run.end })
        });
        Heartbeat {
            seq,
            role: self.role,
            leaving: self.is_leaving(),
            complete: self.own.complete.is_some(),
            speed: self.own.speed,
            leases: self.leases.iter().copied().collect(),
            progress: self.own_progress(),
            held: self.held_to_tell(),
            changes: self.changes_to_tell(),
            batches: runs.collect(),
            scores: self.scores.values().rev().take(MAX_SCORES).copied().collect(),
            evaluating: self.own.scoring.evaluating.unwrap_or(0),
            kept: self.kept(),
            avoids: self.avoids(),
        }
    }

    /// The data that this peer keeps now.
    pub(crate) fn kept(&self) -> Kept {
        let checkpoints = self.held_bytes();
        Kept {
            batches: self.own.batches.bytes.saturating_add(self.own.jobs.bytes),
            checkpoints,
            on_disk: self.config.on_disk,
            full: checkpoints >= self.config.copy_bytes,
        }
    }

    fn held_bytes(&self) -> u64 {
        let held = self.checkpoints.held_by(self.me);
        held.fold(0, |sum, it| sum.saturating_add(it.blob.size))
    }

    /// The peers that take copies of others' checkpoints, this one perhaps among them.
    pub(crate) fn takers(&self) -> impl Iterator<Item = NodeId> + '_ {
        let others = self.members.workers().filter(|(_, member)| !member.kept.full);
        let others = others.filter(|(id, _)| !self.is_avoided(*id));
        let takes = self.role == Role::Worker && self.held_bytes() < self.config.copy_bytes;
        others.map(|(id, _)| id).chain(takes.then_some(self.me))
    }

    /// The number of peers that shall hold each checkpoint: its maker and the replicas, as far as there
    /// are peers with room.
    pub(crate) fn wanted_holders(&self) -> usize {
        self.config.replicas.saturating_add(1).min(self.takers().count()).max(1)
    }

    /// The checkpoints of this peer that a heartbeat has room for, the most wanted first: the newest
    /// of each shard of the model, from which it goes on; tables, which are read in turn; the others.
    fn held_to_tell(&self) -> Vec<Checkpoint> {
        let mut newest = BTreeMap::new();
        for Checkpoint { shard, step, .. } in self.checkpoints.held_by(self.me) {
            let known = newest.entry(shard).or_insert(step);
            *known = step.max(*known);
        }
        let rank = |it: &Checkpoint| {
            let is_table = self.plan.feedback_shard() == Some(it.shard);
            let is_newest = newest.get(&it.shard) == Some(&it.step);
            (is_table || !is_newest, !is_table)
        };
        let mut held: Vec<Checkpoint> = self.checkpoints.held_by(self.me).collect();
        held.sort_by_key(|it| (rank(it), Reverse(it.step)));
        held.truncate(MAX_HELD);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::own::ScoringView;
    use crate::testing::*;
    use crate::{Config, Plan, Score, ShardId};

    fn progress_of(scene: &Scene, shard: u16) -> u64 {
        scene.known.position(ShardId(shard))
    }

    #[test]
    fn a_heartbeat_says_what_the_peer_is_and_does() {
        let mut scene = Scene::new(chain(2, 40, 10));
        let leases = [shard_lease(0, 1, ME, 0), shard_lease(1, 1, A, 0)];
        scene.lease(&leases);
        scene.work([job(0, 13)]);
        scene.hold([checkpoint(0, 10)]);
        scene.learn(A, [checkpoint(1, 10)]);
        scene.keep(&[run_of(0, 2, 13)]);
        scene.known.publish_scoring(ScoringView { evaluating: Some(1), ..ScoringView::default() });
        let said = scene.known.heartbeat(7);
        assert_eq!((said.seq, said.role, said.speed), (7, Role::Worker, SPEED));
        assert_eq!((said.leases, said.progress), (leases.to_vec(), vec![(ShardId(0), 13)]));
        assert_eq!((said.held, said.batches), (vec![checkpoint(0, 10)], vec![run_of(0, 2, 13)]));
        assert_eq!((said.evaluating, said.leaving, said.complete), (1, false, false));
        let kept = Kept { batches: 11, checkpoints: 1, on_disk: false, full: false };
        assert_eq!((said.kept, said.avoids), (kept, vec![]));
        scene.known.leave();
        scene.known.complete();
        let said = scene.known.heartbeat(8);
        assert!(said.leaving && said.complete);
    }

    #[test]
    fn a_heartbeat_stays_small() {
        let mut scene = Scene::new(Plan { epoch_steps: 1, ..chain(2, 40, 10) });
        scene.keep(&(0..9).map(|at| run_of(0, 4 * at, 4 * at + 2)).collect::<Vec<_>>());
        for epoch in 1..=20 {
            scene.known.learn_score(score(epoch), &mut scene.out);
        }
        let said = scene.known.heartbeat(1);
        assert_eq!(said.batches, [run_of(0, 0, 2), run_of(0, 4, 6), run_of(0, 8, 10)]);
        let epochs: Vec<u64> = said.scores.iter().map(|score| score.epoch).collect();
        assert_eq!(epochs, [20, 19, 18, 17, 16, 15, 14, 13]);
    }

    #[test]
    fn tables_do_not_crowd_out_what_shards_go_on_from() {
        let mut scene = Scene::new(with_feedback(chain(3, 1_000, 1)));
        let tables = (1..=200).map(|step| checkpoint(2, step));
        scene.hold(tables.chain([checkpoint(0, 6), checkpoint(0, 7), checkpoint(1, 5)]));
        let held = scene.known.heartbeat(1).held;
        let told: Vec<_> = held.iter().map(|it| (it.shard.0, it.step)).collect();
        assert_eq!(told[..3], [(0, 7), (1, 5), (2, 200)]);
        assert_eq!(told.len(), MAX_HELD);
        assert!(!told.contains(&(0, 6)), "{told:?}");
    }

    #[test]
    fn what_no_honest_peer_says_of_itself_is_cut() {
        let mut scene = Scene::new(chain(2, 40, 10));
        let batches = vec![run_of(0, 5, 5), run_of(0, 7, 3), run_of(0, 30, 41), run_of(0, 30, 40)];
        scene.meet(A, Heartbeat { speed: u64::MAX, batches, ..heartbeat() });
        let member = scene.known.members().get(A).map(|it| (it.speed, it.batches.clone()));
        assert_eq!(member, Some((MAX_SPEED, vec![run_of(0, 30, 40)])));
    }

    #[test]
    fn the_owner_of_a_shard_is_believed_how_far_it_is_and_nobody_else() {
        let mut scene = Scene::new(chain(2, 40, 10));
        scene.lease(&[shard_lease(0, 1, A, 0)]);
        let says =
            |done| Heartbeat { progress: vec![(ShardId(0), done), (ShardId(9), 5)], ..heartbeat() };
        scene.meet(B, says(30));
        assert_eq!(progress_of(&scene, 0), 0);
        scene.meet(A, says(12));
        assert_eq!(progress_of(&scene, 0), 12);
        scene.meet(A, says(u64::MAX));
        assert_eq!(progress_of(&scene, 0), 40, "there is no step after the last");
        assert_eq!(progress_of(&scene, 9), 0);
    }

    #[test]
    fn where_peers_own_chapters_anybody_may_be_at_any_shard() {
        let mut scene = Scene::new(by_chapter(chain(2, 40, 10)));
        scene.meet(A, Heartbeat { progress: vec![(ShardId(1), 12)], ..heartbeat() });
        assert_eq!(progress_of(&scene, 1), 12);
    }

    #[test]
    fn a_heartbeat_takes_back_what_its_sender_holds_no_more() {
        let mut scene = Scene::new(chain(2, 40, 10));
        let holds = |held: &[Checkpoint]| Heartbeat { held: held.to_vec(), ..heartbeat() };
        scene.meet(A, holds(&[checkpoint(0, 10), checkpoint(0, 20)]));
        scene.meet(B, holds(&[checkpoint(0, 10)]));
        scene.meet(A, holds(&[checkpoint(0, 20)]));
        let holders = |step| {
            let entry = scene.known.checkpoints().at(ShardId(0), step);
            entry.map_or(vec![], |entry| entry.holders.iter().copied().collect())
        };
        assert_eq!((holders(10), holders(20)), (vec![B], vec![A]));
    }

    #[test]
    fn a_heartbeat_without_room_for_more_takes_back_nothing_older() {
        let mut scene = Scene::new(chain(1, 1_000, 1));
        scene.hold([checkpoint(0, 1)]);
        let mut says = |steps: std::ops::RangeInclusive<u64>| {
            let held = steps.rev().map(|step| checkpoint(0, step)).collect();
            scene.meet(A, Heartbeat { held, ..heartbeat() });
            let entry = scene.known.checkpoints().at(ShardId(0), 1);
            entry.is_some_and(|entry| entry.holders.contains(&A))
        };
        assert!(says(1..=1));
        assert!(says(2..=MAX_HELD as u64 + 1), "there was no room for it");
        assert!(!says(3..=MAX_HELD as u64 + 1), "there would be");
    }

    #[test]
    fn scores_come_with_heartbeats_and_an_overtaken_one_says_nothing() {
        let mut scene = Scene::new(chain(2, 40, 10));
        let mut said = Heartbeat { seq: 9, scores: vec![score(1)], ..heartbeat() };
        assert_eq!(scene.known.on_heartbeat(A, &mut said), Some(true));
        scene.known.learn_status(A, said.clone(), &mut scene.out);
        assert!(scene.known.scores().values().eq([&score(1)]));
        said.seq = 8;
        assert_eq!(scene.known.on_heartbeat(A, &mut said), None);
        assert_eq!(said.scores, [Score { ..score(1) }]);
    }

    #[test]
    fn copies_go_to_those_who_have_room() {
        let full = Heartbeat { kept: Kept { full: true, ..Kept::default() }, ..heartbeat() };
        let config = Config { copy_bytes: 2, replicas: 2, ..Config::default() };
        let mut scene = Scene::with(Role::Worker, chain(2, 40, 10), config.clone());
        assert_eq!(scene.known.wanted_holders(), 1, "nobody else is here");
        scene.meet_all(&[A, C]);
        scene.meet(B, Heartbeat { role: Role::Observer, ..heartbeat() });
        assert_eq!(scene.known.takers().collect::<Vec<_>>(), [A, C, ME]);
        assert_eq!(scene.known.wanted_holders(), 3);
        scene.hold([checkpoint(0, 10), checkpoint(0, 20)]);
        assert!(scene.known.kept().full);
        scene.meet(A, full.clone());
        assert_eq!(scene.known.takers().collect::<Vec<_>>(), [C]);
        scene.meet(C, full);
        assert_eq!(scene.known.wanted_holders(), 1, "its maker keeps it");
        let onlooker = Scene::with(Role::Onlooker, chain(2, 40, 10), config);
        assert_eq!(onlooker.known.takers().count(), 0);
    }

    #[test]
    fn among_many_each_says_less_often_how_it_is() {
        let mut scene = Scene::new(chain(2, 40, 10));
        let among_few = scene.known.heartbeat_interval_ms();
        (10..15).for_each(|byte| scene.meet(NodeId([byte; 32]), heartbeat()));
        assert!(scene.known.heartbeat_interval_ms() > among_few);
    }
}
