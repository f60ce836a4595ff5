//! Numbers and names as people read them, and text without control characters.
//!
//! Rule: shown text has no character that moves a cursor, colours, turns or hides text, or begins another
//! line. Such a character is written as its escape, bytes that are not UTF-8 as `\xff`; everything else
//! stays as it is.

use std::borrow::Cow;
use std::path::Path;

/// A whole number with its thousands apart.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size on the network or on a disk.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A length of time.
pub(crate) fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match (seconds, minutes) {
        (..120.0, _) => format!("{} s", (seconds.ceil() as u64).max(1)),
        (_, ..120) => format!("{minutes} min"),
        (_, ..2880) if minutes.is_multiple_of(60) => format!("{} h", minutes / 60),
        (_, ..2880) => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} days", thousands((minutes / 720).div_ceil(2))),
    }
}

/// The text without characters that act on a terminal.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if text.chars().any(acts) { Cow::Owned(escaped(text)) } else { Cow::Borrowed(text) }
}

/// As [`shown`], for a path.
pub(crate) fn shown_path(path: &Path) -> String {
    shown_bytes(path.as_os_str().as_encoded_bytes())
}

/// As [`shown`], for a name that need not be UTF-8.
pub(crate) fn shown_bytes(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&shown(chunk.valid()));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if acts(letter) {
            safe.extend(letter.escape_default());
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// Whether a character acts on a terminal or on the text around it: controls, line separators, changes of
/// the direction of writing, tags, and characters without width.
pub(crate) fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let said = [0, 999, 1_000, 59_999, 4_294_967_295].map(thousands);
        assert_eq!(said, ["0", "999", "1,000", "59,999", "4,294,967,295"]);
    }

    #[test]
    fn times_are_written_as_people_do() {
        for (seconds, said) in [
            (0.0, "1 s"),
            (6.2, "7 s"),
            (119.0, "119 s"),
            (120.0, "2 min"),
            (45.4 * 60.0, "45 min"),
            (7199.0, "2 h"),
            (7800.0, "2 h 10 min"),
            (47.0 * 3600.0, "47 h"),
            (2.9 * 86_400.0, "3 days"),
            (1e9, "11,574 days"),
        ] {
            assert_eq!(duration(seconds), said);
        }
    }

    #[test]
    fn what_acts_on_a_terminal_is_escaped_and_the_rest_stays() {
        for (name, says) in [
            ("\x1b[31mred\x07", r"\u{1b}[31mred\u{7}"),
            ("two\nlines\r\t", r"two\nlines\r\t"),
            ("\u{202e}gnp.exe", r"\u{202e}gnp.exe"),
            ("a\u{9b}2J\u{7f}", r"a\u{9b}2J\u{7f}"),
            ("\u{feff}cat\u{2066}\u{200b}", r"\u{feff}cat\u{2066}\u{200b}"),
        ] {
            assert_eq!(shown(name), says);
            assert_eq!(shown(&shown(name)), says, "once is enough");
        }
        for name in ["Käfer 猫 👩\u{200d}🔬", r"C:\data\a'b", "-rf *"] {
            assert!(matches!(shown(name), Cow::Borrowed(_)), "{name}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_bytes() {
        assert_eq!(shown_bytes(b"caf\xe9/\xff\n\xc3\xa9"), "caf\\xe9/\\xff\\n\u{e9}");
    }
}
