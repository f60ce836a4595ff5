//! The jobs of a trainer: the blobs that they read, and the answer when they are not done.
//!
//! Rule: every job is answered exactly once, done or not.

use crate::{Hash, Input, Merge, Output, Score};

/// The blobs that a job reads.
pub(crate) fn reads_of(job: &Output) -> Vec<Hash> {
    if let Output::Load { checkpoint, .. } = job {
        return checkpoint.iter().copied().collect();
    }
    if let Output::Train { inputs, feedback, .. } | Output::Refresh { inputs, feedback, .. } = job {
        return inputs.iter().chain(feedback).copied().collect();
    }
    if let Output::Merge { start, parts, .. } = job {
        return start.iter().chain(parts.hashes()).copied().collect();
    }
    if let Output::Evaluate { checkpoints, .. } = job { checkpoints.clone() } else { Vec::new() }
}

/// The answer to a job that is not done; `None` where none is due.
pub(crate) fn undone(job: &Output) -> Option<Input> {
    if let Output::Load { shard, load, .. } = *job {
        return Some(Input::Loaded { shard, load, ok: false });
    }
    if let Output::Train { shard, load, step, .. } | Output::Refresh { shard, load, step, .. } =
        *job
    {
        return Some(Input::Refused { shard, load, step, bad: None });
    }
    if let Output::Merge { shard, step, .. } = *job {
        return Some(Input::Merged { shard, step, outcome: Merge::Refused(None) });
    }
    let &Output::Evaluate { epoch, .. } = job else { return None };
    let (samples, softmax_correct, other_correct) = (0, 0, 0);
    Some(Input::Evaluated(Score { epoch, samples, softmax_correct, other_correct }))
}
