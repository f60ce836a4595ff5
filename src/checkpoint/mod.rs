//! A shard's state as bytes and back: peers store, send and hash those.
//!
//! Rule: canonical and exact. Equal states give equal bytes, and bytes are taken only if they are
//! of the step that was announced, every length follows from the spec, every number is finite, and
//! nothing is left over. Whatever the bytes say, nothing is allocated that the spec does not ask for.
//!
//! Layout: a header (bincode, fixed-width little-endian integers), then raw little-endian f32:
//! weights, their first and second moments, the same for bias and head, then the running means. Moments
//! are encoded as the run encodes what a chapter changes ([`Delta`]). After
//! the run's last step there are none, because nothing is trained from there. The feedback shard
//! has a byte a training sample instead.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use ndarray::Array2;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

mod change;
mod error;
mod reader;

pub(crate) use self::change::change_len;
pub use self::change::{decode_change, encode_change};
pub use self::error::CheckpointError;
use self::reader::Reader;
use crate::ff::{
    Delta, FeedbackTable, NetworkSpec, Optimizer, Parameter, RowKind, Shard, ShardState,
};

/// The first bytes of a checkpoint.
const MAGIC: [u8; 8] = *b"ffp2p-cp";

/// The layout of the bytes. Another layout has another number.
const VERSION: u32 = 2;

/// The most bytes a header can have.
const HEADER_LIMIT: usize = 128;

/// Little-endian, fixed width, never more than the limit.
const CONFIG: Configuration<LittleEndian, Fixint, Limit<HEADER_LIMIT>> =
    bincode::config::standard().with_fixed_int_encoding().with_limit::<HEADER_LIMIT>();

/// The cell whose numbers follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    magic: [u8; 8],
    version: u32,
    layer: u32,
    shard: u32,
    inputs: u32,
    width: u32,
    classes: u32,
    optimizer: Optimizer,
    step: u64,
}

/// The header of the feedback shard's table of `samples` entries at a step.
fn table_header(spec: &NetworkSpec, samples: usize, step: u64) -> Header {
    Header {
        magic: MAGIC,
        version: VERSION,
        layer: spec.depth() as u32,
        shard: 0,
        inputs: spec.classes as u32,
        width: samples as u32,
        classes: spec.classes as u32,
        optimizer: spec.optimizer,
        step,
    }
}

/// The header of a shard of a spec at a step.
fn header(spec: &NetworkSpec, shard: Shard, step: u64) -> Header {
    Header {
        magic: MAGIC,
        version: VERSION,
        layer: shard.layer as u32,
        shard: shard.index as u32,
        inputs: spec.input_width(shard) as u32,
        width: spec.width(shard) as u32,
        classes: spec.classes as u32,
        optimizer: spec.optimizer,
        step,
    }
}

/// Whether anything is trained from a state after `step` steps.
fn goes_on(spec: &NetworkSpec, step: u64) -> bool {
    step < spec.steps
}

/// The moments of a parameter that the optimiser has, in the order of the file; none after the last step.
fn moments(spec: &NetworkSpec, step: u64) -> &'static [RowKind] {
    match (goes_on(spec, step), spec.optimizer) {
        (false, _) => &[],
        (true, Optimizer::Sgd) => &[RowKind::Signed],
        (true, Optimizer::Adam) => &[RowKind::Signed, RowKind::Squares],
    }
}

/// Bytes of one moment of a parameter.
fn moment_len(spec: &NetworkSpec, (rows, columns): (usize, usize)) -> usize {
    rows * spec.delta.row_len(columns)
}

/// Appends the moments of a parameter: zeros where no gradient has come yet.
fn put_moments(bytes: &mut Vec<u8>, parameter: &Parameter, spec: &NetworkSpec, step: u64) {
    let (rows, columns) = parameter.value.dim();
    let zeros = vec![0.0; columns];
    for kind in moments(spec, step) {
        let all = match kind {
            RowKind::Signed => &parameter.first,
            RowKind::Squares => &parameter.second,
        };
        for row in 0..rows {
            let row = all.get(row * columns..(row + 1) * columns).unwrap_or(&zeros);
            spec.delta.put_row(row, *kind, bytes);
        }
    }
}

/// Shapes of a shard's parameters, in the order of the file.
fn shapes(spec: &NetworkSpec, shard: Shard) -> [(usize, usize); 3] {
    let width = spec.width(shard);
    [(spec.input_width(shard), width), (1, width), (width, spec.classes)]
}

/// The length of the part after the header, after `step` steps, bytes.
fn body_len(spec: &NetworkSpec, shard: Shard, step: u64) -> usize {
    let count = moments(spec, step).len();
    let parameter = |shape: (usize, usize)| 4 * shape.0 * shape.1 + count * moment_len(spec, shape);
    let parameters: usize = shapes(spec, shard).into_iter().map(parameter).sum();
    parameters + 4 * spec.width(shard)
}

/// The length of a shard's checkpoint after `step` steps, bytes, to within some of its header.
pub(crate) fn encoded_len(spec: &NetworkSpec, shard: Shard, step: u64) -> usize {
    HEADER_LIMIT + body_len(spec, shard, step)
}

/// The bytes of a shard's state. The state has to be one of this shard of this spec.
#[must_use]
pub fn encode(state: &ShardState, spec: &NetworkSpec, shard: Shard) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_len(spec, shard, state.step));
    put_header(&mut bytes, &header(spec, shard, state.step));
    for parameter in [&state.weights, &state.bias, &state.head] {
        parameter.value.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        put_moments(&mut bytes, parameter, spec, state.step);
    }
    state.running_means.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes
}

/// The bytes of the feedback shard's table.
#[must_use]
pub fn encode_table(table: &FeedbackTable, spec: &NetworkSpec) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LIMIT + table.labels().len());
    put_header(&mut bytes, &table_header(spec, table.labels().len(), table.step()));
    bytes.extend(table.labels());
    bytes
}

fn put_header(bytes: &mut Vec<u8>, header: &impl Serialize) {
    // A header of fixed-width fields under the limit encodes into memory without fail.
    let written = bincode::serde::encode_into_std_write(header, bytes, CONFIG);
    debug_assert!(written.is_ok(), "the header outgrew its limit");
}

/// The header that bytes begin with, and its length.
fn found_header<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), CheckpointError> {
    bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|_| CheckpointError::Header)
}

/// The length of the header that bytes begin with, which has to be this one.
fn read_header(bytes: &[u8], expected: &Header) -> Result<usize, CheckpointError> {
    let (found, read): (Header, usize) = found_header(bytes)?;
    if found == *expected {
        return Ok(read);
    }
    let step = found.step;
    if found == (Header { step, ..expected.clone() }) {
        return Err(CheckpointError::Step { expected: expected.step, found: step });
    }
    Err(CheckpointError::Other)
}

/// The feedback shard's table of `samples` entries after `step` steps, in bytes that may come from
/// anyone.
///
/// # Errors
/// If the bytes are not exactly such a table.
pub fn decode_table(
    bytes: &[u8],
    spec: &NetworkSpec,
    samples: usize,
    step: u64,
) -> Result<FeedbackTable, CheckpointError> {
    let read = read_header(bytes, &table_header(spec, samples, step))?;
    let (expected, found) = (read + samples, bytes.len());
    if found != expected {
        return Err(CheckpointError::Length { expected, found });
    }
    FeedbackTable::from_parts(spec, bytes[read..].to_vec(), step).ok_or(CheckpointError::Number)
}

/// The shard's state after `step` steps, in bytes that may come from anyone. The spec has to be one
/// that passes its check.
///
/// # Errors
/// If the bytes are not exactly the checkpoint of that cell of this spec.
pub fn decode(
    bytes: &[u8],
    spec: &NetworkSpec,
    shard: Shard,
    step: u64,
) -> Result<ShardState, CheckpointError> {
    let mut reader = open(bytes, spec, shard, step)?;
    let encodings = (Delta::F32, spec.delta);
    let [weights, bias, head] =
        shapes(spec, shard).map(|shape| reader.parameter(shape, encodings, moments(spec, step)));
    let (weights, bias, head) = (weights?, bias?, head?);
    let running_means = reader.take(spec.width(shard))?;
    Ok(ShardState::from_parts(weights, bias, head, running_means, step))
}

/// As [`decode`], but without the part that only training needs, which is most of it.
///
/// # Errors
/// As [`decode`].
pub fn decode_weights(
    bytes: &[u8],
    spec: &NetworkSpec,
    shard: Shard,
    step: u64,
) -> Result<ShardState, CheckpointError> {
    let mut reader = open(bytes, spec, shard, step)?;
    let [weights, bias, head] = shapes(spec, shard).map(|shape| {
        let value = reader.value(shape, Delta::F32)?;
        let mut kinds = moments(spec, step).iter();
        kinds.try_for_each(|kind| reader.skip_rows(shape, spec.delta, *kind))?;
        Ok(value)
    });
    let (weights, bias, head) = (weights?, bias?, head?);
    reader.skip(spec.width(shard))?;
    Ok(ShardState::new(weights, bias, head))
}

/// The head alone of a shard's state; the rest is not checked.
///
/// # Errors
/// If the header, the length or the head are not those of this cell of this spec.
pub fn decode_head(
    bytes: &[u8],
    spec: &NetworkSpec,
    shard: Shard,
    step: u64,
) -> Result<Array2<f32>, CheckpointError> {
    let mut reader = open(bytes, spec, shard, step)?;
    let [weights, bias, head] = shapes(spec, shard);
    for shape in [weights, bias] {
        let count = moments(spec, step).len();
        reader.pass(4 * shape.0 * shape.1 + count * moment_len(spec, shape))?;
    }
    reader.value(head, Delta::F32)
}

/// The numbers of a shard whose bytes have the right header and length.
fn open<'a>(
    bytes: &'a [u8],
    spec: &NetworkSpec,
    shard: Shard,
    step: u64,
) -> Result<Reader<'a>, CheckpointError> {
    let read = read_header(bytes, &header(spec, shard, step))?;
    let expected = body_len(spec, shard, step).saturating_add(read);
    if bytes.len() != expected {
        return Err(CheckpointError::Length { expected, found: bytes.len() });
    }
    Ok(Reader(&bytes[read..]))
}

#[cfg(test)]
mod tests;
