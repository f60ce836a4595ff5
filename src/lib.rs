//! `ffp2p` trains Forward-Forward networks (Hinton 2022) on whatever machines share a LAN, after
//! the Pipeline Forward-Forward of Aktemur et al. (2024), without a coordinator.
//!
//! A run is a grid of cells, shard x chapter. What a cell computes is fixed by the run's spec and by
//! nothing else, so the model of a run is the same bytes whether one peer trained it or eight, and
//! whether or not some of them left meanwhile. Peers only decide where cells are computed.
//!
//! Rule: the library decides nothing by flags, files or the environment; the command line is one of its
//! users.
//!
//! - [`spec`] determines a run, [`data`] has its samples, [`ff`] is the mathematics.
//! - [`train`] trains a run alone, [`node`] together with others; what happens are [`events`].
//! - [`sharing`] gives data sets to peers and fetches them.
//! - [`export`] has the trained model, [`store`] the runs that are kept on disk.
//! - [`sim`] rehearses a run in virtual time, [`mod@bench`] times a step of it.
//! - [`schedule`], [`sequential`], [`checkpoint`] and [`diverged`] are the parts of a training.
//! - [`view`] shows events, [`config`], [`cli`] and [`commands`] are the command line.
//!
//! ```
//! use ffp2p::{data::Data, events::Event, spec::Spec, train::{TrainOptions, train}};
//!
//! let data = Data::open("digits:500+100")?;
//! let run = Spec::builder().layers([784, 50, 50]).epochs(2).check(data)?;
//! let mut show = |event: &Event| println!("{}", event.to_json());
//! let model = train(&run, TrainOptions::default(), &mut show)?;
//! println!("run {}, model {}", run.spec.run_id(), model.hash());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod about;
mod atomic_file;
pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod config;
pub mod data;
mod difference;
pub mod diverged;
pub mod events;
pub mod export;
pub mod node;
pub mod pool;
pub mod schedule;
pub mod sequential;
pub mod sharing;
pub mod sim;
pub mod spec;
pub mod store;
mod text;
pub mod train;
pub mod view;

pub use ffp2p_ff as ff;
