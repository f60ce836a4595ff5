//! The folder of the user's runs on this machine, used when no other is named, so that nothing that was
//! trained is lost when a terminal is closed.
//!
//! Rule: a run has one folder, named by the first digits of its id, and in it each node that works
//! at the same time has a store of its own; a node that comes back takes the first free one. Only what
//! the user names is removed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use etcetera::BaseStrategy as _;
use ffp2p_net::create_private_folder;
use ffp2p_proto::{Checkpoint, Hash};

use super::{disk::Disk, error::StoreError, files::BLOBS};
use crate::spec::Spec;

/// Digits of a run id that name its folder.
const NAME: usize = 16;

/// Nodes of one run that keep their work in the folder at the same time, at most.
const MAX_STORES: usize = 64;

/// The user of a store: nodes never read what the reference has trained, nor the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreUser {
    /// A node.
    Node,
    /// A training without a network.
    Train,
}

/// The folder of a user's runs.
#[derive(Debug)]
pub struct StateDir(PathBuf);

/// A run that is kept here.
#[derive(Debug)]
pub struct KeptRun {
    /// Its spec.
    pub spec: Spec,
    /// Its folder.
    pub folder: PathBuf,
    /// The stores in it.
    pub stores: Vec<PathBuf>,
    /// Steps of the furthest checkpoint of each shard, as far as the stores can be read.
    pub steps: Vec<u64>,
    /// Whether a process is at work in one of the stores.
    pub in_use: bool,
    /// Bytes of all its files.
    pub bytes: u64,
    /// When a checkpoint was last put there; 1970 where there is none.
    pub changed: SystemTime,
}

impl KeptRun {
    /// Whether the last checkpoint of every shard is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.steps.iter().all(|step| *step >= self.spec.network.steps)
    }

    /// The run id.
    #[must_use]
    pub fn id(&self) -> Hash {
        self.spec.run_id()
    }
}

impl StateDir {
    /// The folder of this user: `ffp2p/runs` in `$XDG_STATE_HOME` (`~/.local/state` by default).
    ///
    /// # Errors
    /// If the user has no home.
    pub fn of_user() -> Result<Self, StoreError> {
        let home = etcetera::choose_base_strategy()
            .map_err(|error| StoreError::NoHome(error.to_string()))?;
        let state = home.state_dir().unwrap_or_else(|| home.data_dir());
        Ok(Self(state.join("ffp2p").join("runs")))
    }

    /// The folder `path`, in which each run has one.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens the first free store of a run, for `user`.
    ///
    /// # Errors
    /// If it cannot be made or read, or too many are in use.
    pub fn claim(&self, spec: &Spec, user: StoreUser) -> Result<Disk, StoreError> {
        let run: String = spec.run_id().to_string().chars().take(NAME).collect();
        let run = self.0.join(run);
        create_private_folder(&run)
            .map_err(|source| StoreError::Io { path: run.clone(), source })?;
        let name = match user {
            StoreUser::Node => "node",
            StoreUser::Train => "train",
        };
        for number in 1..=MAX_STORES {
            match Disk::open(&run.join(format!("{name}-{number}")), spec) {
                Err(StoreError::InUse(_)) => {}
                opened => return opened,
            }
        }
        Err(StoreError::Full(MAX_STORES))
    }

    /// All runs that are kept here, the one that changed last first. What cannot be read is left
    /// out, with a warning.
    #[must_use]
    pub fn runs(&self) -> Vec<KeptRun> {
        let mut runs: Vec<KeptRun> =
            folders(&self.0).into_iter().filter_map(|folder| read(&folder)).collect();
        runs.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| a.id().cmp(&b.id())));
        runs
    }

    /// Folders of runs other than `runs`, which are all that could be read.
    pub(crate) fn unreadable(&self, runs: &[KeptRun]) -> Vec<PathBuf> {
        let is_run = |folder: &PathBuf| {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.len() == NAME && name.chars().all(|c| c.is_ascii_hexdigit())
        };
        let is_read = |folder: &PathBuf| runs.iter().any(|run| run.folder == *folder);
        folders(&self.0).into_iter().filter(|folder| is_run(folder) && !is_read(folder)).collect()
    }

    /// Removes all that is kept of a run.
    ///
    /// # Errors
    /// If a process works in it, or a file cannot be removed.
    pub fn remove(&self, run: &KeptRun) -> Result<(), StoreError> {
        if run.in_use {
            return Err(StoreError::InUse(run.folder.clone()));
        }
        fs::remove_dir_all(&run.folder)
            .map_err(|source| StoreError::Io { path: run.folder.clone(), source })
    }
}

/// The run in a folder; `None` if there is none.
fn read(folder: &Path) -> Option<KeptRun> {
    let stores = folders(folder);
    let mut found: Option<(Spec, Vec<Checkpoint>)> = None;
    let mut in_use = false;
    for store in &stores {
        let facts = Disk::facts(store).unwrap_or_else(|error| {
            // A folder that is no store at all belongs to somebody else.
            if !matches!(error, StoreError::Missing(_)) {
                tracing::warn!(%error, "a store is left out");
            }
            Vec::new()
        });
        for run in facts {
            in_use |= run.checkpoints.is_none();
            let (_, all) = found.get_or_insert((run.spec, Vec::new()));
            all.extend(run.checkpoints.into_iter().flatten());
        }
    }
    let (spec, checkpoints) = found?;
    let mut furthest: BTreeMap<u16, u64> =
        (0..spec.network.shards().len() as u16).map(|shard| (shard, 0)).collect();
    for checkpoint in checkpoints {
        if let Some(step) = furthest.get_mut(&checkpoint.shard.0) {
            *step = checkpoint.step.max(*step);
        }
    }
    let (bytes, changed) = size(folder);
    let steps = furthest.into_values().collect();
    Some(KeptRun { spec, folder: folder.to_owned(), stores, steps, in_use, bytes, changed })
}

/// The folders in a folder, sorted, without links; empty if it cannot be read.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut folders: Vec<_> = folders.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

/// Bytes of all files below a folder, and when a checkpoint was last put there: looking at a store
/// changes its other files.
fn size(folder: &Path) -> (u64, SystemTime) {
    let mut sum = (0, SystemTime::UNIX_EPOCH);
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        open.extend(folders(&folder));
        let is_blobs = folder.file_name().is_some_and(|name| name == BLOBS);
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        for found in files.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file) {
            let written = found.modified().ok().filter(|_| is_blobs);
            sum = (sum.0 + found.len(), sum.1.max(written.unwrap_or(SystemTime::UNIX_EPOCH)));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::disk_tests::{checkpoint, spec};

    #[test]
    fn each_node_has_a_store_and_the_run_is_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::at(folder.path().join("runs"));
        assert!(state.runs().is_empty());
        let spec = spec();
        let one = state.claim(&spec, StoreUser::Node).unwrap();
        let two = state.claim(&spec, StoreUser::Node).unwrap();
        let alone = state.claim(&spec, StoreUser::Train).unwrap();
        assert!(one.store() != two.store() && two.store() != alone.store());
        let (early, late) = (Bytes::from_static(b"early"), Bytes::from_static(b"late"));
        one.keep(&checkpoint(4, &early), &early).unwrap();
        two.keep(&checkpoint(8, &late), &late).unwrap();
        let first = one.store().to_owned();
        drop((one, alone));
        let kept = &state.runs()[0];
        assert_eq!((kept.id(), kept.stores.len(), kept.in_use), (spec.run_id(), 3, true));
        assert_eq!((kept.steps[0], kept.is_complete()), (4, false));
        assert!(matches!(state.remove(kept), Err(StoreError::InUse(_))));
        drop(two);
        let kept = &state.runs()[0];
        assert_eq!((kept.steps[0], kept.in_use), (8, false));
        assert!(kept.bytes > 9);
        // Looking changes nothing, and what was done last comes first.
        let changed = kept.changed;
        assert_eq!(state.runs()[0].changed, changed);
        // A node that comes back finds its work.
        let again = state.claim(&spec, StoreUser::Node).unwrap();
        assert_eq!(again.store(), first);
        assert_eq!(again.checkpoints().unwrap().len(), 1);
        drop(again);
        state.remove(&state.runs()[0]).unwrap();
        assert!(state.runs().is_empty());
    }

    #[test]
    fn what_is_no_run_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::at(folder.path().to_owned());
        fs::create_dir_all(folder.path().join("something/else")).unwrap();
        fs::write(folder.path().join("file"), b"file").unwrap();
        assert!(state.runs().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
