//! The measures of a data set, and the kind that its id tells.
//!
//! Rule: an id begins with its kind, as that is typed.

use super::files::Frame;

/// Prefix of the id of private data.
pub(crate) const PRIVATE: &str = "private:";

/// Prefixes of the ids of sets, each as its kind is typed.
const KINDS: [&str; 6] = ["digits", "mnist", "cifar10", "folder", "npz", "private"];

/// The kind of a set whose kind this program does not know.
pub(crate) const UNKNOWN: &str = "unknown";

/// The kind of the set that has this id, which may come from a stranger.
pub(crate) fn kind_of(id: &str) -> &'static str {
    let kind = id.split(':').next().unwrap_or_default();
    KINDS.into_iter().find(|known| *known == kind).unwrap_or(UNKNOWN)
}

/// The measures of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pixels of a sample: the planes of an image one after the other, each row by row.
    pub width: usize,
    /// Rows of an image.
    pub height: usize,
    /// Planes of an image: 1 for grey, 3 for colour.
    pub channels: usize,
    /// Labels run from 0 to `classes - 1`.
    pub classes: usize,
    /// Samples to learn from.
    pub train: u32,
    /// Samples to be scored on.
    pub test: u32,
}

impl Shape {
    /// Pixels of a row of an image.
    pub fn columns(&self) -> usize {
        self.width / (self.height * self.channels)
    }

    /// The order of an image's pixels.
    pub(super) fn frame(&self) -> Frame {
        Frame { height: self.height, columns: self.columns(), channels: self.channels }
    }

    /// The form of an image, in words.
    pub(crate) fn form(&self) -> String {
        self.frame().to_string()
    }
}
