//! One side dials first, and nobody is dialed in vain for ever.

use libp2p::identity::Keypair;

use super::*;
use crate::connection::pauses::MAX_PAUSE;

/// Two ids, the smaller one first.
fn ids() -> (PeerId, PeerId) {
    let id = || Keypair::generate_ed25519().public().to_peer_id();
    let (a, b) = (id(), id());
    (a.min(b), a.max(b))
}

fn address() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/4001".parse().unwrap()
}

#[test]
fn the_smaller_id_dials_at_once_and_the_larger_one_waits() {
    let (small, large) = ids();
    let now = Instant::now();
    let mut first = FoundPeers::new(small);
    first.add(large, Via::Mdns, [address()], now);
    assert_eq!(first.due(now, |_| false), [(large, vec![address()])]);
    let mut second = FoundPeers::new(large);
    second.add(small, Via::Mdns, [address()], now);
    assert!(second.due(now, |_| false).is_empty());
    assert!(second.due(now + TIE_BREAK, |_| true).is_empty());
    assert_eq!(second.due(now + TIE_BREAK, |_| false).len(), 1);
}

#[test]
fn a_found_peer_is_given_up_and_may_be_found_again() {
    let (small, large) = ids();
    let mut now = Instant::now();
    let mut found = FoundPeers::new(small);
    found.add(large, Via::Mdns, [address()], now);
    let mut attempts = 0;
    for _ in 0..2 * MAX_ATTEMPTS {
        attempts += found.due(now, |_| false).len();
        now += 2 * MAX_PAUSE;
    }
    assert_eq!(attempts, MAX_ATTEMPTS as usize);
    found.add(large, Via::Mdns, [address()], now);
    assert_eq!(found.due(now, |_| false).len(), 1);
}

#[test]
fn a_barred_peer_is_not_dialed() {
    let (small, large) = ids();
    let now = Instant::now();
    let mut found = FoundPeers::new(small);
    found.add(large, Via::Mdns, [address()], now);
    assert!(found.bar(large) && !found.bar(large));
    found.add(large, Via::Mdns, [address()], now);
    assert!(found.due(now, |_| false).is_empty());
    assert_eq!(found.barred(), 1);
}

#[test]
fn an_address_that_is_ours_too_is_not_dialed() {
    let (small, large) = ids();
    let now = Instant::now();
    let mut found = FoundPeers::new(small);
    let other: Multiaddr = "/ip4/10.0.0.2/tcp/4477".parse().unwrap();
    found.add(large, Via::Peer, [address(), other.clone()], now);
    found.listening(vec![address()]);
    assert_eq!(found.due(now, |_| false), [(large, vec![other.clone()])]);
    found.listening(vec![address(), other]);
    assert!(found.due(now + 2 * MAX_PAUSE, |_| false).is_empty());
}

#[test]
fn ourselves_are_not_dialed() {
    let (own, _) = ids();
    let now = Instant::now();
    let mut found = FoundPeers::new(own);
    found.add(own, Via::Mdns, [address()], now);
    assert!(found.due(now, |_| false).is_empty());
}

#[test]
fn errors_are_kept_until_the_peer_is_here_or_gone() {
    let (small, large) = ids();
    let now = Instant::now();
    let mut found = FoundPeers::new(small);
    let full = address().with_p2p(large).unwrap();
    found.add(large, Via::Mdns, [full.clone(), address()], now);
    assert_eq!(found.due(now, |_| false), [(large, vec![address()])]);
    let fail = |found: &mut FoundPeers| found.failed(&large, vec![(full.clone(), "x".to_owned())]);
    fail(&mut found);
    let missing = Unreached { via: Via::Mdns, tried: vec![("127.0.0.1:4001".into(), "x".into())] };
    assert_eq!(found.unreached(), [missing]);
    found.connected(&large);
    assert!(found.unreached().is_empty());
    found.expired(&large, full.clone());
    fail(&mut found);
    assert_eq!(found.unreached()[0].via, Via::Met);
    found.not_there(&large, full.clone());
    assert!(found.unreached().is_empty());
    found.add(large, Via::Mdns, [address()], now);
    fail(&mut found);
    found.expired(&large, full.clone());
    assert!(found.unreached().is_empty());
}

#[test]
fn the_table_and_the_addresses_of_a_peer_are_bounded() {
    let now = Instant::now();
    let mut found = FoundPeers::new(PeerId::random());
    let many = |port: usize| format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap();
    for _ in 0..=MAX_FOUND {
        found.add(PeerId::random(), Via::Peer, (1..=MAX_ADDRESSES + 1).map(many), now);
    }
    let due = found.due(now + TIE_BREAK, |_| false);
    assert_eq!(due.len(), MAX_FOUND);
    assert!(due.iter().all(|(_, addresses)| addresses.len() == MAX_ADDRESSES));
}
