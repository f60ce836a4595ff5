//! A node's folder: checkpoints that outlive the process.
//!
//! Rule: a blob is written to a temporary file, synced and renamed before the database names it,
//! so whatever the database names was whole once; what no longer has its hash is set aside, never
//! used. One node at a time holds the folder.

use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use ffp2p_proto::{Checkpoint, Hash};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::spec::{MAX_SPEC_BYTES, Spec};

/// Grows when the folder's layout changes.
const FORMAT: &str = "ffp2p store 1";

/// (row, steps done) to a checkpoint as JSON.
const CHECKPOINTS: TableDefinition<'_, (u16, u64), &[u8]> = TableDefinition::new("checkpoints");

/// Why a store folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another node holds the folder.
    #[error("{0} is in use by another node; choose another --store, or stop that node")]
    InUse(PathBuf),
    /// The folder is something else, or of another version.
    #[error("{path} is not a store of this version ({found}); choose another --store")]
    Format {
        /// The folder.
        path: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}; check the folder's permissions and free space")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("{path}: {reason}; move the file away to start without it")]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// There is no such folder.
    #[error("{0}: there is no store in this folder")]
    Missing(PathBuf),
}

/// A run found in a store folder.
#[derive(Debug)]
pub struct StoredRun {
    /// What was trained.
    pub spec: Spec,
    /// Its checkpoints with their bytes, verified.
    pub checkpoints: Vec<(Checkpoint, Bytes)>,
}

/// One run's part of a store folder, held by this process.
#[derive(Debug)]
pub struct Disk {
    blobs: PathBuf,
    path: PathBuf,
    database: Database,
    /// Holds the folder for as long as this lives.
    _lock: File,
}

impl Disk {
    /// Opens or makes the folder for `spec`, and holds it.
    ///
    /// # Errors
    /// If another node holds it, or it cannot be read or written.
    pub fn open(folder: &Path, spec: &Spec) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let lock = hold(folder)?;
        check_format(folder)?;
        let run = folder.join("runs").join(spec.run_id().to_string());
        make_folder(&run)?;
        write_whole(&run.join("spec.json"), &spec.canonical())?;
        Self::in_run(&run, lock)
    }

    fn in_run(run: &Path, lock: File) -> Result<Self, StoreError> {
        let (blobs, path) = (run.join("blobs"), run.join("facts.redb"));
        make_folder(&blobs)?;
        let database = Database::create(&path).map_err(|e| failed(&path, &e))?;
        let disk = Self { blobs, path, database, _lock: lock };
        let begin = disk.database.begin_write().map_err(|e| disk.failed(&e))?;
        begin.open_table(CHECKPOINTS).map_err(|e| disk.failed(&e))?;
        begin.commit().map_err(|e| disk.failed(&e))?;
        Ok(disk)
    }

    /// The runs in a folder, for an export.
    ///
    /// # Errors
    /// If there is no store, a node holds it, or it cannot be read.
    pub fn runs(folder: &Path) -> Result<Vec<StoredRun>, StoreError> {
        let runs = folder.join("runs");
        let entries = fs::read_dir(&runs).map_err(|_| StoreError::Missing(folder.to_owned()))?;
        check_format(folder)?;
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let lock = hold(folder)?;
            let run = entry.path();
            let Some(spec) = read_spec(&run.join("spec.json")) else { continue };
            let checkpoints = Self::in_run(&run, lock)?.checkpoints()?;
            found.push(StoredRun { spec, checkpoints });
        }
        found.sort_by_key(|run| run.spec.run_id());
        Ok(found)
    }

    fn failed(&self, error: &dyn std::error::Error) -> StoreError {
        failed(&self.path, error)
    }

    fn blob(&self, hash: Hash) -> PathBuf {
        self.blobs.join(hash.to_string())
    }

    /// Puts a checkpoint on disk; it survives the process from the moment this returns.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn keep(&self, checkpoint: &Checkpoint, bytes: &Bytes) -> Result<(), StoreError> {
        let path = self.blob(checkpoint.blob.hash);
        if !path.exists() {
            write_whole(&path, bytes)?;
        }
        let fact = serde_json::to_vec(checkpoint).map_err(|e| self.failed(&e))?;
        self.change(|table| {
            table.insert((checkpoint.row.0, checkpoint.step), fact.as_slice())?;
            Ok(())
        })
    }

    /// Takes a blob, and the checkpoints that name it, off the disk.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn forget(&self, hash: Hash) -> Result<(), StoreError> {
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

    fn change(
        &self,
        change: impl FnOnce(&mut redb::Table<'_, (u16, u64), &[u8]>) -> Result<(), redb::StorageError>,
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
    pub fn checkpoints(&self) -> Result<Vec<(Checkpoint, Bytes)>, StoreError> {
        let read = self.database.begin_read().map_err(|e| self.failed(&e))?;
        let table = read.open_table(CHECKPOINTS).map_err(|e| self.failed(&e))?;
        let mut found = Vec::new();
        for entry in table.iter().map_err(|e| self.failed(&e))? {
            let (_, fact) = entry.map_err(|e| self.failed(&e))?;
            let Some(checkpoint) = parse(fact.value()) else { continue };
            let path = self.blob(checkpoint.blob.hash);
            let Ok(bytes) = fs::read(&path) else { continue };
            if Hash::of(&bytes) == checkpoint.blob.hash {
                found.push((checkpoint, Bytes::from(bytes)));
            } else {
                tracing::warn!(path = %path.display(), "a stored checkpoint is damaged; set aside");
                let _ = fs::rename(&path, path.with_extension("damaged"));
            }
        }
        Ok(found)
    }
}

fn parse(fact: &[u8]) -> Option<Checkpoint> {
    serde_json::from_slice(fact).ok()
}

fn failed(path: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::Database { path: path.to_owned(), reason: error.to_string() }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + '_ {
    |source| StoreError::Io { path: path.to_owned(), source }
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(io(path))
}

/// Takes the folder's lock, which ends with the process however it ends.
fn hold(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let lock = File::create(&path).map_err(io(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { path, source }),
    }
}

fn check_format(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("format");
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() == FORMAT => Ok(()),
        Ok(found) => {
            let found = found.trim().chars().take(40).collect();
            Err(StoreError::Format { path: folder.to_owned(), found })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            write_whole(&path, FORMAT.as_bytes())
        }
        Err(source) => Err(StoreError::Io { path, source }),
    }
}

/// Writes a file so that it is either whole or not there, also after a power cut.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_extension("part");
    let mut file = File::create(&temporary).map_err(io(&temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(&temporary))?;
    fs::rename(&temporary, path).map_err(io(path))?;
    let folder = path.parent().map(File::open).transpose().map_err(io(path))?;
    folder.map_or(Ok(()), |folder| folder.sync_all()).map_err(io(path))
}

fn read_spec(path: &Path) -> Option<Spec> {
    let length = fs::metadata(path).ok()?.len();
    let bytes = (length <= MAX_SPEC_BYTES as u64).then(|| fs::read(path).ok()).flatten()?;
    Spec::from_canonical(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SpecArgs;
    use ffp2p_proto::{BlobRef, NodeId, RowId};

    fn spec() -> Spec {
        let data = Some("digits:400+50".to_owned());
        SpecArgs { data, ..SpecArgs::default() }.check().unwrap().spec
    }

    fn checkpoint(step: u64, bytes: &Bytes) -> Checkpoint {
        let blob = BlobRef { hash: Hash::of(bytes), size: bytes.len() as u64 };
        Checkpoint { row: RowId(0), step, blob, by: NodeId([1; 32]), loss_micro: 5 }
    }

    #[test]
    fn what_was_kept_is_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
        let disk = Disk::open(folder.path(), &spec()).unwrap();
        disk.keep(&checkpoint(4, &a), &a).unwrap();
        disk.keep(&checkpoint(8, &b), &b).unwrap();
        disk.forget(Hash::of(&a)).unwrap();
        drop(disk);
        let disk = Disk::open(folder.path(), &spec()).unwrap();
        assert_eq!(disk.checkpoints().unwrap(), [(checkpoint(8, &b), b)]);
    }

    #[test]
    fn one_node_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let _disk = Disk::open(folder.path(), &spec()).unwrap();
        let error = Disk::open(folder.path(), &spec()).unwrap_err();
        assert!(matches!(error, StoreError::InUse(_)));
        assert!(error.to_string().contains("--store"));
    }

    #[test]
    fn damaged_bytes_are_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = Bytes::from_static(b"weights");
        let disk = Disk::open(folder.path(), &spec()).unwrap();
        disk.keep(&checkpoint(4, &bytes), &bytes).unwrap();
        let path = disk.blob(Hash::of(&bytes));
        fs::write(&path, b"weighty").unwrap();
        assert!(disk.checkpoints().unwrap().is_empty());
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("format"), "ffp2p store 99").unwrap();
        let error = Disk::open(folder.path(), &spec()).unwrap_err();
        assert!(matches!(error, StoreError::Format { .. }));
        assert!(matches!(Disk::runs(&folder.path().join("no")), Err(StoreError::Missing(_))));
    }
}
