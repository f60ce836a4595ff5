//! Chapters owned whole: the all-layers placement (the paper, section 4.2).
//!
//! The owner of a chapter trains each row of it in turn, from the checkpoints that the chapter
//! before left. Checkpoints travel, activations stay. Rule: what a column has made of its chapter
//! is lost with it, and the chapter is done again from the same checkpoints: those before it are
//! kept until all rows are beyond it.

use std::collections::BTreeMap;

use crate::{
    BlobRef, Checkpoint, Hash, MAX_TRAIN_IN_FLIGHT, Message, Output, RowId, state::State,
    work::Phase,
};

/// A chapter that this peer owns, and where it stands in it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// The row that it trains now.
    pub(crate) row: RowId,
    pub(crate) phase: Phase,
    /// Names the load that the trainer answers to.
    pub(crate) load: u64,
    /// Steps done of that row.
    pub(crate) done: u64,
    /// The next step to hand to the trainer.
    pub(crate) next: u64,
    /// The activation batches of this chapter that have still to be read, by row and step.
    pub(crate) made: BTreeMap<(RowId, u64), BlobRef>,
}

impl Column {
    /// A chapter from its first row on.
    pub(crate) fn new(start: u64) -> Self {
        let made = BTreeMap::new();
        Self { row: RowId(0), phase: Phase::Seeking, load: 0, done: start, next: start, made }
    }

    /// Whether the trainer has its row, or is about to.
    fn is_loaded(&self) -> bool {
        self.phase != Phase::Seeking
    }
}

impl State {
    /// Opens a column for each chapter that is this peer's turn, and closes the others.
    pub(crate) fn follow_turns(&mut self) {
        let open = self.open_chapters();
        self.turns.close(open.start);
        let mine = |chapter: &u64| self.turns.owner(*chapter) == Some(self.me);
        let stays = |chapter: &u64| self.leaving.is_none() && mine(chapter);
        let due: Vec<u64> = open.clone().filter(stays).collect();
        let over: Vec<u64> =
            self.columns.keys().copied().filter(|it| !open.contains(it) || !stays(it)).collect();
        for chapter in over {
            self.close_column(chapter);
        }
        for chapter in due {
            let start = self.plan.chapter_start(chapter);
            self.columns.entry(chapter).or_insert_with(|| Column::new(start));
        }
    }

    /// The chapters that are not over in every row.
    pub(crate) fn open_chapters(&self) -> std::ops::Range<u64> {
        let lowest = self.plan.rows().filter(|row| self.plan.inputs(*row).is_empty());
        let start = lowest.map(|row| self.starts[usize::from(row.0)]).min().unwrap_or(0);
        let end = self.plan.chapters();
        let first = if start >= self.plan.steps { end } else { self.plan.chapter_at(start) };
        first..end
    }

    /// Gives up what was made of a chapter.
    fn close_column(&mut self, chapter: u64) {
        if let Some(column) = self.columns.remove(&chapter) {
            for blob in column.made.values() {
                self.release(blob.hash);
            }
            if column.is_loaded() {
                self.push(Output::Unload { row: column.row });
            }
        }
    }

    /// Brings the row that each column is at into the trainer, once its checkpoint is here.
    pub(crate) fn walk_columns(&mut self) {
        let chapters: Vec<u64> = self.columns.keys().copied().collect();
        for chapter in chapters {
            let start = self.plan.chapter_start(chapter);
            self.skip_rows(chapter, start);
            let Some(column) = self.columns.get(&chapter) else { continue };
            let row = column.row;
            if column.is_loaded() || (start > 0 && !self.holds(row, start)) {
                continue;
            }
            let at_row = self.columns.iter().find(|(_, it)| it.row == row && it.is_loaded());
            match at_row.map(|(&other, _)| other) {
                // The trainer has each row once, and the lower chapter goes first.
                Some(other) if other < chapter => continue,
                Some(other) => self.restart(other),
                None => {}
            }
            self.load_column(chapter, row, start);
        }
    }

    /// Passes by the rows that are beyond the chapter and whose batches nobody lacks: parts of a
    /// chapter that is done again.
    fn skip_rows(&mut self, chapter: u64, start: u64) {
        let Some(column) = self.columns.get_mut(&chapter).filter(|it| !it.is_loaded()) else {
            return;
        };
        let beyond =
            |row: &RowId| self.starts.get(usize::from(row.0)).is_some_and(|&at| at > start);
        let from = usize::from(column.row.0);
        match self.plan.rows().skip(from).find(|row| !beyond(row)) {
            Some(row) => column.row = row,
            None => self.close_column(chapter),
        }
    }

    /// A column begins its chapter anew.
    fn restart(&mut self, chapter: u64) {
        self.close_column(chapter);
        let start = self.plan.chapter_start(chapter);
        self.columns.insert(chapter, Column::new(start));
    }

    fn load_column(&mut self, chapter: u64, row: RowId, start: u64) {
        let checkpoint = self.archive.at(row, start).map(|fact| fact.checkpoint.blob.hash);
        let checkpoint = checkpoint.filter(|_| start > 0);
        self.loads += 1;
        let load = self.loads;
        let Some(column) = self.columns.get_mut(&chapter) else { return };
        column.phase = Phase::Loading(checkpoint.map(|_| start));
        (column.load, column.done, column.next) = (load, start, start);
        if let Some(hash) = checkpoint {
            self.blobs.hold(hash);
            self.loading.insert(load, hash);
        }
        self.push(Output::Load { row, load, step: start, checkpoint });
    }

    /// The trainer has read the checkpoint of a column's row, or could not.
    pub(crate) fn on_column_loaded(&mut self, row: RowId, load: u64, ok: bool) {
        let Some(column) = self.columns.values_mut().find(|column| column.load == load) else {
            return;
        };
        let Phase::Loading(step) = column.phase else { return };
        column.phase = if ok { Phase::Ready } else { Phase::Seeking };
        if let (false, Some(step)) = (ok, step) {
            self.distrust(row, step);
        }
    }

    /// Hands steps to the trainer: of the lowest chapter that can go on.
    pub(crate) fn train_columns(&mut self) {
        while self.training.len() < MAX_TRAIN_IN_FLIGHT {
            let ready = self.columns.iter().find(|(chapter, column)| {
                let end = self.plan.chapter_end(**chapter);
                column.phase == Phase::Ready && column.next < end
            });
            let Some((&chapter, column)) = ready else { return };
            let (row, load, step) = (column.row, column.load, column.next);
            let sources = self.plan.inputs(row).into_iter();
            let inputs: Option<Vec<Hash>> =
                sources.map(|source| Some(column.made.get(&(source, step))?.hash)).collect();
            let Some(inputs) = inputs else { return self.restart(chapter) };
            let emit = !self.plan.readers(row).is_empty();
            let checkpoint = self.plan.is_boundary(step + 1);
            if let Some(column) = self.columns.get_mut(&chapter) {
                column.next = step + 1;
            }
            for hash in &inputs {
                self.blobs.hold(*hash);
            }
            self.training.insert((load, step), inputs.clone());
            self.push(Output::Train { row, load, step, inputs, emit, checkpoint });
        }
    }

    /// The trainer has done a step of a column.
    pub(crate) fn on_column_trained(
        &mut self,
        (row, load, step): (RowId, u64, u64),
        batch: Option<BlobRef>,
        checkpoint: Option<(BlobRef, u64)>,
    ) {
        let found = self.columns.iter_mut().find(|(_, column)| column.load == load);
        let Some((&chapter, column)) = found else {
            let fresh = [batch, checkpoint.map(|(blob, _)| blob)];
            fresh.into_iter().flatten().for_each(|blob| self.release(blob.hash));
            return;
        };
        column.done = step + 1;
        let old = batch.and_then(|blob| column.made.insert((row, step), blob));
        if let Some(old) = old {
            self.release(old.hash);
        }
        self.discard_read(chapter, row, step);
        if let Some((blob, loss_micro)) = checkpoint {
            let checkpoint = Checkpoint { row, step: step + 1, blob, by: self.me, loss_micro };
            self.archive_own(checkpoint);
            self.say(Message::Checkpoints(vec![checkpoint]));
        }
        if step + 1 == self.plan.chapter_end(chapter) {
            self.next_row(chapter);
        }
    }

    /// The last reader of a layer's batches has read those of `step`.
    fn discard_read(&mut self, chapter: u64, row: RowId, step: u64) {
        let sources = self.plan.inputs(row);
        let readers = sources.first().map(|source| self.plan.readers(*source));
        if readers.and_then(|readers| readers.last().copied()) != Some(row) {
            return;
        }
        let Some(column) = self.columns.get_mut(&chapter) else { return };
        let read: Vec<BlobRef> =
            sources.iter().filter_map(|source| column.made.remove(&(*source, step))).collect();
        read.into_iter().for_each(|blob| self.release(blob.hash));
    }

    /// A column is through with its row.
    fn next_row(&mut self, chapter: u64) {
        let start = self.plan.chapter_start(chapter);
        let Some(column) = self.columns.get_mut(&chapter) else { return };
        let row = column.row;
        column.row = RowId(row.0 + 1);
        (column.phase, column.done, column.next) = (Phase::Seeking, start, start);
        self.push(Output::Unload { row });
    }

    /// The trainer could not do a step of a column: it begins anew.
    pub(crate) fn on_column_refused(&mut self, load: u64) {
        let found = self.columns.iter().find(|(_, column)| column.load == load);
        if let Some((&chapter, _)) = found {
            self.restart(chapter);
        }
    }

    /// The checkpoints that columns need or will need, those needed first in front.
    pub(crate) fn column_needs(&self) -> Vec<(RowId, u64)> {
        let needs = self.columns.iter().flat_map(|(&chapter, column)| {
            let start = self.plan.chapter_start(chapter);
            self.plan.rows().skip(usize::from(column.row.0)).map(move |row| (row, start))
        });
        needs.filter(|(_, start)| *start > 0).collect()
    }

    /// Steps done of the rows that columns are at.
    pub(crate) fn column_progress(&self) -> Vec<(RowId, u64)> {
        self.columns.values().map(|column| (column.row, column.done)).collect()
    }
}
