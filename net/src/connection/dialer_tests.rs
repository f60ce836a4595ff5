//! One side dials first, nobody is dialed in vain for ever, and the user is told once.

use libp2p::identity::Keypair;

use super::*;

fn ids() -> (PeerId, PeerId) {
    let id = || Keypair::generate_ed25519().public().to_peer_id();
    let (a, b) = (id(), id());
    (a.min(b), a.max(b))
}

fn address() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/4001".parse().unwrap()
}

fn fixed(remembered: bool, now: Instant) -> Dialer {
    let mut dialer = Dialer::new(ids().0);
    dialer.add_fixed("there:1".to_owned(), Target::Address(address()), remembered, now);
    dialer
}

#[test]
fn the_smaller_id_dials_at_once_and_the_larger_one_waits() {
    let (small, large) = ids();
    let now = Instant::now();
    let mut first = Dialer::new(small);
    first.found(large, Via::Mdns, [address()], now);
    assert_eq!(first.due(now, |_| false), [Dial::Found(large, vec![address()])]);
    let mut second = Dialer::new(large);
    second.found(small, Via::Mdns, [address()], now);
    assert!(second.due(now, |_| false).is_empty());
    assert!(second.due(now + TIE_BREAK, |_| true).is_empty());
    assert_eq!(second.due(now + TIE_BREAK, |_| false).len(), 1);
}

#[test]
fn a_found_peer_is_given_up_and_may_be_found_again() {
    let (small, large) = ids();
    let mut now = Instant::now();
    let mut dialer = Dialer::new(small);
    dialer.found(large, Via::Mdns, [address()], now);
    let mut attempts = 0;
    for _ in 0..2 * MAX_ATTEMPTS {
        attempts += dialer.due(now, |_| false).len();
        now += 2 * MAX_PAUSE;
    }
    assert_eq!(attempts, MAX_ATTEMPTS as usize);
    dialer.found(large, Via::Mdns, [address()], now);
    assert_eq!(dialer.due(now, |_| false).len(), 1);
}

#[test]
fn a_given_address_is_dialed_for_ever_and_its_error_is_told_once() {
    let mut now = Instant::now();
    let mut dialer = fixed(false, now);
    let mut told = 0;
    for _ in 0..100 {
        assert_eq!(dialer.due(now, |_| false), [Dial::Fixed(0)]);
        assert!(dialer.due(now, |_| false).is_empty());
        told += usize::from(dialer.missed(0, "refused".to_owned(), now));
        now += 2 * MAX_PAUSE;
    }
    assert_eq!(told, 1);
}

#[test]
fn a_remembered_address_is_tried_a_few_times() {
    let mut now = Instant::now();
    let mut dialer = fixed(true, now);
    for _ in 0..REMEMBERED_ATTEMPTS {
        assert_eq!(dialer.due(now, |_| false), [Dial::Fixed(0)]);
        assert!(!dialer.missed(0, "refused".to_owned(), now));
        now += 2 * MAX_PAUSE;
    }
    assert!(dialer.due(now, |_| false).is_empty());
}

#[test]
fn a_reached_address_is_dialed_again_after_its_peer_is_lost() {
    let now = Instant::now();
    let (peer, _) = ids();
    let mut dialer = fixed(false, now);
    dialer.due(now, |_| false);
    dialer.reached(0, peer, now);
    let later = now + FIXED_PAUSE;
    assert!(dialer.due(later, |_| true).is_empty());
    assert_eq!(dialer.due(later, |_| false), [Dial::Fixed(0)]);
}

#[test]
fn a_barred_peer_is_not_dialed() {
    let (small, large) = ids();
    let now = Instant::now();
    let mut dialer = Dialer::new(small);
    dialer.found(large, Via::Mdns, [address()], now);
    dialer.bar(large, "other swarm", now);
    dialer.found(large, Via::Mdns, [address()], now);
    assert!(dialer.due(now, |_| false).is_empty());
}

#[test]
fn an_address_that_is_ours_too_is_not_dialed() {
    let (small, large) = ids();
    let now = Instant::now();
    let mut dialer = Dialer::new(small);
    let other: Multiaddr = "/ip4/10.0.0.2/tcp/4477".parse().unwrap();
    dialer.found(large, Via::Peer, [address(), other.clone()], now);
    dialer.listening(vec![address()]);
    assert_eq!(dialer.due(now, |_| false), [Dial::Found(large, vec![other.clone()])]);
    dialer.listening(vec![address(), other]);
    assert!(dialer.due(now + 2 * MAX_PAUSE, |_| false).is_empty());
}

#[test]
fn ourselves_are_not_dialed() {
    let (own, _) = ids();
    let now = Instant::now();
    let mut dialer = Dialer::new(own);
    dialer.found(own, Via::Mdns, [address()], now);
    assert!(dialer.due(now, |_| false).is_empty());
    let mut dialer = fixed(false, now);
    dialer.due(now, |_| false);
    dialer.is_self(0);
    assert!(dialer.due(now + 2 * MAX_PAUSE, |_| false).is_empty());
}

#[test]
fn two_that_dial_each_other_do_not_stay_in_step() {
    let (small, large) = ids();
    for attempts in 1..10 {
        let (ours, theirs) = (
            pause(FOUND_PAUSE, attempts, small, large),
            pause(FOUND_PAUSE, attempts, large, small),
        );
        assert_ne!(ours, theirs);
        assert_eq!(ours, pause(FOUND_PAUSE, attempts, small, large));
        assert!(ours >= FOUND_PAUSE && ours.max(theirs) <= MAX_PAUSE + MAX_PAUSE / 2);
    }
}

#[test]
fn what_went_wrong_is_kept_until_the_peer_is_here_or_gone() {
    let (small, large) = ids();
    let now = Instant::now();
    let mut dialer = Dialer::new(small);
    let full = address().with_p2p(large).unwrap();
    dialer.found(large, Via::Mdns, [full.clone(), address()], now);
    assert_eq!(dialer.due(now, |_| false), [Dial::Found(large, vec![address()])]);
    let fail = |dialer: &mut Dialer| dialer.failed(&large, vec![(full.clone(), "x".to_owned())]);
    fail(&mut dialer);
    let told = Unreached { via: Via::Mdns, tried: vec![("127.0.0.1:4001".into(), "x".into())] };
    assert_eq!(dialer.unreached(), [told]);
    dialer.connected(&large);
    assert!(dialer.unreached().is_empty());
    dialer.expired(&large, full.clone());
    fail(&mut dialer);
    assert_eq!(dialer.unreached()[0].via, Via::Met);
    dialer.not_there(&large, full.clone());
    assert!(dialer.unreached().is_empty());
    dialer.found(large, Via::Mdns, [address()], now);
    fail(&mut dialer);
    dialer.expired(&large, full.clone());
    assert!(dialer.unreached().is_empty());
}
