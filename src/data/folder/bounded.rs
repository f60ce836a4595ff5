//! Reads that fail instead of going on for ever.
//!
//! Rule: an error names the file.

use std::{
    io::{self, Read},
    path::Path,
};

use super::super::error::DataError;

/// The most bytes that an archive may unpack to: 20 times that of CIFAR-10 in small files.
pub(super) const MOST_UNPACKED: u64 = 2 << 30;

/// The error of a file that cannot be read.
pub(super) fn unreadable(file: &Path) -> impl Fn(io::Error) -> DataError {
    |source| DataError::Unreadable { file: file.to_owned(), source }
}

/// An input that fails when it gives more than it may.
pub(super) struct Bounded<R> {
    input: R,
    most: u64,
    left: u64,
}

impl<R> Bounded<R> {
    pub(super) fn new(input: R, most: u64) -> Self {
        Self { input, most, left: most }
    }

    pub(super) fn into_inner(self) -> R {
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
