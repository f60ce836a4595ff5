//! What the trainer is given: the decisions' words and the store's bytes.
//!
//! Rule: a job whose blobs cannot all be read is not begun; the decisions hear what was lost, and that
//! the job is not done.

use bytes::Bytes;
use ffp2p_proto::{Hash, Input, Output};

use super::{driver::Node, trainer::Command, types::NodeError};

impl Node {
    /// Hands a job to the trainer. Returns what the decisions hear at once where it cannot be done.
    pub(super) fn hand_over(&self, job: Output) -> Result<Vec<Input>, NodeError> {
        let (command, undone) =
            if let Output::Load { shard, load, step, checkpoint } = job {
                let read = checkpoint.map(|hash| self.blob(hash)).transpose();
                let command =
                    read.map(|checkpoint| Command::Load { shard, load, step, checkpoint });
                (command, Input::Loaded { shard, load, ok: false })
            } else if let Output::Train { shard, load, step, inputs, feedback, emit, checkpoint } =
                job
            {
                let command = self.reads(inputs, feedback).map(|(inputs, feedback)| {
                    Command::Train { shard, load, step, inputs, feedback, emit, checkpoint }
                });
                (command, Input::Refused { shard, load, step, bad: None })
            } else if let Output::Refresh { shard, load, step, inputs, feedback } = job {
                let command = self.reads(inputs, feedback).map(|(inputs, feedback)| {
                    Command::Refresh { shard, load, step, inputs, feedback }
                });
                (command, Input::Refused { shard, load, step, bad: None })
            } else {
                return Ok(Vec::new());
            };
        match command {
            Ok(command) => self.command(command).map(|()| Vec::new()),
            Err(hash) => Ok(vec![Input::Lost { hash }, undone]),
        }
    }

    /// What a step reads: batches, and a table of wrong labels.
    ///
    /// # Errors
    /// The name of one that is lost.
    fn reads(
        &self,
        inputs: Vec<Hash>,
        feedback: Option<Hash>,
    ) -> Result<(Vec<Bytes>, Option<Bytes>), Hash> {
        let inputs = inputs.into_iter().map(|hash| self.blob(hash)).collect::<Result<_, _>>()?;
        Ok((inputs, feedback.map(|hash| self.blob(hash)).transpose()?))
    }

    /// A blob that the decisions hold.
    fn blob(&self, hash: Hash) -> Result<Bytes, Hash> {
        self.store.read(&hash).ok_or_else(|| {
            tracing::warn!(%hash, "a blob that is needed cannot be read; it is fetched or made again");
            hash
        })
    }
}
