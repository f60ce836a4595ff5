//! Events for people: sentences above a board of bars, or as plain lines with one about the whole run
//! every few seconds.
//!
//! Rule: it takes events, reads the clock and the terminal's size, and writes; what it writes is made
//! by pure parts.

use std::{
    sync::mpsc::RecvTimeoutError,
    time::{Duration, Instant},
};

use console::Term;

use super::{
    board::Board,
    draw::{Drawn, is_drawn},
    output::print,
    queue::{Said, Saying},
    sentences::{is_on_board, sentence},
    words,
};
use crate::events::Event;

/// Time between two drawings of the board, and between two looks at the terminal's size, at least.
const TICK: Duration = Duration::from_millis(200);

/// After this long without a look the process was stopped (Ctrl-Z), and others may have written to the
/// terminal.
const STOPPED: Duration = Duration::from_secs(3);

/// Seconds from the first progress of the run to the first line about it.
const FIRST_LINE: f64 = 1.0;

/// Seconds between two lines about the run.
const LINE_EVERY: f64 = 5.0;

/// Columns and lines of a terminal that does not tell its size.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// Shows events until there are no more.
pub(super) fn write(form: Form, saying: &Saying) {
    let mut text = Text::new(form);
    let started = Instant::now();
    loop {
        let looked = Instant::now();
        let said = saying.said.recv_timeout(TICK);
        if looked.elapsed() > STOPPED {
            print(text.leave());
        }
        let now = started.elapsed().as_secs_f64();
        match said {
            Ok(Said::Event(event)) => text.take(&event, now),
            // Its writer has made it safe, and may have coloured it.
            Ok(Said::Log(lines)) => text.said += &lines,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let lost = saying.take_lost();
        if lost > 0 {
            text.say(&format!("{lost} lines were left out, because the terminal was too slow"));
        }
        print(&text.due(now, size()));
    }
    print(&text.last(started.elapsed().as_secs_f64(), size()));
}

/// Columns and lines of the terminal.
fn size() -> (usize, usize) {
    let known = Term::stdout().size_checked();
    known.map_or(DEFAULT_SIZE, |(lines, columns)| (columns.into(), lines.into()))
}

/// The form in which a run is shown.
#[derive(Debug)]
pub(super) enum Form {
    Lines { due: Option<f64>, told: String },
    Board { drawn: Drawn, due: f64 },
}

impl Form {
    /// Plain lines.
    pub(super) fn lines() -> Self {
        Self::Lines { due: None, told: String::new() }
    }

    /// A board of bars.
    pub(super) fn board() -> Self {
        Self::Board { drawn: Drawn::default(), due: 0.0 }
    }

    /// The form that suits standard output, the same for all commands: a board in a terminal that can
    /// draw it, outside of a build server.
    pub(super) fn of_stdout() -> Self {
        let stdout = Term::stdout();
        let variable = |name| std::env::var(name).ok();
        let term = variable("TERM").or_else(|| cfg!(windows).then(|| "windows".to_owned()));
        let size = stdout.is_term().then(|| stdout.size_checked()).flatten();
        // Asking a Windows console for colours makes it obey escape sequences, where it can.
        let obeys = !cfg!(windows) || stdout.features().colors_supported();
        if obeys && is_drawn(size, term.as_deref(), variable("CI").as_deref()) {
            Self::board()
        } else {
            Self::lines()
        }
    }

    pub(super) fn is_board(&self) -> bool {
        matches!(self, Self::Board { .. })
    }
}

/// The shown state, and the lines that wait.
#[derive(Debug)]
struct Text {
    form: Form,
    board: Board,
    /// Lines that wait, each with its end.
    said: String,
    /// Whether the run is complete: no more lines about its steps.
    is_over: bool,
}

impl Text {
    fn new(form: Form) -> Self {
        Self { form, board: Board::default(), said: String::new(), is_over: false }
    }

    /// Takes in an event at `now` seconds.
    fn take(&mut self, event: &Event, now: f64) {
        self.board.take(event, now);
        let is_end = matches!(event, Event::Done { .. });
        match &mut self.form {
            Form::Lines { due, .. } => {
                let is_news = matches!(event, Event::Progress { .. });
                if is_news && due.is_none() {
                    *due = Some(now + FIRST_LINE);
                }
                if is_end {
                    self.tell(now);
                }
            }
            Form::Board { due, .. } if is_end => *due = now,
            Form::Board { .. } if is_on_board(event) => return,
            Form::Board { .. } => {}
        }
        self.is_over |= is_end;
        if let Some(sentence) = sentence(event) {
            self.say(&sentence);
        }
    }

    fn say(&mut self, text: &str) {
        self.said += &words::escaped(text);
        self.said.push('\n');
    }

    /// Adds a line about the run, unless it is the same as the last one.
    fn tell(&mut self, now: f64) {
        let Form::Lines { told, .. } = &mut self.form else { return };
        if self.is_over {
            return;
        }
        let Some(summary) = self.board.summary(now).filter(|summary| summary != told) else {
            return;
        };
        told.clone_from(&summary);
        self.say(&summary);
    }

    /// The text to write at `now` seconds in a terminal of `size`.
    fn due(&mut self, now: f64, size: (usize, usize)) -> String {
        match &mut self.form {
            Form::Lines { due, .. } => {
                if due.is_some_and(|due| now >= due) {
                    *due = Some(now + LINE_EVERY);
                    self.tell(now);
                }
                std::mem::take(&mut self.said)
            }
            Form::Board { drawn, due } => {
                let lines = if self.is_over { Vec::new() } else { self.board.lines(now, size) };
                if now < *due || (self.said.is_empty() && drawn.is(&lines, size)) {
                    return String::new();
                }
                *due = now + TICK.as_secs_f64();
                drawn.replace(&std::mem::take(&mut self.said), lines, size)
            }
        }
    }

    /// The text to write when no more happens.
    fn last(&mut self, now: f64, size: (usize, usize)) -> String {
        match &mut self.form {
            Form::Lines { .. } => {
                self.tell(now);
                std::mem::take(&mut self.said)
            }
            Form::Board { due, .. } => {
                *due = now;
                self.due(now, size) + self.leave()
            }
        }
    }

    /// The text to write before others write.
    fn leave(&mut self) -> &'static str {
        match &mut self.form {
            Form::Lines { .. } => "",
            Form::Board { drawn, .. } => drawn.leave(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::board::tests::{progress, ready},
        *,
    };

    const SIZE: (usize, usize) = (80, 24);

    fn lines() -> Text {
        Text::new(Form::lines())
    }

    fn done() -> Event {
        Event::Done {
            model: "ab".into(),
            seconds: 2.0,
            bytes_in: 0,
            bytes_out: 0,
            gossip_in: 0,
            trained: Vec::new(),
            store: None,
        }
    }

    #[test]
    fn lines_come_soon_then_every_few_seconds_and_at_the_end() {
        let mut text = lines();
        text.take(&ready("", 1, 1000), 0.0);
        text.take(&progress(&[0], 1), 0.0);
        assert_eq!(text.due(0.0, SIZE), "run 00 alone\n");
        let mut told = Vec::new();
        for tenth in 1..=120 {
            let now = f64::from(tenth) / 10.0;
            text.take(&progress(&[tenth as u64 * 8], 1), now);
            let due = text.due(now, SIZE);
            if !due.is_empty() {
                told.push((tenth, due));
            }
        }
        let at: Vec<i32> = told.iter().map(|(tenth, _)| *tenth).collect();
        assert_eq!(at, [10, 60, 110]);
        assert_eq!(told[1].1, "48 % of 1,000 steps, 80 steps/s, about 7 s left\n");
        text.take(&done(), 12.5);
        let last = text.last(13.0, SIZE);
        assert!(last.starts_with("100 % of 1,000 steps\ndone in 2.0 s"), "{last}");
    }

    #[test]
    fn a_run_that_was_stopped_says_how_far_it_came() {
        let mut text = lines();
        text.take(&ready("", 1, 1000), 0.0);
        text.take(&progress(&[0], 1), 0.0);
        text.take(&progress(&[500], 1), 0.5);
        let said = "run 00 alone\n50 % of 1,000 steps, 1,000 steps/s, about 1 s left\n";
        assert_eq!(text.last(0.6, SIZE), said);
        // One that was told is not told again, nor anything that did not change.
        assert_eq!(text.last(0.7, SIZE), "");
        text.take(&progress(&[500], 1), 20.0);
        assert_eq!(text.due(20.0, SIZE), "");
        // Nothing is known of a run.
        assert_eq!(lines().last(0.0, SIZE), "");
    }

    #[test]
    fn bars_make_room_for_sentences_and_go_at_the_end() {
        let mut text = Text::new(Form::board());
        text.take(&ready("ab", 2, 10), 0.0);
        text.take(&progress(&[5, 4], 2), 0.0);
        let first = text.due(0.0, SIZE);
        assert!(first.starts_with("node ab") && first.ends_with("45 % of 10 steps, 2 peers"));
        text.take(&Event::Note { message: "a\x1b[2Jb".into() }, 0.1);
        assert_eq!(text.due(0.1, SIZE), "", "not more than so often");
        let second = text.due(0.3, SIZE);
        assert!(second.starts_with("\x1b[2A\r\x1b[2Ka\\u001b[2Jb\n\x1b[2Klayer 0"), "{second:?}");
        assert_eq!(text.due(1.0, SIZE), "", "nothing happened");
        assert!(text.due(1.0, (40, 24)).starts_with("\x1b[4A\r\x1b[2Klayer"), "resized");
        text.take(&done(), 1.1);
        let last = text.due(1.1, SIZE);
        assert!(last.starts_with("\x1b[2A\r\x1b[2Kdone in") && last.ends_with("model ab\n\x1b[J"));
        assert_eq!(text.last(1.2, SIZE), "");
    }
}
