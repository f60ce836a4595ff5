//! Activations as bytes, and the rounding that comes with it.
//!
//! Rule: a layer always learns from what the bytes hold, `decode(encode(x))`, also where nothing
//! is sent. So a run alone and a run over a network are the same bytes. Everything is
//! little-endian; a length that is not exactly right is refused before anything is allocated.
//!
//! Layout, for the rows of states of all passes and B rows of logits: F32 has the states, then the
//! logits. U8 has one scale a row, the states as one byte each, then the logits; a value is its byte
//! times its row's scale, and a row's scale is its largest value / 255. U4 is U8 with half a byte
//! and 15. Where only the feedback shard reads, there are logits and no states.

mod quantize;

use ndarray::Array2;

use self::quantize::Quantizer;
use crate::numerics::matrix::flat_mut;
use crate::numerics::workers::{Workers, each, share};
use crate::shard::activations::Activations;
use crate::spec::{Encoding, NetworkSpec, Shard};

/// The reason why bytes are not activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not the length that the shapes ask for.
    #[error("activations of {expected} bytes are {found} bytes long")]
    Length {
        /// Bytes that the shapes ask for.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A state or a scale that is negative, infinite or NaN.
    #[error("a state or a scale is not a finite number from zero up")]
    State,
    /// A logit that is infinite or NaN.
    #[error("a logit is not finite")]
    Logit,
    /// An unused half byte that is not zero.
    #[error("the half byte after a row's last state is not zero")]
    Padding,
}

/// The rows of states and the number of logits that a shard outputs for a mini-batch.
fn counts(spec: &NetworkSpec, shard: Shard) -> (usize, usize) {
    let passes = if spec.outputs_states(shard) { spec.objective.passes() } else { 0 };
    (passes * spec.batch_size, spec.batch_size * spec.output_logits())
}

/// The length in bytes of a shard's outputs for a mini-batch. The spec has to be one that passes
/// its check.
#[must_use]
pub fn encoded_len(spec: &NetworkSpec, shard: Shard) -> usize {
    let (rows, logits) = counts(spec, shard);
    let width = spec.width(shard);
    let of_row =
        Quantizer::of(spec.encoding).map_or(4 * width, |quantizer| 4 + quantizer.bytes(width));
    rows.saturating_mul(of_row).saturating_add(logits.saturating_mul(4))
}

/// Rounds activations as encoding them would: `decode(encode(x))`, bit for bit.
pub fn round(activations: &mut Activations, encoding: Encoding, workers: &dyn Workers) {
    let (rows, width) = activations.states.dim();
    let Some(quantizer) = Quantizer::of(encoding).filter(|_| width > 0) else { return };
    let share = share(rows, 1, workers) * width;
    each(workers, flat_mut(&mut activations.states).chunks_mut(share), &|part: &mut [f32]| {
        part.chunks_exact_mut(width).for_each(|row| quantizer.round(row));
    });
}

fn put(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
}

/// The bytes of a shard's outputs for a mini-batch; the layout is at the top of this file.
///
/// ```
/// use ffp2p_ff::{Activations, Encoding, NetworkSpec, Objective, Optimizer, Shard, decode, encode};
/// use ndarray::{Array2, array};
///
/// let spec = NetworkSpec::default_for(Objective::Softmax, Optimizer::Adam, vec![9, 3], 2);
/// let spec = NetworkSpec { encoding: Encoding::U8, batch_size: 1, ..spec };
/// let shard = Shard { layer: 0, index: 0 };
/// let outputs = Activations { states: array![[0.0, 2.0, 510.0]], logits: Array2::zeros((1, 0)) };
///
/// let bytes = encode(&outputs, &spec, shard);
/// assert_eq!(bytes, [0, 0, 0, 64, 0, 1, 255], "the row's scale, 2.0, and a byte for each state");
/// assert_eq!(decode(&bytes, &spec, shard)?, outputs);
/// # Ok::<(), ffp2p_ff::DecodeError>(())
/// ```
#[must_use]
pub fn encode(activations: &Activations, spec: &NetworkSpec, shard: Shard) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_len(spec, shard));
    let states = activations.states.as_standard_layout();
    let outputs = if spec.outputs_states(shard) { states.as_slice() } else { None };
    let rows = || outputs.unwrap_or_default().chunks_exact(spec.width(shard));
    if let Some(quantizer) = Quantizer::of(spec.encoding) {
        // A row at a time, while it is in the cache.
        bytes.resize(4 * rows().len(), 0);
        for (index, row) in rows().enumerate() {
            let (scale, inverse) = quantizer.scales(row);
            bytes[4 * index..][..4].copy_from_slice(&scale.to_le_bytes());
            quantizer.put(&mut bytes, row, inverse);
        }
    } else {
        rows().for_each(|row| put(&mut bytes, row));
    }
    activations.logits.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
    bytes
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}

/// Whether a number can be a state: finite and not below zero.
fn is_state(x: f32) -> bool {
    x.is_finite() && x >= 0.0
}

/// Reads a shard's states into its columns of each row of the layer's.
fn read_states<'a>(
    encoding: Encoding,
    width: usize,
    bytes: &[u8],
    rows: impl ExactSizeIterator<Item = &'a mut [f32]>,
) -> Result<(), DecodeError> {
    let Some(quantizer) = Quantizer::of(encoding) else {
        for (row, bytes) in rows.zip(bytes.chunks_exact(4 * width)) {
            row.iter_mut().zip(floats(bytes)).for_each(|(to, from)| *to = from);
            if !row.iter().all(|&x| is_state(x)) {
                return Err(DecodeError::State);
            }
        }
        return Ok(());
    };
    let (scales, bytes) = bytes.split_at(4 * rows.len());
    let bytes = bytes.chunks_exact(quantizer.bytes(width));
    for ((row, bytes), scale) in rows.zip(bytes).zip(floats(scales)) {
        // Then every value of the row can be a state.
        if !is_state(quantizer.top() * scale) {
            return Err(DecodeError::State);
        }
        if !quantizer.is_padded(width, bytes) {
            return Err(DecodeError::Padding);
        }
        quantizer.read(row, bytes, scale);
    }
    Ok(())
}

/// The outputs of a shard, from the bytes that another peer sent. The spec has to be one that passes
/// its check.
///
/// # Errors
/// If the length is not exactly that of a mini-batch of the shard, or a number is not finite.
pub fn decode(bytes: &[u8], spec: &NetworkSpec, shard: Shard) -> Result<Activations, DecodeError> {
    decode_all(&[bytes], spec, shard, None)
}

/// The outputs of the shards of a layer, as one: [`decode`] of each, and [`concat`] of these, in one
/// pass over memory. `shard` is any of the layer; `old` gives its memory to the result if it has the
/// shape.
///
/// # Errors
/// As [`decode`].
///
/// # Panics
/// If there is no shard.
///
/// [`concat`]: crate::concat
pub fn decode_all(
    shards: &[impl AsRef<[u8]>],
    spec: &NetworkSpec,
    shard: Shard,
    old: Option<Activations>,
) -> Result<Activations, DecodeError> {
    let (rows, logits) = counts(spec, shard);
    let (width, expected) = (spec.width(shard), encoded_len(spec, shard));
    let found = shards.iter().map(|bytes| bytes.as_ref().len());
    if let Some(found) = found.into_iter().find(|&found| found != expected) {
        return Err(DecodeError::Length { expected, found });
    }
    let all = shards.len() * width;
    let mut states = match old {
        Some(old) if old.states.dim() == (rows, all) => old.states,
        _ => Array2::zeros((rows, all)),
    };
    let mut sums = vec![0.0; logits];
    for (index, bytes) in shards.iter().enumerate() {
        let (states_bytes, logits_bytes) = bytes.as_ref().split_at(expected - 4 * logits);
        let rows = flat_mut(&mut states).chunks_exact_mut(all);
        let part = index * width..(index + 1) * width;
        read_states(spec.encoding, width, states_bytes, rows.map(|row| &mut row[part.clone()]))?;
        let read: Vec<f32> = floats(logits_bytes).collect();
        if !read.iter().all(|x| x.is_finite()) {
            return Err(DecodeError::Logit);
        }
        if shards.len() == 1 {
            sums = read;
        } else {
            sums.iter_mut().zip(read).for_each(|(sum, x)| *sum += x);
        }
    }
    let shape = (spec.batch_size, spec.output_logits());
    let mut logits = Array2::from_shape_vec(shape, sums).map_err(|_| DecodeError::Logit)?;
    if shards.len() > 1 {
        logits *= 1.0 / shards.len() as f32;
    }
    Ok(Activations { states, logits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concat;
    use crate::numerics::reductions;
    use crate::rng::{Key, Purpose};
    use crate::{Inline, Negatives, Objective, Optimizer};

    const SHARD: Shard = Shard { layer: 0, index: 0 };

    /// Both objectives in all encodings: 5 samples, 37 units, 4 classes.
    fn specs() -> Vec<NetworkSpec> {
        let mut specs = Vec::new();
        for objective in [Objective::Goodness, Objective::Softmax] {
            for encoding in [Encoding::F32, Encoding::U8, Encoding::U4] {
                let default = NetworkSpec::default_for(objective, Optimizer::Sgd, vec![20, 37], 4);
                specs.push(NetworkSpec { batch_size: 5, encoding, ..default });
            }
        }
        specs
    }

    fn some(spec: &NetworkSpec) -> Activations {
        let mut stream = Key::new(1, Purpose::Data).stream();
        let value = || reductions::relu(stream.normal());
        let passes = spec.objective.passes();
        let mut states = Array2::from_shape_simple_fn((5 * passes, 37), value);
        states.row_mut(1).fill(0.0);
        states.row_mut(2).fill(1e-42);
        states.row_mut(3).fill(f32::MAX);
        states.row_mut(4).fill(f32::MIN_POSITIVE);
        let logits = Array2::from_shape_simple_fn((5, spec.output_logits()), || stream.normal());
        Activations { states, logits }
    }

    fn bits(x: &Activations) -> Vec<u32> {
        x.states.iter().chain(&x.logits).map(|x| x.to_bits()).collect()
    }

    #[test]
    fn round_is_decode_after_encode() {
        for spec in specs() {
            let exact = some(&spec);
            let bytes = encode(&exact, &spec, SHARD);
            assert_eq!(bytes.len(), encoded_len(&spec, SHARD));
            let mut rounded = exact.clone();
            round(&mut rounded, spec.encoding, &Inline);
            assert_eq!(bits(&rounded), bits(&decode(&bytes, &spec, SHARD).unwrap()));
            let part = Quantizer::of(spec.encoding).map_or(0.0, |quantizer| 0.51 / quantizer.top());
            for (exact, rounded) in exact.states.outer_iter().zip(rounded.states.outer_iter()) {
                let most = part * exact.fold(0.0, |a: f32, b| a.max(*b)) + 1e-36;
                assert!(exact.iter().zip(rounded).all(|(a, b)| (a - b).abs() <= most));
            }
            assert_eq!(exact.logits, rounded.logits);
        }
    }

    #[test]
    fn shards_are_read_as_one() {
        for spec in specs() {
            let part = |seed: f32| {
                let mut part = some(&spec);
                part.states *= seed;
                part.logits *= -seed;
                part.logits.iter_mut().take(3).for_each(|x| *x = -0.0);
                encode(&part, &spec, SHARD)
            };
            let shards = [part(0.5), part(0.25), part(0.125)];
            let one = |bytes: &Vec<u8>| decode(bytes, &spec, SHARD).unwrap();
            let apart: Vec<Activations> = shards.iter().map(one).collect();
            let together = concat(&apart);
            let mut stale = together.clone();
            stale.states.fill(7.0);
            for old in [None, Some(apart[0].clone()), Some(stale)] {
                let read = decode_all(&shards, &spec, SHARD, old).unwrap();
                assert_eq!(bits(&read), bits(&together));
                assert_eq!(read.states.dim(), together.states.dim());
            }
            let bad = [part(0.5), vec![0; 3]];
            assert!(matches!(
                decode_all(&bad, &spec, SHARD, None),
                Err(DecodeError::Length { .. })
            ));
        }
    }

    #[test]
    fn one_pass_travels_with_the_softmax_objective_and_no_logits() {
        let lengths: Vec<usize> = specs().iter().map(|spec| encoded_len(spec, SHARD)).collect();
        let goodness = [4 * (15 * 37 + 20), 15 * 37 + 4 * (15 + 20), 15 * 19 + 4 * (15 + 20)];
        let softmax = [4 * 5 * 37, 5 * 37 + 4 * 5, 5 * 19 + 4 * 5];
        assert_eq!(lengths, [goodness, softmax].concat());
    }

    #[test]
    fn only_logits_travel_above_the_last_layer() {
        for spec in specs().into_iter().filter(|spec| spec.objective == Objective::Goodness) {
            let spec = NetworkSpec { negatives: Negatives::Adaptive, ..spec };
            let bytes = encode(&some(&spec), &spec, SHARD);
            assert_eq!(bytes.len(), 4 * 20);
            let read = decode(&bytes, &spec, SHARD).unwrap();
            assert_eq!((read.states.len(), read.logits), (0, some(&spec).logits));
        }
    }

    #[test]
    fn a_wrong_length_is_refused() {
        for spec in specs() {
            let mut bytes = encode(&some(&spec), &spec, SHARD);
            bytes.push(0);
            assert!(matches!(decode(&bytes, &spec, SHARD), Err(DecodeError::Length { .. })));
            for end in 0..bytes.len() - 1 {
                assert!(decode(&bytes[..end], &spec, SHARD).is_err());
            }
        }
    }

    #[test]
    fn two_values_share_a_byte_and_a_last_half_stays_zero() {
        let default = NetworkSpec::default_for(Objective::Softmax, Optimizer::Sgd, vec![20, 3], 4);
        let spec = NetworkSpec { batch_size: 1, encoding: Encoding::U4, ..default };
        let states = ndarray::array![[2.0, 30.0, 14.9]];
        let bytes = encode(&Activations { states, logits: Array2::zeros((1, 0)) }, &spec, SHARD);
        assert_eq!(bytes, [2.0_f32.to_le_bytes().as_slice(), &[0xf1, 0x07]].concat());
        assert_eq!(
            decode(&bytes, &spec, SHARD).unwrap().states,
            ndarray::array![[2.0, 30.0, 14.0]]
        );
        let padded = [&bytes[..5], &[0x17]].concat();
        assert_eq!(decode(&padded, &spec, SHARD), Err(DecodeError::Padding));
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        for spec in specs() {
            for bad in [f32::NAN, f32::INFINITY, -1.0] {
                let mut bytes = encode(&some(&spec), &spec, SHARD);
                bytes[..4].copy_from_slice(&bad.to_le_bytes());
                assert_eq!(decode(&bytes, &spec, SHARD), Err(DecodeError::State), "{bad}");
            }
            if spec.objective == Objective::Goodness {
                let mut bytes = encode(&some(&spec), &spec, SHARD);
                let end = bytes.len();
                bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
                assert_eq!(decode(&bytes, &spec, SHARD), Err(DecodeError::Logit));
            }
        }
    }
}
