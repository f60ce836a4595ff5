//! What a peer says of itself all the time, and what it learns from others who do.
//!
//! Rule: a heartbeat is whole: whoever missed everything before it knows from the next one all
//! that it needs of its sender, as far as lists are bounded.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::{
    Checkpoint, Heartbeat, Lease, MAX_LIST, Message, NodeId, Notice, Time, archive::Learned,
    state::State,
};

/// A speed beyond this is no honest one, in millions of multiply-accumulates a second.
const MAX_SPEED: u64 = 1 << 40;

/// Checkpoints that a heartbeat tells of: more than there are shards.
const MAX_HELD: usize = MAX_LIST / 2;

/// The latest scores that a heartbeat tells of.
const MAX_SCORES: usize = 8;

impl State {
    /// What `from` says of itself.
    pub(crate) fn on_heartbeat(&mut self, from: NodeId, mut beat: Heartbeat, now: Time) {
        beat.speed = beat.speed.min(MAX_SPEED);
        beat.retained.retain(|run| run.from < run.until && run.until <= self.plan.steps);
        let Some((is_new, changed)) = self.members.beat(from, &beat, now, &self.config) else {
            return;
        };
        if changed {
            self.targets = None;
        }
        if is_new {
            self.notify(Notice::PeerJoined { peer: from, role: beat.role });
            self.next_beat = now;
        }
        self.merge_leases(&beat.leases, now);
        self.merge_turns(&beat.turns, now);
        for &(shard, done) in &beat.progress {
            let is_its = self.leases.owner(shard) == Some(from) || self.plan.is_by_chapter();
            if is_its && self.plan.has(shard) {
                self.progress.insert(shard, done.min(self.plan.steps));
            }
        }
        self.archive.replace(from, &beat.held);
        for checkpoint in beat.held {
            self.learn_from(checkpoint, from);
        }
        for score in beat.scores {
            self.learn_score(score);
        }
    }

    /// Between two heartbeats among those who are here, ms.
    pub(crate) fn beat_ms(&self) -> u64 {
        self.config.beat_ms(self.members.iter().count())
    }

    /// A heartbeat ahead of its time, because something that others wait for happened.
    pub(crate) fn beat_now(&mut self) -> Message {
        Message::Heartbeat(self.heartbeat())
    }

    pub(crate) fn heartbeat(&mut self) -> Heartbeat {
        self.beats += 1;
        let held = self.held_to_tell();
        Heartbeat {
            seq: self.beats,
            role: self.role,
            leaving: self.leaving.is_some(),
            complete: self.complete.is_some(),
            speed: self.speed,
            leases: self.leases.iter().copied().collect::<Vec<Lease>>(),
            progress: self.own_progress(),
            held,
            retained: self.retained_runs(),
            scores: self.scores.values().rev().take(MAX_SCORES).copied().collect(),
            evaluating: self.evaluating.unwrap_or(0),
            kept: self.kept(),
            avoids: self.avoids(),
            turns: self.turns.iter().copied().collect(),
        }
    }

    /// The checkpoints of this peer that a heartbeat has room for, the most wanted first: the newest
    /// of each shard of the model, from which it goes on; tables, which are read in turn; the others.
    fn held_to_tell(&self) -> Vec<Checkpoint> {
        let mut newest = BTreeMap::new();
        for Checkpoint { shard, step, .. } in self.archive.held_by(self.me) {
            let known = newest.entry(shard).or_insert(step);
            *known = step.max(*known);
        }
        let rank = |it: &Checkpoint| {
            let is_table = self.plan.feedback_shard() == Some(it.shard);
            let is_newest = newest.get(&it.shard) == Some(&it.step);
            (is_table || !is_newest, !is_table)
        };
        let mut held: Vec<Checkpoint> = self.archive.held_by(self.me).collect();
        held.sort_by_key(|it| (rank(it), Reverse(it.step)));
        held.truncate(MAX_HELD);
        held
    }

    pub(crate) fn learn_from(&mut self, checkpoint: Checkpoint, holder: NodeId) {
        if !self.plan.has_checkpoint(checkpoint.shard, checkpoint.step) {
            return self.blame(holder, "a checkpoint of a cell that the run does not have");
        }
        if self.is_avoided(holder) {
            return;
        }
        self.learn(checkpoint, holder);
    }

    /// A checkpoint was in the store when this peer started; one of no cell of the run is forgotten.
    pub(crate) fn on_restored(&mut self, checkpoint: Checkpoint) {
        let Checkpoint { shard, step, blob, .. } = checkpoint;
        self.blobs.hold(blob.hash);
        if self.plan.has_checkpoint(shard, step) && !self.holds(shard, step) {
            self.learn(checkpoint, self.me);
            let found = self.archive.at(shard, step).map(|fact| fact.checkpoint.blob);
            if self.holds(shard, step) && found == Some(blob) {
                return;
            }
        }
        self.release(blob.hash);
    }

    /// `holder` holds `checkpoint`: a fact, whoever says it.
    pub(crate) fn learn(&mut self, checkpoint: Checkpoint, holder: NodeId) {
        self.settle_conflict(&checkpoint);
        let learned = self.archive.learn(checkpoint, holder);
        self.on_learned(learned, checkpoint, holder);
    }

    /// What follows from a checkpoint that was learned.
    pub(crate) fn on_learned(&mut self, learned: Learned, checkpoint: Checkpoint, holder: NodeId) {
        match learned {
            Learned::New => {
                let chapter = self.plan.chapter_ending(checkpoint.step);
                let is_model = self.plan.feedback_shard() != Some(checkpoint.shard);
                if self.plan.is_private() {
                    self.ledger.correct(checkpoint.shard, chapter, checkpoint.by);
                }
                if is_model && self.ledger.learn(checkpoint.shard, chapter, checkpoint.by) {
                    self.notify(Notice::Chapter(checkpoint));
                }
                self.note_chapter(checkpoint.shard, checkpoint.step);
                self.trim();
            }
            Learned::Known | Learned::Unusable => {}
            Learned::Conflict if self.plan.is_private() => {}
            Learned::Conflict => self.blame(holder, "a checkpoint unlike another's"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{BlobRef, Checkpoint, Config, Hash, NodeId, Plan, Role, ShardId, State, Time};

    #[test]
    fn tables_do_not_crowd_out_what_shards_go_on_from() {
        let plan = Plan { feedback: true, ..Plan::example(&[1; 3], 1_000, 1) };
        let me = NodeId([1; 32]);
        let mut state = State::new(me, Role::Worker, plan, Config::default(), Time(0));
        let tables = (1..=200).map(|step| (ShardId(2), step));
        for (shard, step) in tables.chain([(ShardId(0), 6), (ShardId(0), 7), (ShardId(1), 5)]) {
            let hash = Hash::of(&[shard.0.to_le_bytes(), (step as u16).to_le_bytes()].concat());
            let blob = BlobRef { hash, size: 1 };
            state.learn(Checkpoint { shard, step, blob, by: me, loss_micro: 0 }, me);
        }
        let held = state.heartbeat().held;
        let told: Vec<_> = held.iter().map(|it| (it.shard.0, it.step)).collect();
        assert_eq!(told[..3], [(0, 7), (1, 5), (2, 200)]);
        assert_eq!(told.len(), super::MAX_HELD);
        assert!(!told.contains(&(0, 6)), "{told:?}");
    }
}
