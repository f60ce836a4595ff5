//! The sinks that show a run on standard output.
//!
//! Rule: a sink renders events, decides nothing and keeps only what it shows. Bars and plain lines are
//! written by a thread of their own, so that no terminal, however slow, holds a run up.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use super::{
    log,
    output::{complain, line},
    queue::{Said, Say, queue},
    text::{self, Form},
};
use crate::events::{Event, EventSink};

/// Time that a terminal gets for the last lines when the run is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The sink for this process's standard output: JSON lines if asked for, else the board where standard
/// output is a terminal that can draw it, else plain lines.
#[must_use]
pub fn for_stdout(json: bool) -> Box<dyn EventSink> {
    if json { Box::new(JsonLines) } else { Box::new(TextView::start(Form::of_stdout())) }
}

/// One JSON object a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonLines;

impl EventSink for JsonLines {
    fn on_event(&mut self, event: &Event) {
        line(&event.to_json());
    }
}

/// Sentences for people: above a board of bars in a terminal, or as plain lines with one about the
/// whole run every few seconds.
///
/// A drop waits until everything is written, for two seconds at most.
#[derive(Debug)]
pub struct TextView {
    /// `None` when nothing more is to be shown.
    say: Option<Say>,
    /// Disconnected when all is written.
    written: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl TextView {
    /// A board of bars at the bottom of the terminal, for one that obeys escape sequences.
    #[must_use]
    pub fn board() -> Self {
        Self::start(Form::board())
    }

    /// Plain lines, for anything but a terminal.
    #[must_use]
    pub fn lines() -> Self {
        Self::start(Form::lines())
    }

    fn start(form: Form) -> Self {
        let (say, saying) = queue();
        let (end, written) = sync_channel(0);
        log::go_to(form.is_board().then(|| say.clone()));
        let thread = std::thread::spawn(move || {
            text::write(form, &saying);
            drop(end);
        });
        Self { say: Some(say), written, thread: Some(thread) }
    }
}

impl EventSink for TextView {
    fn on_event(&mut self, event: &Event) {
        if let Some(say) = &self.say {
            say.put(Said::Event(event.clone()));
        }
    }
}

impl Drop for TextView {
    fn drop(&mut self) {
        log::go_to(None);
        self.say = None;
        // Nothing is ever sent: this waits for the end, or for as long as that may take.
        let _ = self.written.recv_timeout(LAST_WORDS);
        let thread = self.thread.take().filter(JoinHandle::is_finished);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            complain("the thread that writes to the terminal failed; some lines are missing");
        }
    }
}
