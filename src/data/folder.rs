//! Sets of image files: `train/CLASS/*.png` or `*.jpg` and `test/CLASS/...`, in a folder or in a
//! .tar or .tar.gz.
//!
//! The rule kept here: a folder and an archive of it are the same set. One folder above `train/`
//! is allowed in both. What is read of a file, and of an archive, is bounded.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::files::{GZIP, MOST_SAMPLES};
use super::gallery::{Gallery, HALVES, Place};
use super::{Data, DataError};

/// The most bytes of an image file.
const MOST_FILE: u64 = 4 << 20;

/// The most bytes that an archive may unpack to: 20 times that of CIFAR-10 in small files.
const MOST_UNPACKED: u64 = 2 << 30;

/// Opens the folder or the archive at `path`.
///
/// # Errors
/// The first thing that is wrong, with the image or the folder it is wrong with.
pub(super) fn open(path: &Path) -> Result<Data, DataError> {
    let mut gallery = Gallery::new(path);
    if path.is_dir() {
        walk(path, &mut gallery)?;
    } else {
        unpack(path, &mut gallery)?;
    }
    gallery.set()
}

fn unreadable(file: &Path) -> impl Fn(io::Error) -> DataError {
    |source| DataError::Unreadable { file: file.to_owned(), source }
}

/// Adds the images of a folder.
fn walk(dir: &Path, gallery: &mut Gallery<'_>) -> Result<(), DataError> {
    let top = top(dir, gallery)?;
    for half in HALVES.iter().filter(|half| top.join(half).is_dir()) {
        for class in names(&top.join(half), gallery)? {
            let folder = top.join(half).join(&class);
            if !folder.is_dir() {
                continue;
            }
            gallery.add_folder(&format!("{half}/{class}"));
            for name in names(&folder, gallery)? {
                let file = folder.join(&name);
                if let Some((_, place)) = Place::of(&format!("{half}/{class}/{name}"))
                    && file.is_file()
                {
                    let input = File::open(&file).map_err(unreadable(&file))?;
                    let bytes = read(input, &place, gallery)?.map_err(unreadable(&file))?;
                    gallery.add(place, &bytes)?;
                }
            }
        }
    }
    Ok(())
}

/// The folder that holds `train`: this one, or the only one in it that does.
fn top(dir: &Path, gallery: &Gallery<'_>) -> Result<PathBuf, DataError> {
    let holds = |dir: &PathBuf| dir.join(HALVES[0]).is_dir();
    if holds(&dir.to_owned()) {
        return Ok(dir.to_owned());
    }
    let mut inner = names(dir, gallery)?.into_iter().map(|name| dir.join(name)).filter(holds);
    match (inner.next(), inner.next()) {
        (Some(top), None) => Ok(top),
        (None, _) => Err(gallery.layout("no folder train/".to_owned())),
        (Some(_), Some(_)) => Err(gallery.layout("more than one folder with a train/".to_owned())),
    }
}

/// The names in a folder, sorted, so that an error is the same wherever it is met.
fn names(dir: &Path, gallery: &Gallery<'_>) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable(dir))? {
        let name = entry.map_err(unreadable(dir))?.file_name();
        let no_text = |name| {
            gallery.layout(format!("{}: a name that is not UTF-8", dir.join(name).display()))
        };
        names.push(name.into_string().map_err(no_text)?);
        if names.len() > MOST_SAMPLES {
            return Err(
                gallery.layout(format!("more than {MOST_SAMPLES} files in {}", dir.display()))
            );
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The bytes of an image file; the inner error is that of the input.
fn read(
    input: impl Read,
    place: &Place,
    gallery: &Gallery<'_>,
) -> Result<io::Result<Vec<u8>>, DataError> {
    let mut bytes = Vec::new();
    let done = input.take(MOST_FILE + 1).read_to_end(&mut bytes);
    if bytes.len() as u64 > MOST_FILE {
        return Err(gallery.layout(format!("{}: more than {MOST_FILE} bytes", place.path())));
    }
    Ok(done.map(|_| bytes))
}

/// Adds the images of an archive, packed with gzip or not, which its first bytes tell.
fn unpack(file: &Path, gallery: &mut Gallery<'_>) -> Result<(), DataError> {
    let mut input = BufReader::new(File::open(file).map_err(unreadable(file))?);
    if input.fill_buf().map_err(unreadable(file))?.starts_with(&GZIP) {
        unpack_tar(file, MultiGzDecoder::new(input), gallery)
    } else {
        unpack_tar(file, input, gallery)
    }
}

fn unpack_tar(file: &Path, input: impl Read, gallery: &mut Gallery<'_>) -> Result<(), DataError> {
    let damaged = |source| DataError::Archive { file: file.to_owned(), source };
    let mut archive = tar::Archive::new(Bounded { input, left: MOST_UNPACKED });
    let mut above: Option<Option<String>> = None;
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let path = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            gallery.add_folder(&String::from_utf8_lossy(&path));
            continue;
        }
        let Some((top, place)) = std::str::from_utf8(&path).ok().and_then(Place::of) else {
            continue;
        };
        if !(kind.is_file() || kind.is_contiguous()) {
            let way = "pack it with tar --dereference --hard-dereference";
            return Err(gallery.layout(format!("{} is a link: {way}", place.path())));
        }
        if *above.get_or_insert_with(|| top.map(str::to_owned)) != top.map(str::to_owned) {
            return Err(gallery.layout("more than one folder with a train/ or test/".to_owned()));
        }
        let size = entry.size();
        let bytes = read(entry, &place, gallery)?.map_err(damaged)?;
        if bytes.len() as u64 != size {
            return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        gallery.add(place, &bytes)?;
    }
    // What follows the last entry is only padding, but gzip checks its sum at the very end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(())
}

/// An input that fails when it gives more than it may.
struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.left = self.left.checked_sub(got as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {MOST_UNPACKED} bytes"))
        })?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests;
