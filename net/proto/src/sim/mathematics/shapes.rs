//! Training of which only the sizes are known: what a forecast computes in place of a step.
//!
//! Rule: bytes name their cell and nothing else, and count as much on the network as the real ones
//! would.

use crate::sim::mathematics::Mathematics;
use crate::{Plan, ShardId};

/// Sizes in bytes, one entry a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shapes {
    checkpoints: Vec<u64>,
    /// Checkpoints after the last step.
    last: Vec<u64>,
    steps: u64,
    batches: Vec<u64>,
    changes: Vec<u64>,
}

impl Shapes {
    /// The shapes of a plan whose shards have these sizes, layer by layer: checkpoints on the way and
    /// after the last step, batches, and changes.
    pub fn new(plan: &Plan, checkpoints: [&[u64]; 2], batches: &[u64], changes: &[u64]) -> Self {
        let by_shard = |sizes: &[u64]| {
            let size = |shard| sizes.get(plan.layer(shard)).copied().unwrap_or_default();
            plan.shards().map(size).collect()
        };
        let [checkpoints, last] = checkpoints.map(by_shard);
        let (batches, changes) = (by_shard(batches), by_shard(changes));
        Self { checkpoints, last, steps: plan.steps, batches, changes }
    }
}

/// Marks the name of a state.
const STATE: u8 = 0;

/// Marks the name of a batch.
const BATCH: u8 = 1;

/// Marks the name of a change.
const CHANGE: u8 = 2;

/// Marks the name of a mean of changes.
const MEAN: u8 = 3;

fn name(kind: u8, shard: ShardId, step: u64) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(shard.0.to_le_bytes());
    bytes.extend(step.to_le_bytes());
    bytes
}

impl Mathematics for Shapes {
    fn initial(&self, shard: ShardId) -> Vec<u8> {
        name(STATE, shard, 0)
    }

    fn train(
        &self,
        shard: ShardId,
        step: u64,
        _: &[u8],
        _: &[&[u8]],
        _: Option<&[u8]>,
    ) -> (Vec<u8>, Vec<u8>) {
        (name(STATE, shard, step + 1), name(BATCH, shard, step))
    }

    fn refresh(
        &self,
        shard: ShardId,
        step: u64,
        _: &[u8],
        _: &[&[u8]],
        _: Option<&[u8]>,
    ) -> Vec<u8> {
        name(BATCH, shard, step)
    }

    fn begin(&self, shard: ShardId, step: u64, _: &[u8]) -> Vec<u8> {
        name(STATE, shard, step)
    }

    fn change(&self, shard: ShardId, _: &[u8], end: &[u8]) -> Vec<u8> {
        let step = end.last_chunk().copied().map_or(0, u64::from_le_bytes);
        name(CHANGE, shard, step)
    }

    fn merge(
        &self,
        shard: ShardId,
        step: u64,
        _: &[u8],
        changes: &[&[u8]],
    ) -> Result<(Vec<u8>, Vec<u8>), usize> {
        // One that is alone is the mean, as any is of itself.
        let mean = if let [one] = changes { one.to_vec() } else { name(MEAN, shard, step) };
        Ok((name(STATE, shard, step), mean))
    }

    fn is_state(&self, shard: ShardId, step: u64, state: &[u8]) -> bool {
        state == name(STATE, shard, step)
    }

    fn size(&self, bytes: &[u8]) -> u64 {
        let &[kind, low, high, ref step @ ..] = bytes else { return 0 };
        let sizes = match kind {
            STATE if *step == self.steps.to_le_bytes() => &self.last,
            STATE => &self.checkpoints,
            CHANGE | MEAN => &self.changes,
            _ => &self.batches,
        };
        let shard = usize::from(u16::from_le_bytes([low, high]));
        sizes.get(shard).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_as_their_shard_says() {
        let plan = Plan::example(&[2, 1], 4, 2);
        let shapes = Shapes::new(&plan, [&[100, 200], &[50, 60]], &[10, 20], &[30, 40]);
        let (state, batch) = shapes.train(ShardId(1), 3, b"", &[], None);
        assert!(shapes.is_state(ShardId(1), 4, &state) && !shapes.is_state(ShardId(0), 4, &state));
        assert_eq!((shapes.size(&state), shapes.size(&batch)), (50, 10));
        assert_eq!(shapes.size(&shapes.train(ShardId(1), 2, b"", &[], None).0), 100);
        assert_eq!(shapes.size(&shapes.initial(ShardId(2))), 200);
        assert_eq!(shapes.size(b""), 0);
    }
}
