//! Talk between connected peers: requests and answers in both directions, and blobs in pieces.
//!
//! Rule: `outbound` is our side (requests sent, and their answers), `inbound` that of the others
//! (requests received); neither calls the other.

pub(crate) mod blob_fetching;
pub(crate) mod inbound;
pub(crate) mod outbound;
