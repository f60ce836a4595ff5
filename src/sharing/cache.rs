//! The data sets that were fetched, in a folder of the user's.
//!
//! Rule: a set lies under its id, and every byte of it is compared with the id whenever it is read. One
//! process at a time writes a set; what a killed one has written counts for the next.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy as _;
use ffp2p_net::create_private_folder;
use ffp2p_proto::Hash;

use super::error::SharingError;
use crate::{
    atomic_file,
    data::{
        Data,
        assembly::Assembly,
        kind_of,
        manifest::{MOST_MANIFEST, Manifest, PIECE},
    },
};

/// The manifest of a set.
const MANIFEST: &str = "manifest.json";

/// The pieces of a set, one after the other, once all are there.
const CONTENT: &str = "content";

/// The same, as far as they are there.
const PARTIAL: &str = "content.part";

/// Digits of an id by which its folder goes.
const NAME: usize = 16;

/// The folder of fetched data sets.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

/// A data set in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedSet {
    /// Its name: kind and first digits of its id.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Whether all of it is there.
    pub is_complete: bool,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SharingError {
    let path = path.to_owned();
    |source| SharingError::Io { path, source }
}

/// The hash in a set's id.
pub(super) fn hash_in(id: &str) -> Option<Hash> {
    id.split_once(':').and_then(|(_, digits)| Hash::from_hex(digits))
}

impl Cache {
    /// The folder of this user: `ffp2p/data` in `$XDG_CACHE_HOME` (`~/.cache` by default).
    ///
    /// # Errors
    /// If the user has no home.
    pub fn of_user() -> Result<Self, SharingError> {
        let home = etcetera::choose_base_strategy()
            .map_err(|error| SharingError::NoHome(error.to_string()))?;
        Ok(Self(home.cache_dir().join("ffp2p").join("data")))
    }

    /// The folder `path`.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn folder(&self, id: &str) -> Option<PathBuf> {
        let digits: String = hash_in(id)?.to_string().chars().take(NAME).collect();
        Some(self.0.join(format!("{}-{digits}", kind_of(id))))
    }

    /// The set with this id, if all of it is here and sound.
    #[must_use]
    pub fn open(&self, id: &str) -> Option<Data> {
        let folder = self.folder(id)?;
        let manifest = read_manifest(&folder, id)?;
        let read = File::open(folder.join(CONTENT)).and_then(|file| assemble(id, &manifest, file));
        read.ok().flatten().filter(|data| data.id() == id)
    }

    /// The manifest of a set that is here in part.
    pub(super) fn manifest(&self, id: &str) -> Option<Manifest> {
        read_manifest(&self.folder(id)?, id)
    }

    /// Goes on with a set of this manifest, or begins it. Waits while another process writes it, and then
    /// finds it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(super) fn begin(&self, id: &str, manifest: Manifest) -> Result<Begun, SharingError> {
        let folder = self.folder(id).ok_or_else(|| SharingError::Malformed(id.to_owned()))?;
        create_private_folder(&folder).map_err(failed(&folder))?;
        let path = folder.join(PARTIAL);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(failed(&path))?;
        file.lock().map_err(failed(&path))?;
        if let Some(data) = self.open(id) {
            return Ok(Begun::Whole(data));
        }
        let at = folder.join(MANIFEST);
        atomic_file::replace(&at, &manifest.to_bytes()).map_err(failed(&at))?;
        Partial::of(id, folder, file, manifest).map(Begun::Partial)
    }

    /// The sets that are here, by name.
    #[must_use]
    pub fn list(&self) -> Vec<CachedSet> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let set = |entry: fs::DirEntry| {
            let (folder, name) = (entry.path(), entry.file_name().into_string().ok()?);
            let len = |file: &str| fs::metadata(folder.join(file)).map_or(0, |meta| meta.len());
            let is_complete = folder.join(CONTENT).is_file();
            let bytes = len(MANIFEST) + len(CONTENT) + len(PARTIAL);
            (bytes > 0).then_some(CachedSet { name, folder, bytes, is_complete })
        };
        let mut sets: Vec<_> = entries.filter_map(set).collect();
        sets.sort_by(|a, b| a.name.cmp(&b.name));
        sets
    }

    /// Removes the only set whose name begins so.
    ///
    /// # Errors
    /// If there is none, or several, or it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<CachedSet, SharingError> {
        let mut found = self.list().into_iter().filter(|set| set.name.starts_with(name));
        match (found.next(), found.next()) {
            (Some(set), None) => {
                fs::remove_dir_all(&set.folder).map_err(failed(&set.folder))?;
                Ok(set)
            }
            _ => Err(SharingError::Unknown(name.to_owned())),
        }
    }
}

/// The manifest in a folder, if it is that of the id.
fn read_manifest(folder: &Path, id: &str) -> Option<Manifest> {
    let mut bytes = Vec::new();
    let file = File::open(folder.join(MANIFEST)).ok()?;
    file.take(MOST_MANIFEST as u64 + 1).read_to_end(&mut bytes).ok()?;
    (hash_in(id) == Some(Hash::of(&bytes))).then(|| Manifest::read(&bytes))?
}

/// Reads a set piece by piece; `None` if a piece is not what the manifest says.
fn assemble(id: &str, manifest: &Manifest, mut file: File) -> io::Result<Option<Data>> {
    let mut assembly = Assembly::new(manifest);
    let mut piece = Vec::with_capacity(PIECE);
    for number in 0..manifest.hashes().count() {
        piece.resize(manifest.piece_len(number), 0);
        file.read_exact(&mut piece)?;
        if !assembly.push(&piece) {
            return Ok(None);
        }
    }
    Ok(assembly.finish(kind_of(id)))
}

/// A set that was asked for.
#[derive(Debug)]
pub(super) enum Begun {
    Whole(Data),
    Partial(Partial),
}

/// A set that is not all there.
#[derive(Debug)]
pub(super) struct Partial {
    id: String,
    folder: PathBuf,
    /// Locked.
    file: File,
    manifest: Manifest,
    missing: Vec<usize>,
}

impl Partial {
    /// Compares what is there with the manifest.
    fn of(
        id: &str,
        folder: PathBuf,
        mut file: File,
        manifest: Manifest,
    ) -> Result<Self, SharingError> {
        let path = folder.join(PARTIAL);
        let len = manifest.content_len() as u64;
        let had = file.metadata().map_err(failed(&path))?.len().min(len);
        file.set_len(len).map_err(failed(&path))?;
        let (mut missing, mut piece) = (Vec::new(), Vec::with_capacity(PIECE));
        for (number, hash) in manifest.hashes().enumerate() {
            piece.resize(manifest.piece_len(number), 0);
            let is_there = ((number * PIECE) as u64) < had;
            if is_there {
                file.read_exact(&mut piece).map_err(failed(&path))?;
            }
            if !is_there || blake3::hash(&piece) != blake3::Hash::from(hash) {
                missing.push(number);
            }
        }
        Ok(Self { id: id.to_owned(), folder, file, manifest, missing })
    }

    /// The hash and the number of each piece that was missing at the beginning.
    pub(super) fn missing(&self) -> Vec<(Hash, usize)> {
        let hashes: Vec<Hash> = self.manifest.hashes().map(Hash).collect();
        self.missing.iter().map(|&number| (hashes[number], number)).collect()
    }

    /// Bytes of all pieces.
    pub(super) fn len(&self) -> usize {
        self.manifest.content_len()
    }

    /// Bytes of piece `number`.
    pub(super) fn piece_len(&self, number: usize) -> usize {
        self.manifest.piece_len(number)
    }

    /// Puts a piece, whose hash was compared, at its place.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn put(&mut self, number: usize, bytes: &[u8]) -> Result<(), SharingError> {
        let written = self
            .file
            .seek(SeekFrom::Start((number * PIECE) as u64))
            .and_then(|_| self.file.write_all(bytes));
        written.map_err(failed(&self.folder.join(PARTIAL)))
    }

    /// All pieces are there: the set.
    ///
    /// # Errors
    /// If it cannot be read back, or is no set.
    pub(super) fn finish(mut self) -> Result<Data, SharingError> {
        let (from, to) = (self.folder.join(PARTIAL), self.folder.join(CONTENT));
        self.file.rewind().map_err(failed(&from))?;
        let file = self.file.try_clone().map_err(failed(&from))?;
        let data = assemble(&self.id, &self.manifest, file).map_err(failed(&from))?;
        let data = data.filter(|data| data.id() == self.id);
        if data.is_none() {
            // Whoever gave it this id wrote it so: it is of no use to anybody.
            fs::remove_file(&from).map_err(failed(&from))?;
        } else {
            fs::rename(&from, &to).map_err(failed(&to))?;
        }
        data.ok_or(SharingError::Malformed(self.id))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A set of several pieces, and a cache for it.
    fn set(folder: &Path) -> (Data, Cache) {
        let all: Vec<u32> = (0..3000).collect();
        let drawn = Data::open("digits:3000+40").unwrap().part(&all, 1);
        let manifest = drawn.manifest().unwrap();
        let mut assembly = Assembly::new(manifest);
        for number in 0..3 {
            assert!(assembly.push(&drawn.piece(number, 0, manifest.piece_len(number)).unwrap()));
        }
        (assembly.finish("npz").unwrap(), Cache::at(folder.join("cache")))
    }

    fn begin(cache: &Cache, data: &Data) -> Partial {
        match cache.begin(data.id(), data.manifest().unwrap().clone()).unwrap() {
            Begun::Partial(partial) => partial,
            Begun::Whole(_) => panic!("it is whole"),
        }
    }

    fn put(partial: &mut Partial, data: &Data, number: usize) {
        let bytes = data.piece(number, 0, partial.piece_len(number)).unwrap();
        partial.put(number, &bytes).unwrap();
    }

    #[test]
    fn a_set_is_there_once_all_of_it_is() {
        let place = tempfile::tempdir().unwrap();
        let (data, cache) = set(place.path());
        assert!(cache.open(data.id()).is_none() && cache.list().is_empty());
        let mut partial = begin(&cache, &data);
        let missing: Vec<usize> = partial.missing().into_iter().map(|(_, number)| number).collect();
        assert_eq!(missing, [0, 1, 2]);
        put(&mut partial, &data, 2);
        drop(partial);
        assert!(cache.open(data.id()).is_none() && !cache.list()[0].is_complete);
        let mut partial = begin(&cache, &data);
        assert_eq!(partial.missing().len(), 2, "one is there");
        (0..2).for_each(|number| put(&mut partial, &data, number));
        let read = partial.finish().unwrap();
        assert_eq!((read.id(), read.shape()), (data.id(), data.shape()));
        assert_eq!(read.train(1).row(2999), data.train(1).row(2999));
        let again = cache.begin(data.id(), data.manifest().unwrap().clone()).unwrap();
        assert!(matches!(again, Begun::Whole(_)));
        let name = &cache.list()[0].name;
        assert!(matches!(cache.remove("no"), Err(SharingError::Unknown(_))));
        assert!(cache.remove(&name[..9]).unwrap().is_complete && cache.list().is_empty());
    }

    #[test]
    fn a_damaged_set_is_not_there() {
        let place = tempfile::tempdir().unwrap();
        let (data, cache) = set(place.path());
        let mut partial = begin(&cache, &data);
        (0..3).for_each(|number| put(&mut partial, &data, number));
        partial.finish().unwrap();
        let content = cache.list()[0].folder.join(CONTENT);
        let mut bytes = fs::read(&content).unwrap();
        bytes[7] ^= 1;
        fs::write(&content, &bytes).unwrap();
        assert!(cache.open(data.id()).is_none());
        fs::write(&content, &bytes[..100]).unwrap();
        assert!(cache.open(data.id()).is_none());
        let partial = begin(&cache, &data);
        assert_eq!(partial.missing().len(), 3, "it is fetched again");
        for id in ["", "mnist", "mnist:12", "mnist:../../etc"] {
            assert!(cache.open(id).is_none() && cache.folder(id).is_none(), "{id}");
        }
    }
}
