//! Text for the user's standard output and standard error.
//!
//! Rule: everything is made safe for a terminal here, and a reader that went away is no reason to
//! stop.

use std::io::Write;

use super::words::escaped;

/// Prints a line on standard output.
pub(crate) fn line(text: &str) {
    print(&(escaped(text) + "\n"));
}

/// Prints text that is safe already.
pub(super) fn print(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says on standard error why the program ends.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "ffp2p: {}", escaped(text));
}
