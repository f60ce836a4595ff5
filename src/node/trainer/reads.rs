//! The inputs of steps, decoded once for all shards that read the same.
//!
//! Rule: the last of each kind is kept, with the bytes it came from: shards of one layer that a peer
//! owns do a step one after the other. It is used again for the very same bytes only.

use bytes::Bytes;

use crate::{
    checkpoint::{self, CheckpointError},
    ff::{
        Activations, DecodeError, FeedbackTable, FirstInput, NetworkSpec, Shard, decode, decode_all,
    },
    schedule::Schedule,
};

/// The bytes that a step reads.
#[derive(Clone, Copy)]
pub(super) struct Reads<'a> {
    /// The activation batches of the shards below.
    pub(super) inputs: &'a [Bytes],
    /// The feedback shard's table, for a shard of the first layer, and the step that it has to be of.
    pub(super) feedback: Option<(&'a Bytes, u64)>,
}

impl<'a> Reads<'a> {
    /// The first of the batches that cannot be read.
    pub(super) fn unreadable(&self, spec: &NetworkSpec, shard: Shard) -> Option<&'a Bytes> {
        let below = Shard { layer: shard.layer.checked_sub(1)?, index: 0 };
        self.inputs.iter().find(|bytes| decode(bytes, spec, below).is_err())
    }
}

/// The reason why a step cannot be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnreadableError {
    #[error(transparent)]
    Batch(#[from] DecodeError),
    #[error("the table of wrong labels: {0}")]
    Table(#[from] CheckpointError),
}

/// The inputs that were read last.
#[derive(Default)]
pub(super) struct Reader {
    table: Option<(Bytes, FeedbackTable)>,
    /// The step, the table's bytes, and the input of the first layer.
    images: Option<(u64, Option<Bytes>, FirstInput)>,
    /// The batches of the shards below, and the activations that they are together.
    batch: Option<(Vec<Bytes>, Activations)>,
}

impl Reader {
    /// The input of a shard of the first layer.
    pub(super) fn images(
        &mut self,
        schedule: &mut Schedule,
        step: u64,
        reads: Reads<'_>,
    ) -> Result<&FirstInput, UnreadableError> {
        let is_kept = |(at, bytes, _): &(u64, Option<Bytes>, FirstInput)| {
            *at == step && bytes.as_ref().map(place) == reads.feedback.map(|(it, _)| place(it))
        };
        let images = match self.images.take() {
            Some(kept) if is_kept(&kept) => kept,
            old => {
                let old = old.map(|(_, _, input)| input.pixels).unwrap_or_default();
                let table = match reads.feedback {
                    Some((bytes, of)) => Some(self.table(schedule, bytes, of)?),
                    None => None,
                };
                (
                    step,
                    reads.feedback.map(|(it, _)| it.clone()),
                    schedule.first_input(step, table, old),
                )
            }
        };
        Ok(&self.images.insert(images).2)
    }

    fn table(
        &mut self,
        schedule: &Schedule,
        bytes: &Bytes,
        step: u64,
    ) -> Result<&FeedbackTable, UnreadableError> {
        let kept = self.table.take().filter(|(kept, it)| it.step() == step && kept == bytes);
        let table = match kept {
            Some(kept) => kept,
            None => {
                let (spec, samples) = (schedule.network(), schedule.samples());
                (bytes.clone(), checkpoint::decode_table(bytes, spec, samples, step)?)
            }
        };
        Ok(&self.table.insert(table).1)
    }

    /// The input of a shard above the first layer.
    pub(super) fn batches(
        &mut self,
        spec: &NetworkSpec,
        shard: Shard,
        reads: Reads<'_>,
    ) -> Result<&Activations, UnreadableError> {
        let is_kept = |(bytes, _): &(Vec<Bytes>, Activations)| {
            bytes.iter().map(place).eq(reads.inputs.iter().map(place))
        };
        let batch = match self.batch.take() {
            Some(kept) if is_kept(&kept) => kept,
            old => {
                let below = Shard { layer: shard.layer - 1, index: 0 };
                let old = old.map(|(_, activations)| activations);
                (reads.inputs.to_vec(), decode_all(reads.inputs, spec, below, old)?)
            }
        };
        Ok(&self.batch.insert(batch).1)
    }
}

/// The address of bytes: as long as they are kept, no others can have it.
fn place(bytes: &Bytes) -> (*const u8, usize) {
    (bytes.as_ptr(), bytes.len())
}
