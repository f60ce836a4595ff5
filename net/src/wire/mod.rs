//! Everything that is said to a peer or by it, as bytes and back.
//!
//! Rule: bytes come from strangers. Each format has one file, which compares a length with its
//! bound before it allocates, and gives out only values that may be used as they are.

pub(crate) mod about;
pub(crate) mod frames;
pub(crate) mod greeting;
pub(crate) mod limits;
pub(crate) mod messages;
pub(crate) mod node_id;
#[cfg(test)]
pub(crate) mod pinned;
