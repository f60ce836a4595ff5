//! Connections: where this node listens, whom it dials, and who is connected.
//!
//! Rule: a connection means nothing until its peer has introduced itself; how a peer was found does
//! not matter here.

pub(crate) mod connections;
pub(crate) mod dialer;
pub(crate) mod listening;
pub(crate) mod peers;
pub(crate) mod ports;
