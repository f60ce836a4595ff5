//! Handing steps to the trainer: training them, and handing on what comes of them.
//!
//! Rule: a shard that is refreshed trains a chapter to its end, then hands it on, computed with the
//! weights it then has, and only then begins the next. So the trainer hears, for each load, a
//! chapter's steps and then its refreshing, in order; and what a chapter reads stays until then.

use crate::{
    BlobRef, Checkpoint, Hash, MAX_TRAIN_IN_FLIGHT, Message, Output, ShardId,
    state::State,
    work::{Owned, Phase, Slot},
};

/// What somebody is told to have sent whose batch a trainer cannot read.
const FALSE_BATCH: &str = "an activation batch of the wrong shape or with numbers out of range";

impl State {
    /// Hands steps to the trainer: the shard that is furthest behind first, the lower one of two.
    pub(crate) fn train(&mut self) {
        while self.training.len() < MAX_TRAIN_IN_FLIGHT {
            let due = |(&shard, owned)| self.due_step(shard, owned).map(|step| (step, shard));
            let Some((step, shard)) = self.owned.iter().filter_map(due).min() else {
                return;
            };
            self.begin(shard, step);
        }
    }

    /// The step of `shard` that the trainer can do now: one to refresh, or the next one to train. One
    /// behind a step that was refused waits until its own refusal is here.
    fn due_step(&self, shard: ShardId, owned: &Owned) -> Option<u64> {
        if owned.phase != Phase::Ready {
            return None;
        }
        let step = if self.can_refresh(shard, owned) {
            owned.handing
        } else {
            self.can_train(shard, owned).then_some(owned.next)?
        };
        (!self.training.contains_key(&(owned.load, step))).then_some(step)
    }

    /// Gives `step` of `shard` to the trainer; what was trained before is to be refreshed.
    fn begin(&mut self, shard: ShardId, step: u64) {
        let feedback = self.use_table(shard, step);
        let emit = !self.plan.is_refreshed(shard) && !self.plan.readers(shard).is_empty();
        let checkpoint = self.plan.is_boundary(step + 1);
        let Some(owned) = self.owned.get_mut(&shard) else { return };
        let slots = owned.inputs.get(&step).map_or(&[][..], Vec::as_slice);
        let inputs: Vec<Hash> = slots.iter().flatten().map(|slot| slot.blob.hash).collect();
        let (load, trains) = (owned.load, step == owned.next);
        if trains {
            owned.next = step + 1;
        } else {
            owned.handing = step + 1;
        }
        let read: Vec<Hash> = inputs.iter().copied().chain(feedback).collect();
        for hash in &read {
            self.blobs.hold(*hash);
        }
        self.training.insert((load, step), read);
        self.push(if trains {
            Output::Train { shard, load, step, inputs, feedback, emit, checkpoint }
        } else {
            Output::Refresh { shard, load, step, inputs, feedback }
        });
    }

    /// Whether the next step of `shard` has what it reads, room for its outputs, and no reason to
    /// wait.
    fn can_train(&self, shard: ShardId, owned: &Owned) -> bool {
        let next = owned.next;
        if next >= self.plan.end(shard) || !self.has_table(shard, owned, next) {
            return false;
        }
        let begins = self.plan.is_boundary(next);
        let refreshed = self.plan.is_refreshed(shard);
        if refreshed && begins && owned.handed < next {
            return false;
        }
        let fed = self.plan.inputs(shard).is_empty()
            || owned.inputs.get(&next).is_some_and(|slots| {
                slots.iter().all(|slot| slot.as_ref().is_some_and(|slot| slot.here))
            });
        let room = self.has_room(shard, next) && (refreshed || self.has_room_to_keep(shard, next));
        // Between two chapters a shard that shall move waits for the steps in flight, then moves.
        let targets = self.targets.as_ref();
        let target = targets.and_then(|(_, targets)| targets.get(usize::from(shard.0)));
        let moves = begins && target.is_some_and(|&target| self.should_give(shard, target, next));
        fed && room && !moves
    }

    /// Whether `shard` has ended a chapter and can hand on its next step.
    fn can_refresh(&self, shard: ShardId, owned: &Owned) -> bool {
        self.plan.is_refreshed(shard)
            && owned.next == owned.done
            && owned.handing < owned.done
            && self.plan.is_boundary(owned.done)
            && self.has_room_to_keep(shard, owned.handing)
    }

    pub(crate) fn on_trained(
        &mut self,
        shard: ShardId,
        load: u64,
        step: u64,
        batch: Option<BlobRef>,
        checkpoint: Option<(BlobRef, u64)>,
    ) {
        let fresh = [batch, checkpoint.map(|(blob, _)| blob)];
        if !self.take_in(shard, load, step, fresh.into_iter().flatten()) {
            return;
        }
        if self.plan.is_by_chapter() {
            return self.on_column_trained((shard, load, step), batch, checkpoint);
        }
        let Some(owned) = self.owned.get_mut(&shard) else { return };
        owned.done = step + 1;
        if let Some(blob) = batch {
            self.offer(shard, step, blob);
        }
        if let Some((blob, loss_micro)) = checkpoint {
            let checkpoint = Checkpoint { shard, step: step + 1, blob, by: self.me, loss_micro };
            self.archive_own(checkpoint);
            self.say(Message::Checkpoints(vec![checkpoint]));
        }
        if !self.plan.is_refreshed(shard) {
            if let Some(owned) = self.owned.get_mut(&shard) {
                owned.handing = step + 1;
            }
            self.handed_on(shard, step);
        }
    }

    pub(crate) fn on_refreshed(&mut self, shard: ShardId, load: u64, step: u64, batch: BlobRef) {
        if !self.take_in(shard, load, step, [batch]) {
            return;
        }
        if self.plan.is_by_chapter() {
            self.on_column_refreshed((shard, load, step), batch);
        } else {
            self.offer(shard, step, batch);
            self.handed_on(shard, step);
        }
    }

    /// The trainer has made `fresh` of a step. Returns whether that is of any use: it was not when
    /// the shard has been loaded anew since, or is somebody else's.
    fn take_in(
        &mut self,
        shard: ShardId,
        load: u64,
        step: u64,
        fresh: impl IntoIterator<Item = BlobRef, IntoIter: Clone>,
    ) -> bool {
        let fresh = fresh.into_iter();
        for blob in fresh.clone() {
            self.blobs.hold(blob.hash);
        }
        self.end_step(load, step);
        let is_its = |owned: &Owned| owned.load == load && owned.phase == Phase::Ready;
        let is_current = self.owned.get(&shard).is_some_and(is_its)
            || self.columns.values().any(|column| column.load == load);
        if !is_current {
            fresh.for_each(|blob| self.release(blob.hash));
        }
        is_current
    }

    /// Nothing of `step` is left to do: what it read is not needed any more.
    fn handed_on(&mut self, shard: ShardId, step: u64) {
        if let Some(owned) = self.owned.get_mut(&shard) {
            owned.handed = step + 1;
        }
        self.discard_inputs(shard, step + 1);
        if step + 1 == self.plan.steps {
            self.close_shard(shard);
        }
    }

    /// The trainer has not done a step. Those in flight behind it are refused because of it, whatever
    /// they read. One that was trained and cannot be refreshed has been trained with what is bad: the
    /// shard is taken up again from a checkpoint.
    pub(crate) fn on_refused(
        &mut self,
        (shard, load, step): (ShardId, u64, u64),
        bad: Option<Hash>,
    ) {
        self.end_step(load, step);
        if self.plan.is_by_chapter() {
            return self.on_column_refused(load, bad);
        }
        let Some(owned) = self.owned.get_mut(&shard).filter(|owned| owned.load == load) else {
            return;
        };
        if step < owned.done {
            return owned.take_up_again();
        }
        owned.next = owned.next.min(step);
        if let Some(bad) = bad.filter(|_| step == owned.done) {
            self.refuse_input(shard, step, bad);
        }
    }

    /// What `shard` reads in `step` is no good: whoever offered it is to blame, and it is asked for again,
    /// after a while: it may be offered again at once. What this peer made itself is made again.
    fn refuse_input(&mut self, shard: ShardId, step: u64, bad: Hash) {
        let Some(owned) = self.owned.get_mut(&shard) else { return };
        if owned.table.is_some_and(|(_, table)| table == bad) {
            return self.refuse_table(shard, step);
        }
        owned.wanted = Some((self.now, step));
        let is_bad = |slot: &&mut Option<Slot>| slot.as_ref().is_some_and(|it| it.blob.hash == bad);
        let slots = owned.inputs.get_mut(&step).into_iter().flatten();
        let slots: Vec<Slot> = slots.filter(is_bad).filter_map(Option::take).collect();
        for slot in slots {
            if slot.here {
                self.release(bad);
            }
            if slot.holders.is_empty() {
                self.on_lost(bad);
            }
            for holder in slot.holders {
                self.on_lie(holder, FALSE_BATCH);
            }
        }
    }

    /// The trainer has answered a step; what it read is not needed for that any more.
    fn end_step(&mut self, load: u64, step: u64) {
        for hash in self.training.remove(&(load, step)).unwrap_or_default() {
            self.release(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;
    use crate::{Config, Input, NodeId, Plan, Role, Time};

    fn plan() -> Plan {
        Plan { feedback: true, refreshed: true, ..Plan::example(&[1; 3], 8, 2) }
    }

    /// One peer alone, whose trainer does everything, but refuses the first job that `refuses`;
    /// returns its jobs.
    fn alone(refuses: impl Fn(&Output) -> bool) -> Vec<Output> {
        let mut state =
            State::new(NodeId([1; 32]), Role::Worker, plan(), Config::default(), Time(0));
        let (mut jobs, mut refused, mut done) = (Vec::new(), false, BTreeMap::new());
        for turn in 0..200 {
            let mut inputs = VecDeque::from([Input::Wakeup]);
            while let Some(input) = inputs.pop_front() {
                for output in state.handle(input, Time(turn * 100)) {
                    let refuse = !refused && refuses(&output);
                    refused |= refuse;
                    inputs.extend(answer(&output, refuse, &mut done));
                    if matches!(
                        output,
                        Output::Train { .. } | Output::Refresh { .. } | Output::Load { .. }
                    ) {
                        jobs.push(output);
                    }
                }
            }
        }
        assert!(state.snapshot().complete, "{jobs:?}");
        jobs
    }

    /// What the trainer says, who has done so many steps of each shard.
    fn answer(output: &Output, refuse: bool, done: &mut BTreeMap<ShardId, u64>) -> Option<Input> {
        let blob = |shard: ShardId, step: u64, purpose: u8| {
            let bytes = [shard.0.to_le_bytes()[0], step.to_le_bytes()[0], purpose];
            BlobRef { hash: Hash::of(&bytes), size: 3 }
        };
        if let Output::Load { shard, load, step, .. } = *output {
            done.insert(shard, step);
            return Some(Input::Loaded { shard, load, ok: true });
        }
        if let Output::Refresh { shard, load, step, .. } = *output {
            let batch = blob(shard, step, 2);
            return Some(match refuse {
                true => Input::Refused { shard, load, step, bad: Some(Hash::of(b"bad")) },
                false => Input::Refreshed { shard, load, step, batch },
            });
        }
        let Output::Train { shard, load, step, checkpoint, feedback, .. } = *output else {
            return None;
        };
        if refuse || done.get(&shard) != Some(&step) {
            let bad = feedback.filter(|_| refuse);
            return Some(Input::Refused { shard, load, step, bad });
        }
        done.insert(shard, step + 1);
        let checkpoint = checkpoint.then(|| (blob(shard, step + 1, 1), 0));
        Some(Input::Trained { shard, load, step, batch: None, checkpoint })
    }

    /// Loads of the lowest shard, by step.
    fn loads(jobs: &[Output]) -> Vec<u64> {
        let load = |job: &Output| {
            let Output::Load { shard: ShardId(0), step, .. } = *job else { return None };
            Some(step)
        };
        jobs.iter().filter_map(load).collect()
    }

    #[test]
    fn a_chapter_is_trained_then_handed_on() {
        let jobs = alone(|_| false);
        let lowest = jobs.iter().filter_map(|job| {
            if let Output::Refresh { shard: ShardId(0), step, .. } = *job {
                return Some((step, true));
            }
            let Output::Train { shard: ShardId(0), step, emit, .. } = *job else { return None };
            Some((step, emit))
        });
        let half = |from| [(from, false), (from + 1, false), (from, true), (from + 1, true)];
        assert_eq!(lowest.collect::<Vec<_>>(), [half(0), half(2), half(4), half(6)].concat());
        let top = |job: &Output| matches!(job, Output::Refresh { shard: ShardId(2), .. });
        assert!(!jobs.iter().any(top), "nobody reads the feedback shard");
    }

    #[test]
    fn tables_come_after_their_delay_and_the_last_one_ends_their_shard() {
        let jobs = alone(|_| false);
        let tables = jobs.iter().filter_map(|job| {
            let Output::Train { shard: ShardId(0), step, feedback, .. } = *job else { return None };
            Some((step, feedback))
        });
        let first = tables.clone().find(|(_, table)| table.is_some());
        let tables: Vec<_> = tables.filter_map(|(_, table)| table).collect();
        assert_eq!((first.map(|(step, _)| step), tables.len()), (Some(4), 4));
        assert!(tables[0] == tables[1] && tables[1] != tables[2] && tables[2] == tables[3]);
        let beyond =
            |job: &Output| matches!(job, Output::Train { shard: ShardId(2), step: 4.., .. });
        assert!(!jobs.iter().any(beyond), "nobody reads a table after four steps");
    }

    #[test]
    fn a_shard_that_cannot_hand_on_its_chapter_trains_it_again() {
        let jobs = alone(|job| matches!(job, Output::Refresh { shard: ShardId(0), step: 3, .. }));
        assert_eq!(loads(&jobs), [0, 2]);
    }

    #[test]
    fn a_table_that_is_refused_is_made_again() {
        let jobs = alone(|job| matches!(job, Output::Train { shard: ShardId(0), step: 4, .. }));
        let made = jobs
            .iter()
            .filter(|job| matches!(job, Output::Train { shard: ShardId(2), step: 1, .. }));
        // The shards below go back with the feedback shard, for its batches.
        assert_eq!((made.count(), loads(&jobs)), (2, vec![0, 0]));
    }
}
