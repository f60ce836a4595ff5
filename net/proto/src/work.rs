//! Bringing owned shards to the step where they are needed.
//!
//! Rule: a shard starts from the furthest checkpoint at hand that leaves none of its readers without
//! batches. If a reader needs batches that nobody holds any more, the shard goes back and makes them
//! again; if others got further meanwhile, it adopts their checkpoint. Both give the same bytes.

use std::collections::BTreeMap;

use crate::{BlobRef, Hash, NodeId, Output, ShardId, Time, flow::end_of_cover, state::State};

/// Activation batches by step.
pub(crate) type Batches = BTreeMap<u64, BlobRef>;

/// Where an owned shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Looking for the checkpoint to start from.
    Seeking,
    /// The trainer is reading it.
    Loading(Option<u64>),
    /// The trainer has it.
    Ready,
}

/// An activation batch that a shard will read.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) blob: BlobRef,
    /// Who offered it.
    pub(crate) holders: Vec<NodeId>,
    /// Whether it is in the local store.
    pub(crate) here: bool,
}

/// A shard that this peer owns.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) phase: Phase,
    /// Names the load that the trainer answers to.
    pub(crate) load: u64,
    /// Steps done.
    pub(crate) done: u64,
    /// The next step to hand to the trainer; more than `done` while steps are in flight.
    pub(crate) next: u64,
    /// Steps whose batches were handed on; fewer than `done` when they are refreshed.
    pub(crate) handed: u64,
    /// The next step to hand to the trainer for refreshing; more than `handed` while steps are
    /// in flight.
    pub(crate) handing: u64,
    /// The feedback step whose table the chapter in hand reads, and the table, which is held.
    pub(crate) table: Option<(u64, Hash)>,
    /// What it will read, by step and by the position of the shard it reads from.
    pub(crate) inputs: BTreeMap<u64, Vec<Option<Slot>>>,
    /// The last want: when, and from which step.
    pub(crate) wanted: Option<(Time, u64)>,
    /// Since when it has lacked inputs of its next step or room for its outputs, and which step
    /// that is.
    pub(crate) lacks: Option<(Time, u64)>,
}

impl Owned {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Seeking,
            load: 0,
            done: 0,
            next: 0,
            handed: 0,
            handing: 0,
            table: None,
            inputs: BTreeMap::new(),
            wanted: None,
            lacks: None,
        }
    }

    /// What the trainer has of it is given up: a checkpoint is looked for.
    pub(crate) fn take_up_again(&mut self) {
        self.next = self.done;
        self.handing = self.handed;
        self.phase = Phase::Seeking;
    }

    /// Whether the trainer has none of its steps.
    pub(crate) fn is_idle(&self) -> bool {
        self.next == self.done && self.handing == self.handed
    }
}

impl State {
    /// Steps done of each shard this peer owns, and of those it owned to the end.
    pub(crate) fn own_progress(&self) -> Vec<(ShardId, u64)> {
        let own = self.leases.iter().filter(|lease| lease.owner == self.me);
        let shards = own.map(|lease| (lease.shard, self.position(lease.shard)));
        shards.chain(self.column_progress()).collect()
    }

    /// Steps done of `shard`, as far as known.
    pub(crate) fn position(&self, shard: ShardId) -> u64 {
        match self.owned.get(&shard) {
            Some(owned) if owned.phase == Phase::Ready => owned.done,
            _ => {
                let told = self.progress.get(&shard).copied().unwrap_or(0);
                let here = self.columns.values().filter(|column| column.shard == shard);
                here.map(|column| column.done).fold(told, u64::max)
            }
        }
    }

    /// For each shard, the step at which it would be taken up now.
    ///
    /// Computed from the top, because a shard may not start beyond what its readers need; a reader
    /// without a living owner needs what it would itself start from. The feedback shard is read by
    /// the lowest: where none is missing to the end, there is nothing left for it to do; where one
    /// is that they will need, it goes back, and all is computed again.
    pub(crate) fn start_points(&self) -> Vec<u64> {
        let Some(feedback) = self.plan.feedback_shard() else {
            return self.starts_with(0);
        };
        let over = self.starts_with(self.plan.steps);
        if self.missing_table(&over).is_none() {
            return over;
        }
        let best = |limit| self.archive.best(feedback, limit).map_or(0, |it| it.checkpoint.step);
        let mut at = best(u64::MAX);
        loop {
            let starts = self.starts_with(at);
            match self.missing_table(&starts) {
                Some(step) if step <= at => at = best(step - 1),
                _ => return starts,
            }
        }
    }

    /// For each shard, the step at which it would be taken up if the feedback shard, in a run that has
    /// one, were at step `feedback`.
    fn starts_with(&self, feedback: u64) -> Vec<u64> {
        let mut starts = vec![0; self.plan.shard_count()];
        for shard in self.plan.shards().rev() {
            starts[usize::from(shard.0)] = if self.plan.feedback_shard() == Some(shard) {
                feedback
            } else {
                let limit = self.limit(shard, |reader| self.need(reader, &starts));
                self.archive.best(shard, limit).map_or(0, |fact| fact.checkpoint.step)
            };
        }
        starts
    }

    /// The first step whose batches `reader` needs. An owner that is alive says where it is; if
    /// it knows a checkpoint beyond that and is not fed, it goes there by itself. Once this peer
    /// holds the whole model, nobody needs a batch: whoever lacks something takes checkpoints.
    pub(crate) fn need(&self, reader: ShardId, starts: &[u64]) -> u64 {
        if self.complete.is_some() {
            return self.plan.steps;
        }
        let start = starts[usize::from(reader.0)];
        match self.leases.owner(reader) {
            Some(owner) if owner == self.me => match self.owned.get(&reader) {
                Some(owned) if owned.phase == Phase::Ready => owned.done,
                Some(_) => start,
                None => self.plan.steps,
            },
            Some(owner) if self.members.contains(owner) => self.position(reader),
            _ => start,
        }
    }

    /// The furthest step at which `shard` may start without leaving a reader short of batches.
    fn limit(&self, shard: ShardId, need: impl Fn(ShardId) -> u64) -> u64 {
        let readers = self.plan.readers(shard);
        if readers.is_empty() {
            return u64::MAX;
        }
        let runs = self.runs(shard);
        let limits = readers.into_iter().map(|reader| end_of_cover(&runs, need(reader)));
        limits.min().unwrap_or(u64::MAX)
    }

    /// Moves every owned shard towards where it should be.
    pub(crate) fn place_shards(&mut self, now: Time) {
        for shard in self.plan.shards() {
            if self.must_reopen(shard, now) {
                self.owned.insert(shard, Owned::new());
            }
        }
        let shards: Vec<_> = self.owned.keys().copied().collect();
        for shard in shards {
            let start = self.starts[usize::from(shard.0)];
            let starving = self.is_starving(shard, now);
            let Some(owned) = self.owned.get(&shard) else { continue };
            let over = start == self.plan.steps && self.plan.feedback_shard() == Some(shard);
            let behind = start >= owned.done.saturating_add(self.plan.chapter_steps)
                || (start > owned.done && (over || self.is_unfed(shard, owned.done)));
            let ahead = starving && start < owned.handed && !self.feeds_from(shard, owned.handed);
            if owned.phase == Phase::Ready && owned.is_idle() && (behind || ahead) {
                self.forget_hunger(shard);
                if let Some(owned) = self.owned.get_mut(&shard) {
                    owned.phase = Phase::Seeking;
                }
            }
            if start == self.plan.steps {
                self.end_shard(shard);
            } else {
                self.seek(shard, start);
            }
        }
    }

    /// Whether every reader of `shard` finds its batches with somebody, up to those from `done` on;
    /// or its tables.
    fn feeds_from(&self, shard: ShardId, done: u64) -> bool {
        if self.plan.feedback_shard() == Some(shard) {
            return self.missing_table(&self.starts).is_none_or(|step| step > done);
        }
        self.limit(shard, |reader| self.need(reader, &self.starts)) >= done
    }

    /// Whether a shard that this peer has finished must be taken up again, because a reader lacks
    /// batches that nobody holds.
    fn must_reopen(&self, shard: ShardId, now: Time) -> bool {
        self.leases.owner(shard) == Some(self.me)
            && !self.owned.contains_key(&shard)
            && self.starts[usize::from(shard.0)] < self.plan.steps
            && self.is_starving(shard, now)
    }

    /// Others have finished `shard`, and nobody needs its batches.
    fn end_shard(&mut self, shard: ShardId) {
        if self.owned.get(&shard).is_some_and(|owned| owned.phase == Phase::Seeking) {
            self.close_shard(shard);
        }
    }

    pub(crate) fn close_shard(&mut self, shard: ShardId) {
        self.progress.insert(shard, self.plan.steps);
        self.let_go(shard);
        self.tell_below(shard);
    }

    /// Loads the checkpoint at `start` once it is here; `fetch` sees to it that it comes.
    fn seek(&mut self, shard: ShardId, start: u64) {
        let is_here = self.holds(shard, start);
        let hash = self.archive.at(shard, start).map(|fact| fact.checkpoint.blob.hash);
        let Some(owned) = self.owned.get_mut(&shard) else { return };
        if owned.phase != Phase::Seeking || (start > 0 && !is_here) {
            return;
        }
        self.loads += 1;
        owned.phase = Phase::Loading((start > 0).then_some(start));
        owned.load = self.loads;
        owned.done = start;
        owned.next = start;
        owned.handed = start;
        owned.handing = start;
        owned.wanted = None;
        let load = self.loads;
        let checkpoint = if start > 0 { hash } else { None };
        if let Some(hash) = checkpoint {
            self.blobs.hold(hash);
            self.loading.insert(load, hash);
        }
        self.discard_inputs(shard, start);
        self.push(Output::Load { shard, load, step: start, checkpoint });
    }

    pub(crate) fn on_loaded(&mut self, shard: ShardId, load: u64, ok: bool) {
        if let Some(hash) = self.loading.remove(&load) {
            self.release(hash);
        }
        if self.plan.is_by_chapter() {
            return self.on_column_loaded(shard, load, ok);
        }
        let Some(owned) = self.owned.get_mut(&shard) else { return };
        let Phase::Loading(step) = owned.phase else { return };
        if owned.load != load {
            return;
        }
        owned.phase = if ok { Phase::Ready } else { Phase::Seeking };
        if let (false, Some(step)) = (ok, step) {
            self.distrust(shard, step);
        }
    }

    /// Stops working on `shard`: it is finished, or somebody else's.
    pub(crate) fn let_go(&mut self, shard: ShardId) {
        if self.owned.contains_key(&shard) {
            self.discard_inputs(shard, u64::MAX);
            let table = self.owned.remove(&shard).and_then(|owned| owned.table);
            if let Some((_, hash)) = table {
                self.release(hash);
            }
            self.forget_hunger(shard);
            self.push(Output::Unload { shard });
        }
    }
}
