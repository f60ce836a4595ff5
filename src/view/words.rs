//! Numbers as people say them, and text without control characters.
//!
//! Rule: pure. Text from a file or a peer gets to a terminal through [`escaped`] only.

use std::{borrow::Cow, fmt::Write};

use crate::text::{acts, thousands};

/// Units of time in seconds, for a speed.
const UNITS: [(f64, &str); 4] = [(1.0, "s"), (60.0, "min"), (3600.0, "h"), (86_400.0, "day")];

/// A speed in the first unit that gives at least one step.
pub(super) fn speed(per_second: f64) -> String {
    let unit = UNITS.iter().find(|(seconds, _)| per_second * seconds >= 1.0);
    let (seconds, unit) = unit.unwrap_or(&UNITS[UNITS.len() - 1]);
    let tenths = (per_second * seconds * 10.0).round() as u64;
    if tenths == 10 {
        format!("1 step/{unit}")
    } else if tenths >= 100 || tenths.is_multiple_of(10) {
        format!("{} steps/{unit}", thousands((tenths + 5) / 10))
    } else {
        format!("{}.{} steps/{unit}", tenths / 10, tenths % 10)
    }
}

/// Whether a letter is written as its escape.
fn is_command(letter: char) -> bool {
    letter != '\n' && acts(letter)
}

/// The text with everything but line ends that a terminal would obey written as JSON writes it; JSON
/// stays the same JSON.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_command(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(letter);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn speeds_have_a_unit_that_fits() {
        for (per_second, said) in [
            (12_345.6, "12,346 steps/s"),
            (310.2, "310 steps/s"),
            (3.44, "3.4 steps/s"),
            (1.0, "1 step/s"),
            (9.99, "10 steps/s"),
            (0.2, "12 steps/min"),
            (0.98, "59 steps/min"),
            (12.0 / 3600.0, "12 steps/h"),
            (1.5 / 86_400.0, "1.5 steps/day"),
            (0.0, "0 steps/day"),
        ] {
            assert_eq!(speed(per_second), said);
        }
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(
            escaped("model written to a/ä 猫.st\nmodel 00"),
            "model written to a/ä 猫.st\nmodel 00"
        );
        let name = "\x1b]0;x\x07\r\t\u{7f}\u{9b}2J\u{202e}gpj.exe\u{e0041}";
        let said = "\\u001b]0;x\\u0007\\u000d\\u0009\\u007f\\u009b2J\\u202egpj.exe\\udb40\\udc41";
        assert_eq!(escaped(name), said);
        let json = serde_json::to_string(name).unwrap();
        assert!(json.contains('\u{9b}') && !escaped(&json).contains('\u{9b}'));
        assert_eq!(serde_json::from_str::<String>(&escaped(&json)).unwrap(), name);
    }
}
