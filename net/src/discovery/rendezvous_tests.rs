//! Entries are found, garbage is not, and only dead files are removed.

use std::fs;

use libp2p::identity::Keypair;

use super::*;

fn id() -> PeerId {
    Keypair::generate_ed25519().public().to_peer_id()
}

fn entry(peer: PeerId) -> Entry {
    let addresses = ["/ip4/10.0.0.1/tcp/7", "/ip4/127.0.0.1/tcp/7"].map(|a| a.parse().unwrap());
    Entry::own(peer, &Greeting::new("node", "lab", Some(Hash([1; 32]))), &addresses)
}

fn two_nodes() -> (tempfile::TempDir, Folder, Folder) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("nodes");
    let (a, b) = (Folder::open(&path, id()).unwrap(), Folder::open(&path, id()).unwrap());
    (place, a, b)
}

#[test]
fn two_nodes_see_each_other_until_one_goes() {
    let (_place, a, b) = two_nodes();
    a.write(&entry(a.peer)).unwrap();
    b.write(&entry(b.peer)).unwrap();
    assert_eq!(a.look(&BTreeSet::new()).unwrap(), [entry(b.peer)]);
    assert_eq!(b.look(&BTreeSet::new()).unwrap(), [entry(a.peer)]);
    drop(b);
    assert!(a.look(&BTreeSet::new()).unwrap().is_empty());
}

#[test]
fn the_bytes_of_an_entry_are_pinned() {
    let entry = Entry { pid: 4711, ..entry(id()) };
    let addresses = "/ip4/127.0.0.1/tcp/7\n/ip4/10.0.0.1/tcp/7\n";
    let digits = "01".repeat(32);
    let text = format!("ffp2p-rendezvous 1\nswarm lab\nrun {digits}\npid 4711\n{addresses}");
    assert_eq!(entry.to_text(), text);
    assert_eq!(Entry::parse(entry.peer, &text), Some(entry.clone()));
    let without_run = Entry { run: None, ..entry };
    assert_eq!(without_run.to_text(), text.replace(&digits, "none"));
}

#[test]
fn a_node_of_the_same_host_is_dialed_by_loopback() {
    let near: Multiaddr = "/ip4/127.0.0.1/tcp/7".parse().unwrap();
    assert_eq!(entry(id()).nearest(), [near]);
}

#[cfg(unix)]
#[test]
fn the_folder_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_place, a, _b) = two_nodes();
    assert_eq!(fs::metadata(&a.folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn garbage_is_ignored_and_left_alone() {
    let (_place, a, b) = two_nodes();
    let good = entry(b.peer).to_text();
    let garbage: Vec<(String, Vec<u8>)> = vec![
        ("notes.txt".to_owned(), good.clone().into_bytes()),
        (id().to_base58(), Vec::new()),
        (id().to_base58(), vec![0xff; 100]),
        (id().to_base58(), format!("{good}{}", "x".repeat(5000)).into_bytes()),
        (id().to_base58(), good.replace("pid ", "pid x").into_bytes()),
        (id().to_base58(), good.replace("swarm lab", "swarm l b").into_bytes()),
        (id().to_base58(), good.replace("rendezvous 1", "rendezvous 2").into_bytes()),
    ];
    for (name, bytes) in &garbage {
        fs::write(a.folder.join(name), bytes).unwrap();
    }
    fs::create_dir(a.folder.join(id().to_base58())).unwrap();
    assert!(a.look(&BTreeSet::new()).unwrap().is_empty());
    assert_eq!(fs::read_dir(&a.folder).unwrap().count(), garbage.len() + 1);
}

#[test]
fn unreadable_addresses_are_left_out() {
    let peer = id();
    let text = entry(peer).to_text() + "nowhere\n";
    assert_eq!(Entry::parse(peer, &text), Some(entry(peer)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_dead_node_that_does_not_answer_is_removed() {
    let (_place, a, b) = two_nodes();
    let pid = u32::MAX;
    b.write(&Entry { pid, ..entry(b.peer) }).unwrap();
    assert_eq!(a.look(&BTreeSet::new()).unwrap().len(), 1);
    assert!(a.look(&BTreeSet::from([b.peer])).unwrap().is_empty());
    assert!(!b.own.exists());
}

#[test]
fn a_living_node_that_does_not_answer_is_kept() {
    let (_place, a, b) = two_nodes();
    b.write(&entry(b.peer)).unwrap();
    assert_eq!(a.look(&BTreeSet::from([b.peer])).unwrap().len(), 1);
}

#[test]
fn a_file_of_yesterday_is_removed() {
    let (_place, a, b) = two_nodes();
    b.write(&entry(b.peer)).unwrap();
    let file = fs::File::options().write(true).open(&b.own).unwrap();
    file.set_modified(SystemTime::now() - STALE - Duration::from_secs(60)).unwrap();
    assert!(a.look(&BTreeSet::new()).unwrap().is_empty());
    assert!(!b.own.exists());
}
