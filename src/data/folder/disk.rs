//! A set in a folder of the file system.
//!
//! Rule: a spot is a path without links, so that a link back to a folder above is known as such.
//! Reads are bounded, and only files are opened.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{
    super::{
        error::DataError,
        files::{MOST_BYTES, MOST_FILE, MOST_SAMPLES},
        picture::ImageFlaw,
    },
    bounded::unreadable,
    shelf::{Each, Entry, Kind, Shelf},
};
use crate::text::shown_path;

/// A folder.
#[derive(Debug)]
pub(super) struct Disk<'a> {
    path: &'a Path,
    root: PathBuf,
}

impl<'a> Disk<'a> {
    /// The folder at `path`.
    ///
    /// # Errors
    /// If it cannot be found.
    pub(super) fn open(path: &'a Path) -> Result<Self, DataError> {
        let root = fs::canonicalize(path).map_err(unreadable(path))?;
        Ok(Self { path, root })
    }
}

impl Shelf for Disk<'_> {
    type Spot = PathBuf;

    fn path(&self) -> &Path {
        self.path
    }

    fn root(&self) -> PathBuf {
        self.root.clone()
    }

    fn list(&self, folder: &PathBuf) -> Result<Vec<Entry<PathBuf>>, DataError> {
        let mut entries = Vec::new();
        for found in fs::read_dir(folder).map_err(unreadable(folder))? {
            let found = found.map_err(unreadable(folder))?;
            let name = found.file_name().as_encoded_bytes().to_vec();
            let (spot, kind) = kind(&found).map_err(unreadable(&found.path()))?;
            entries.push(Entry { name, spot, kind });
            if entries.len() > MOST_SAMPLES {
                let folder = shown_path(folder);
                return Err(self.layout(format!("more than {MOST_SAMPLES} files in {folder}")));
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn holds(&self, outer: &PathBuf, inner: &PathBuf) -> bool {
        inner.starts_with(outer)
    }

    fn read(&self, files: &[&PathBuf], each: &mut Each<'_>) -> Result<(), DataError> {
        let mut bytes = Vec::new();
        for (i, file) in files.iter().enumerate() {
            bytes.clear();
            let read = File::open(file)
                .and_then(|input| input.take(MOST_FILE + 1).read_to_end(&mut bytes));
            read.map_err(unreadable(file))?;
            let heavy = bytes.len() as u64 > MOST_FILE;
            each(i, if heavy { Err(ImageFlaw::Heavy) } else { Ok(&bytes) })?;
        }
        Ok(())
    }

    fn room(&self) -> u64 {
        2 * MOST_BYTES as u64
    }

    fn remark(&self) -> Option<String> {
        None
    }
}

/// The kind and the place of a name in a folder, links followed.
fn kind(found: &fs::DirEntry) -> io::Result<(PathBuf, Kind)> {
    let (mut spot, mut kind) = (found.path(), found.file_type()?);
    if kind.is_symlink() {
        // A link to nothing, to itself, or to where nobody may look.
        let Ok((path, target)) = fs::canonicalize(&spot).and_then(|path| {
            let target = fs::metadata(&path)?;
            Ok((path, target))
        }) else {
            return Ok((spot, Kind::Dangling));
        };
        (spot, kind) = (path, target.file_type());
    }
    let kind = match (kind.is_dir(), kind.is_file()) {
        (true, _) => Kind::Folder,
        (_, true) => Kind::File,
        _ => Kind::Other,
    };
    Ok((spot, kind))
}
