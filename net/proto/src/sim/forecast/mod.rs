//! Predicting how long a run takes: what costs time, how big things are, how far the work is.
//!
//! Rule: a forecast adds costs to a simulated run and never changes what is decided in it.

pub(crate) mod costs;
pub(crate) mod encoded_size;
pub(crate) mod message_size;
pub(crate) mod outcome;
pub(crate) mod progress;
