//! A store folder after crashes and damage: what was kept is there, or is missed and told.

use std::{fs, path::Path};

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Checkpoint, Hash, NodeId, RowId};

use super::disk::{Disk, StoreError};
use crate::{config::SpecArgs, spec::Spec};

pub(super) fn spec() -> Spec {
    let data = Some("digits:400+50".to_owned());
    SpecArgs { data, ..SpecArgs::default() }.check().unwrap().spec
}

pub(super) fn checkpoint(step: u64, bytes: &Bytes) -> Checkpoint {
    let blob = BlobRef { hash: Hash::of(bytes), size: bytes.len() as u64 };
    Checkpoint { row: RowId(0), step, blob, by: NodeId([1; 32]), loss_micro: 5 }
}

/// A folder with two checkpoints in it.
fn filled() -> (tempfile::TempDir, [(Checkpoint, Bytes); 2]) {
    let folder = tempfile::tempdir().unwrap();
    let all = [(4, "first"), (8, "second")].map(|(step, text)| {
        let bytes = Bytes::from_static(text.as_bytes());
        (checkpoint(step, &bytes), bytes)
    });
    let disk = Disk::open(folder.path(), &spec()).unwrap();
    all.iter().for_each(|(checkpoint, bytes)| disk.keep(checkpoint, bytes).unwrap());
    (folder, all)
}

fn blobs(folder: &Path) -> std::path::PathBuf {
    folder.join("runs").join(spec().run_id().to_string()).join("blobs")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(blobs(folder)).unwrap().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn what_was_kept_is_there_after_reopening() {
    let (folder, [a, b]) = filled();
    let disk = Disk::open(folder.path(), &spec()).unwrap();
    disk.forget(a.0.blob.hash).unwrap();
    drop(disk);
    let disk = Disk::open(folder.path(), &spec()).unwrap();
    assert_eq!(disk.checkpoints().unwrap(), [b]);
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
fn damaged_bytes_are_set_aside_and_can_be_kept_again() {
    let (folder, [a, b]) = filled();
    let path = blobs(folder.path()).join(a.0.blob.hash.to_string());
    fs::write(&path, b"farst").unwrap();
    let disk = Disk::open(folder.path(), &spec()).unwrap();
    assert_eq!(disk.checkpoints().unwrap(), std::slice::from_ref(&b));
    assert!(!path.exists() && path.with_extension("damaged").exists());
    disk.keep(&a.0, &a.1).unwrap();
    assert_eq!(disk.checkpoints().unwrap(), [a, b]);
}

#[test]
fn what_a_crash_left_half_done_is_swept_away() {
    let (folder, [a, b]) = filled();
    let blobs = blobs(folder.path());
    fs::write(blobs.join(format!("{}.part", Hash::of(b"x"))), b"half").unwrap();
    fs::write(blobs.join(Hash::of(b"orphan").to_string()), b"orphan").unwrap();
    fs::remove_file(blobs.join(a.0.blob.hash.to_string())).unwrap();
    let disk = Disk::open(folder.path(), &spec()).unwrap();
    assert_eq!(disk.checkpoints().unwrap(), std::slice::from_ref(&b));
    assert_eq!(names(folder.path()), [b.0.blob.hash.to_string()]);
}

/// Wherever the database is cut off or changed, the folder opens: with the facts as they were, or
/// with the file set aside.
#[test]
fn a_damaged_database_is_set_aside() {
    let (folder, all) = filled();
    let file = blobs(folder.path()).with_file_name("facts.redb");
    let good = fs::read(&file).unwrap();
    let cuts = (0..=12).map(|part| good[..good.len() * part / 12].to_vec());
    let flips = (0..24).map(|at| {
        let mut bytes = good.clone();
        let at = if at < 12 { at * 20 } else { at * good.len() / 24 };
        bytes[at] ^= 0x41;
        bytes
    });
    let mut damaged = 0;
    for bytes in cuts.chain(flips).chain([b"not a database at all".repeat(300)]) {
        fs::write(&file, &bytes).unwrap();
        for (checkpoint, bytes) in &all {
            fs::write(blobs(folder.path()).join(checkpoint.blob.hash.to_string()), bytes).unwrap();
        }
        let disk = Disk::open(folder.path(), &spec()).unwrap();
        let found = disk.checkpoints().unwrap();
        assert!(found == all || found.is_empty() && names(folder.path()).is_empty(), "{found:?}");
        damaged += u32::from(found.is_empty());
    }
    assert!(damaged >= 13, "only {damaged} were noticed");
    let disk = Disk::open(folder.path(), &spec()).unwrap();
    disk.keep(&all[0].0, &all[0].1).unwrap();
    assert!(disk.checkpoints().unwrap().contains(&all[0]));
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("format"), "ffp2p store 99").unwrap();
    let error = Disk::open(folder.path(), &spec()).unwrap_err();
    assert!(matches!(error, StoreError::Format { .. }));
    assert!(matches!(Disk::runs(&folder.path().join("no")), Err(StoreError::Missing(_))));
}
