//! What is between machines: weather, cables, links, and the bytes that pass.
//!
//! Rule: the network is never kinder than a real one, and nothing here decides anything.

pub(crate) mod byzantine;
pub(crate) mod cables;
pub(crate) mod transport;
