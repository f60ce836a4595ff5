//! Nodes find each other, keep to their own, and say why when they cannot.

mod common;

use std::fs;
use std::time::Duration;

use common::{Blobs, Node, PATIENCE, config, pair, run, score};
use ffp2p_net::{
    AboutData, Config, Described, Event, Listen, Progress, Refusal, RunInfo, StartError,
    SurveyError, spawn, survey,
};
use ffp2p_proto::Message;
use tempfile::tempdir;

/// Time for further runs.
const FURTHER: Duration = Duration::from_millis(300);

#[tokio::test]
async fn two_nodes_of_one_host_talk_both_ways() {
    let place = tempdir().unwrap();
    let (mut a, mut b) = pair(place.path(), Blobs::default()).await;
    a.handle.broadcast(score(1));
    b.is(Event::Received { from: a.id(), message: score(1) }).await;
    b.handle.broadcast(score(2));
    a.is(Event::Received { from: b.id(), message: score(2) }).await;
    a.handle.send(b.id(), score(3));
    b.is(Event::Received { from: a.id(), message: score(3) }).await;
    b.handle.send(a.id(), score(4));
    a.is(Event::Received { from: b.id(), message: score(4) }).await;
    assert!(a.handle.traffic().bytes_in > 0 && a.handle.traffic().bytes_out > 0);
}

#[tokio::test]
async fn a_goodbye_arrives_before_the_node_goes() {
    let place = tempdir().unwrap();
    let (mut a, b) = pair(place.path(), Blobs::default()).await;
    let gone = b.id();
    b.handle.broadcast(Message::Goodbye);
    b.handle.shutdown().await;
    a.is(Event::Received { from: gone, message: Message::Goodbye }).await;
    a.is(Event::Disconnected(gone)).await;
    a.handle.shutdown().await;
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_disconnected_peer_comes_back() {
    let place = tempdir().unwrap();
    let (mut a, mut b) = pair(place.path(), Blobs::default()).await;
    a.handle.disconnect(b.id());
    a.is(Event::Disconnected(b.id())).await;
    b.is(Event::Disconnected(a.id())).await;
    a.connected(b.id()).await;
    b.connected(a.id()).await;
    a.handle.broadcast(score(5));
    b.is(Event::Received { from: a.id(), message: score(5) }).await;
}

#[tokio::test]
async fn another_run_is_named_and_kept_apart() {
    let place = tempdir().unwrap();
    let (ours, theirs) = (run(b"ours"), run(b"theirs"));
    let mut a = Node::start(config(place.path(), Some(ours.clone()))).await;
    let mut b = Node::start(config(place.path(), Some(theirs.clone()))).await;
    let version = || env!("CARGO_PKG_VERSION").to_owned();
    a.is(Event::OtherRun { peer: b.id(), run: theirs.id, version: version() }).await;
    b.is(Event::OtherRun { peer: a.id(), run: ours.id, version: version() }).await;
    a.handle.broadcast(score(1));
    a.handle.send(b.id(), score(2));
    // An answered request on the same connection: messages sent before it have arrived.
    assert_eq!(a.handle.fetch_spec(b.id(), theirs.id).await.unwrap().spec, theirs.spec);
    let wrong = |event: &Event| matches!(event, Event::Received { .. } | Event::Connected(_));
    assert!(!b.so_far().iter().any(wrong));
    assert!(!a.so_far().iter().any(wrong));
}

#[tokio::test]
async fn another_swarm_is_refused() {
    let mut a =
        Node::start(Config { rendezvous: None, ..config("".as_ref(), Some(run(b"r"))) }).await;
    let there = a.address().await;
    let other = Config {
        swarm: "elsewhere".to_owned(),
        peers: vec![there],
        rendezvous: None,
        ..config("".as_ref(), Some(run(b"r")))
    };
    let mut b = Node::start(other).await;
    let reason = Refusal::OtherSwarm("default".to_owned());
    b.is(Event::Refused { peer: a.id(), reason }).await;
    assert!(b.handle.report().await.unwrap().refused > 0);
}

#[tokio::test]
async fn given_addresses_of_every_form_are_dialed() {
    let alone = || Config { rendezvous: None, ..config("".as_ref(), Some(run(b"r"))) };
    let mut a = Node::start(alone()).await;
    let there = a.address().await;
    let port = there.rsplit(':').next().unwrap().to_owned();
    let full = format!("/ip4/127.0.0.1/tcp/{port}");
    for peer in [there, full, format!("localhost:{port}")] {
        let mut b = Node::start(Config { peers: vec![peer], ..alone() }).await;
        b.connected(a.id()).await;
        a.connected(b.id()).await;
        b.handle.shutdown().await;
    }
}

#[tokio::test]
async fn peers_of_a_peer_are_found_through_it() {
    let alone = || Config { rendezvous: None, ..config("".as_ref(), Some(run(b"r"))) };
    let mut hub = Node::start(alone()).await;
    let peers = vec![hub.address().await];
    let mut a = Node::start(Config { peers: peers.clone(), ..alone() }).await;
    let mut b = Node::start(Config { peers, ..alone() }).await;
    a.connected(b.id()).await;
    b.connected(a.id()).await;
}

#[tokio::test]
async fn remembered_addresses_are_dialed_at_the_next_start() {
    let place = tempdir().unwrap();
    let alone = || Config { rendezvous: None, ..config("".as_ref(), Some(run(b"r"))) };
    let mut a = Node::start(alone()).await;
    let remembered = Some(place.path().join("peers"));
    let first = Config { peers: vec![a.address().await], ..alone() };
    let mut b = Node::start(Config { remembered: remembered.clone(), ..first }).await;
    b.connected(a.id()).await;
    b.handle.shutdown().await;
    let mut c = Node::start(Config { remembered, ..alone() }).await;
    c.connected(a.id()).await;
}

#[tokio::test]
async fn a_port_in_use_is_reported_with_its_address() {
    let place = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let busy =
        Config { listen: Listen::At(vec![address]), ..config(place.path(), Some(run(b"r"))) };
    let error = spawn(busy, std::sync::Arc::new(Blobs::default())).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }));
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("choose another"), "{text}");
}

#[tokio::test]
async fn a_port_of_another_node_is_taken() {
    let alone = || Config { rendezvous: None, ..config("".as_ref(), Some(run(b"r"))) };
    let mut first = Node::start(alone()).await;
    let listen = Listen::At(vec![first.address().await.parse().unwrap()]);
    let again = Config { listen, ..alone() };
    let error = spawn(again.clone(), std::sync::Arc::new(Blobs::default())).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    first.handle.shutdown().await;
    Node::start(again).await;
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start() {
    let wrong = [
        Config { swarm: "a b".to_owned(), ..Config::default() },
        Config { name: "a b".to_owned(), ..Config::default() },
        Config { peers: vec!["nowhere".to_owned()], ..Config::default() },
        Config { listen: Listen::At(vec!["192.0.2.1:0".parse().unwrap()]), ..Config::default() },
    ];
    for config in wrong {
        let config = Config { mdns: false, ..config };
        assert!(spawn(config, std::sync::Arc::new(Blobs::default())).await.is_err());
    }
}

#[tokio::test]
async fn garbage_in_the_folder_does_not_keep_nodes_apart() {
    let place = tempdir().unwrap();
    fs::write(place.path().join("notes"), "hello").unwrap();
    let stranger = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
    fs::write(place.path().join(stranger), [0xff; 50_000]).unwrap();
    fs::create_dir(place.path().join("folder")).unwrap();
    let (a, b) = pair(place.path(), Blobs::default()).await;
    let mut counted = Vec::new();
    for node in [a, b] {
        counted.extend(node.handle.report().await.unwrap().rendezvous.map(|(_, files)| files));
    }
    // The one that dialed has seen the other, and nothing else.
    assert_eq!(counted.into_iter().max(), Some(1));
}

#[tokio::test]
async fn a_survey_finds_the_run_and_its_spec() {
    let place = tempdir().unwrap();
    let mut a = Node::start(config(place.path(), Some(run(b"the spec")))).await;
    a.address().await;
    let found = survey(config(place.path(), None), PATIENCE, FURTHER).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].run, &found[0].spec[..]), (run(b"the spec").id, &b"the spec"[..]));
    assert_eq!(found[0].peer, a.id());
    assert!(!a.so_far().iter().any(|event| matches!(event, Event::OtherRun { .. })));
}

#[tokio::test]
async fn a_peer_introduces_itself_and_describes_its_run() {
    let place = tempdir().unwrap();
    let data = AboutData {
        kind: "mnist".to_owned(),
        form: "28 x 28 grey".to_owned(),
        classes: 10,
        samples: Some((60_000, 10_000)),
        manifest: 99,
    };
    let name = Some("cats".to_owned());
    let theirs = RunInfo { name: name.clone(), data: Some(data.clone()), ..run(b"theirs") };
    let progress = Progress { permille: 250, workers: 3, millisteps: 1_500 };
    let called = |name: &str, run| Config { name: name.to_owned(), ..config(place.path(), run) };
    let b = Node::start(called("attic", Some(theirs.clone()))).await;
    b.handle.describe(progress);
    for run in [Some(run(b"ours")), Some(theirs.clone())] {
        let mut a = Node::start(called("kitchen", run)).await;
        a.is(Event::Greeted { peer: b.id(), name: "attic".to_owned() }).await;
        let Described { spec, about } = a.handle.fetch_spec(b.id(), theirs.id).await.unwrap();
        let about = about.unwrap();
        assert_eq!((spec, about.data), (theirs.spec.clone(), Some(data.clone())));
        assert_eq!((about.run, about.progress), (name.clone(), progress));
        assert!(about.node == "attic" && about.age_seconds < PATIENCE.as_secs());
        assert!(a.handle.traffic().bytes_in < 1024, "{:?}", a.handle.traffic());
        a.handle.shutdown().await;
    }
}

#[tokio::test]
async fn a_survey_of_nothing_says_what_it_tried() {
    let place = tempdir().unwrap();
    let result = survey(config(place.path(), None), Duration::from_millis(50), FURTHER).await;
    let Err(SurveyError::Nobody(report)) = result else { panic!("{result:?}") };
    assert!(report.to_string().contains(place.path().to_str().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_lonely_node_says_so_once() {
    let mut a = Node::start(Config {
        rendezvous: None,
        peers: vec!["127.0.0.1:1".to_owned()],
        ..config("".as_ref(), Some(run(b"r")))
    })
    .await;
    let missed = |event: &Event| {
        matches!(event, Event::NotReached { address, .. } if address == "127.0.0.1:1").then_some(())
    };
    a.until(missed).await;
    let report = a
        .until(|event| if let Event::Alone(report) = event { Some(report.clone()) } else { None })
        .await;
    assert!(report.to_string().contains("127.0.0.1:1: "), "{report}");
}

#[tokio::test]
async fn a_node_whose_events_nobody_reads_still_ends() {
    let place = tempdir().unwrap();
    let (a, b) = pair(place.path(), Blobs::default()).await;
    let nobody = ffp2p_proto::NodeId([0; 32]);
    let blob = common::name(&common::content(1));
    for _ in 0..20_000 {
        a.handle.fetch(blob, nobody);
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(PATIENCE, a.handle.shutdown()).await.unwrap();
    drop((a.events, b));
}
