//! The errors of data sets, in words that say what to do next.
//!
//! Rule: a message names the file and the place in it, what was expected and what was found, and
//! ends with the way out.

use std::path::{Path, PathBuf};

use super::{
    forms::{self, Form},
    found::counted,
    names::{FORMS, MOST_DIGITS},
    picture::ImageFlaw,
};
use crate::text::{shown, shown_path};

/// Characters of what a library says of a file, at most: some say the file itself.
const MOST_SAID: usize = 120;

/// A library's error about a file, in one line.
fn start_of(text: &str) -> String {
    let text = text.split("when getting").next().unwrap_or_default();
    shown(text.trim_end()).chars().take(MOST_SAID).collect()
}

/// The reason why a data set cannot be named or opened.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The text does not begin with a data set this program knows.
    #[error("unknown data set `{}`: write one of {}", shown(given), FORMS.join(", "))]
    Unknown {
        /// The text as it was written.
        given: String,
    },
    /// The text is the path of something, without the kind of set before it.
    #[error("`{}` is {}: {way}", shown(given), form.is)]
    Bare {
        /// The text as it was written.
        given: String,
        /// The content found.
        form: Form,
        /// The name to write.
        way: String,
    },
    /// There is nothing at the path.
    #[error("{}: there is no such file or folder; {}", shown_path(path), absent(path))]
    Absent {
        /// The path.
        path: PathBuf,
    },
    /// The path leads to no set of the kind that was asked for.
    #[error("{}: it is {}; {}", shown_path(path), form.is, form.way)]
    Form {
        /// The path.
        path: PathBuf,
        /// The content found, and the way out.
        form: Form,
    },
    /// The sizes or the seed of a generated set are not numbers, or out of bounds.
    #[error(
        "`{}`: write digits:TRAIN+TEST or digits:TRAIN+TEST:SEED, both sizes from 1 to \
         {MOST_DIGITS}, as in digits:6000+1000",
        shown(given)
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
    /// A file of the set is not in the folder under any of its known names.
    #[error("{}: found none of {names}; {way}", shown_path(dir))]
    Missing {
        /// The folder that was searched.
        dir: PathBuf,
        /// The names that were tried.
        names: String,
        /// The way out.
        way: &'static str,
    },
    /// The system refused to open a file.
    #[error("{}: {source}; check that the file may be read", shown_path(file))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file does not hold what its format demands.
    #[error(
        "{}: at byte {at}: expected {expected}, found {found}; replace the file with a fresh copy",
        shown_path(file)
    )]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The place, counted in unpacked bytes.
        at: u64,
        /// The content expected.
        expected: String,
        /// The content found.
        found: String,
    },
    /// The images and the labels of one half differ in number.
    #[error(
        "{} holds {image_count} images but {} holds {label_count} labels; take both files from \
         one copy of the data set",
        shown_path(images),
        shown_path(labels)
    )]
    Uneven {
        /// The file of images.
        images: PathBuf,
        /// The number of images in it.
        image_count: usize,
        /// The file of labels.
        labels: PathBuf,
        /// The number of labels in it.
        label_count: usize,
    },
    /// The images of a set do not lie as they should.
    #[error(
        "{}: {reason}; a set of images is train/<class>/*.png or *.jpg and test/<class>/..., in a \
         folder, a .tar or a .tar.gz",
        shown_path(set)
    )]
    Layout {
        /// The folder or the archive.
        set: PathBuf,
        /// The problem.
        reason: String,
    },
    /// An image cannot be used.
    #[error("{}: {name} {flaw}{}", shown_path(set), more_like_it(*more))]
    Image {
        /// The folder or the archive.
        set: PathBuf,
        /// The image's name in it.
        name: String,
        /// The problem, and the way out.
        flaw: ImageFlaw,
        /// The number of others that cannot be used either.
        more: usize,
    },
    /// The images differ.
    #[error(
        "{}: {reason}; make all of one size and kind, in a copy of the folder, as with \
         `mogrify -resize '64x64!' -type TrueColor -define png:color-type=2 FILES`",
        shown_path(set)
    )]
    Mixed {
        /// The folder or the archive.
        set: PathBuf,
        /// The number of sizes, and the sizes.
        reason: String,
    },
    /// An archive is cut, damaged, too large, or none.
    #[error(
        "{}: it is not an archive that can be read ({}); pack train/ and test/ again as a .tar or a \
         .tar.gz",
        shown_path(file), start_of(&source.to_string())
    )]
    Archive {
        /// The archive.
        file: PathBuf,
        /// The problem.
        source: std::io::Error,
    },
    /// A file of arrays does not hold what it should.
    #[error(
        "{}: {reason}; save it with numpy.savez_compressed(FILE, x_train=..., y_train=..., \
         x_test=..., y_test=...)",
        shown_path(file)
    )]
    Npz {
        /// The file.
        file: PathBuf,
        /// The problem, and the array that has it.
        reason: String,
    },
}

impl DataError {
    /// There should be a folder at `path`; what to do otherwise.
    pub(super) fn no_folder(path: &Path, way: &'static str) -> Self {
        let path = path.to_owned();
        if !path.exists() {
            return Self::Absent { path };
        }
        let is = forms::of_file(&path).is;
        Self::Form { path, form: Form { is, way } }
    }
}

fn more_like_it(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" ({} cannot be used either)", counted(more, "other image")),
    }
}

/// Advice where there is nothing at a path.
fn absent(path: &Path) -> String {
    if path.to_string_lossy().starts_with('~') {
        return "only ~ and ~/ stand for your own home folder; write the whole path".to_owned();
    }
    let here = std::env::current_dir().ok().filter(|_| path.is_relative());
    match here {
        Some(here) => {
            format!("write its path as seen from {}, or the whole one", shown_path(&here))
        }
        None => "write the path of what is there".to_owned(),
    }
}
