//! The temporary file for blobs that memory has no room for.
//!
//! Rule: it has no name, so it is gone with the process, however that ends. A place is used again as
//! soon as it is free, so the file is never longer than what lay in it at one time, cut by sizes.
//! The reader has to check the hash.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Result, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Bytes written at once.
const PIECE: usize = 1 << 20;

/// A blob's place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Offset from the beginning of the file, bytes.
    at: u64,
    /// Bytes.
    size: u64,
}

/// The free places. Blobs of a run have few different sizes, so a place is used for one of the same
/// size, and none is cut up.
#[derive(Debug, Default)]
pub(super) struct Places {
    free: BTreeMap<u64, Vec<u64>>,
    end: u64,
}

impl Place {
    /// Its size in bytes.
    pub(super) fn size(self) -> u64 {
        self.size
    }

    /// A part of it; `None` when it is shorter.
    pub(super) fn part(self, offset: u64, size: u64) -> Option<Self> {
        let fits = offset.checked_add(size).is_some_and(|end| end <= self.size);
        fits.then(|| Self { at: self.at + offset, size })
    }
}

impl Places {
    /// A place of `size` bytes.
    pub(super) fn take(&mut self, size: u64) -> Place {
        if let Some(at) = self.free.get_mut(&size).and_then(Vec::pop) {
            return Place { at, size };
        }
        let at = self.end;
        self.end += size;
        Place { at, size }
    }

    /// Frees a place.
    pub(super) fn give_back(&mut self, place: Place) {
        self.free.entry(place.size).or_default().push(place.at);
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Spill(Mutex<File>);

impl Spill {
    /// A file in `folder`, or in the system's folder for temporary files.
    ///
    /// # Errors
    /// If there can be none.
    pub(super) fn create(folder: Option<&Path>) -> Result<Self> {
        let file = folder.map_or_else(tempfile::tempfile, tempfile::tempfile_in)?;
        Ok(Self(Mutex::new(file)))
    }

    /// Writes a blob to a place of its size, a piece at a time: a reader does not wait for all of it.
    ///
    /// # Errors
    /// If the disk is full or broken.
    pub(super) fn write(&self, place: Place, bytes: &[u8]) -> Result<()> {
        let mut at = place.at;
        for piece in bytes.chunks(PIECE) {
            let mut file = self.file();
            file.seek(SeekFrom::Start(at))?;
            file.write_all(piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Reads the bytes of a place, unchecked.
    ///
    /// # Errors
    /// If the disk is broken.
    pub(super) fn read(&self, place: Place) -> Result<Bytes> {
        let mut bytes = vec![0; place.size as usize];
        let mut file = self.file();
        file.seek(SeekFrom::Start(place.at))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }

    /// Fails as a disk does: nothing that was written is there any more.
    #[cfg(test)]
    pub(super) fn spoil(&self) {
        self.file().set_len(0).unwrap();
    }

    fn file(&self) -> MutexGuard<'_, File> {
        // Every use begins with a seek, so a poisoned lock still guards a good file.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ffp2p_proto::Hash;

    use super::*;

    #[test]
    fn places_are_used_again_and_never_shared() {
        let (mut places, spill) = (Places::default(), Spill::create(None).unwrap());
        let blob = |number: u8| vec![number; if number.is_multiple_of(3) { 1_000 } else { 10 }];
        let mut held: Vec<(Place, Hash)> = Vec::new();
        for number in 0..200 {
            let bytes = blob(number);
            let place = places.take(bytes.len() as u64);
            spill.write(place, &bytes).unwrap();
            held.push((place, Hash::of(&bytes)));
            if held.len() > 6 {
                let (place, hash) = held.remove(usize::from(number) % 5);
                assert_eq!(Hash::of(&spill.read(place).unwrap()), hash);
                places.give_back(place);
            }
        }
        for (place, hash) in held {
            assert_eq!(Hash::of(&spill.read(place).unwrap()), hash);
            let part = spill.read(place.part(2, 8).unwrap()).unwrap();
            assert_eq!(part, spill.read(place).unwrap().slice(2..10));
            assert_eq!(place.part(3, place.size - 2), None);
        }
        assert!(places.end < 10_000, "{places:?}");
    }
}
