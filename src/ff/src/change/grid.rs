//! Rows on a grid: whole multiples of a power of two, one power for each row.
//!
//! Rule: a number on its grid is sent without loss, and rounding it again changes nothing. Powers of two
//! see to both: multiplying by one is exact.

use crate::spec::Delta;

/// The exponents of a row's power of two: squares of such numbers are numbers, too.
const EXPONENTS: std::ops::RangeInclusive<i32> = -60..=60;

/// The exponent of a row of zeros.
const ZEROS: i8 = i8::MIN;

/// Numbers this large have no fraction, and their last byte is the last of what was added to them.
const WHOLE: f32 = 12_582_912.0;

/// The numbers of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Changes and first moments, which have signs.
    Signed,
    /// Second moments, whose roots are sent.
    Squares,
}

/// The grid of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    /// The largest multiple of changes and first moments, which have signs.
    signed: f32,
    /// The largest multiple of the roots of second moments.
    unsigned: f32,
    /// Multiples in a byte.
    per_byte: usize,
}

impl Grid {
    /// That of an encoding; `None` where numbers go as they are.
    pub(super) fn of(delta: Delta) -> Option<Self> {
        match delta {
            Delta::F32 => None,
            Delta::U8 => Some(Self { signed: 127.0, unsigned: 255.0, per_byte: 1 }),
            Delta::U4 => Some(Self { signed: 7.0, unsigned: 15.0, per_byte: 2 }),
        }
    }

    /// Rounds a row.
    pub(super) fn round(self, row: &mut [f32], kind: RowKind) {
        match kind {
            RowKind::Signed => self.round_to_nearest(row),
            RowKind::Squares => self.round_up(row),
        }
    }

    /// Rounds a row to the nearest multiples.
    fn round_to_nearest(self, row: &mut [f32]) {
        let (step, inverse) = powers(exponent(largest(row), self.signed));
        let most = self.signed;
        row.iter_mut().for_each(|x| *x = nearest((*x * inverse).clamp(-most, most)) * step);
    }

    /// Rounds a row of second moments so that their roots are multiples. Upwards, because a smaller one
    /// would make larger steps.
    fn round_up(self, row: &mut [f32]) {
        row.iter_mut().for_each(|x| *x = x.sqrt());
        let (step, inverse) = powers(exponent(largest(row), self.unsigned));
        for x in row {
            let root = (*x * inverse).ceil() * step;
            *x = root * root;
        }
    }

    /// Appends a row that is on this grid: its exponent, then its multiples.
    fn put(self, row: &[f32], kind: RowKind, bytes: &mut Vec<u8>) {
        let roots: Vec<f32>;
        let (row, top) = match kind {
            RowKind::Signed => (row, self.signed),
            RowKind::Squares => {
                roots = row.iter().map(|x| x.sqrt()).collect();
                (&roots[..], self.unsigned)
            }
        };
        let exponent = exponent(largest(row), top);
        let (_, inverse) = powers(exponent);
        bytes.push(exponent.to_le_bytes()[0]);
        // The last byte of a whole number in this range is its own, also of one below zero.
        let multiple = |x: &f32| (*x * inverse + WHOLE).to_bits() as u8;
        if self.per_byte == 1 {
            bytes.extend(row.iter().map(multiple));
        } else {
            let pair =
                |two: &[f32]| two.iter().rev().fold(0, |byte, x| byte << 4 | multiple(x) & 15);
            bytes.extend(row.chunks(2).map(pair));
        }
    }

    /// Appends the numbers of a row to `row`; false where the bytes are not those of one.
    fn read(self, bytes: &[u8], width: usize, kind: RowKind, row: &mut Vec<f32>) -> bool {
        let [exponent, bytes @ ..] = bytes else { return false };
        let exponent = i8::from_le_bytes([*exponent]);
        let (step, _) = powers(exponent);
        let is_zeros = exponent == ZEROS && bytes.iter().all(|byte| *byte == 0);
        if !is_zeros && !EXPONENTS.contains(&i32::from(exponent)) {
            return false;
        }
        let half = |at: usize| bytes[at / 2] >> (4 * (at % 2)) & 15;
        let multiple = |at: usize| match (kind, self.per_byte) {
            (RowKind::Signed, 1) => f32::from(i8::from_le_bytes([bytes[at]])),
            (RowKind::Squares, 1) => f32::from(bytes[at]),
            // The sign of four bits.
            (RowKind::Signed, _) => f32::from((half(at) << 4).cast_signed() >> 4),
            (RowKind::Squares, _) => f32::from(half(at)),
        };
        let value = |at| match kind {
            RowKind::Signed => multiple(at) * step,
            RowKind::Squares => (multiple(at) * step) * (multiple(at) * step),
        };
        let first = row.len();
        row.extend((0..width).map(value));
        let is_padded = self.per_byte == 1 || width.is_multiple_of(2) || half(width) == 0;
        is_padded && row[first..].iter().all(|x| x.abs() <= self.reach(kind, step))
    }

    /// The largest number of a row.
    fn reach(self, kind: RowKind, step: f32) -> f32 {
        match kind {
            RowKind::Signed => self.signed * step,
            RowKind::Squares => (self.unsigned * step) * (self.unsigned * step),
        }
    }
}

impl Delta {
    /// Bytes of a row of `width` numbers.
    #[must_use]
    pub fn row_len(self, width: usize) -> usize {
        Grid::of(self).map_or(4 * width, |grid| 1 + width.div_ceil(grid.per_byte))
    }

    /// Appends the bytes of a row, which has to be on the grid: then they are all of it.
    pub fn put_row(self, row: &[f32], kind: RowKind, bytes: &mut Vec<u8>) {
        match Grid::of(self) {
            Some(grid) => grid.put(row, kind, bytes),
            None => row.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        }
    }

    /// Appends the `width` numbers of a row to `row`. False where the bytes, which may come from anyone,
    /// are not those of one.
    #[must_use]
    pub fn read_row(self, bytes: &[u8], width: usize, kind: RowKind, row: &mut Vec<f32>) -> bool {
        if bytes.len() != self.row_len(width) {
            return false;
        }
        if let Some(grid) = Grid::of(self) {
            return grid.read(bytes, width, kind, row);
        }
        let first = row.len();
        let (words, _) = bytes.as_chunks();
        row.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
        let is_good = |x: &f32| x.is_finite() && (kind == RowKind::Signed || *x >= 0.0);
        row[first..].iter().all(is_good)
    }
}

/// The largest magnitude of a row.
fn largest(row: &[f32]) -> f32 {
    row.iter().fold(0.0, |most, x| if x.abs() > most { x.abs() } else { most })
}

/// The least exponent whose power of two times `top` reaches `most`; [`ZEROS`] if there is nothing
/// to reach.
fn exponent(most: f32, top: f32) -> i8 {
    let bits = (most / top).to_bits();
    let floor = (bits >> 23) as i32 - 127;
    let exponent = floor + i32::from(bits & 0x007f_ffff != 0);
    let (&least, &greatest) = (EXPONENTS.start(), EXPONENTS.end());
    let exponent = exponent.clamp(least, greatest);
    // Half a step is rounded to nothing, or up: either way a row that has nothing left is one of zeros.
    if most * powers(exponent as i8).1 > 0.5 { exponent as i8 } else { ZEROS }
}

/// Two to the power of an exponent, and one over that; zeros for [`ZEROS`].
fn powers(exponent: i8) -> (f32, f32) {
    if exponent == ZEROS {
        return (0.0, 0.0);
    }
    let power = |exponent: i32| f32::from_bits(((exponent + 127) as u32) << 23);
    (power(i32::from(exponent)), power(-i32::from(exponent)))
}

/// The nearest whole number, of two the even one.
fn nearest(x: f32) -> f32 {
    (x + WHOLE) - WHOLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Key, Purpose};

    /// Rows of all magnitudes, some of them zeros, with a sign or without.
    fn rows(kind: RowKind) -> Vec<Vec<f32>> {
        let mut stream = Key::new(7, Purpose::Data).stream();
        let mut row = |width: i32, exponent: i32| {
            let size = libm::ldexpf(1.0, exponent);
            let number = |_| size * stream.normal();
            let signed: Vec<f32> = (0..width).map(number).collect();
            if kind == RowKind::Signed { signed } else { signed.iter().map(|x| x * x).collect() }
        };
        let sizes = [(1, 0), (7, -9), (40, 3), (33, -30), (16, 20), (5, -70), (9, 30)];
        let mut rows: Vec<Vec<f32>> = sizes.map(|(width, at)| row(width, at)).to_vec();
        rows.extend([vec![0.0; 6], Vec::new(), vec![0.0, 1.0, 0.0]]);
        rows
    }

    #[test]
    fn what_is_on_the_grid_stays_there_and_is_sent_without_loss() {
        for delta in [Delta::U8, Delta::U4] {
            let grid = Grid::of(delta).unwrap();
            for kind in [RowKind::Signed, RowKind::Squares] {
                for mut row in rows(kind) {
                    let before = row.clone();
                    grid.round(&mut row, kind);
                    let most = largest(&before);
                    let error = before.iter().zip(&row).map(|(x, y)| (x - y).abs());
                    let allowed = most * if delta == Delta::U8 { 0.02 } else { 0.3 } + 1e-20;
                    assert!(error.clone().all(|it| it <= allowed), "{before:?} {row:?}");
                    let mut again = row.clone();
                    grid.round(&mut again, kind);
                    assert_eq!(again, row, "{delta:?} {kind:?}");
                    let mut bytes = Vec::new();
                    delta.put_row(&row, kind, &mut bytes);
                    assert_eq!(bytes.len(), delta.row_len(row.len()));
                    let mut read = Vec::new();
                    assert!(delta.read_row(&bytes, row.len(), kind, &mut read));
                    assert_eq!(read, row);
                }
            }
        }
    }

    #[test]
    fn second_moments_do_not_shrink() {
        for mut row in rows(RowKind::Squares) {
            let before = row.clone();
            Grid::of(Delta::U8).unwrap().round(&mut row, RowKind::Squares);
            let is_zero = row.iter().all(|x| *x == 0.0);
            assert!(is_zero || before.iter().zip(&row).all(|(x, y)| *y >= *x * 0.999_999));
        }
    }

    #[test]
    fn bytes_that_are_no_row_are_refused() {
        let read = |delta: Delta, bytes: &[u8], width, kind| {
            delta.read_row(bytes, width, kind, &mut Vec::new())
        };
        let (signed, squares) = (RowKind::Signed, RowKind::Squares);
        assert!(read(Delta::U8, &[0, 1, 255], 2, signed));
        assert!(!read(Delta::U8, &[0, 1], 2, signed) && !read(Delta::U8, &[0, 1, 2, 3], 2, signed));
        assert!(!read(Delta::U8, &[100, 1, 2], 2, signed), "its power of two is too large");
        assert!(!read(Delta::U8, &[0, 128, 2], 2, signed), "-128 is no multiple");
        assert!(read(Delta::U8, &[0, 128, 2], 2, squares));
        assert!(
            read(Delta::U8, &[128, 0, 0], 2, signed) && !read(Delta::U8, &[128, 1, 0], 2, signed)
        );
        assert!(read(Delta::U4, &[0, 0x17, 0x0f], 3, signed));
        assert!(!read(Delta::U4, &[0, 0x18, 0x0f], 3, signed), "-8 is no multiple");
        assert!(!read(Delta::U4, &[0, 0x17, 0x1f], 3, signed), "half a byte is over");
        let [nan, negative] = [f32::NAN, -1.0].map(f32::to_le_bytes);
        assert!(!read(Delta::F32, &nan, 1, signed) && !read(Delta::F32, &negative, 1, squares));
        assert!(read(Delta::F32, &negative, 1, signed));
    }
}
