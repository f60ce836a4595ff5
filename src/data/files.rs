//! What sets that are read from files share: how pixels lie, and the id.
//!
//! The rule kept here: a set's id is a hash of what a run depends on, its measures, labels and
//! pixels, in the order of the samples. Paths, file names and packing differ between machines;
//! the id does not.

use super::{Data, Half, Shape};

/// How the pixels of an image lie: plane by plane, each row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) height: usize,
    pub(super) columns: usize,
    /// 1 for grey, 3 for red, green and blue, in this order.
    pub(super) channels: usize,
}

impl Frame {
    /// Pixels of all planes.
    pub(super) fn width(self) -> usize {
        self.height * self.columns * self.channels
    }
}

/// The set of two halves whose images all lie as `frame` says.
pub(super) fn set(kind: &str, frame: Frame, classes: usize, train: Half, test: Half) -> Data {
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
    Data::new(format!("{kind}:{}", hasher.finalize().to_hex()), shape, train, test)
}
