//! What is between machines: weather, cables, links, and the bytes that pass.
//!
//! Rule: the network is never kinder than a real one, and nothing here decides anything.

pub(crate) mod byzantine;
pub(crate) mod cables;
pub(crate) mod links;
pub(crate) mod traffic;
pub(crate) mod transport;
pub(crate) mod weather;
