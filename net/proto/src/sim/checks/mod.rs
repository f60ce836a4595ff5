//! Rules that must hold: after every event, and once all is done.
//!
//! Rule: a check changes nothing but its own memory.

pub(crate) mod claims;
pub(crate) mod facts;
pub(crate) mod final_checks;
pub(crate) mod findings;
pub(crate) mod watch;
