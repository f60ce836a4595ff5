//! Two nodes in one program share a run over loopback, and end with the same model.
//!
//! Rule: whichever node trains what, the bytes are those of a training alone.

#![allow(clippy::print_stdout, reason = "it talks to its user")]

use std::error::Error;

use ffp2p::{
    data::Data,
    events::{Event, EventSink},
    node::{Ending, Listen, Network, Node, Settings},
    spec::Spec,
};
use tokio::sync::mpsc;

/// Runs a node to the end of its run.
async fn node(peers: Vec<String>, sink: Box<dyn EventSink>) -> Result<Ending, Box<dyn Error>> {
    let data = Data::open("digits:2000+200")?;
    let settings = Spec::builder().layers([784, 80, 80]).epochs(10).chapter_steps(10);
    let listen = Listen::At(vec!["127.0.0.1:0".parse()?]);
    // Nodes of a LAN would find each other by multicast DNS.
    let network = Network { listen, peers, mdns: false, ..Network::default() };
    let node = Node::start(
        settings.check(data)?,
        network,
        Settings { threads: 1, ..Settings::default() },
        sink,
    );
    // Its sender can stop the node.
    let (_stop, stops) = mpsc::channel(1);
    Ok(node.await?.run(stops).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (tell, mut told) = mpsc::channel(1);
    let announce = move |event: &Event| {
        if let Event::Ready { listen, .. } = event {
            // The second node waits for it.
            let _ = tell.try_send(listen.clone());
        }
    };
    let first = node(Vec::new(), Box::new(announce));
    let second = async {
        let addresses = told.recv().await.ok_or("the first node is not ready")?;
        let show = |event: &Event| println!("{}", event.to_json());
        node(addresses, Box::new(show)).await
    };
    let (first, second) = tokio::try_join!(first, second)?;
    println!("{first:?}\n{second:?}");
    if first == second { Ok(()) } else { Err("the models differ".into()) }
}
