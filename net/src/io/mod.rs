//! The ends of the node: the swarm with its protocols, and the queue of events to the owner.
//!
//! Rule: nothing is decided here; every queue and every table that a peer can fill has a bound.

pub(crate) mod behaviour;
pub(crate) mod outbox;
pub(crate) mod transport;
