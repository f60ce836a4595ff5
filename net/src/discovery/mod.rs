//! Finding peers: multicast DNS, the rendezvous folder, remembered addresses, and the report of a
//! node that found nobody.
//!
//! Rule: only finding. An address that was found is given to the dialer, which decides whether and
//! when to try it.

pub(crate) mod announcer;
pub(crate) mod multicast;
pub(crate) mod neighbours;
pub(crate) mod remembered;
pub(crate) mod rendezvous;
pub(crate) mod report;
pub(crate) mod search;
