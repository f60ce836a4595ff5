//! Log lines: on standard error, and above the bars where those are drawn on the same terminal.
//!
//! Rule: a log line tears no bar, and waits for no terminal that bars are drawn in.

use std::{
    io::{IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

use super::{Said, Say};

/// The way to the bars while there are any.
static BARS: Mutex<Option<Say>> = Mutex::new(None);

/// Takes whole log lines, for the `tracing` crates.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, lines: &[u8]) -> std::io::Result<usize> {
        let bars = BARS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bars.filter(|_| std::io::stderr().is_terminal()) {
            Some(bars) => bars.put(Said::Log(String::from_utf8_lossy(lines).into_owned())),
            None => std::io::stderr().write_all(lines)?,
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Log lines go above the bars that `say` leads to, or to standard error again.
pub(super) fn go_to(say: Option<Say>) {
    *BARS.lock().unwrap_or_else(PoisonError::into_inner) = say;
}
