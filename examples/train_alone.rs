//! Trains a small network in this process, without a network or a disk, and prints its accuracy.
//!
//! Rule: the spec determines every byte of the model; nothing else does.

#![allow(clippy::print_stdout, reason = "it talks to its user")]

use std::error::Error;

use ffp2p::{
    data::Data,
    events::Event,
    spec::Spec,
    train::{TrainOptions, train},
};

fn main() -> Result<(), Box<dyn Error>> {
    // Digits that are drawn on the spot; `mnist:DIR`, `folder:PATH` and others are read from files.
    let data = Data::open("digits:3000+500")?;
    let run = Spec::builder().layers([784, 100, 100]).epochs(4).check(data)?;
    println!("run {}", run.spec.run_id());

    // A closure is a sink of events; so are the views of the command line in `ffp2p::view`.
    let mut show = |event: &Event| {
        if let Event::Eval { epoch, samples, softmax_accuracy, .. } = event {
            println!("epoch {epoch}: {:.1} % of {samples} digits", softmax_accuracy * 100.0);
        }
    };
    let model = train(&run, TrainOptions::default(), &mut show)?;
    println!("model {}", model.hash());
    Ok(())
}
