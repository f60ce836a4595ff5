//! Members are announced once, and an audience is the same seen from each of its nodes.

use ffp2p_proto::{Config, Hash, MAX_MEMBERS};

use super::*;

const RUN: Option<Hash> = Some(Hash([7; 32]));

fn greeting(run: Option<Hash>) -> Greeting {
    Greeting::new("node", "a", run)
}

fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn far() -> Multiaddr {
    "/ip4/10.0.0.7/tcp/4477".parse().unwrap()
}

/// A table with one peer that has not introduced itself.
fn with_one(now: Instant) -> (Peers, PeerId) {
    let (id, mut peers) = (PeerId::random(), Peers::new(greeting(RUN)));
    peers.insert(id, Peer::new(node(1), &far(), now));
    (peers, id)
}

#[test]
fn nodes_that_all_hear_each_other_have_one_audience() {
    let now = Instant::now();
    let seen_from = |me: u8| {
        let mut peers = Peers::new(greeting(RUN));
        for number in (1..=3).filter(|&number| number != me) {
            let id = PeerId::random();
            peers.insert(id, Peer::new(node(number), &far(), now));
            peers.introduce(&id, greeting(RUN));
            peers.subscribed(&id);
        }
        peers
    };
    let digest = |me, peers: &Peers| peers.audience_digest(node(me), now);
    let (one, mut two) = (seen_from(1), seen_from(2));
    assert_eq!(digest(1, &one), digest(2, &two));
    let later = one.audience_digest(node(1), now + AUDIENCE);
    assert_ne!(digest(1, &one), later, "nobody was heard lately");
    for change in [
        |peer: &mut Peer| peer.subscribed = false,
        |peer: &mut Peer| peer.greeting = Some(greeting(None)),
    ] {
        two = seen_from(2);
        two.all.values_mut().next().into_iter().for_each(change);
        assert_ne!(digest(1, &one), digest(2, &two));
    }
}

#[test]
fn the_audience_is_heard_within_a_heartbeat_and_lost_before_it_counts_as_dead() {
    let decisions = Config::default();
    let audience = u64::try_from(AUDIENCE.as_millis()).unwrap();
    assert!(
        (decisions.heartbeat_interval_ms(MAX_MEMBERS)..decisions.silent_ms).contains(&audience)
    );
}

#[test]
fn a_peer_is_silent_only_when_nothing_came_for_long() {
    let now = Instant::now();
    let (mut peers, id) = with_one(now);
    assert!(!peers.is_silent(&PeerId::random(), now + 2 * SILENT));
    assert!(!peers.is_silent(&id, now) && peers.is_silent(&id, now + SILENT));
    peers.heard(&id, now + SILENT);
    assert!(!peers.is_silent(&id, now + SILENT));
}

#[test]
fn a_member_is_announced_once_when_it_subscribes_or_had_time_to() {
    let now = Instant::now();
    let (mut peers, id) = with_one(now);
    assert_eq!(peers.announce(&id, now + GOSSIP_GRACE), None, "it said nothing yet");
    peers.introduce(&id, greeting(RUN));
    assert_eq!(peers.announce(&id, now), None);
    peers.subscribed(&id);
    assert_eq!(peers.announce(&id, now), Some(node(1)));
    assert_eq!(peers.announce(&id, now), None);
    let (mut peers, id) = with_one(now);
    peers.introduce(&id, greeting(RUN));
    assert_eq!(peers.announce(&id, now + GOSSIP_GRACE), Some(node(1)));
    assert!(peers.any_announced());
}

#[test]
fn only_a_member_can_have_lost_its_subscription() {
    let now = Instant::now();
    let (mut peers, id) = with_one(now);
    let late = now + SUBSCRIPTION_LOST;
    assert!(peers.without_subscription(late).is_empty());
    peers.introduce(&id, greeting(RUN));
    assert!(peers.without_subscription(now).is_empty());
    assert_eq!(peers.without_subscription(late), [id]);
    peers.subscribed(&id);
    assert!(peers.without_subscription(late).is_empty());
}

#[test]
fn the_address_of_the_connection_comes_first_and_loopback_is_for_this_host() {
    let now = Instant::now();
    let (peers, id) = with_one(now);
    let all = ["/ip4/127.0.0.1/tcp/4477", "/ip4/10.9.9.9/tcp/4477", "/ip4/10.0.0.7/tcp/4477"];
    let all = all.map(|it| it.parse().unwrap());
    assert_eq!(peers.usable(&id, &all), [all[2].clone(), all[1].clone()]);
    assert!(peers.usable(&PeerId::random(), &all).is_empty());
}
