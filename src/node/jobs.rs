//! Jobs for the trainer: the decisions' words with the store's bytes.
//!
//! Rule: a job whose blobs cannot all be read is not begun; the decisions learn which blob is lost, and
//! that the job is not done.

use bytes::Bytes;
use ffp2p_proto::{Hash, Input, Merge, Output, Parts};

use super::{blobs::BlobStore, trainer::Command};

/// The command that a job is; `None` if the output is no job.
///
/// # Errors
/// The inputs for the decisions, if a blob is lost.
pub(super) fn command(job: Output, store: &BlobStore) -> Result<Option<Command>, Vec<Input>> {
    let (command, undone) =
        if let Output::Load { shard, load, step, begin, checkpoint } = job {
            let read = checkpoint.map(|hash| blob(hash, store)).transpose();
            let command =
                read.map(|checkpoint| Command::Load { shard, load, step, begin, checkpoint });
            (command, Input::Loaded { shard, load, ok: false })
        } else if let Output::Train { shard, load, step, inputs, feedback, emit, checkpoint } = job
        {
            let command = reads(inputs, feedback, store).map(|(inputs, feedback)| Command::Train {
                shard,
                load,
                step,
                inputs,
                feedback,
                emit,
                checkpoint,
            });
            (command, Input::Refused { shard, load, step, bad: None })
        } else if let Output::Refresh { shard, load, step, inputs, feedback } = job {
            let command = reads(inputs, feedback, store)
                .map(|(inputs, feedback)| Command::Refresh { shard, load, step, inputs, feedback });
            (command, Input::Refused { shard, load, step, bad: None })
        } else if let Output::Merge { shard, step, from, start, parts } = job {
            let are_means = matches!(parts, Parts::Means(_));
            let command = reads(parts.hashes().to_vec(), start, store).map(|(changes, start)| {
                Command::Merge { shard, step, from, start, changes, are_means }
            });
            (command, Input::Merged { shard, step, outcome: Merge::Refused(None) })
        } else {
            return Ok(None);
        };
    command.map(Some).map_err(|hash| vec![Input::Lost { hash }, undone])
}

/// The bytes that a step or a merge reads: activation batches and perhaps a table of wrong labels, changes
/// and perhaps a checkpoint.
///
/// # Errors
/// The name of a blob that is lost.
fn reads(
    inputs: Vec<Hash>,
    feedback: Option<Hash>,
    store: &BlobStore,
) -> Result<(Vec<Bytes>, Option<Bytes>), Hash> {
    let inputs = inputs.into_iter().map(|hash| blob(hash, store)).collect::<Result<_, _>>()?;
    Ok((inputs, feedback.map(|hash| blob(hash, store)).transpose()?))
}

/// A blob that the decisions hold.
fn blob(hash: Hash, store: &BlobStore) -> Result<Bytes, Hash> {
    store.read(&hash).ok_or_else(|| {
        tracing::warn!(%hash, "a blob that is needed cannot be read; it is fetched or made again");
        hash
    })
}

#[cfg(test)]
mod tests {
    use ffp2p_proto::ShardId;

    use super::*;

    #[test]
    fn a_job_without_its_blobs_is_undone() {
        let (store, bytes) = (BlobStore::default(), Bytes::from_static(b"batch"));
        let (here, lost) = (Hash::of(&bytes), Hash::of(b"lost"));
        store.insert(here, bytes.clone());
        let (shard, load, step) = (ShardId(1), 2, 3);
        let refresh =
            |inputs: Vec<Hash>| Output::Refresh { shard, load, step, inputs, feedback: None };
        let done = command(refresh(vec![here]), &store);
        assert!(matches!(done, Ok(Some(Command::Refresh { inputs, .. })) if inputs == [bytes]));
        let undone = command(refresh(vec![here, lost]), &store).err().unwrap_or_default();
        let [first, second] = &undone[..] else { panic!("{undone:?}") };
        assert!(matches!(first, Input::Lost { hash } if *hash == lost));
        assert!(matches!(second, Input::Refused { step: 3, bad: None, .. }));
        assert!(matches!(command(Output::Finished, &store), Ok(None)));
    }
}
