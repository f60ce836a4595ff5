//! Talk between connected peers: requests and answers in both directions, broadcasts, and blobs.
//!
//! Rule: a request that comes in goes to `inbound`, which answers it; a request of ours goes out
//! through `outbound`, and its answer comes back there. Neither knows the other.

pub(crate) mod blob_fetching;
pub(crate) mod blob_serving;
pub(crate) mod broadcasts;
pub(crate) mod inbound;
pub(crate) mod outbound;
