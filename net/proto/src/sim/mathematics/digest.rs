//! Numbers that stand for what real training measures: hashes, losses, scores.
//!
//! Rule: each depends on everything that the real one depends on, and on nothing else.

use crate::{BlobRef, Hash, Score};

/// Test samples that an evaluation pretends to look at.
const SAMPLES: u32 = 10_000;

/// One hash over parts, which their lengths keep apart.
pub(crate) fn mix(purpose: &str, numbers: &[u64], parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(purpose.as_bytes());
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    Hash(*hasher.finalize().as_bytes())
}

/// One hash for a whole model: that of its last checkpoints, in shard order.
pub fn model_hash(checkpoints: &[Hash]) -> Hash {
    let parts: Vec<&[u8]> = checkpoints.iter().map(|hash| hash.0.as_slice()).collect();
    mix("model", &[], &parts)
}

/// The loss reported with a checkpoint, in millionths: any number that the state determines.
pub(crate) fn loss_micro(state: &BlobRef) -> u64 {
    u64::from(state.hash.0[0]) * 3_906
}

/// The result of evaluating these checkpoints: any numbers that they determine.
pub(crate) fn score(epoch: u64, checkpoints: &[&[u8]]) -> Score {
    let found = mix("score", &[epoch], checkpoints);
    let part = |at: usize| (u32::from(found.0[at]) << 8 | u32::from(found.0[at + 1])) % SAMPLES;
    Score { epoch, samples: SAMPLES, softmax_correct: part(0), other_correct: part(2) }
}
