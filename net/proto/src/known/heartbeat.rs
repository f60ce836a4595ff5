//! What a peer says of itself all the time, and what it learns from others who do.
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
        self.checkpoints.replace(from, &heartbeat.held);
        for checkpoint in heartbeat.held {
            self.learn_from(checkpoint, from, out);
        }
        for score in heartbeat.scores {
            self.learn_score(score, out);
        }
    }

    /// Between two heartbeats among those who are here, ms.
    pub(crate) fn beat_ms(&self) -> u64 {
        self.config.beat_ms(self.members.iter().count())
    }

    /// What this peer says of itself, with that number.
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
            batches: runs.collect(),
            scores: self.scores.values().rev().take(MAX_SCORES).copied().collect(),
            evaluating: self.own.scoring.evaluating.unwrap_or(0),
            kept: self.kept(),
            avoids: self.avoids(),
        }
    }

    /// What this peer keeps now.
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
    use crate::{BlobRef, Config, Hash, Plan, ShardId, Time};

    #[test]
    fn tables_do_not_crowd_out_what_shards_go_on_from() {
        let plan = Plan { feedback: true, ..Plan::example(&[1; 3], 1_000, 1) };
        let me = NodeId([1; 32]);
        let mut known = Known::new(me, Role::Worker, plan, Config::default(), Time(0));
        let mut out = Outbox::new(me);
        let tables = (1..=200).map(|step| (ShardId(2), step));
        for (shard, step) in tables.chain([(ShardId(0), 6), (ShardId(0), 7), (ShardId(1), 5)]) {
            let hash = Hash::of(&[shard.0.to_le_bytes(), (step as u16).to_le_bytes()].concat());
            let blob = BlobRef { hash, size: 1 };
            known.restore(Checkpoint { shard, step, blob, by: me, loss_micro: 0 }, &mut out);
        }
        let held = known.heartbeat(1).held;
        let told: Vec<_> = held.iter().map(|it| (it.shard.0, it.step)).collect();
        assert_eq!(told[..3], [(0, 7), (1, 5), (2, 200)]);
        assert_eq!(told.len(), MAX_HELD);
        assert!(!told.contains(&(0, 6)), "{told:?}");
    }
}
