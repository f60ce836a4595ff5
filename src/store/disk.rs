//! One run's part of a store: checkpoints that outlive the process.
//!
//! Rule: a blob is written to a temporary file, synced and renamed before the database names it,
//! so whatever the database names was complete once; what no longer has its hash is set aside, never
//! used. A damaged database is set aside too: the run goes on from what peers hold. Other things in
//! the folder are left alone, or set aside where they are in the way. One process at a time holds it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use ffp2p_proto::{Checkpoint, Hash};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition,
};

use super::{
    error::StoreError,
    files::{
        BLOBS, RUNS, check_format, clear, hold, io, is_blob, make_folder, read_blob, read_small,
        set_aside, write_whole,
    },
};
use crate::spec::{MAX_SPEC_BYTES, Spec};

/// (shard, steps done) to a checkpoint as JSON.
const CHECKPOINTS: TableDefinition<'_, (u16, u64), &[u8]> = TableDefinition::new("checkpoints");

/// A run found in a store, with its checkpoints.
#[derive(Debug)]
pub(crate) struct StoredRun {
    pub(crate) spec: Spec,
    /// Verified.
    pub(crate) checkpoints: Vec<(Checkpoint, Bytes)>,
}

/// A run found in a store, with what the database says of its checkpoints.
#[derive(Debug)]
pub(super) struct StoredFacts {
    pub(super) spec: Spec,
    /// `None` while another process holds the store.
    pub(super) checkpoints: Option<Vec<Checkpoint>>,
}

/// One run's part of a store, held by this process.
#[derive(Debug)]
pub struct Disk {
    store: PathBuf,
    blobs: PathBuf,
    path: PathBuf,
    database: Database,
    /// Holds the folder for as long as this lives.
    _lock: File,
}

impl Disk {
    /// Opens or makes the store `folder` for the run of `spec`, and holds it.
    ///
    /// # Errors
    /// If another process holds it, or it cannot be read or written.
    pub fn open(folder: &Path, spec: &Spec) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let lock = hold(folder)?;
        check_format(folder)?;
        clear(&folder.join("peers"), fs::Metadata::is_file)?;
        clear(&folder.join(RUNS), fs::Metadata::is_dir)?;
        let run = folder.join(RUNS).join(spec.run_id().to_string());
        clear(&run, fs::Metadata::is_dir)?;
        make_folder(&run)?;
        let file = run.join("spec.json");
        clear(&file, fs::Metadata::is_file)?;
        write_whole(&file, &spec.canonical())?;
        let disk = Self::in_run(folder, &run, lock)?;
        disk.sweep()?;
        Ok(disk)
    }

    fn in_run(folder: &Path, run: &Path, lock: File) -> Result<Self, StoreError> {
        let (blobs, path) = (run.join(BLOBS), run.join("facts.redb"));
        clear(&blobs, fs::Metadata::is_dir)?;
        make_folder(&blobs)?;
        clear(&path, fs::Metadata::is_file)?;
        let database = open_database(&path)?;
        let disk = Self { store: folder.to_owned(), blobs, path, database, _lock: lock };
        let begin = disk.database.begin_write().map_err(|e| disk.failed(&e))?;
        begin.open_table(CHECKPOINTS).map_err(|e| disk.failed(&e))?;
        begin.commit().map_err(|e| disk.failed(&e))?;
        Ok(disk)
    }

    /// The folder itself where it is a store, else the stores in it.
    pub(crate) fn stores(folder: &Path) -> Vec<PathBuf> {
        let is_store = |folder: &PathBuf| folder.join(RUNS).is_dir();
        let inner = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut inner: Vec<PathBuf> = inner.map(|entry| entry.path()).filter(is_store).collect();
        inner.sort();
        if inner.is_empty() || is_store(&folder.to_owned()) {
            vec![folder.to_owned()]
        } else {
            inner
        }
    }

    /// The runs in a store, for an export.
    ///
    /// # Errors
    /// If there is no store, another process holds it, or it cannot be read.
    pub(crate) fn runs(folder: &Path) -> Result<Vec<StoredRun>, StoreError> {
        let mut found = Vec::new();
        for (run, spec) in specs(folder)? {
            let checkpoints = Self::in_run(folder, &run, hold(folder)?)?.checkpoints()?;
            found.push(StoredRun { spec, checkpoints });
        }
        Ok(found)
    }

    /// The runs in a store, for a list.
    ///
    /// # Errors
    /// If there is no store, or it cannot be read.
    pub(super) fn facts(folder: &Path) -> Result<Vec<StoredFacts>, StoreError> {
        let mut found = Vec::new();
        for (run, spec) in specs(folder)? {
            let checkpoints = match hold(folder) {
                Ok(lock) => Some(Self::in_run(folder, &run, lock)?.named()?),
                Err(StoreError::InUse(_)) => None,
                Err(error) => return Err(error),
            };
            found.push(StoredFacts { spec, checkpoints });
        }
        Ok(found)
    }

    /// The store that it is a part of.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.store
    }

    fn failed(&self, error: &dyn std::error::Error) -> StoreError {
        failed(&self.path, error)
    }

    /// The folder of its blobs.
    pub(crate) fn blobs(&self) -> &Path {
        &self.blobs
    }

    fn blob(&self, hash: Hash) -> PathBuf {
        self.blobs.join(hash.to_string())
    }

    /// Puts a checkpoint on disk; it survives the process from the moment this returns.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(crate) fn keep(&self, checkpoint: &Checkpoint, bytes: &Bytes) -> Result<(), StoreError> {
        let path = self.blob(checkpoint.blob.hash);
        let blob = checkpoint.blob;
        if !matches!(read_blob(&self.blobs, blob.hash, blob.size), Ok(Some(_))) {
            clear(&path, fs::Metadata::is_file)?;
            write_whole(&path, bytes)?;
        }
        let fact = serde_json::to_vec(checkpoint).map_err(|e| self.failed(&e))?;
        self.change(|table| {
            table.insert((checkpoint.shard.0, checkpoint.step), fact.as_slice())?;
            Ok(())
        })
    }

    /// Takes a blob, and the checkpoints that name it, off the disk.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(super) fn forget(&self, hash: Hash) -> Result<(), StoreError> {
        let path = self.blob(hash);
        if !path.exists() {
            return Ok(());
        }
        self.change(|table| {
            table.retain(|_, fact| parse(fact).is_some_and(|kept| kept.blob.hash != hash))?;
            Ok(())
        })?;
        fs::remove_file(&path).map_err(|source| StoreError::Io { path, source })
    }

    /// Removes what a crash left half done: files of blobs that no fact names, facts without a file.
    /// Other things stay, and so do things that were set aside.
    fn sweep(&self) -> Result<(), StoreError> {
        let mut named = BTreeSet::new();
        self.change(|table| {
            table.retain(|_, fact| {
                let blob = parse(fact).map(|kept| self.blob(kept.blob.hash));
                let file = blob.filter(|path| path.is_file());
                let stays = file.is_some();
                named.extend(file);
                stays
            })
        })?;
        for entry in fs::read_dir(&self.blobs).map_err(io(&self.blobs))?.flatten() {
            let path = entry.path();
            if !is_blob(&path) || named.contains(&path) {
                tracing::debug!(path = %path.display(), "stays");
            } else if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a file of no use stays");
            }
        }
        Ok(())
    }

    fn change(
        &self,
        change: impl FnOnce(&mut redb::Table<'_, (u16, u64), &[u8]>) -> Result<(), StorageError>,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(|e| self.failed(&e))?;
        {
            let mut table = write.open_table(CHECKPOINTS).map_err(|e| self.failed(&e))?;
            change(&mut table).map_err(|e| self.failed(&e))?;
        }
        write.commit().map_err(|e| self.failed(&e))
    }

    /// The checkpoints on disk; one whose bytes lost their hash is set aside.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub(crate) fn checkpoints(&self) -> Result<Vec<(Checkpoint, Bytes)>, StoreError> {
        let mut found = Vec::new();
        for checkpoint in self.named()? {
            let path = self.blob(checkpoint.blob.hash);
            match read_blob(&self.blobs, checkpoint.blob.hash, checkpoint.blob.size) {
                Ok(Some(bytes)) => found.push((checkpoint, bytes)),
                Ok(None) => {
                    tracing::warn!(path = %path.display(), "a stored checkpoint is damaged; set aside");
                    set_aside(&path)?;
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a stored checkpoint is not used");
                }
            }
        }
        Ok(found)
    }

    /// The checkpoints that the database names.
    fn named(&self) -> Result<Vec<Checkpoint>, StoreError> {
        let read = self.database.begin_read().map_err(|e| self.failed(&e))?;
        let table = read.open_table(CHECKPOINTS).map_err(|e| self.failed(&e))?;
        let mut named = Vec::new();
        for entry in table.iter().map_err(|e| self.failed(&e))? {
            let (_, fact) = entry.map_err(|e| self.failed(&e))?;
            named.extend(parse(fact.value()));
        }
        Ok(named)
    }
}

/// Opens or makes the database; one that is damaged is set aside, and a new one made.
fn open_database(path: &Path) -> Result<Database, StoreError> {
    // A plain open trusts the file and may panic over a damaged one.
    let open = || Builder::new().set_check_integrity_on_open(true).create(path);
    match open() {
        Err(error) if is_damage(&error) => {
            tracing::warn!(path = %path.display(), %error, "the database is damaged; set aside");
            set_aside(path)?;
            open().map_err(|error| failed(path, &error))
        }
        opened => opened.map_err(|error| failed(path, &error)),
    }
}

/// Whether the file is to blame, and not the system it is on.
fn is_damage(error: &DatabaseError) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    if let DatabaseError::Storage(StorageError::Io(error)) = error {
        return matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof);
    }
    matches!(
        error,
        DatabaseError::Storage(StorageError::Corrupted(_))
            | DatabaseError::UpgradeRequired(_)
            | DatabaseError::RepairAborted
    )
}

fn parse(fact: &[u8]) -> Option<Checkpoint> {
    serde_json::from_slice(fact).ok()
}

fn failed(path: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::Database { path: path.to_owned(), reason: error.to_string() }
}

/// The folders of the runs in a store, by run id, with their specs.
fn specs(folder: &Path) -> Result<Vec<(PathBuf, Spec)>, StoreError> {
    let runs = folder.join(RUNS);
    let entries = fs::read_dir(&runs).map_err(|_| StoreError::Missing(folder.to_owned()))?;
    check_format(folder)?;
    let runs = entries.flatten().map(|entry| entry.path());
    let found = runs.filter_map(|run| Some((read_spec(&run.join("spec.json"))?, run)));
    let mut found: Vec<_> = found.map(|(spec, run)| (run, spec)).collect();
    found.sort_by_key(|(_, spec)| spec.run_id());
    Ok(found)
}

fn read_spec(path: &Path) -> Option<Spec> {
    let bytes = read_small(path, MAX_SPEC_BYTES as u64)?;
    Spec::from_canonical(&bytes).ok()
}
