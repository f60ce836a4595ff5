//! What can go wrong with a data set, told so that the reader knows what to do next.
//!
//! The rule kept here: a message names the file and the place in it, what was expected and what
//! was found, and ends with the way out.

use std::path::PathBuf;

use super::{ImageFlaw, MOST_DIGITS, Source};

/// Why a data set cannot be named or opened.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The text does not begin with a data set this program knows.
    #[error("unknown data set `{given}`: write one of {}", Source::FORMS.join(", "))]
    Unknown {
        /// The text as it was written.
        given: String,
    },
    /// The sizes or the seed of a generated set are not numbers, or out of bounds.
    #[error(
        "`{given}`: write digits:TRAIN+TEST or digits:TRAIN+TEST:SEED, both sizes from 1 to \
         {MOST_DIGITS}, as in digits:6000+1000"
    )]
    Sizes {
        /// The text as it was written.
        given: String,
    },
    /// A set of files without a place.
    #[error("`{kind}:` does not say where its files are: write the path, as in {kind}:data/{kind}")]
    NoPath {
        /// The set.
        kind: &'static str,
    },
    /// A file of the set is not in the folder under any of its usual names.
    #[error(
        "{}: found none of {names}; put the file there under such a name, or use `digits`, \
         which needs no files",
        dir.display()
    )]
    Missing {
        /// The folder that was searched.
        dir: PathBuf,
        /// The names that were tried.
        names: String,
    },
    /// The system refused to open a file.
    #[error("{}: {source}; check that the file may be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what its format demands.
    #[error(
        "{}: at byte {at}: expected {expected}, found {found}; replace the file with a fresh copy",
        file.display()
    )]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Where, counted in unpacked bytes.
        at: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The images and the labels of one half differ in number.
    #[error(
        "{} holds {image_count} images but {} holds {label_count} labels; take both files from \
         one copy of the data set",
        images.display(), labels.display()
    )]
    Uneven {
        /// The file of images.
        images: PathBuf,
        /// How many images it holds.
        image_count: usize,
        /// The file of labels.
        labels: PathBuf,
        /// How many labels it holds.
        label_count: usize,
    },
    /// The images of a set do not lie as they should.
    #[error(
        "{}: {reason}; a set of images is train/<class>/*.png or *.jpg and test/<class>/..., in a \
         folder, a .tar or a .tar.gz",
        set.display()
    )]
    Layout {
        /// The folder or the archive.
        set: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An image cannot be used.
    #[error("{}: {name} {flaw}", set.display())]
    Image {
        /// The folder or the archive.
        set: PathBuf,
        /// Where the image is in it.
        name: String,
        /// What is wrong with it, and what to do.
        flaw: ImageFlaw,
    },
    /// An archive is cut, damaged, too large, or none.
    #[error("{}: {source}; pack train/ and test/ again as a .tar or a .tar.gz", file.display())]
    Archive {
        /// The archive.
        file: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// A file of arrays does not hold what it should.
    #[error(
        "{}: {reason}; save it with numpy.savez_compressed(FILE, x_train=..., y_train=..., \
         x_test=..., y_test=...)",
        file.display()
    )]
    Npz {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and with which array.
        reason: String,
    },
}
