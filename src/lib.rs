//! `ffp2p` trains Forward-Forward networks (Hinton 2022) on whatever machines share a LAN, after
//! the Pipeline Forward-Forward of Aktemur et al. (2024), without a coordinator.
//!
//! A run is a grid of cells, layer x chapter. What a cell computes is fixed by the run's spec and
//! by nothing else, so the model of a run is the same bytes whether one peer trained it or eight,
//! and whether or not some of them left meanwhile. Peers only decide where cells are computed.
//!
//! - [`ff`] is the mathematics, [`data`] the samples, [`schedule`] which sample is trained in which step.
//! - [`config`] turns flags into a checked [`spec`], [`checkpoint`] a shard into bytes.
//! - [`node`] carries out what `ffp2p_proto` decides, over `ffp2p_net`.
//! - [`mod@bench`] times a step of it, [`sim`] rehearses it in virtual time.
//! - [`export`] makes one model of the shards; [`events`] say what happens and [`view`] shows it;
//!   [`diverged`] is the end of a run whose numbers went out of range.

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
pub mod schedule;
pub mod sequential;
pub mod sim;
pub mod spec;
mod text;
pub mod view;

pub use ffp2p_ff as ff;
