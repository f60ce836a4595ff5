//! A store after crashes and damage: what was kept is there, or its absence is noticed.

use std::{fs, path::Path};

use bytes::Bytes;
use ffp2p_proto::{BlobRef, Checkpoint, Hash, NodeId, ShardId};
use redb::ReadableDatabase as _;

use super::{disk::Disk, error::StoreError, files::write_whole};
use crate::{data::Data, spec::Spec};

pub(crate) fn spec() -> Spec {
    Spec::builder().build(&Data::open("digits:400+50").unwrap()).unwrap()
}

pub(crate) fn checkpoint(step: u64, bytes: &Bytes) -> Checkpoint {
    let blob = BlobRef { hash: Hash::of(bytes), size: bytes.len() as u64 };
    Checkpoint { shard: ShardId(0), step, blob, by: NodeId([1; 32]), loss_micro: 5 }
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
    fs::write(blobs.join(".ffp2p-a1b2c3.part"), b"half").unwrap();
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

/// Makes something in the place of a file.
type Odd = (&'static str, fn(&Path));

/// Things that may be in the place of a file.
const ODD: &[Odd] = &[
    ("a folder", |path| fs::create_dir(path).unwrap()),
    ("a full folder", |path| fs::create_dir_all(path.join("more")).unwrap()),
    #[cfg(unix)]
    ("a pipe", |path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    }),
    #[cfg(unix)]
    ("a link to nothing", |path| std::os::unix::fs::symlink("/nowhere/at/all", path).unwrap()),
    #[cfg(unix)]
    ("a link to a folder", |path| std::os::unix::fs::symlink("/", path).unwrap()),
    ("too much", |path| fs::write(path, vec![0; 1 << 20]).unwrap()),
    ("nothing", |path| fs::write(path, b"").unwrap()),
];

#[test]
fn what_is_no_blob_bars_nothing() {
    for (what, make) in ODD {
        let (folder, [a, b]) = filled();
        let path = blobs(folder.path()).join(a.0.blob.hash.to_string());
        fs::remove_file(&path).unwrap();
        make(&path);
        let disk = Disk::open(folder.path(), &spec()).unwrap();
        assert_eq!(disk.checkpoints().unwrap(), std::slice::from_ref(&b), "{what}");
        disk.keep(&a.0, &a.1).unwrap();
        assert_eq!(disk.checkpoints().unwrap(), [a, b], "{what}");
    }
}

#[test]
fn what_others_put_among_the_blobs_stays() {
    for (what, make) in ODD {
        let (folder, all) = filled();
        let (strange, hash) = (blobs(folder.path()).join("notes"), Hash::of(b"no fact names it"));
        make(&strange);
        make(&blobs(folder.path()).join(hash.to_string()));
        let disk = Disk::open(folder.path(), &spec()).unwrap();
        assert!(strange.symlink_metadata().is_ok(), "{what}");
        assert_eq!(disk.checkpoints().unwrap(), all, "{what}");
    }
}

#[test]
fn what_is_in_the_way_is_set_aside() {
    for name in ["spec.json", "facts.redb", "blobs", "../../format", "../../lock"] {
        for (what, make) in &ODD[..if cfg!(unix) { 3 } else { 2 }] {
            let (folder, all) = filled();
            let run = blobs(folder.path()).parent().unwrap().to_owned();
            let path = run.join(name);
            let kept = if name == "blobs" {
                fs::remove_dir_all(&path).unwrap();
                fs::write(&path, b"no folder").unwrap();
                false
            } else {
                fs::remove_file(&path).unwrap();
                make(&path);
                name != "facts.redb"
            };
            let disk = Disk::open(folder.path(), &spec()).unwrap();
            let expected = if kept { &all[..] } else { &[] };
            assert_eq!(disk.checkpoints().unwrap(), expected, "{name} is {what}");
            disk.keep(&all[0].0, &all[0].1).unwrap();
            drop(disk);
            assert_eq!(Disk::runs(folder.path()).unwrap().len(), 1, "{name} is {what}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_blob_may_be_a_link_to_its_file() {
    let (folder, all) = filled();
    let path = blobs(folder.path()).join(all[0].0.blob.hash.to_string());
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert_eq!(Disk::open(folder.path(), &spec()).unwrap().checkpoints().unwrap(), all);
}

#[cfg(unix)]
#[test]
fn a_blob_that_is_a_link_is_written_where_it_leads() {
    let folder = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (folder.path().join("blob"), folder.path().join("elsewhere"));
    fs::write(&elsewhere, b"old").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    write_whole(&path, b"new").unwrap();
    assert!(path.is_symlink());
    assert_eq!(fs::read(&elsewhere).unwrap(), b"new");
}

/// The fact of a checkpoint, as stores have it.
const FACT: &str = include_str!("../../tests/fixtures/store-fact.json");

/// Table and key are a part of the format.
const FACTS: redb::TableDefinition<'_, (u16, u64), &[u8]> =
    redb::TableDefinition::new("checkpoints");

#[test]
fn a_fact_has_these_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = Bytes::from_static(b"first");
    let kept = checkpoint(4, &bytes);
    Disk::open(folder.path(), &spec()).unwrap().keep(&kept, &bytes).unwrap();
    let file = blobs(folder.path()).with_file_name("facts.redb");
    let written = {
        let database = redb::Database::open(&file).unwrap();
        let read = database.begin_read().unwrap();
        let fact = read.open_table(FACTS).unwrap().get((0, 4)).unwrap().unwrap();
        String::from_utf8(fact.value().to_vec()).unwrap()
    };
    assert_eq!(written, FACT.trim_end());
    // And such a fact is read back.
    fs::remove_file(&file).unwrap();
    let database = redb::Database::create(&file).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(FACTS).unwrap().insert((0, 4), FACT.trim_end().as_bytes()).unwrap();
    write.commit().unwrap();
    drop(database);
    let disk = Disk::open(folder.path(), &spec()).unwrap();
    assert_eq!(disk.checkpoints().unwrap(), [(kept, bytes)]);
}
