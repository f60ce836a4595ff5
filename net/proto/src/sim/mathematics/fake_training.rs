//! Fake training: hashes that depend on everything a real step depends on.
//!
//! Rule: a shard that was loaded at the wrong state, that skipped or repeated a step, or that read
//! another batch than the sequential run reads, ends with other bytes. So "the same model" can be
//! checked for every checkpoint that is ever announced.

use crate::sim::mathematics::Mathematics;
use crate::sim::mathematics::digest::mix;
use crate::{Hash, ShardId};

/// Bytes that an activation batch carries besides its hash.
const PADDING: usize = 8;

/// Training made of hashes: a state is shard, steps done and a hash of all that came before.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeTraining {
    /// Names the data that is trained on.
    pub data: u64,
}

impl Mathematics for FakeTraining {
    fn initial(&self, shard: ShardId) -> Vec<u8> {
        encode(shard, 0, &mix("init", &[shard.0.into()], &[]))
    }

    fn train(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> (Vec<u8>, Vec<u8>) {
        let next = forward(self.data, "step", (shard, step), state, inputs, feedback);
        let batch = forward(self.data, "batch", (shard, step), state, inputs, feedback);
        (encode(shard, step + 1, &next), pad(&batch))
    }

    fn refresh(
        &self,
        shard: ShardId,
        step: u64,
        state: &[u8],
        inputs: &[&[u8]],
        feedback: Option<&[u8]>,
    ) -> Vec<u8> {
        pad(&forward(self.data, "refresh", (shard, step), state, inputs, feedback))
    }

    fn begin(&self, shard: ShardId, step: u64, start: &[u8]) -> Vec<u8> {
        [&encode(shard, step, &Hash([0; 32]))[..HEADER], &start[HEADER..]].concat()
    }

    fn change(&self, shard: ShardId, start: &[u8], end: &[u8]) -> Vec<u8> {
        let changed = mix("change", &[shard.0.into()], &[start, end]);
        [CHANGE, &changed.0].concat()
    }

    fn merge(
        &self,
        shard: ShardId,
        step: u64,
        start: &[u8],
        changes: &[&[u8]],
    ) -> Result<(Vec<u8>, Vec<u8>), usize> {
        let bad = |bytes: &&[u8]| !bytes.starts_with(CHANGE);
        if let Some(bad) = changes.iter().position(bad) {
            return Err(bad);
        }
        let mean = match changes {
            [one] => one.to_vec(),
            all => [CHANGE, &mix("mean", &[shard.0.into()], all).0].concat(),
        };
        let state = mix("merge", &[shard.0.into(), step], &[start, &mean]);
        Ok((encode(shard, step, &state), mean))
    }

    fn is_batch(&self, bytes: &[u8]) -> bool {
        bytes.len() == size_of::<Hash>() + PADDING && bytes.ends_with(&[0; PADDING])
    }

    fn is_state(&self, shard: ShardId, step: u64, state: &[u8]) -> bool {
        state
            .get(..HEADER)
            .is_some_and(|header| *header == encode(shard, step, &Hash([0; 32]))[..HEADER])
    }
}

/// A hash of everything that a step reads.
fn forward(
    data: u64,
    purpose: &str,
    (shard, step): (ShardId, u64),
    state: &[u8],
    inputs: &[&[u8]],
    feedback: Option<&[u8]>,
) -> Hash {
    let data = mix("data", &[data, step], &[]);
    // Labels are data that every layer reads.
    let mut parts: Vec<&[u8]> = vec![state, &data.0];
    parts.extend(inputs);
    parts.extend(feedback);
    mix(purpose, &[shard.0.into(), step], &parts)
}

fn pad(batch: &Hash) -> Vec<u8> {
    let mut bytes = batch.0.to_vec();
    bytes.resize(bytes.len() + PADDING, 0);
    bytes
}

/// The first bytes of a change.
const CHANGE: &[u8] = b"change";

/// Bytes of a state before its hash.
const HEADER: usize = 10;

fn encode(shard: ShardId, step: u64, state: &Hash) -> Vec<u8> {
    let mut bytes = shard.0.to_le_bytes().to_vec();
    bytes.extend(step.to_le_bytes());
    bytes.extend(state.0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_knows_its_place() {
        let state = encode(ShardId(3), 9, &Hash([5; 32]));
        let is_state =
            |shard, step, bytes| FakeTraining::default().is_state(ShardId(shard), step, bytes);
        assert!(is_state(3, 9, &state[..]));
        assert!(!is_state(3, 8, &state[..]) && !is_state(2, 9, &state[..]));
        assert!(!is_state(3, 9, b"short"));
    }

    #[test]
    fn a_batch_is_told_from_other_bytes() {
        let (_, batch) = FakeTraining::default().train(ShardId(0), 0, b"state", &[], None);
        let is_batch = |bytes: &[u8]| FakeTraining::default().is_batch(bytes);
        assert!(is_batch(&batch) && !is_batch(&batch[1..]) && !is_batch(&[1; 40]));
    }

    #[test]
    fn a_step_depends_on_all_it_reads() {
        let train = |shard, step, state: &[u8], inputs: &[&[u8]]| {
            FakeTraining::default().train(ShardId(shard), step, state, inputs, None)
        };
        let [state, other] = [1, 2].map(|shard| FakeTraining::default().initial(ShardId(shard)));
        let base = train(1, 2, &state, &[b"a", b"b"]);
        assert_eq!(base, train(1, 2, &state, &[b"a", b"b"]));
        assert_ne!(base, train(1, 3, &state, &[b"a", b"b"]));
        assert_ne!(base, train(2, 2, &state, &[b"a", b"b"]));
        assert_ne!(base, train(1, 2, &state, &[b"b", b"a"]));
        assert_ne!(base, train(1, 2, &other, &[b"a", b"b"]));
        let table = |table| FakeTraining::default().train(ShardId(0), 2, &state, &[], table);
        assert_ne!(table(None), table(Some(b"a")));
        assert_ne!(table(Some(b"b")), table(Some(b"a")));
    }
}
