//! What must hold: after every event, and once all is done.
//!
//! Rule: checks look and change nothing but what they remember.

pub(crate) mod facts;
pub(crate) mod final_checks;
pub(crate) mod findings;
pub(crate) mod watch;
