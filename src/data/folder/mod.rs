//! Sets of image files: `train/CLASS/*.png` or `*.jpg` and `test/CLASS/...`, in a folder or in a
//! .tar or .tar.gz.
//!
//! Rule: a folder and an archive of it are the same set. One folder above `train/` is allowed in
//! both. Reads of a file, and of an archive, are bounded.

mod bounded;
mod disk;
pub(super) mod shelf;
mod tape;
mod tree;

use std::path::Path;

use super::{error::DataError, forms, gallery, set::Data};
use disk::Disk;
use shelf::survey;
use tape::Tape;

/// Opens the folder or the archive at `path`. With `test_only` it may lack `train/`; then there is
/// nothing to train on, and the classes are those of `test/`.
///
/// # Errors
/// The first thing that is wrong, with the image or the folder it is wrong with.
pub(super) fn open(path: &Path, test_only: bool) -> Result<Data, DataError> {
    if path.is_dir() {
        let disk = Disk::open(path)?;
        return gallery::hang(&disk, survey(&disk, test_only)?);
    }
    if !path.exists() {
        return Err(DataError::Absent { path: path.to_owned() });
    }
    let form = forms::of_file(path);
    if !matches!(form.is, forms::GZIP | forms::TAR | forms::UNKNOWN) {
        return Err(DataError::Form { path: path.to_owned(), form });
    }
    let tape = Tape::open(path)?;
    gallery::hang(&tape, survey(&tape, test_only)?)
}

#[cfg(test)]
mod odd_tests;
#[cfg(test)]
mod tests;
