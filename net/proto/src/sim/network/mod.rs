//! The network between machines: weather, cables, links, and the bytes that pass.
//!
//! Rule: it is never kinder than a real one, and decides nothing.

pub(crate) mod byzantine;
pub(crate) mod cables;
pub(crate) mod links;
pub(crate) mod traffic;
pub(crate) mod transport;
pub(crate) mod weather;
