//! Quantisation: a row as whole numbers times a scale, a byte or half a byte each.
//!
//! Rule: a number is the same whether it is kept or sent, so rounding here is what the other
//! side reads, bit for bit. No value is converted by itself, so all of it vectorises on any
//! processor.

use crate::numerics::reductions;
use crate::spec::Encoding;

/// Numbers this large have no fraction, and the last byte of one is what was added to it.
const WHOLE: f32 = 8_388_608.0;

/// The whole numbers that replace the values of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantizer {
    /// 0 to 255: a byte each.
    Byte,
    /// 0 to 15: two a byte, the first in its low half. The last half of an odd row is zero.
    Nibble,
}

impl Quantizer {
    /// The one of an encoding; `None` where values go as they are.
    pub(super) fn of(encoding: Encoding) -> Option<Self> {
        match encoding {
            Encoding::F32 => None,
            Encoding::U8 => Some(Self::Byte),
            Encoding::U4 => Some(Self::Nibble),
        }
    }

    /// The number of bytes of a row, without its scale.
    pub(super) fn bytes(self, width: usize) -> usize {
        match self {
            Self::Byte => width,
            Self::Nibble => width.div_ceil(2),
        }
    }

    /// The largest number.
    pub(super) fn top(self) -> f32 {
        match self {
            Self::Byte => 255.0,
            Self::Nibble => 15.0,
        }
    }

    /// The scale of a row without negative values, and what to multiply a value by to get its
    /// number: nothing, where values are so small that this would be infinite.
    pub(super) fn scales(self, row: &[f32]) -> (f32, f32) {
        let scale = reductions::max(row) / self.top();
        let inverse = 1.0 / scale;
        (scale, if inverse.is_finite() { inverse } else { 0.0 })
    }

    /// Rounds a row as encoding it would.
    pub(super) fn round(self, row: &mut [f32]) {
        let (scale, inverse) = self.scales(row);
        row.iter_mut().for_each(|x| *x = number(*x, inverse) * scale);
    }

    /// Appends the bytes of a row.
    pub(super) fn put(self, bytes: &mut Vec<u8>, row: &[f32], inverse: f32) {
        let byte = |number: f32| (number + WHOLE).to_bits() as u8;
        match self {
            Self::Byte => bytes.extend(row.iter().map(|x| byte(number(*x, inverse)))),
            Self::Nibble => {
                let (pairs, last) = row.as_chunks();
                let pair = |[a, b]: &[f32; 2]| number(*a, inverse) + 16.0 * number(*b, inverse);
                bytes.extend(pairs.iter().map(|two| byte(pair(two))));
                bytes.extend(last.iter().map(|x| byte(number(*x, inverse))));
            }
        }
    }

    /// Reads a row from its bytes.
    pub(super) fn read(self, row: &mut [f32], bytes: &[u8], scale: f32) {
        let value = |number: u8| f32::from(number) * scale;
        match self {
            Self::Byte => row.iter_mut().zip(bytes).for_each(|(x, q)| *x = value(*q)),
            Self::Nibble => {
                let (pairs, last) = row.as_chunks_mut();
                for (two, byte) in pairs.iter_mut().zip(bytes) {
                    *two = [value(byte & 15), value(byte >> 4)];
                }
                last.iter_mut().zip(bytes.last()).for_each(|(x, byte)| *x = value(byte & 15));
            }
        }
    }

    /// Whether an unused half byte of a row is zero.
    pub(super) fn is_padded(self, width: usize, bytes: &[u8]) -> bool {
        let has_half = self == Self::Nibble && !width.is_multiple_of(2);
        !has_half || bytes.last().is_none_or(|last| last >> 4 == 0)
    }
}

/// The number of a value: the nearest, halves up.
fn number(x: f32, inverse: f32) -> f32 {
    let y = x * inverse + 0.5;
    let near = (y + WHOLE) - WHOLE;
    if near > y { near - 1.0 } else { near }
}
