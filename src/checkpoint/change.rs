//! What a branch of a chapter changed as bytes and back.
//!
//! Rule: as for checkpoints. Layout: a header, then for weights, bias and head the rows of differences,
//! of first moments and of second moments, each as the run encodes them, then the running means as raw
//! f32. In the run's last chapter there are no moments.

use serde::{Deserialize, Serialize};

use super::{CheckpointError, found_header, header, moments, put_header, reader::Reader, shapes};
use crate::ff::{Change, NetworkSpec, RowKind, Shard};

/// The cell and the steps that a change is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ChangeHeader {
    cell: super::Header,
    /// The end of the chapter, in steps.
    chapter_end: u64,
}

fn change_header(spec: &NetworkSpec, shard: Shard, step: u64, chapter_end: u64) -> ChangeHeader {
    let mut cell = header(spec, shard, step);
    cell.magic = CHANGE_MAGIC;
    ChangeHeader { cell, chapter_end }
}

/// The first bytes of a change.
const CHANGE_MAGIC: [u8; 8] = *b"ffp2p-ch";

/// The bytes of a change of a shard up to `step`, in the chapter that ends after `chapter_end` steps. It
/// has to be one of this shard of this spec.
#[must_use]
pub fn encode_change(
    change: &Change,
    spec: &NetworkSpec,
    shard: Shard,
    step: u64,
    chapter_end: u64,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = change_header(spec, shard, step, chapter_end);
    put_header(&mut bytes, &header);
    for parameter in &change.parameters {
        let columns = parameter.value.ncols().max(1);
        let all = parameter.value.as_slice().unwrap_or_default();
        all.chunks(columns).for_each(|row| spec.delta.put_row(row, RowKind::Signed, &mut bytes));
        if spec.sends_moments() {
            super::put_moments(&mut bytes, parameter, spec, chapter_end);
        }
    }
    change.running_means.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes
}

/// The moments that a change has, in a chapter that ends after `end` steps.
fn change_moments(spec: &NetworkSpec, end: u64) -> &'static [RowKind] {
    if spec.sends_moments() { moments(spec, end) } else { &[] }
}

/// The length of the changes of a shard, bytes, to within some of their header.
pub(crate) fn change_len(spec: &NetworkSpec, shard: Shard) -> usize {
    let rows = |(rows, columns): (usize, usize)| {
        (1 + change_moments(spec, 0).len()) * rows * spec.delta.row_len(columns)
    };
    super::HEADER_LIMIT
        + shapes(spec, shard).into_iter().map(rows).sum::<usize>()
        + 4 * spec.width(shard)
}

/// The change of a shard up to `step`, in the chapter that ends after `chapter_end` steps, in bytes that
/// may come from anyone. The spec has to be one that passes its check.
///
/// # Errors
/// If the bytes are not exactly such a change.
pub fn decode_change(
    bytes: &[u8],
    spec: &NetworkSpec,
    shard: Shard,
    step: u64,
    chapter_end: u64,
) -> Result<Change, CheckpointError> {
    let (found, read): (ChangeHeader, usize) = found_header(bytes)?;
    if found != change_header(spec, shard, step, chapter_end) {
        return Err(CheckpointError::Other);
    }
    let mut reader = Reader(&bytes[read..]);
    let kinds = change_moments(spec, chapter_end);
    let encodings = (spec.delta, spec.delta);
    let [weights, bias, head] =
        shapes(spec, shard).map(|shape| reader.parameter(shape, encodings, kinds));
    let parameters = [weights?, bias?, head?];
    let running_means = reader.take(spec.width(shard))?;
    reader.end()?;
    Ok(Change { parameters, running_means })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ff::{Delta, Objective, Optimizer, ShardState};

    #[test]
    fn a_change_reads_back_and_others_are_refused() {
        let shard = Shard { layer: 0, index: 0 };
        for optimizer in [Optimizer::Sgd, Optimizer::Adam] {
            for delta in [Delta::F32, Delta::U8, Delta::U4] {
                let layers = vec![5, 3];
                let spec = NetworkSpec::default_for(Objective::Softmax, optimizer, layers, 2);
                let spec = NetworkSpec { delta, branches: 2, steps: 30, ..spec };
                let (start, end) = (ShardState::init(&spec, shard), {
                    let other = NetworkSpec { seed: 2, ..spec.clone() };
                    ShardState { step: 5, ..ShardState::init(&other, shard) }
                });
                let change = Change::between(&spec, &start, end);
                let bytes = encode_change(&change, &spec, shard, 5, 10);
                assert!(bytes.len() <= change_len(&spec, shard));
                assert_eq!(decode_change(&bytes, &spec, shard, 5, 10), Ok(change));
                for (step, end) in [(10, 10), (5, 20)] {
                    assert!(decode_change(&bytes, &spec, shard, step, end).is_err());
                }
                for len in 0..bytes.len() {
                    assert!(decode_change(&bytes[..len], &spec, shard, 5, 10).is_err());
                }
                let longer = [&bytes[..], &[0]].concat();
                assert!(decode_change(&longer, &spec, shard, 5, 10).is_err());
            }
        }
    }

    #[test]
    fn after_the_last_chapter_no_moments_are_sent() {
        let shard = Shard { layer: 0, index: 0 };
        let spec = NetworkSpec::default_for(Objective::Softmax, Optimizer::Adam, vec![5, 3], 2);
        let spec = NetworkSpec { delta: Delta::U8, branches: 2, steps: 10, ..spec };
        let start = ShardState::init(&spec, shard);
        let change = Change::between(&spec, &start, ShardState { step: 10, ..start.clone() });
        let bytes = encode_change(&change, &spec, shard, 10, 10);
        let read = decode_change(&bytes, &spec, shard, 10, 10).unwrap();
        assert!(read.parameters.iter().all(|it| it.first.is_empty() && it.second.is_empty()));
    }
}
