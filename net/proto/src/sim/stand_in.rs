//! What stands in for training: hashes that depend on everything a real step depends on.
//!
//! Rule: a row that was loaded at the wrong state, that skipped or repeated a step, or that read
//! another batch than the sequential run reads, ends with other bytes. So "the same model" can be
//! checked for every checkpoint that anyone ever announces.

use crate::{BlobRef, Hash, Plan, RowId, Score};

/// Test samples that an evaluation pretends to look at.
const SAMPLES: u32 = 10_000;

/// Bytes that an activation batch carries besides its hash.
const PADDING: usize = 8;

/// One hash over parts that are told apart by their lengths.
fn mix(purpose: &str, numbers: &[u64], parts: &[&[u8]]) -> Hash {
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

/// The blob name of `bytes`.
pub(super) fn blob(bytes: &[u8]) -> BlobRef {
    BlobRef { hash: Hash::of(bytes), size: bytes.len() as u64 }
}

/// The state of a row that was never trained.
pub(super) fn initial(row: RowId) -> Hash {
    mix("init", &[row.0.into()], &[])
}

/// One step of a row: its next state and the batch it hands on.
pub(super) fn train(row: RowId, step: u64, state: &Hash, inputs: &[&[u8]]) -> (Hash, Vec<u8>) {
    let numbers = [row.0.into(), step];
    let data = mix("data", &[step], &[]);
    let mut parts: Vec<&[u8]> = vec![&state.0];
    if inputs.is_empty() {
        parts.push(&data.0);
    }
    parts.extend(inputs);
    let mut batch = mix("batch", &numbers, &parts).0.to_vec();
    batch.resize(batch.len() + PADDING, 0);
    (mix("step", &numbers, &parts), batch)
}

/// A row's state as canonical bytes.
pub(super) fn encode(row: RowId, step: u64, state: &Hash) -> Vec<u8> {
    let mut bytes = row.0.to_le_bytes().to_vec();
    bytes.extend(step.to_le_bytes());
    bytes.extend(state.0);
    bytes
}

/// The row, the steps done and the state that canonical bytes hold.
pub(super) fn decode(bytes: &[u8]) -> Option<(RowId, u64, Hash)> {
    let (row, rest) = bytes.split_first_chunk::<2>()?;
    let (step, state) = rest.split_first_chunk::<8>()?;
    let state = <[u8; 32]>::try_from(state).ok()?;
    Some((RowId(u16::from_le_bytes(*row)), u64::from_le_bytes(*step), Hash(state)))
}

/// The loss reported with a checkpoint, in millionths.
pub(super) fn loss_micro(state: &Hash) -> u64 {
    u64::from(state.0[0]) * 3_906
}

/// What an evaluation of these checkpoints finds.
pub(super) fn score(epoch: u64, checkpoints: &[&[u8]]) -> Score {
    let found = mix("score", &[epoch], checkpoints);
    let part = |at: usize| (u32::from(found.0[at]) << 8 | u32::from(found.0[at + 1])) % SAMPLES;
    Score { epoch, samples: SAMPLES, softmax_correct: part(0), goodness_correct: part(2) }
}

/// The sequential run: every state, every batch, every checkpoint and every score there can be.
#[derive(Debug)]
pub struct Reference {
    /// By row, then by steps done.
    states: Vec<Vec<Hash>>,
    /// By row, then by step.
    batches: Vec<Vec<BlobRef>>,
    /// By epoch, from 1.
    scores: Vec<Score>,
}

impl Reference {
    /// Trains `plan` in one go.
    pub fn of(plan: &Plan) -> Self {
        let mut states: Vec<Vec<Hash>> = plan.rows().map(|row| vec![initial(row)]).collect();
        let mut batches = vec![Vec::new(); plan.row_count()];
        for step in 0..plan.steps {
            let mut made: Vec<Vec<u8>> = Vec::new();
            for row in plan.rows() {
                let at = usize::from(row.0);
                let sources = plan.inputs(row);
                let inputs: Vec<&[u8]> =
                    sources.iter().map(|source| made[usize::from(source.0)].as_slice()).collect();
                let (state, batch) = train(row, step, &states[at][step as usize], &inputs);
                states[at].push(state);
                batches[at].push(blob(&batch));
                made.push(batch);
            }
        }
        let mut reference = Self { states, batches, scores: Vec::new() };
        reference.scores =
            (1..=plan.epochs()).map(|epoch| reference.evaluate(plan, epoch)).collect();
        reference
    }

    fn evaluate(&self, plan: &Plan, epoch: u64) -> Score {
        let step = plan.epoch_end(epoch);
        let bytes: Vec<Vec<u8>> =
            plan.rows().filter_map(|row| self.checkpoint_bytes(row, step)).collect();
        score(epoch, &bytes.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn state(&self, row: RowId, step: u64) -> Option<&Hash> {
        self.states.get(usize::from(row.0))?.get(usize::try_from(step).ok()?)
    }

    fn checkpoint_bytes(&self, row: RowId, step: u64) -> Option<Vec<u8>> {
        self.state(row, step).map(|state| encode(row, step, state))
    }

    /// The checkpoint of `row` after `step` steps, and its loss.
    pub fn checkpoint(&self, row: RowId, step: u64) -> Option<(BlobRef, u64)> {
        let state = self.state(row, step)?;
        Some((blob(&encode(row, step, state)), loss_micro(state)))
    }

    /// The batch that `row` hands on in `step`.
    pub fn batch(&self, row: RowId, step: u64) -> Option<BlobRef> {
        self.batches.get(usize::from(row.0))?.get(usize::try_from(step).ok()?).copied()
    }

    /// The score of an epoch, from 1.
    pub fn score(&self, epoch: u64) -> Option<Score> {
        self.scores.get(usize::try_from(epoch.checked_sub(1)?).ok()?).copied()
    }

    /// The last checkpoint of every row, in order.
    pub fn finals(&self) -> Vec<Hash> {
        let last = |(row, states): (usize, &Vec<Hash>)| {
            let step = states.len().saturating_sub(1) as u64;
            self.checkpoint(RowId(row as u16), step).map(|(blob, _)| blob.hash)
        };
        self.states.iter().enumerate().filter_map(last).collect()
    }
}

/// One hash for a whole model: that of its last checkpoints, in row order.
pub fn model_hash(checkpoints: &[Hash]) -> Hash {
    let parts: Vec<&[u8]> = checkpoints.iter().map(|hash| hash.0.as_slice()).collect();
    mix("model", &[], &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerPlan;

    fn plan() -> Plan {
        let layer = |shards| LayerPlan { shards, step_cost: 10 };
        Plan {
            run: Hash([0; 32]),
            layers: vec![layer(2), layer(1)],
            steps: 7,
            epoch_steps: 4,
            chapter_steps: 3,
        }
    }

    #[test]
    fn checkpoints_survive_their_bytes() {
        let state = initial(RowId(3));
        assert_eq!(decode(&encode(RowId(3), 9, &state)), Some((RowId(3), 9, state)));
        assert_eq!(decode(b"short"), None);
    }

    #[test]
    fn a_step_depends_on_all_it_reads() {
        let state = initial(RowId(1));
        let base = train(RowId(1), 2, &state, &[b"a", b"b"]);
        assert_eq!(base, train(RowId(1), 2, &state, &[b"a", b"b"]));
        assert_ne!(base, train(RowId(1), 3, &state, &[b"a", b"b"]));
        assert_ne!(base, train(RowId(2), 2, &state, &[b"a", b"b"]));
        assert_ne!(base, train(RowId(1), 2, &state, &[b"b", b"a"]));
        assert_ne!(base, train(RowId(1), 2, &initial(RowId(2)), &[b"a", b"b"]));
    }

    #[test]
    fn the_reference_knows_every_cell() {
        let (plan, reference) = (plan(), Reference::of(&plan()));
        assert_eq!(reference.finals().len(), 3);
        assert!(plan.rows().all(|row| reference.checkpoint(row, 7).is_some()));
        assert_eq!(reference.checkpoint(RowId(0), 8), None);
        assert!(reference.batch(RowId(2), 6).is_some() && reference.batch(RowId(2), 7).is_none());
        assert!(reference.score(0).is_none() && reference.score(3).is_none());
        assert_eq!(reference.score(2).map(|score| score.epoch), Some(2));
        assert_ne!(model_hash(&reference.finals()), model_hash(&[]));
    }
}
