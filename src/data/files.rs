//! The bounds of sets that are read from files, and the order of their pixels.
//!
//! Rule: no file can demand more memory than these bounds.

use std::fmt;

/// The most samples of a half.
pub(super) const MOST_SAMPLES: usize = 1_000_000;

/// The most pixels of an image, planes together: the widest input that a network may have.
pub(super) const MOST_PIXELS: usize = 1 << 16;

/// The most pixels of a half: over six times the training images of CIFAR-10.
pub(super) const MOST_BYTES: usize = 1 << 30;

/// The most bytes of an image file.
pub(super) const MOST_FILE: u64 = 4 << 20;

/// The most classes: as many as a label's byte can tell apart.
pub(super) const MOST_CLASSES: usize = 256;

/// Unpacked size that any file may have, bytes.
const FREE: u64 = 64 << 20;

/// How many times its own bytes a file may unpack to, beyond [`FREE`]. Plain drawings come to
/// about 100; only a file that was made to fill memory goes beyond.
const SPREAD: u64 = 256;

/// The most bytes that a packed file of `length` bytes may unpack to.
pub(super) fn room(length: u64) -> u64 {
    length.saturating_mul(SPREAD).saturating_add(FREE)
}

/// The order of an image's pixels: plane by plane, each row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) height: usize,
    pub(super) columns: usize,
    /// 1 for grey, 3 for red, green and blue, in this order.
    pub(super) channels: usize,
}

impl Frame {
    /// A frame of 1 to [`MOST_PIXELS`] pixels; `None` if it has less or more.
    pub(super) fn new(height: usize, columns: usize, channels: usize) -> Option<Self> {
        let width = height.checked_mul(columns)?.checked_mul(channels)?;
        (1..=MOST_PIXELS).contains(&width).then_some(Self { height, columns, channels })
    }

    /// Appends the planes of an image whose pixels come with their channels side by side.
    pub(super) fn planes(self, interleaved: &[u8], planes: &mut Vec<u8>) {
        for channel in 0..self.channels {
            planes.extend(interleaved.iter().skip(channel).step_by(self.channels));
        }
    }

    /// Pixels of all planes.
    pub(super) fn width(self) -> usize {
        self.height * self.columns * self.channels
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.channels == 1 { "grey" } else { "RGB" };
        write!(f, "{} x {} {kind}", self.columns, self.height)
    }
}
