//! Sets of image files: `train/CLASS/*.png` or `*.jpg` and `test/CLASS/...`, in a folder or in a
//! .tar or .tar.gz.
//!
//! Rule: a folder and an archive of it are the same set. One folder above `train/` is allowed in
//! both. What is read of a file, and of an archive, is bounded.

mod disk;
mod shelf;
mod tape;
mod tree;

use std::io::{self, Read};
use std::path::Path;

use super::{Data, DataError, forms, gallery};
use disk::Disk;
use shelf::survey;
pub(super) use shelf::{HALVES, Image, Shelf, Survey};
use tape::Tape;

/// The most bytes of an image file.
pub(super) const MOST_FILE: u64 = 4 << 20;

/// The most bytes that an archive may unpack to: 20 times that of CIFAR-10 in small files.
const MOST_UNPACKED: u64 = 2 << 30;

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

fn unreadable(file: &Path) -> impl Fn(io::Error) -> DataError {
    |source| DataError::Unreadable { file: file.to_owned(), source }
}

/// An input that fails when it gives more than it may.
struct Bounded<R> {
    input: R,
    most: u64,
    left: u64,
}

impl<R> Bounded<R> {
    fn new(input: R, most: u64) -> Self {
        Self { input, most, left: most }
    }

    fn into_inner(self) -> R {
        self.input
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.left = self.left.checked_sub(got as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {} bytes", self.most))
        })?;
        Ok(got)
    }
}

#[cfg(test)]
mod odd_tests;
#[cfg(test)]
mod tests;
