//! What sets that are read from files share: their bounds, how pixels lie, and the id.
//!
//! Rule: no file can demand more memory than these bounds, and a set's id is a hash of what a run
//! depends on, its measures, labels and pixels, in the order of the samples. Paths, file names and
//! packing differ between machines; the id does not.

use std::fmt;

use super::{Data, Half, Shape};

/// The most samples of a half.
pub(super) const MOST_SAMPLES: usize = 1_000_000;

/// The most pixels of an image, planes together: the widest input that a network may have.
pub(super) const MOST_PIXELS: usize = 1 << 16;

/// The most pixels of a half: over six times the training images of CIFAR-10.
pub(super) const MOST_BYTES: usize = 1 << 30;

/// The most classes: as many as a label's byte can tell apart.
pub(super) const MOST_CLASSES: usize = 256;

/// What a file may unpack to, however small it is.
const FREE: u64 = 64 << 20;

/// How many times its own bytes a file may unpack to, beyond [`FREE`]. Plain drawings come to
/// about 100; only a file that was made to fill memory goes beyond.
const SPREAD: u64 = 256;

/// The most bytes that a packed file of `length` bytes may unpack to.
pub(super) fn room(length: u64) -> u64 {
    length.saturating_mul(SPREAD).saturating_add(FREE)
}

/// How the pixels of an image lie: plane by plane, each row by row.
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

    /// As the images of a set lie.
    pub(super) fn of(shape: &Shape) -> Self {
        Self { height: shape.height, columns: shape.columns(), channels: shape.channels }
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

/// The set of two halves whose images all lie as `frame` says.
pub(super) fn set(
    kind: &str,
    frame: Frame,
    names: Vec<String>,
    classes: usize,
    [train, test]: [Half; 2],
    remarks: Vec<String>,
) -> Data {
    let count = |half: &Half| half.labels().len() as u32;
    let shape = Shape {
        width: frame.width(),
        height: frame.height,
        channels: frame.channels,
        classes,
        train: count(&train),
        test: count(&test),
    };
    let mut hasher = blake3::Hasher::new();
    for number in [shape.height, shape.columns(), shape.channels, shape.classes] {
        hasher.update(&(number as u64).to_le_bytes());
    }
    for half in [&train, &test] {
        hasher.update(&u64::from(count(half)).to_le_bytes());
        hasher.update(half.labels());
        // Read halves are there already: no thread is needed to draw them.
        hasher.update(&half.images(1).pixels);
    }
    let id = format!("{kind}:{}", hasher.finalize().to_hex());
    Data::new(id, names, shape, [train, test], remarks)
}
