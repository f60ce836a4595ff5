//! Bringing owned rows to the step where they are needed, and training them.
//!
//! Rule: a row starts from the furthest checkpoint at hand that leaves none of its readers without
//! batches. If a reader needs batches that nobody holds any more, the row goes back and makes them
//! again; if others got further meanwhile, it adopts their checkpoint. Both give the same bytes.

use std::collections::BTreeMap;

use crate::{
    BlobRef, Checkpoint, Hash, MAX_TRAIN_IN_FLIGHT, Message, NodeId, Output, RowId, Time,
    flow::end_of_cover, state::State,
};

/// Activation batches by step.
pub(crate) type Batches = BTreeMap<u64, BlobRef>;

/// Where an owned row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Looking for the checkpoint to start from.
    Seeking,
    /// The trainer is reading it.
    Loading(Option<u64>),
    /// The trainer has it.
    Ready,
}

/// An activation batch that a row will read.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) blob: BlobRef,
    /// Who offered it.
    pub(crate) holders: Vec<NodeId>,
    /// Whether it is in the local store.
    pub(crate) here: bool,
}

/// A row that this peer owns.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) phase: Phase,
    /// Names the load that the trainer answers to.
    pub(crate) load: u64,
    /// Steps done.
    pub(crate) done: u64,
    /// The next step to hand to the trainer; more than `done` while steps are in flight.
    pub(crate) next: u64,
    /// What it will read, by step and by the position of the row it reads from.
    pub(crate) inputs: BTreeMap<u64, Vec<Option<Slot>>>,
    /// The last want: when, and from which step.
    pub(crate) wanted: Option<(Time, u64)>,
    /// Since when it has lacked inputs of its next step, and which step that is.
    pub(crate) lacks: Option<(Time, u64)>,
}

impl Owned {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Seeking,
            load: 0,
            done: 0,
            next: 0,
            inputs: BTreeMap::new(),
            wanted: None,
            lacks: None,
        }
    }
}

impl State {
    /// Steps done of each row this peer owns, and of those it owned to the end.
    pub(crate) fn own_progress(&self) -> Vec<(RowId, u64)> {
        let own = self.leases.iter().filter(|lease| lease.owner == self.me);
        let rows = own.map(|lease| (lease.row, self.position(lease.row)));
        rows.chain(self.column_progress()).collect()
    }

    /// Steps done of `row`, as far as known.
    pub(crate) fn position(&self, row: RowId) -> u64 {
        match self.owned.get(&row) {
            Some(owned) if owned.phase == Phase::Ready => owned.done,
            _ => {
                let told = self.progress.get(&row).copied().unwrap_or(0);
                let here = self.columns.values().filter(|column| column.row == row);
                here.map(|column| column.done).fold(told, u64::max)
            }
        }
    }

    /// For each row, the step at which it would be taken up now.
    ///
    /// Computed from the top, because a row may not start beyond what its readers need; a reader
    /// without a living owner needs what it would itself start from.
    pub(crate) fn start_points(&self) -> Vec<u64> {
        let mut starts = vec![0; self.plan.row_count()];
        for row in self.plan.rows().rev() {
            let limit = self.limit(row, |reader| self.need(reader, &starts));
            starts[usize::from(row.0)] =
                self.archive.best(row, limit).map_or(0, |fact| fact.checkpoint.step);
        }
        starts
    }

    /// The first step whose batches `reader` needs. An owner that is alive says where it is; if
    /// it knows a checkpoint beyond that and is not fed, it goes there by itself.
    pub(crate) fn need(&self, reader: RowId, starts: &[u64]) -> u64 {
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

    /// The furthest step at which `row` may start without leaving a reader short of batches.
    fn limit(&self, row: RowId, need: impl Fn(RowId) -> u64) -> u64 {
        let readers = self.plan.readers(row);
        if readers.is_empty() {
            return u64::MAX;
        }
        let runs = self.runs(row);
        let limits = readers.into_iter().map(|reader| end_of_cover(&runs, need(reader)));
        limits.min().unwrap_or(u64::MAX)
    }

    /// Moves every owned row towards where it should be.
    pub(crate) fn place_rows(&mut self, now: Time) {
        for row in self.plan.rows() {
            if self.must_reopen(row, now) {
                self.owned.insert(row, Owned::new());
            }
        }
        let rows: Vec<_> = self.owned.keys().copied().collect();
        for row in rows {
            let start = self.starts[usize::from(row.0)];
            let starving = self.is_starving(row, now);
            let Some(owned) = self.owned.get(&row) else { continue };
            let idle = owned.next == owned.done;
            let behind = start >= owned.done.saturating_add(self.plan.chapter_steps)
                || (start > owned.done && self.is_unfed(row, owned.done));
            let ahead = starving && start < owned.done && !self.feeds_from(row, owned.done);
            if owned.phase == Phase::Ready && idle && (behind || ahead) {
                self.forget_hunger(row);
                if let Some(owned) = self.owned.get_mut(&row) {
                    owned.phase = Phase::Seeking;
                }
            }
            if start == self.plan.steps {
                self.end_row(row);
            } else {
                self.seek(row, start);
            }
        }
    }

    /// Whether every reader of `row` finds its batches with somebody, up to those from `done` on.
    fn feeds_from(&self, row: RowId, done: u64) -> bool {
        self.limit(row, |reader| self.need(reader, &self.starts)) >= done
    }

    /// Whether a row that this peer has finished must be taken up again, because a reader lacks
    /// batches that nobody holds.
    fn must_reopen(&self, row: RowId, now: Time) -> bool {
        self.leases.owner(row) == Some(self.me)
            && !self.owned.contains_key(&row)
            && self.starts[usize::from(row.0)] < self.plan.steps
            && self.is_starving(row, now)
    }

    /// Others have finished `row`, and nobody needs its batches.
    fn end_row(&mut self, row: RowId) {
        if self.owned.get(&row).is_some_and(|owned| owned.phase == Phase::Seeking) {
            self.close_row(row);
        }
    }

    fn close_row(&mut self, row: RowId) {
        self.progress.insert(row, self.plan.steps);
        self.let_go(row);
        self.tell_below(row);
    }

    /// Loads the checkpoint at `start` once it is here; `fetch` sees to it that it comes.
    fn seek(&mut self, row: RowId, start: u64) {
        let is_here = self.holds(row, start);
        let hash = self.archive.at(row, start).map(|fact| fact.checkpoint.blob.hash);
        let Some(owned) = self.owned.get_mut(&row) else { return };
        if owned.phase != Phase::Seeking || (start > 0 && !is_here) {
            return;
        }
        self.loads += 1;
        owned.phase = Phase::Loading((start > 0).then_some(start));
        owned.load = self.loads;
        owned.done = start;
        owned.next = start;
        owned.wanted = None;
        let load = self.loads;
        let checkpoint = if start > 0 { hash } else { None };
        if let Some(hash) = checkpoint {
            self.blobs.hold(hash);
            self.loading.insert(load, hash);
        }
        self.discard_inputs(row, start);
        self.push(Output::Load { row, load, step: start, checkpoint });
    }

    pub(crate) fn on_loaded(&mut self, row: RowId, load: u64, ok: bool) {
        if let Some(hash) = self.loading.remove(&load) {
            self.release(hash);
        }
        if self.plan.is_by_chapter() {
            return self.on_column_loaded(row, load, ok);
        }
        let Some(owned) = self.owned.get_mut(&row) else { return };
        let Phase::Loading(step) = owned.phase else { return };
        if owned.load != load {
            return;
        }
        owned.phase = if ok { Phase::Ready } else { Phase::Seeking };
        if let (false, Some(step)) = (ok, step) {
            self.distrust(row, step);
        }
    }

    /// Hands steps to the trainer: the row that is furthest behind first, the lower one of two.
    pub(crate) fn train(&mut self) {
        while self.training.len() < MAX_TRAIN_IN_FLIGHT {
            let ready = self.owned.iter().filter(|(row, owned)| self.can_train(**row, owned));
            let Some((next, row)) = ready.map(|(&row, owned)| (owned.next, row)).min() else {
                return;
            };
            let emit = !self.plan.readers(row).is_empty();
            let checkpoint = self.plan.is_boundary(next + 1);
            let Some(owned) = self.owned.get_mut(&row) else { return };
            let slots = owned.inputs.get(&next).map_or(&[][..], Vec::as_slice);
            let inputs: Vec<Hash> = slots.iter().flatten().map(|slot| slot.blob.hash).collect();
            owned.next = next + 1;
            let load = owned.load;
            for hash in &inputs {
                self.blobs.hold(*hash);
            }
            self.training.insert((load, next), inputs.clone());
            self.push(Output::Train { row, load, step: next, inputs, emit, checkpoint });
        }
    }

    /// Whether the next step of `row` has its inputs, room for its outputs, and no reason to wait.
    fn can_train(&self, row: RowId, owned: &Owned) -> bool {
        if owned.phase != Phase::Ready || owned.next >= self.plan.steps {
            return false;
        }
        let below = self.plan.inputs(row).len();
        let fed = below == 0
            || owned.inputs.get(&owned.next).is_some_and(|slots| {
                slots.iter().all(|slot| slot.as_ref().is_some_and(|slot| slot.here))
            });
        let room = self.has_room(row, owned.next);
        // Between two chapters a row that shall move waits for the steps in flight, then moves.
        let target = self.targets.as_ref().and_then(|targets| targets.get(usize::from(row.0)));
        let moves = self.plan.is_boundary(owned.next)
            && target.is_some_and(|&target| self.should_give(target, self.now));
        fed && room && !moves
    }

    pub(crate) fn on_trained(
        &mut self,
        row: RowId,
        load: u64,
        step: u64,
        batch: Option<BlobRef>,
        checkpoint: Option<(BlobRef, u64)>,
    ) {
        self.end_step(load, step);
        let fresh = [batch, checkpoint.map(|(blob, _)| blob)];
        for blob in fresh.into_iter().flatten() {
            self.blobs.hold(blob.hash);
        }
        if self.plan.is_by_chapter() {
            return self.on_column_trained((row, load, step), batch, checkpoint);
        }
        let current = self.owned.get_mut(&row).filter(|owned| owned.load == load);
        let Some(owned) = current else {
            for blob in fresh.into_iter().flatten() {
                self.release(blob.hash);
            }
            return;
        };
        owned.done = step + 1;
        self.discard_inputs(row, step + 1);
        if let Some(blob) = batch {
            self.offer(row, step, blob);
        }
        if let Some((blob, loss_micro)) = checkpoint {
            let checkpoint = Checkpoint { row, step: step + 1, blob, by: self.me, loss_micro };
            self.archive_own(checkpoint);
            self.say(Message::Checkpoints(vec![checkpoint]));
        }
        if step + 1 == self.plan.steps {
            self.close_row(row);
        }
    }

    /// The inputs of `step` were no good: whoever offered them is to blame, and they are asked for
    /// again. Steps in flight behind it are refused because of it, whatever they read.
    pub(crate) fn on_refused(&mut self, row: RowId, load: u64, step: u64) {
        self.end_step(load, step);
        if self.plan.is_by_chapter() {
            return self.on_column_refused(load);
        }
        let Some(owned) = self.owned.get_mut(&row).filter(|owned| owned.load == load) else {
            return;
        };
        owned.next = owned.next.min(step);
        if step != owned.done {
            return;
        }
        owned.wanted = None;
        let slots: Vec<Slot> = owned.inputs.remove(&step).into_iter().flatten().flatten().collect();
        for slot in slots {
            if slot.here {
                self.release(slot.blob.hash);
            }
            for holder in slot.holders {
                self.blame(holder, "an activation batch of the wrong shape");
            }
        }
    }

    /// The trainer has answered a step; what it read is not needed for that any more.
    fn end_step(&mut self, load: u64, step: u64) {
        for hash in self.training.remove(&(load, step)).unwrap_or_default() {
            self.release(hash);
        }
    }

    /// Stops working on `row`: it is finished, or somebody else's.
    pub(crate) fn let_go(&mut self, row: RowId) {
        if self.owned.contains_key(&row) {
            self.discard_inputs(row, u64::MAX);
            self.owned.remove(&row);
            self.forget_hunger(row);
            self.push(Output::Unload { row });
        }
    }
}
