//! Rehearses a run in virtual time: the speed-up of several machines, before any of them is bought.
//!
//! Rule: the decisions are those of real nodes; only the time of a step comes from a model.

#![allow(clippy::print_stdout, reason = "it talks to its user")]

use std::error::Error;

use ffp2p::{
    data::Data,
    sim::{Churn, CostModel, Rehearsal},
    spec::{Placement, Spec},
};

fn main() -> Result<(), Box<dyn Error>> {
    let data = Data::open("digits:20000+1000")?;
    let settings = Spec::builder().layers([784, 1000, 1000, 1000, 1000]).epochs(40);
    let run = settings.placement(Placement::AllLayers).check(data)?;

    // Machines of 50 GFLOP/s in a LAN; `ffp2p bench step` measures this one.
    let costs = CostModel::default_for(&run.spec.network, run.data.is_drawn());
    let steady = Rehearsal::new(&run, costs, vec![50.0], "lan".parse()?);
    let crashing = Rehearsal { churn: Churn { per_hour: 20.0 }, ..steady.clone() };

    println!("nodes  speed-up  with crashes  ceiling");
    for nodes in [1, 2, 4] {
        let (quiet, churn) = (steady.predict(nodes)?, crashing.predict(nodes)?);
        println!(
            "{nodes:>5} {:>9.2} {:>13.2} {:>8.2}",
            quiet.speed_up(),
            churn.speed_up(),
            quiet.ceiling
        );
    }
    Ok(())
}
