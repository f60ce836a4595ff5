//! A shard's state as bytes and back: peers store, send and hash those.
//!
//! Rule: canonical and exact. Equal states give equal bytes, and bytes are taken only if they are
//! of the step that was announced, every length follows from the spec, every number is finite, and
//! nothing is left over. Whatever the bytes say, nothing is allocated that the spec does not ask for.
//!
//! Layout: a header (bincode, fixed-width little-endian integers), then raw little-endian f32:
//! weights, their first and second moments, the same for bias and head, then the running means. After
//! the run's last step there are no moments, because nothing is trained from there. The feedback shard
//! has a byte a training sample instead.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

mod error;
mod reader;

pub use self::error::CheckpointError;
use self::reader::{Good, Reader};
use crate::ff::{FeedbackTable, NetworkSpec, Optimizer, Shard, ShardState};

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

/// The number of values of either moment of a parameter after `step` steps, and the check of each.
fn moments(spec: &NetworkSpec, step: u64, (rows, columns): (usize, usize)) -> [(usize, Good); 2] {
    let size = if goes_on(spec, step) { rows * columns } else { 0 };
    [(size, f32::is_finite), (spec.optimizer.second_len(size), |x| x.is_finite() && x >= 0.0)]
}

/// Shapes of a shard's parameters, in the order of the file.
fn shapes(spec: &NetworkSpec, shard: Shard) -> [(usize, usize); 3] {
    let width = spec.width(shard);
    [(spec.input_width(shard), width), (1, width), (width, spec.classes)]
}

/// The length of the part after the header, after `step` steps, bytes.
fn body_len(spec: &NetworkSpec, shard: Shard, step: u64) -> usize {
    let parameter = |shape: (usize, usize)| {
        let [(first, _), (second, _)] = moments(spec, step, shape);
        shape.0 * shape.1 + first + second
    };
    let values: usize = shapes(spec, shard).into_iter().map(parameter).sum();
    4 * (values + spec.width(shard))
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
    let mut put = |value: f32| bytes.extend(value.to_le_bytes());
    for parameter in [&state.weights, &state.bias, &state.head] {
        parameter.value.iter().copied().for_each(&mut put);
        if goes_on(spec, state.step) {
            parameter.moments(spec.optimizer).for_each(&mut put);
        }
    }
    state.running_means.iter().copied().for_each(&mut put);
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

fn put_header(bytes: &mut Vec<u8>, header: &Header) {
    // A header of fixed-width fields under the limit encodes into memory without fail.
    let written = bincode::serde::encode_into_std_write(header, bytes, CONFIG);
    debug_assert!(written.is_ok(), "the header outgrew its limit");
}

/// The length of the header that bytes begin with, which has to be this one.
fn read_header(bytes: &[u8], expected: &Header) -> Result<usize, CheckpointError> {
    let (found, read): (Header, usize) =
        bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|_| CheckpointError::Header)?;
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
    let [weights, bias, head] =
        shapes(spec, shard).map(|shape| reader.parameter(shape, moments(spec, step, shape)));
    let (weights, bias, head) = (weights?, bias?, head?);
    let running_means = reader.take(spec.width(shard), f32::is_finite)?;
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
        let value = reader.value(shape)?;
        let [first, second] = moments(spec, step, shape);
        reader.skip(first.0, first.1)?;
        reader.skip(second.0, second.1)?;
        Ok(value)
    });
    let (weights, bias, head) = (weights?, bias?, head?);
    reader.skip(spec.width(shard), f32::is_finite)?;
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
        let [(first, _), (second, _)] = moments(spec, step, shape);
        reader.pass(shape.0 * shape.1 + first + second)?;
    }
    reader.value(head)
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
