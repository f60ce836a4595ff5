//! Chapters owned whole: the all-layers placement (the paper, section 4.2).
//!
//! The owner of a chapter trains each shard of it in turn, from the checkpoints that the chapter
//! before left. Checkpoints travel, activations stay. Rule: what a column has handed on within its
//! chapter is lost with it, and the chapter is done again from the same checkpoints: those before
//! it are kept until all shards are beyond it. A shard that is refreshed is not trained again, only
//! handed on, from the checkpoint that it left: where each trains on data of its own, what another
//! has done is not lost and not done twice.

use std::collections::BTreeMap;

use crate::{
    BlobRef, Checkpoint, Hash, MAX_TRAIN_IN_FLIGHT, Message, Output, ShardId, state::State,
    work::Phase,
};

/// A chapter that this peer owns, and where it stands in it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// The shard that it trains now.
    pub(crate) shard: ShardId,
    pub(crate) phase: Phase,
    /// Names the load that the trainer answers to.
    pub(crate) load: u64,
    /// Steps done of that shard.
    pub(crate) done: u64,
    /// The next step to hand to the trainer.
    pub(crate) next: u64,
    /// The next step to have handed on.
    handing: u64,
    /// The table that the lowest shards read, while they do.
    table: Option<Hash>,
    /// The activation batches of this chapter that have still to be read, by shard and step.
    pub(crate) made: BTreeMap<(ShardId, u64), BlobRef>,
}

impl Column {
    /// A chapter from its first shard on.
    pub(crate) fn new(start: u64) -> Self {
        let made = BTreeMap::new();
        let (shard, phase) = (ShardId(0), Phase::Seeking);
        let (done, next, handing) = (start, start, start);
        Self { shard, phase, load: 0, done, next, handing, table: None, made }
    }

    /// Whether it has still to read a blob.
    pub(crate) fn needs(&self, hash: Hash) -> bool {
        self.table == Some(hash) || self.made.values().any(|blob| blob.hash == hash)
    }

    /// Whether the trainer has its shard, or is about to.
    fn is_loaded(&self) -> bool {
        self.phase != Phase::Seeking
    }
}

impl State {
    /// Opens a column for each chapter that is this peer's turn, and closes the others.
    pub(crate) fn follow_turns(&mut self) {
        let open = self.open_chapters();
        self.turns.close(open.start);
        let again = self.done_again();
        let mine =
            |chapter: &u64| self.turns.owner(*chapter) == Some(self.me) || again == Some(*chapter);
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

    /// The chapters that are not over in every shard.
    pub(crate) fn open_chapters(&self) -> std::ops::Range<u64> {
        let lowest = self.plan.shards().filter(|shard| self.plan.inputs(*shard).is_empty());
        let start = lowest.map(|shard| self.starts[usize::from(shard.0)]).min().unwrap_or(0);
        let end = self.plan.chapters();
        let first = if start >= self.plan.steps { end } else { self.plan.chapter_of(start) };
        first..end
    }

    /// Gives up what was made of a chapter.
    fn close_column(&mut self, chapter: u64) {
        if let Some(column) = self.columns.remove(&chapter) {
            let held = column.made.values().map(|blob| blob.hash).chain(column.table);
            held.for_each(|hash| self.release(hash));
            if column.is_loaded() {
                self.push(Output::Unload { shard: column.shard });
            }
        }
    }

    /// Brings the shard that each column is at into the trainer, once its checkpoint is here.
    pub(crate) fn walk_columns(&mut self) {
        let chapters: Vec<u64> = self.columns.keys().copied().collect();
        for chapter in chapters {
            let start = self.plan.chapter_start(chapter);
            self.skip_shards(chapter, start);
            let Some(column) = self.columns.get(&chapter) else { continue };
            let shard = column.shard;
            let at = self.entry(shard, chapter);
            if column.is_loaded() || (at > 0 && !self.holds(shard, at)) {
                continue;
            }
            let at_shard = self.columns.iter().find(|(_, it)| it.shard == shard && it.is_loaded());
            match at_shard.map(|(&other, _)| other) {
                // The trainer has each shard once, and the lower chapter goes first.
                Some(other) if other < chapter => continue,
                Some(other) => self.restart(other),
                None => {}
            }
            self.load_column(chapter, shard, at);
        }
    }

    /// The step at which a chapter takes a shard up: its begin, or its end, if it was trained
    /// already and only what it hands on is missing.
    fn entry(&self, shard: ShardId, chapter: u64) -> u64 {
        let end = self.plan.chapter_start(chapter + 1);
        let is_trained = self.plan.is_refreshed(shard) && self.archive.at(shard, end).is_some();
        if is_trained { end } else { self.plan.chapter_start(chapter) }
    }

    /// Passes by the shards that are beyond the chapter and whose batches nobody lacks: parts of a
    /// chapter that is done again.
    fn skip_shards(&mut self, chapter: u64, start: u64) {
        let Some(column) = self.columns.get_mut(&chapter).filter(|it| !it.is_loaded()) else {
            return;
        };
        let beyond = |shard: &ShardId| {
            start >= self.plan.end(*shard)
                || self.starts.get(usize::from(shard.0)).is_some_and(|&at| at > start)
        };
        let from = usize::from(column.shard.0);
        match self.plan.shards().skip(from).find(|shard| !beyond(shard)) {
            Some(shard) => column.shard = shard,
            None => self.close_column(chapter),
        }
    }

    /// A column begins its chapter anew.
    pub(crate) fn restart(&mut self, chapter: u64) {
        self.close_column(chapter);
        let start = self.plan.chapter_start(chapter);
        self.columns.insert(chapter, Column::new(start));
    }

    fn load_column(&mut self, chapter: u64, shard: ShardId, at: u64) {
        let checkpoint = self.archive.at(shard, at).map(|fact| fact.checkpoint.blob.hash);
        let checkpoint = checkpoint.filter(|_| at > 0);
        self.loads += 1;
        let load = self.loads;
        let start = self.plan.chapter_start(chapter);
        let Some(column) = self.columns.get_mut(&chapter) else { return };
        column.phase = Phase::Loading(checkpoint.map(|_| at));
        column.load = load;
        (column.done, column.next, column.handing) = (at, at, start);
        if let Some(hash) = checkpoint {
            self.blobs.hold(hash);
            self.loading.insert(load, hash);
        }
        self.push(Output::Load { shard, load, step: at, checkpoint });
    }

    /// The trainer has read the checkpoint of a column's shard, or could not.
    pub(crate) fn on_column_loaded(&mut self, shard: ShardId, load: u64, ok: bool) {
        let Some(column) = self.columns.values_mut().find(|column| column.load == load) else {
            return;
        };
        let Phase::Loading(step) = column.phase else { return };
        column.phase = if ok { Phase::Ready } else { Phase::Seeking };
        if let (false, Some(step)) = (ok, step) {
            self.distrust(shard, step);
        }
    }

    /// Hands steps to the trainer: of the lowest chapter that can go on.
    pub(crate) fn train_columns(&mut self) {
        while self.training.len() < MAX_TRAIN_IN_FLIGHT {
            let ready = self.columns.iter().find_map(|(&chapter, column)| {
                Some((chapter, self.due_in_column(chapter, column)?))
            });
            let Some((chapter, step)) = ready else { return };
            if !self.begin_in_column(chapter, step) {
                self.restart(chapter);
            }
        }
    }

    /// The step of a column that the trainer can do now: one to hand on, or the next to train.
    fn due_in_column(&self, chapter: u64, column: &Column) -> Option<u64> {
        let (shard, end) = (column.shard, self.plan.chapter_start(chapter + 1));
        let table = self.plan.table_of(shard, self.plan.chapter_start(chapter));
        let table = table.zip(self.plan.feedback_shard());
        let has_table =
            column.table.is_some() || table.is_none_or(|(step, shard)| self.holds(shard, step));
        if column.phase != Phase::Ready || !has_table {
            return None;
        }
        if column.next < end {
            return Some(column.next);
        }
        let hands_on = self.plan.is_refreshed(shard) && column.done == end && column.handing < end;
        hands_on.then_some(column.handing)
    }

    /// Gives a step of a column to the trainer. False when something that it reads is not here.
    fn begin_in_column(&mut self, chapter: u64, step: u64) -> bool {
        let Some(column) = self.columns.get(&chapter) else { return false };
        let (shard, load, trains) = (column.shard, column.load, step == column.next);
        let sources = self.plan.inputs(shard).into_iter();
        let inputs = sources.map(|source| Some(column.made.get(&(source, step))?.hash));
        let Some(inputs) = inputs.collect::<Option<Vec<Hash>>>() else { return false };
        let feedback = self.table_in_column(chapter, shard, step);
        let emit = !self.plan.is_refreshed(shard) && !self.plan.readers(shard).is_empty();
        let checkpoint = self.plan.is_boundary(step + 1);
        if let Some(column) = self.columns.get_mut(&chapter) {
            *(if trains { &mut column.next } else { &mut column.handing }) = step + 1;
        }
        let read: Vec<Hash> = inputs.iter().copied().chain(feedback).collect();
        read.iter().for_each(|hash| self.blobs.hold(*hash));
        self.training.insert((load, step), read);
        self.push(if trains {
            Output::Train { shard, load, step, inputs, feedback, emit, checkpoint }
        } else {
            Output::Refresh { shard, load, step, inputs, feedback }
        });
        true
    }

    /// The table that a column's shard reads in `step`, held from now on while its layer is trained.
    fn table_in_column(&mut self, chapter: u64, shard: ShardId, step: u64) -> Option<Hash> {
        let table = self.plan.table_of(shard, step)?;
        let fact = self.archive.at(self.plan.feedback_shard()?, table);
        let found = fact.map(|fact| fact.checkpoint.blob.hash);
        let column = self.columns.get_mut(&chapter)?;
        if column.table.is_none() {
            column.table = found;
            found.into_iter().for_each(|hash| self.blobs.hold(hash));
        }
        column.table
    }

    /// The trainer has done a step of a column; what it made is held already.
    pub(crate) fn on_column_trained(
        &mut self,
        (shard, load, step): (ShardId, u64, u64),
        batch: Option<BlobRef>,
        checkpoint: Option<(BlobRef, u64)>,
    ) {
        let found = self.columns.iter_mut().find(|(_, column)| column.load == load);
        let Some((&chapter, column)) = found else { return };
        column.done = step + 1;
        if let Some(blob) = batch {
            self.put_in_column(chapter, shard, step, blob);
        }
        if let Some((blob, loss_micro)) = checkpoint {
            let checkpoint = Checkpoint { shard, step: step + 1, blob, by: self.me, loss_micro };
            if !self.archive_own(checkpoint) {
                // Somebody else's stands, and is what the shards above have to read.
                return self.restart(chapter);
            }
            self.say(Message::Checkpoints(vec![checkpoint]));
        }
        if !self.plan.is_refreshed(shard) {
            self.handed_on_in_column(chapter, shard, step);
        }
    }

    /// The trainer has handed on a step of a column.
    pub(crate) fn on_column_refreshed(
        &mut self,
        (shard, load, step): (ShardId, u64, u64),
        batch: BlobRef,
    ) {
        let found = self.columns.iter().find(|(_, column)| column.load == load);
        if let Some((&chapter, _)) = found {
            self.put_in_column(chapter, shard, step, batch);
            self.handed_on_in_column(chapter, shard, step);
        }
    }

    fn put_in_column(&mut self, chapter: u64, shard: ShardId, step: u64, batch: BlobRef) {
        let Some(column) = self.columns.get_mut(&chapter) else { return };
        if let Some(old) = column.made.insert((shard, step), batch) {
            self.release(old.hash);
        }
    }

    /// Nothing of `step` is left to do in a column's shard.
    fn handed_on_in_column(&mut self, chapter: u64, shard: ShardId, step: u64) {
        self.discard_read(chapter, shard, step);
        if step + 1 == self.plan.chapter_start(chapter + 1) {
            self.next_shard(chapter);
        }
    }

    /// The last reader of a layer's batches has read those of `step`.
    fn discard_read(&mut self, chapter: u64, shard: ShardId, step: u64) {
        let sources = self.plan.inputs(shard);
        let readers = sources.first().map(|source| self.plan.readers(*source));
        if readers.and_then(|readers| readers.last().copied()) != Some(shard) {
            return;
        }
        let Some(column) = self.columns.get_mut(&chapter) else { return };
        let read: Vec<BlobRef> =
            sources.iter().filter_map(|source| column.made.remove(&(*source, step))).collect();
        read.into_iter().for_each(|blob| self.release(blob.hash));
    }

    /// A column is through with its shard.
    fn next_shard(&mut self, chapter: u64) {
        let Some(column) = self.columns.get_mut(&chapter) else { return };
        let shard = column.shard;
        column.shard = ShardId(shard.0 + 1);
        column.phase = Phase::Seeking;
        if self.plan.layer(column.shard) > 0
            && let Some(table) = column.table.take()
        {
            self.release(table);
        }
        self.push(Output::Unload { shard });
    }

    /// The trainer could not do a step of a column: it begins anew. What the column made itself can
    /// be read; a table need not be one.
    pub(crate) fn on_column_refused(&mut self, load: u64, bad: Option<Hash>) {
        let found = self.columns.iter().find(|(_, column)| column.load == load);
        let Some((&chapter, column)) = found else { return };
        let table = column.table.filter(|table| bad == Some(*table));
        let table = table.and(self.plan.feedback_step(chapter));
        self.restart(chapter);
        if let Some((shard, step)) = self.plan.feedback_shard().zip(table) {
            self.distrust(shard, step);
        }
    }

    /// The checkpoints that columns need or will need, those needed first in front.
    pub(crate) fn column_needs(&self) -> Vec<(ShardId, u64)> {
        let needs = self.columns.iter().flat_map(|(&chapter, column)| {
            let shards = self.plan.shards().skip(usize::from(column.shard.0));
            shards.map(move |shard| (shard, self.entry(shard, chapter)))
        });
        let lowest = self.columns.iter().filter(|(_, column)| self.plan.layer(column.shard) == 0);
        let tables = lowest.filter_map(|(&chapter, _)| {
            Some((self.plan.feedback_shard()?, self.plan.feedback_step(chapter)?))
        });
        tables.chain(needs.filter(|(_, step)| *step > 0)).collect()
    }

    /// Steps done of the shards that columns are at.
    pub(crate) fn column_progress(&self) -> Vec<(ShardId, u64)> {
        self.columns.values().map(|column| (column.shard, column.done)).collect()
    }
}
