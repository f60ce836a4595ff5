//! The views of a run: JSON lines for scripts, a board of bars for a terminal, plain lines for anything
//! else.
//!
//! Rule: each is an [`EventSink`](crate::events::EventSink), and nothing in a run depends on which.

mod board;
mod draw;
mod layout;
mod log;
mod output;
mod pace;
mod queue;
mod sentences;
mod sinks;
mod takeover;
mod text;
mod words;

pub use log::Log;
pub use output::complain;
pub(crate) use output::line;
pub(crate) use sentences::sentence;
pub use sinks::{JsonLines, TextView, for_stdout};
