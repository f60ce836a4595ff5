//! The orientation of a camera, as an Exif block tells it.
//!
//! Cameras store the pixels as the sensor lies and write down how to turn them. Only this one tag
//! of the first directory is looked for.
//!
//! Rule: a block that makes no sense turns nothing, and no number in it is believed before it is
//! compared with the bytes that are there.

use super::files::Frame;

/// The tag of the orientation.
const ORIENTATION: u16 = 0x0112;

/// Bytes of an entry of a directory.
const ENTRY: usize = 12;

/// The turn that an image needs: 1 (none) to 8, as the Exif standard numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation(u8);

/// Numbers in the byte order of a block.
struct Numbers<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Numbers<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        let pair = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let four = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }
}

impl Orientation {
    /// As the pixels lie.
    pub(super) const UPRIGHT: Self = Self(1);

    /// The orientation in a block, which begins with its byte order (`II` or `MM`).
    pub(super) fn of(block: &[u8]) -> Self {
        Self::told(block).unwrap_or(Self::UPRIGHT)
    }

    fn told(block: &[u8]) -> Option<Self> {
        let big_endian = match block.get(..4)? {
            b"II*\0" => false,
            b"MM\0*" => true,
            _ => return None,
        };
        let numbers = Numbers { bytes: block, big_endian };
        let directory = numbers.long(4)? as usize;
        let count = usize::from(numbers.short(directory)?);
        for i in 0..count {
            let entry = directory.checked_add(2 + i * ENTRY)?;
            if numbers.short(entry)? != ORIENTATION {
                continue;
            }
            let value = match (numbers.short(entry + 2)?, numbers.long(entry + 4)?) {
                // A byte, a short or a long lies at the beginning of the field.
                (1, 1) => u32::from(*block.get(entry + 8)?),
                (3, 1) => u32::from(numbers.short(entry + 8)?),
                (4, 1) => numbers.long(entry + 8)?,
                _ => return None,
            };
            return u8::try_from(value).ok().filter(|value| (1..=8).contains(value)).map(Self);
        }
        None
    }

    /// The frame of an image of `frame` when it is turned.
    pub(super) fn frame(self, frame: Frame) -> Frame {
        let Frame { height, columns, channels } = frame;
        if self.0 < 5 { frame } else { Frame { height: columns, columns: height, channels } }
    }

    /// The planes of an image of `frame`, turned.
    pub(super) fn turn(self, frame: Frame, pixels: &[u8]) -> Vec<u8> {
        let Frame { height, columns, .. } = frame;
        let turned = self.frame(frame);
        let mut all = Vec::with_capacity(pixels.len());
        for plane in pixels.chunks_exact(height * columns) {
            for row in 0..turned.height {
                for column in 0..turned.columns {
                    let (mut y, mut x) = if self.0 < 5 { (row, column) } else { (column, row) };
                    if matches!(self.0, 3 | 4 | 6 | 7) {
                        y = height - 1 - y;
                    }
                    if matches!(self.0, 2 | 3 | 7 | 8) {
                        x = columns - 1 - x;
                    }
                    all.push(plane[y * columns + x]);
                }
            }
        }
        all
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A block that says `value`, and something else before it.
    pub(crate) fn block(big_endian: bool, value: u16) -> Vec<u8> {
        let short = |n: u16| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut bytes = if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        bytes.extend(long(8));
        bytes.extend(short(2));
        for (tag, value) in [(0x0100, 7), (ORIENTATION, value)] {
            bytes.extend([short(tag), short(3)].concat());
            bytes.extend(long(1));
            bytes.extend([short(value), short(0)].concat());
        }
        bytes
    }

    #[test]
    fn the_orientation_is_found_in_both_byte_orders() {
        for value in 1..=8 {
            for big_endian in [false, true] {
                assert_eq!(Orientation::of(&block(big_endian, value)), Orientation(value as u8));
            }
        }
        for value in [0, 9, 300] {
            assert_eq!(Orientation::of(&block(true, value)), Orientation::UPRIGHT);
        }
    }

    #[test]
    fn a_block_that_is_cut_or_damaged_turns_nothing_and_ends() {
        let whole = block(true, 6);
        for length in 0..whole.len() - 4 {
            assert_eq!(Orientation::of(&whole[..length]), Orientation::UPRIGHT, "{length}");
        }
        for place in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                assert!((1..=8).contains(&Orientation::of(&damaged).0));
            }
        }
    }

    #[test]
    fn pixels_turn_as_the_standard_says() {
        // 1 2 3
        // 4 5 6, as an image of two planes.
        let frame = Frame { height: 2, columns: 3, channels: 2 };
        let pixels = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16];
        for (number, turned) in [
            (1, [1, 2, 3, 4, 5, 6]),
            (2, [3, 2, 1, 6, 5, 4]),
            (3, [6, 5, 4, 3, 2, 1]),
            (4, [4, 5, 6, 1, 2, 3]),
            (5, [1, 4, 2, 5, 3, 6]),
            (6, [4, 1, 5, 2, 6, 3]),
            (7, [6, 3, 5, 2, 4, 1]),
            (8, [3, 6, 2, 5, 1, 4]),
        ] {
            let orientation = Orientation(number);
            let second = turned.map(|pixel| pixel + 10);
            assert_eq!(orientation.turn(frame, &pixels), [turned, second].concat(), "{number}");
            let Frame { height, columns, .. } = orientation.frame(frame);
            assert_eq!((height, columns), if number < 5 { (2, 3) } else { (3, 2) });
        }
    }
}
