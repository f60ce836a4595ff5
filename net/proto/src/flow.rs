//! Activation batches: asking for them, offering them, and not outrunning a reader.
//!
//! Rule: a reader says how far it is and how much room it has (`Want`); an owner never trains
//! more than a window beyond its slowest reader, and tells a reader of each batch as it is made
//! (`Have`). Both are repeated until they took effect, so either may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{
    Hash, MAX_BATCHES_PER_HAVE, MAX_MEMBERS, Message, NodeId, Offer, Retained, ShardId, Time,
    state::State,
    work::{Owned, Phase, Slot},
};

/// Peers remembered as holders of one batch.
const MAX_HOLDERS: usize = 4;

/// Peers and shards whose batches are not believed in, at most.
pub(crate) const MAX_DOUBTS: usize = MAX_MEMBERS;

/// Runs of steps told of per shard.
const MAX_RUNS: usize = 3;

/// Retries after which a shard goes back for a reader whose batches nobody holds.
pub(crate) const PATIENCE: u64 = 3;

/// Retries after which a peer is not believed to hold the batches that it says it holds.
pub(crate) const LONG_PATIENCE: u64 = 16;

/// Since when a reader (second) has lacked batches of a shard (first) that the shard's owner does not
/// hold, and from which step on.
pub(crate) type Hunger = BTreeMap<(ShardId, ShardId), (Time, u64)>;

/// Where an unbroken cover by `runs`, in order, ends that begins at `from`.
pub(crate) fn end_of_cover(runs: &[Range<u64>], from: u64) -> u64 {
    runs.iter().fold(from, |end, run| if run.start <= end { end.max(run.end) } else { end })
}

impl State {
    /// The furthest step up to which the batches of `shard` from `from` on are held by somebody.
    pub(crate) fn covered(&self, shard: ShardId, from: u64) -> u64 {
        end_of_cover(&self.runs(shard), from)
    }

    /// The runs of batches of `shard` that anybody holds, by their first step; those aside that an
    /// owner of a reader cannot fetch.
    pub(crate) fn runs(&self, shard: ShardId) -> Vec<Range<u64>> {
        let cut = self.avoided_by_readers(shard);
        let believed = self
            .members
            .iter()
            .filter(|(id, _)| !self.doubts.contains(&(shard, *id)) && !cut.contains(id));
        let held = believed.flat_map(|(_, member)| &member.retained);
        let held = held.filter(|retained| retained.shard == shard);
        let mut runs: Vec<Range<u64>> =
            held.map(|retained| retained.from..retained.until).collect();
        runs.extend(self.runs_of(shard));
        runs.sort_by_key(|run| run.start);
        runs
    }

    /// The unbroken runs of batches of `shard` that this peer holds.
    fn runs_of(&self, shard: ShardId) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for &step in self.retained.get(&shard).into_iter().flat_map(|batches| batches.keys()) {
            match runs.last_mut() {
                Some(run) if run.end == step => run.end = step + 1,
                _ => runs.push(step..step + 1),
            }
        }
        runs
    }

    pub(crate) fn retained_runs(&self) -> Vec<Retained> {
        let shard_runs = |&shard: &ShardId| {
            let runs = self.runs_of(shard).into_iter().take(MAX_RUNS);
            runs.map(move |run| Retained { shard, from: run.start, until: run.end })
        };
        self.retained.keys().flat_map(shard_runs).collect()
    }

    /// Whether the slowest reader of `shard` is within the window of step `next`.
    pub(crate) fn has_room(&self, shard: ShardId, next: u64) -> bool {
        self.slowest_reader(shard).is_none_or(|it| next < it.saturating_add(self.config.window))
    }

    /// The first step whose batches a reader of `shard` needs.
    pub(crate) fn slowest_reader(&self, shard: ShardId) -> Option<u64> {
        let readers = self.plan.readers(shard).into_iter();
        readers.map(|reader| self.need(reader, &self.starts)).min()
    }

    /// Asks the owners below for the batches that owned shards will read.
    pub(crate) fn ask_for_batches(&mut self, now: Time) {
        self.doubt_the_silent(now);
        let stride = (self.config.window / 4).clamp(1, MAX_BATCHES_PER_HAVE as u64 / 2);
        let due: Vec<_> = self
            .owned
            .iter()
            .filter(|(shard, owned)| owned.phase == Phase::Ready && self.plan.layer(**shard) > 0)
            .filter(|(_, owned)| match owned.wanted {
                None => true,
                Some((at, from)) => {
                    let full = owned
                        .inputs
                        .get(&owned.next)
                        .is_some_and(|slots| slots.iter().all(Option::is_some));
                    owned.next >= from + stride || (!full && now.since(at) >= self.config.retry_ms)
                }
            })
            .map(|(&shard, owned)| (shard, owned.next))
            .collect();
        for (reader, from) in due {
            if let Some(owned) = self.owned.get_mut(&reader) {
                owned.wanted = Some((now, from));
            }
            self.want(reader, from);
        }
    }

    /// Says to whoever can feed `reader` that it has done `from` steps.
    fn want(&mut self, reader: ShardId, from: u64) {
        let until = from.saturating_add(self.config.window).min(self.plan.steps);
        let mut asked: BTreeMap<NodeId, Vec<ShardId>> = BTreeMap::new();
        for shard in self.plan.inputs(reader) {
            let owner = self.leases.owner(shard);
            let holds =
                |held: &Retained| held.shard == shard && (held.from..held.until).contains(&from);
            let members = self.members.iter();
            let holders = members.filter(|(_, member)| member.retained.iter().any(holds));
            let mut feeders: Vec<NodeId> = holders.map(|(id, _)| id).take(MAX_HOLDERS).collect();
            if self.retained.get(&shard).is_some_and(|batches| batches.contains_key(&from)) {
                feeders.push(self.me);
            }
            feeders.retain(|id| Some(*id) != owner);
            feeders.extend(owner);
            for feeder in feeders {
                asked.entry(feeder).or_default().push(shard);
            }
        }
        for (feeder, shards) in asked {
            self.wants += 1;
            let seq = self.wants;
            self.send(feeder, Message::Want { seq, reader, shards, from, until });
        }
    }

    /// `shard` is finished: the owners below need not wait for it.
    pub(crate) fn tell_below(&mut self, shard: ShardId) {
        self.want(shard, self.plan.steps);
    }

    pub(crate) fn on_want(
        &mut self,
        from: NodeId,
        seq: u64,
        (reader, shards): (ShardId, &[ShardId]),
        steps: Range<u64>,
        now: Time,
    ) {
        if from != self.me && !self.members.is_new_want(from, seq) {
            return;
        }
        let inputs = self.plan.inputs(reader);
        let shards: BTreeSet<ShardId> =
            shards.iter().copied().filter(|shard| inputs.contains(shard)).collect();
        let is_owner = self.leases.owner(reader) == Some(from);
        if is_owner && !shards.is_empty() {
            self.progress.insert(reader, steps.start.min(self.plan.steps));
        }
        let mut offers = Vec::new();
        for shard in shards {
            if is_owner {
                let done = match self.owned.get(&shard) {
                    Some(owned) => owned.handed,
                    None if self.leases.owner(shard) == Some(self.me) => self.plan.steps,
                    None => 0,
                };
                self.note_hunger((shard, reader), steps.start, done, now);
            }
            let held = self.retained.get(&shard).into_iter();
            let held = held.flat_map(|it| it.range(steps.start..steps.end.max(steps.start)));
            let held = held.take(MAX_BATCHES_PER_HAVE);
            offers.extend(held.map(|(&step, &blob)| Offer { shard, step, blob }));
        }
        offers.sort_by_key(|offer| offer.step);
        self.tell(from, &offers);
    }

    /// The owner of a reader of `shard` asks from step `start` on, and `shard` has handed on `done`
    /// steps.
    fn note_hunger(&mut self, key: (ShardId, ShardId), start: u64, done: u64, now: Time) {
        let shard = key.0;
        let holds = self.retained.get(&shard).is_some_and(|batches| batches.contains_key(&start));
        let is_covered = self.covered(shard, start) >= done;
        if start >= done || (holds && is_covered) {
            self.hunger.remove(&key);
            return;
        }
        let (since, from) = *self.hunger.entry(key).or_insert((now, start));
        if is_covered && from != start {
            self.hunger.insert(key, (now, start));
        } else if now.since(since) >= LONG_PATIENCE * self.config.retry_ms {
            self.doubt(shard, start);
        }
    }

    /// Those who say that they hold the batch of `shard` for `step` do not deliver it: from now on it
    /// is as if they did not say so.
    fn doubt(&mut self, shard: ShardId, step: u64) {
        let holds =
            |held: &Retained| held.shard == shard && (held.from..held.until).contains(&step);
        for (id, member) in self.members.iter() {
            if self.doubts.len() < MAX_DOUBTS && member.retained.iter().any(holds) {
                self.doubts.insert((shard, id));
            }
        }
    }

    /// Whether a reader has gone without for so long that `shard` must go back.
    pub(crate) fn is_starving(&self, shard: ShardId, now: Time) -> bool {
        let patience = PATIENCE * self.config.retry_ms;
        let mut readers = self.hunger.iter().filter(|((starved, _), _)| *starved == shard);
        readers.any(|(_, &(since, _))| now.since(since) >= patience)
    }

    /// Notes since when owned shards lack what they read next or room for what they would make of
    /// it, and doubts whoever says that it holds what they read when that is long.
    fn doubt_the_silent(&mut self, now: Time) {
        let has_room = |(&shard, owned): (&ShardId, &Owned)| self.has_room(shard, owned.next);
        let rooms: Vec<bool> = self.owned.iter().map(has_room).collect();
        let mut missing = Vec::new();
        for ((&shard, owned), room) in self.owned.iter_mut().zip(rooms) {
            let slots = owned.inputs.get(&owned.next);
            let full = slots.is_some_and(|slots| slots.iter().all(Option::is_some));
            if (full && room) || owned.lacks.is_none_or(|(_, step)| step != owned.next) {
                owned.lacks = Some((now, owned.next));
            }
            let since = owned.lacks.map_or(now, |(since, _)| since);
            if now.since(since) >= LONG_PATIENCE * self.config.retry_ms {
                let lacks =
                    |at: usize| slots.is_none_or(|it| it.get(at).is_none_or(Option::is_none));
                let inputs = self.plan.inputs(shard).into_iter().enumerate();
                missing.extend(
                    inputs.filter(|(at, _)| lacks(*at)).map(|(_, shard)| (shard, owned.next)),
                );
            }
        }
        for (shard, step) in missing {
            self.doubt(shard, step);
        }
    }

    /// The readers of `shard` will be fed again.
    pub(crate) fn forget_hunger(&mut self, shard: ShardId) {
        self.hunger.retain(|(starved, _), _| *starved != shard);
    }

    /// Whether `shard` cannot do step `next` because nobody holds what it would read.
    pub(crate) fn is_unfed(&self, shard: ShardId, next: u64) -> bool {
        let inputs = self.plan.inputs(shard);
        inputs.into_iter().any(|input| self.covered(input, next) <= next)
            || self.lacks_table(shard, next)
    }

    pub(crate) fn on_have(&mut self, from: NodeId, offers: &[Offer]) {
        self.doubts.retain(|(shard, id)| *id != from || offers.iter().all(|it| it.shard != *shard));
        let Self { me, plan, config, owned, blobs, .. } = self;
        for (&reader, owned) in owned.iter_mut().filter(|(_, it)| it.phase == Phase::Ready) {
            let inputs = plan.inputs(reader);
            let room = owned.next..owned.next.saturating_add(config.window).min(plan.steps);
            for &Offer { shard, step, blob } in offers.iter().filter(|it| room.contains(&it.step)) {
                let Some(position) = inputs.iter().position(|&input| input == shard) else {
                    continue;
                };
                // What this peer told itself of may be forgotten by now.
                if from == *me && !blobs.contains(blob.hash) {
                    continue;
                }
                let slots = owned.inputs.entry(step).or_insert_with(|| vec![None; inputs.len()]);
                let Some(slot) = slots.get_mut(position) else { continue };
                let slot = slot.get_or_insert(Slot { blob, holders: Vec::new(), here: false });
                if slot.blob != blob || slot.here {
                    continue;
                }
                if blobs.contains(blob.hash) {
                    blobs.hold(blob.hash);
                    slot.here = true;
                } else if from != *me
                    && slot.holders.len() < MAX_HOLDERS
                    && !slot.holders.contains(&from)
                {
                    slot.holders.push(from);
                }
            }
        }
    }

    /// Forgets what `shard` would have read for the steps below `until`.
    pub(crate) fn discard_inputs(&mut self, shard: ShardId, until: u64) {
        let Some(owned) = self.owned.get_mut(&shard) else { return };
        let kept = owned.inputs.split_off(&until);
        let read = std::mem::replace(&mut owned.inputs, kept);
        let here: Vec<Hash> = read
            .into_values()
            .flatten()
            .flatten()
            .filter(|slot| slot.here)
            .map(|slot| slot.blob.hash)
            .collect();
        for hash in here {
            self.release(hash);
        }
    }
}
