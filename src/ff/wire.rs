//! Activations as bytes, and the rounding that comes with it.
//!
//! The rule: what a layer learns from is always what the bytes say, `decode(encode(x))`, also where
//! nothing is sent. So a run alone and a run over a network are the same bytes. Everything is
//! little-endian; a length that is not exactly right is refused before anything is allocated.
//!
//! Layout, for 3B rows of states and B rows of logits: F32 has the states, then the logits. U8 has
//! the 3B scales, the states as one byte each, then the logits; a value is its byte times its
//! row's scale, and a row's scale is its largest value / 255.

use ndarray::Array2;

use super::activations::Activations;
use super::lanes;
use super::matrix::flat_mut;
use super::spec::Wire;

/// Why bytes are not activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not the length that the shapes ask for.
    #[error("activations of {expected} bytes are {found} bytes long")]
    Length {
        /// What the shapes ask for.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// A state or a scale that is negative, infinite or none.
    #[error("a state or a scale is not a finite number from zero up")]
    State,
    /// A logit that is infinite or none.
    #[error("a logit is not finite")]
    Logit,
}

/// The length in bytes of the activations of a mini-batch.
#[must_use]
pub fn encoded_len(wire: Wire, batch: usize, width: usize, classes: usize) -> usize {
    let (rows, logits) = (batch.saturating_mul(3), batch.saturating_mul(classes));
    let states = rows.saturating_mul(width);
    match wire {
        Wire::F32 => states.saturating_add(logits).saturating_mul(4),
        Wire::U8 => rows.saturating_add(logits).saturating_mul(4).saturating_add(states),
    }
}

/// The scale of a row without negative values, and what to multiply a value by to get its byte.
fn scales(row: &[f32]) -> (f32, f32) {
    let scale = lanes::max(row) / 255.0;
    (scale, if scale > 0.0 { 1.0 / scale } else { 0.0 })
}

/// The byte of a value: to the nearest, halves up.
fn quantize(x: f32, inverse: f32) -> u8 {
    (x * inverse + 0.5) as u8
}

/// Rounds activations as sending them would: `decode(encode(x))`, bit for bit.
pub fn round(activations: &mut Activations, wire: Wire) {
    let width = activations.states.ncols();
    match wire {
        Wire::F32 => {}
        Wire::U8 => {
            for row in flat_mut(&mut activations.states).chunks_exact_mut(width) {
                let (scale, inverse) = scales(row);
                for x in row {
                    *x = f32::from(quantize(*x, inverse)) * scale;
                }
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
}

/// The bytes of a mini-batch of activations: layout in the head of this file.
#[must_use]
pub fn encode(activations: &Activations, wire: Wire) -> Vec<u8> {
    let (batch, classes) = activations.logits.dim();
    let width = activations.states.ncols();
    let mut bytes = Vec::with_capacity(encoded_len(wire, batch, width, classes));
    let states = activations.states.as_standard_layout();
    let rows = || states.as_slice().unwrap_or_default().chunks_exact(width);
    match wire {
        Wire::F32 => rows().for_each(|row| put(&mut bytes, row)),
        Wire::U8 => {
            let scales: Vec<(f32, f32)> = rows().map(scales).collect();
            scales.iter().for_each(|(scale, _)| put(&mut bytes, &[*scale]));
            for (row, (_, inverse)) in rows().zip(scales) {
                bytes.extend(row.iter().map(|x| quantize(*x, inverse)));
            }
        }
    }
    activations.logits.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
    bytes
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}

/// A matrix of values that all pass a test; row-major.
fn matrix(
    rows: usize,
    values: Vec<f32>,
    good: impl Fn(f32) -> bool,
    error: WireError,
) -> Result<Array2<f32>, WireError> {
    if !values.iter().all(|&x| good(x)) {
        return Err(error);
    }
    let columns = values.len() / rows.max(1);
    Array2::from_shape_vec((rows, columns), values).map_err(|_| error)
}

/// The activations in the bytes that another peer sent.
///
/// # Errors
/// If the length is not exactly that of a mini-batch of these shapes, or a number is not finite.
pub fn decode(
    bytes: &[u8],
    wire: Wire,
    batch: usize,
    width: usize,
    classes: usize,
) -> Result<Activations, WireError> {
    let expected = encoded_len(wire, batch, width, classes);
    if bytes.len() != expected {
        return Err(WireError::Length { expected, found: bytes.len() });
    }
    let (states, logits) = bytes.split_at(expected - 4 * batch * classes);
    let logits = matrix(batch, floats(logits).collect(), f32::is_finite, WireError::Logit)?;
    let values = match wire {
        Wire::F32 => floats(states).collect(),
        Wire::U8 => {
            let (scales, states) = states.split_at(12 * batch);
            let rows = floats(scales).zip(states.chunks_exact(width.max(1)));
            rows.flat_map(|(scale, row)| row.iter().map(move |q| f32::from(*q) * scale)).collect()
        }
    };
    let good = |x: f32| x.is_finite() && x >= 0.0;
    let states = matrix(3 * batch, values, good, WireError::State)?;
    Ok(Activations { states, logits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ff::rng::{Key, Purpose};

    const SHAPE: (usize, usize, usize) = (5, 37, 4);

    fn some() -> Activations {
        let mut stream = Key::new(1, Purpose::Data).stream();
        let (batch, width, classes) = SHAPE;
        let value = || lanes::relu(stream.normal());
        let mut states = Array2::from_shape_simple_fn((3 * batch, width), value);
        states.row_mut(3).fill(0.0);
        states.row_mut(4).fill(1e-42);
        states.row_mut(5).fill(f32::MAX);
        states.row_mut(6).fill(f32::MIN_POSITIVE);
        let logits = Array2::from_shape_simple_fn((batch, classes), || stream.normal());
        Activations { states, logits }
    }

    fn bits(x: &Activations) -> Vec<u32> {
        x.states.iter().chain(&x.logits).map(|x| x.to_bits()).collect()
    }

    fn back(bytes: &[u8], wire: Wire) -> Result<Activations, WireError> {
        decode(bytes, wire, SHAPE.0, SHAPE.1, SHAPE.2)
    }

    #[test]
    fn round_is_decode_after_encode() {
        for wire in [Wire::F32, Wire::U8] {
            let exact = some();
            let bytes = encode(&exact, wire);
            assert_eq!(bytes.len(), encoded_len(wire, SHAPE.0, SHAPE.1, SHAPE.2));
            let mut rounded = exact.clone();
            round(&mut rounded, wire);
            assert_eq!(bits(&rounded), bits(&back(&bytes, wire).unwrap()));
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 0.003 * a.max(4.0);
            assert!(exact.states.iter().zip(&rounded.states).all(near));
            assert_eq!(exact.logits, rounded.logits);
        }
    }

    #[test]
    fn a_wrong_length_is_refused() {
        for wire in [Wire::F32, Wire::U8] {
            let mut bytes = encode(&some(), wire);
            bytes.push(0);
            assert!(matches!(back(&bytes, wire), Err(WireError::Length { .. })));
            for end in 0..bytes.len() - 1 {
                assert!(back(&bytes[..end], wire).is_err());
            }
            let huge = decode(&bytes, wire, usize::MAX, usize::MAX, 2);
            assert!(matches!(huge, Err(WireError::Length { .. })));
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for wire in [Wire::F32, Wire::U8] {
            for bad in [f32::NAN, f32::INFINITY, -1.0] {
                let mut bytes = encode(&some(), wire);
                bytes[..4].copy_from_slice(&bad.to_le_bytes());
                assert_eq!(back(&bytes, wire), Err(WireError::State), "{wire:?} {bad}");
            }
            let mut bytes = encode(&some(), wire);
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            assert_eq!(back(&bytes, wire), Err(WireError::Logit));
        }
    }
}
