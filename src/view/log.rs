//! Log lines: on standard error, or above the board where that is drawn on the same terminal.
//!
//! Rule: a log line never breaks a bar, and never waits for a terminal that has a board.

use std::{
    io::{IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

use super::queue::{Said, Say};

/// The queue to the board while there is one.
static BOARD: Mutex<Option<Say>> = Mutex::new(None);

/// Takes whole log lines, for the `tracing` crates.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, lines: &[u8]) -> std::io::Result<usize> {
        let board = BOARD.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match board.filter(|_| std::io::stderr().is_terminal()) {
            Some(board) => board.put(Said::Log(String::from_utf8_lossy(lines).into_owned())),
            None => std::io::stderr().write_all(lines)?,
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sends log lines to the board behind `say`, or to standard error again.
pub(super) fn go_to(say: Option<Say>) {
    *BOARD.lock().unwrap_or_else(PoisonError::into_inner) = say;
}
