//! Broadcasts reach every peer, and are passed on only where a peer may not have heard them.

mod common;

use common::{Node, config, run, score};
use ffp2p_net::{Config, Event, Listen};
use tempfile::tempdir;

/// Rounds of broadcasts after which all nodes have the same audience.
const MAX_ROUNDS: u64 = 100;

#[tokio::test]
async fn a_peer_that_is_not_connected_is_heard_through_others() {
    let alone = || Config { rendezvous: None, ..config("".as_ref(), Some(run(b"r"))) };
    let mut hub = Node::start(alone()).await;
    let peers = vec![hub.address().await];
    // Nobody can dial these two.
    let hidden = || Config { listen: Listen::At(Vec::new()), peers: peers.clone(), ..alone() };
    let (mut a, mut b) = (Node::start(hidden()).await, Node::start(hidden()).await);
    for node in [&mut a, &mut b] {
        node.connected(hub.id()).await;
        hub.connected(node.id()).await;
    }
    a.handle.broadcast(score(1));
    b.is(Event::Received { from: a.id(), message: score(1) }).await;
    assert!(hub.handle.traffic().passed_on > 0);
    let heard = b.handle.traffic();
    assert!(heard.gossip_in > 0 && heard.gossip_in <= heard.bytes_in, "{heard:?}");
}

#[tokio::test]
async fn nothing_is_passed_on_among_nodes_that_all_hear_each_other() {
    let place = tempdir().unwrap();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::start(config(place.path(), Some(run(b"r")))).await);
    }
    let ids: Vec<_> = nodes.iter().map(Node::id).collect();
    for node in &mut nodes {
        let own = node.id();
        for &other in ids.iter().filter(|&&id| id != own) {
            node.connected(other).await;
        }
    }
    let mut passed_on = u64::MAX;
    for round in 0..MAX_ROUNDS {
        nodes.iter().for_each(|node| node.handle.broadcast(score(round)));
        for node in &mut nodes {
            let own = node.id();
            for &from in ids.iter().filter(|&&id| id != own) {
                node.is(Event::Received { from, message: score(round) }).await;
            }
        }
        let now = nodes.iter().map(|node| node.handle.traffic().passed_on).sum();
        if now == passed_on {
            return;
        }
        passed_on = now;
    }
    panic!("{passed_on} broadcasts were passed on in {MAX_ROUNDS} rounds");
}
