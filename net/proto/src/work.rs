//! Bringing owned rows to the step where they are needed.
//!
//! Rule: a row starts from the furthest checkpoint at hand that leaves none of its readers without
//! batches. If a reader needs batches that nobody holds any more, the row goes back and makes them
//! again; if others got further meanwhile, it adopts their checkpoint. Both give the same bytes.

use std::collections::BTreeMap;

use crate::{BlobRef, Hash, NodeId, Output, RowId, Time, flow::end_of_cover, state::State};

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
    /// Steps whose batches were handed on; fewer than `done` when they are refreshed.
    pub(crate) handed: u64,
    /// The next step to hand to the trainer for refreshing; more than `handed` while steps are
    /// in flight.
    pub(crate) handing: u64,
    /// The feedback step whose table the chapter in hand reads, and the table, which is held.
    pub(crate) table: Option<(u64, Hash)>,
    /// What it will read, by step and by the position of the row it reads from.
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
    /// without a living owner needs what it would itself start from. The feedback row is read by
    /// the lowest: where none is missing to the end, there is nothing left for it to do; where one
    /// is that they will need, it goes back, and all is computed again.
    pub(crate) fn start_points(&self) -> Vec<u64> {
        let Some(feedback) = self.plan.feedback_row() else {
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

    /// For each row, the step at which it would be taken up if the feedback row, in a run that has
    /// one, were at step `feedback`.
    fn starts_with(&self, feedback: u64) -> Vec<u64> {
        let mut starts = vec![0; self.plan.row_count()];
        for row in self.plan.rows().rev() {
            starts[usize::from(row.0)] = if self.plan.feedback_row() == Some(row) {
                feedback
            } else {
                let limit = self.limit(row, |reader| self.need(reader, &starts));
                self.archive.best(row, limit).map_or(0, |fact| fact.checkpoint.step)
            };
        }
        starts
    }

    /// The first step whose batches `reader` needs. An owner that is alive says where it is; if
    /// it knows a checkpoint beyond that and is not fed, it goes there by itself. Once this peer
    /// holds the whole model, nobody needs a batch: whoever lacks something takes checkpoints.
    pub(crate) fn need(&self, reader: RowId, starts: &[u64]) -> u64 {
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
            let over = start == self.plan.steps && self.plan.feedback_row() == Some(row);
            let behind = start >= owned.done.saturating_add(self.plan.chapter_steps)
                || (start > owned.done && (over || self.is_unfed(row, owned.done)));
            let ahead = starving && start < owned.handed && !self.feeds_from(row, owned.handed);
            if owned.phase == Phase::Ready && owned.is_idle() && (behind || ahead) {
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

    /// Whether every reader of `row` finds its batches with somebody, up to those from `done` on;
    /// or its tables.
    fn feeds_from(&self, row: RowId, done: u64) -> bool {
        if self.plan.feedback_row() == Some(row) {
            return self.missing_table(&self.starts).is_none_or(|step| step > done);
        }
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

    pub(crate) fn close_row(&mut self, row: RowId) {
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
        owned.handed = start;
        owned.handing = start;
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

    /// Stops working on `row`: it is finished, or somebody else's.
    pub(crate) fn let_go(&mut self, row: RowId) {
        if self.owned.contains_key(&row) {
            self.discard_inputs(row, u64::MAX);
            let table = self.owned.remove(&row).and_then(|owned| owned.table);
            if let Some((_, hash)) = table {
                self.release(hash);
            }
            self.forget_hunger(row);
            self.push(Output::Unload { row });
        }
    }
}
