//! Lines at the bottom of a terminal that are drawn again and again, below lines that stay.
//!
//! Rule: it makes text and keeps the lines that it drew. Before it draws again it counts how many lines
//! those take in the terminal's present width, because a terminal that becomes narrower breaks them.

use console::measure_text_width;

/// Columns and lines of a terminal that bars are drawn in, at least.
const SMALLEST: (u16, u16) = (20, 4);

/// Whether bars are drawn on standard output. `size` is in lines and columns; `term` and `ci` are the
/// variables of that name.
pub(super) fn is_drawn(size: Option<(u16, u16)>, term: Option<&str>, ci: Option<&str>) -> bool {
    let is_large =
        size.is_some_and(|(lines, columns)| columns >= SMALLEST.0 && lines >= SMALLEST.1);
    is_large
        && !matches!(term, None | Some("" | "dumb"))
        && matches!(ci, None | Some("" | "0" | "false"))
}

/// The lines that are drawn now.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    lines: Vec<String>,
    size: (usize, usize),
}

impl Drawn {
    /// Whether that is what would be drawn.
    pub(super) fn is(&self, lines: &[String], size: (usize, usize)) -> bool {
        self.lines == lines && self.size == size
    }

    /// The text that puts `said` above, and draws `lines` below in place of those before, in a terminal of
    /// `size`.
    pub(super) fn replace(
        &mut self,
        said: &str,
        lines: Vec<String>,
        size: (usize, usize),
    ) -> String {
        if self.lines.is_empty() {
            // Nothing of ours to go back to.
            let text = said.to_owned() + &lines.join("\n");
            *self = Self { lines, size };
            return text;
        }
        let columns = size.0.max(1);
        let high = |line: &String| measure_text_width(line).div_ceil(columns).max(1);
        let up = self.lines.iter().map(high).sum::<usize>().saturating_sub(1);
        let mut text = if up > 0 { format!("\x1b[{up}A\r") } else { "\r".to_owned() };
        for line in said.lines() {
            over(&mut text, line, columns);
            text.push('\n');
        }
        for (at, line) in lines.iter().enumerate() {
            text += if at > 0 { "\n" } else { "" };
            over(&mut text, line, columns);
        }
        text += "\x1b[J";
        *self = Self { lines, size };
        text
    }

    /// The text that leaves the drawn lines where they are, so that others write below them.
    pub(super) fn leave(&mut self) -> &'static str {
        if std::mem::take(&mut self.lines).is_empty() { "" } else { "\n" }
    }
}

/// Writes a line over what stands there. Line by line, because some terminals keep a copy of a screen
/// that is cleared all at once; and cleared first, because some take a line that was once broken for
/// a broken one until then.
fn over(text: &mut String, line: &str, columns: usize) {
    *text += "\x1b[2K";
    *text += line;
    let width = measure_text_width(line);
    if width > columns && !width.is_multiple_of(columns) {
        *text += "\x1b[K";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal that breaks lines again when its width changes, as most do.
    struct Screen {
        terminal: avt::Vt,
        drawn: Drawn,
    }

    impl Screen {
        fn new(size: (usize, usize)) -> Self {
            let mut screen =
                Self { terminal: avt::Vt::new(size.0, size.1), drawn: Drawn::default() };
            screen.write("$ ffp2p up\n");
            screen
        }

        fn write(&mut self, text: &str) {
            // As the system's side of a terminal does.
            self.terminal.feed_str(&text.replace('\n', "\r\n"));
        }

        fn draw(&mut self, said: &str, lines: &[String]) {
            let size = self.terminal.size();
            let text = self.drawn.replace(said, lines.to_vec(), size);
            self.write(&text);
        }

        /// All lines that were drawn and not replaced, up to the last one that is not empty.
        fn seen(&self) -> Vec<String> {
            let lines = self.terminal.lines().map(|line| line.text().trim_end().to_owned());
            let mut seen: Vec<String> = lines.collect();
            let used = seen.iter().rposition(|line| !line.is_empty()).map_or(0, |at| at + 1);
            seen.truncate(used);
            seen
        }
    }

    /// Lines that fill all but one of `columns` columns.
    fn filled(columns: usize, letter: &str) -> Vec<String> {
        vec![letter.repeat(columns - 1), letter.repeat(columns - 1), "summary".into()]
    }

    #[test]
    fn what_is_said_stays_above_what_is_drawn_again() {
        let mut screen = Screen::new((40, 10));
        screen.draw("", &filled(40, "a"));
        screen.draw("one\n", &filled(40, "b"));
        screen.draw(&format!("two{}\n", "o".repeat(40)), &filled(40, "c"));
        let [a, b, c] = <[String; 3]>::try_from(filled(40, "c")).unwrap_or_default();
        let long = "two".to_owned() + &"o".repeat(37);
        assert_eq!(screen.seen(), ["$ ffp2p up", "one", &long, "ooo", &a, &b, &c]);
        screen.draw("done\n", &[]);
        assert_eq!(screen.seen(), ["$ ffp2p up", "one", &long, "ooo", "done"]);
        assert_eq!(screen.drawn.leave(), "");
    }

    #[test]
    fn a_resized_terminal_shows_each_line_once() {
        for (columns, lines) in [(20, 10), (30, 10), (60, 10), (40, 5), (40, 30), (23, 6), (13, 20)]
        {
            let mut screen = Screen::new((40, 10));
            screen.draw("said\n", &filled(40, "x"));
            screen.terminal.resize(columns, lines);
            screen.draw("", &filled(columns, "q"));
            let seen = screen.seen();
            let lines_of = |what: &str| seen.iter().filter(|line| line.contains(what)).count();
            let counts = ["said", "x", "q", "summary"].map(lines_of);
            assert_eq!(counts, [1, 0, 2, 1], "{columns}: {seen:#?}");
            screen.draw("", &filled(columns, "z"));
            assert_eq!(screen.seen().iter().filter(|line| line.starts_with('z')).count(), 2);
        }
    }

    #[test]
    fn lines_that_are_left_behind_are_not_touched() {
        let mut screen = Screen::new((40, 10));
        screen.draw("", &filled(40, "a"));
        let left = screen.drawn.leave();
        screen.write(left);
        screen.write("$ fg\n");
        screen.draw("", &filled(40, "b"));
        let seen = screen.seen();
        assert_eq!((seen.len(), &seen[3][..], &seen[4][..]), (8, "summary", "$ fg"));
        assert_eq!(screen.drawn.leave(), "\n");
        assert_eq!(screen.drawn.leave(), "");
    }

    #[test]
    fn bars_are_drawn_in_terminals_only() {
        let drawn = |size, term, ci| is_drawn(size, term, ci);
        let (size, xterm) = (Some((24, 80)), Some("xterm-256color"));
        assert!(drawn(size, xterm, None) && drawn(size, Some("vt100"), Some("false")));
        for term in [None, Some(""), Some("dumb")] {
            assert!(!drawn(size, term, None));
        }
        assert!(!drawn(size, xterm, Some("true")) && !drawn(size, xterm, Some("1")));
        for size in [None, Some((0, 0)), Some((3, 80)), Some((24, 19)), Some((24, 0))] {
            assert!(!drawn(size, xterm, None), "{size:?}");
        }
    }
}
