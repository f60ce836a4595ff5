//! Tests of a node's blobs: who can have them, where they lie, and what becomes of lost ones.

use std::time::{Duration, Instant};

use super::{
    table::{Blob, Blobs, IN_MEMORY, LARGE},
    *,
};

/// Blobs have left memory by then, or a test fails.
const BOUND: Duration = Duration::from_secs(60);

#[test]
fn a_private_blob_cannot_be_had() {
    let (store, bytes) = (BlobStore::default(), Bytes::from_static(b"activations"));
    let hash = Hash::of(&bytes);
    store.insert_private(hash, bytes.clone());
    assert_eq!((store.read(&hash), store.get(&hash)), (Some(bytes.clone()), None));
    store.remove(hash);
    assert_eq!(store.read(&hash), None);
    store.insert(hash, bytes.clone());
    assert_eq!(store.get(&hash), Some(bytes));
}

#[test]
fn large_blobs_go_first() {
    let mut blobs = Blobs::default();
    let mut put = |number: u8, size: usize| {
        let bytes = Bytes::from(vec![number; size]);
        blobs.insert(Hash::of(&bytes), bytes, true);
    };
    put(0, LARGE - 1);
    put(1, LARGE);
    put(2, IN_MEMORY as usize);
    let mut order = Vec::new();
    while let Some((rank, hash, bytes, place)) = blobs.next_out() {
        order.push(bytes[0]);
        blobs.is_out(rank, &hash, place);
    }
    assert_eq!(order, [1, 2]);
}

#[test]
fn what_memory_has_no_room_for_is_read_back() {
    const SIZE: usize = (IN_MEMORY / 8) as usize - 1;
    let (tell, mut told) = mpsc::channel(64);
    let store = BlobStore::with_spill(Spill::create(None).unwrap(), tell);
    let blob = |number: u8| Bytes::from(vec![number; SIZE]);
    let hashes: Vec<Hash> = (0..20).map(|number| Hash::of(&blob(number))).collect();
    for (number, hash) in (0..).zip(&hashes) {
        store.insert(*hash, blob(number));
        if number == 10 {
            store.remove(hashes[1]);
        }
    }
    wait_for_room(&store, IN_MEMORY);
    let out = |blob: &Blob| matches!(blob.kept, Kept::File(_));
    assert_eq!(store.shared.blobs().all.values().filter(|blob| out(blob)).count(), 11);
    for (number, hash) in (0..).zip(&hashes).filter(|(number, _)| *number != 1) {
        assert_eq!(store.get(hash), Some(blob(number)), "{number}");
        assert_eq!(store.part(hash, 5, 9), Some(blob(number).slice(5..14)), "{number}");
        assert_eq!(store.part(hash, SIZE as u64 - 8, 9), None, "{number}");
    }
    assert_eq!(store.get(&hashes[1]), None);
    assert!(told.try_recv().is_err());
    hashes.iter().for_each(|hash| store.remove(*hash));
    let blobs = store.shared.blobs();
    assert_eq!((blobs.bytes, blobs.all.len(), blobs.order.len()), (0, 0, 0));
}

/// The thread tells nobody when it is done: it is when memory holds no more than `bytes`.
fn wait_for_room(store: &BlobStore, bytes: u64) {
    let until = Instant::now() + BOUND;
    while store.shared.blobs().bytes > bytes {
        assert!(Instant::now() < until, "the thread moves no blobs");
        std::thread::yield_now();
    }
}

/// A store with a blob in a file that has gone bad, where its news come, and the blob.
fn bad(disk: Option<(Disk, Checkpoint)>) -> (BlobStore, mpsc::Receiver<News>, Hash, Bytes) {
    let (tell, told) = mpsc::channel(2);
    let mut store = BlobStore::with_spill(Spill::create(None).unwrap(), tell);
    let bytes = Bytes::from(vec![7; IN_MEMORY as usize + 1]);
    let hash = Hash::of(&bytes);
    if let Some((disk, checkpoint)) = disk {
        disk.keep(&checkpoint, &bytes).unwrap();
        store = store.with_disk(disk, Vec::new(), |error| panic!("{error}"));
    }
    store.insert(hash, bytes.clone());
    wait_for_room(&store, 0);
    store.spill.as_ref().unwrap().spoil();
    (store, told, hash, bytes)
}

#[test]
fn an_unreadable_blob_is_announced_until_it_is_here_again() {
    let (store, mut told, hash, bytes) = bad(None);
    assert!(store.has(&hash));
    for _ in 0..4 {
        assert_eq!((store.read(&hash), store.part(&hash, 0, 9)), (None, None));
    }
    let mut news = std::iter::from_fn(|| told.try_recv().ok());
    assert!(news.all(|found| matches!(found, News::Lost(it) if it == hash)));
    assert!(!store.has(&hash) && store.read(&hash).is_none());
    assert!(told.try_recv().is_ok(), "asked for again, announced again");
    store.insert(hash, bytes.clone());
    assert!(store.has(&hash) && store.get(&hash) == Some(bytes));
    store.remove(hash);
    assert_eq!((store.read(&hash), store.has(&hash)), (None, false));
}

#[test]
fn a_checkpoint_that_cannot_be_read_back_is_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let spec = crate::store::disk_tests::spec();
    let bytes = Bytes::from(vec![7; IN_MEMORY as usize + 1]);
    let checkpoint = crate::store::disk_tests::checkpoint(4, &bytes);
    let disk = Disk::open(folder.path(), &spec).unwrap();
    let (store, mut told, hash, bytes) = bad(Some((disk, checkpoint)));
    assert_eq!(store.part(&hash, 1, 5), Some(bytes.slice(1..6)));
    assert!(store.read(&hash) == Some(bytes) && told.try_recv().is_err());
    store.close().unwrap();
}

#[test]
fn a_thread_that_panics_is_an_error_at_the_end() {
    let (tell, _told) = mpsc::channel(1);
    let store = BlobStore::with_spill(Spill::create(None).unwrap(), tell);
    let thread = std::thread::spawn(|| panic!("as in a test"));
    let own = store.spilling.lock().unwrap().replace(thread);
    assert!(matches!(store.close(), Err(StoreError::Panicked(_))));
    own.unwrap().join().unwrap();
}
