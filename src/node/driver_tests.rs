//! A whole node whose store loses what it was given.

use std::sync::atomic::{AtomicBool, Ordering};

use ffp2p_proto::Hash;

use super::*;
use crate::{
    data::Data,
    events::Event,
    ff::Negatives,
    sequential::Sequential,
    spec::{Placement, Spec},
};

/// A run is over by then, or its test fails.
const BOUND: Duration = Duration::from_secs(120);

/// Blobs put into the store between two that are lost.
const BETWEEN: u64 = 60;

/// Blobs that are lost.
const LOSSES: usize = 6;

/// The model of a training alone.
fn expected(checked: &Checked) -> Hash {
    let schedule = Schedule::new(checked, 1).unwrap();
    let mut alone = Sequential::new(checked.spec.clone(), schedule);
    for chapter in 0..checked.spec.plan().chapters() {
        alone.chapter(chapter, &crate::ff::Inline).unwrap();
    }
    Hash(*alone.network().model_hash().as_bytes())
}

/// The model of one node alone, of whose store some blobs get lost, and how many that were.
async fn model_of_a_lossy_node(checked: Checked) -> (Option<Hash>, usize) {
    let network = ffp2p_net::Config {
        listen: ffp2p_net::Listen::At(vec!["127.0.0.1:0".parse().unwrap()]),
        mdns: false,
        ..ffp2p_net::Config::default()
    };
    let settings = Settings { threads: 1, ..Settings::default() };
    let sink = Box::new(|_: &Event| ());
    let mut node = Node::start(checked, network, settings, sink).await.unwrap();
    let (store, is_over) = (Arc::clone(&node.shell.store), Arc::new(AtomicBool::new(false)));
    let over = Arc::clone(&is_over);
    let losing = std::thread::spawn(move || {
        let (mut lost, mut at) = (0, BETWEEN);
        while lost < LOSSES && !over.load(Ordering::Relaxed) {
            if store.lose_one(at, lost) {
                (lost, at) = (lost + 1, at + BETWEEN);
            }
            std::thread::yield_now();
        }
        lost
    });
    let (_stop, stops) = mpsc::channel(1);
    let worked = tokio::time::timeout(BOUND, node.work(stops)).await;
    is_over.store(true, Ordering::Relaxed);
    worked.expect("the run does not end").unwrap();
    node.shell.net.clone().shutdown().await;
    node.answers.close();
    node.shell.close().await.unwrap();
    (node.shell.completion.model(), losing.join().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_loses_blobs_changes_nothing() {
    for placement in [Placement::SingleLayer, Placement::AllLayers] {
        let settings = Spec::builder().layers([784, 12, 12]).epochs(10).batch_size(20);
        let settings = settings.chapter_steps(10).negatives(Negatives::Adaptive);
        let data = Data::open("digits:400+40").unwrap();
        let checked = settings.placement(placement).check(data).unwrap();
        let expected = expected(&checked);
        let (model, lost) = model_of_a_lossy_node(checked).await;
        assert_eq!(model, Some(expected), "{placement:?}");
        assert!(lost > 0, "{placement:?}: nothing was lost");
    }
}
