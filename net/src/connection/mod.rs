//! Connections: where this node listens, whom it dials, and who is connected.
//!
//! Rule: a connection means nothing until its peer has introduced itself; how a peer was found does
//! not matter here.
//!
//! `dialing` makes the attempts that are due by `found` (peers) and `fixed` (addresses);
//! `connections` takes in who comes, into the table `peers`.

pub(crate) mod connections;
pub(crate) mod dialing;
pub(crate) mod fixed;
mod found;
pub(crate) mod listening;
mod pauses;
pub(crate) mod peers;
pub(crate) mod ports;
pub(crate) mod unreached;
