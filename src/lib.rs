//! `ffp2p` trains Forward-Forward networks on whatever machines share a LAN.
//!
//! A run is a grid of cells, layer x chapter. What a cell computes is fixed by the run's spec and
//! by nothing else, so the model of a run is the same bytes whether one peer trained it or eight.

pub mod checkpoint;
pub mod data;
pub mod ff;
