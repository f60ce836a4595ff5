//! The used and the left-out files of a set, in words.
//!
//! Rule: no file that a user may take for part of the set vanishes silently. It is counted by the
//! reason why it is left out. Only what systems and programs put into folders without being asked
//! is passed over.

use std::collections::BTreeMap;

use super::shape::Shape;
use crate::text::{shown, shown_bytes, thousands};

/// The most names that are listed.
const MOST_LISTED: usize = 10;

/// The most kinds of files that are told apart.
const MOST_KINDS: usize = 5;

/// Endings of images that are not read.
const OTHER_IMAGES: [&str; 26] = [
    "apng", "avif", "bmp", "cr2", "dcm", "dng", "exr", "gif", "hdr", "heic", "heif", "ico", "j2k",
    "jp2", "jxl", "nef", "pbm", "pgm", "pnm", "ppm", "psd", "svg", "tga", "tif", "tiff", "webp",
];

/// Folders and files that systems and storage devices make: never part of a set.
const SYSTEM: [&str; 13] = [
    "@eadir",
    "@recycle",
    "@sharebin",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "__macosx",
    "__pycache__",
    "thumbs.db",
    "desktop.ini",
];

/// Whether a folder or file is passed over: hidden ones, which `ls` does not show either, and what
/// a system made.
pub(super) fn is_passed_over(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    name.starts_with(b".") || SYSTEM.iter().any(|system| system.as_bytes() == lower)
}

/// Files that are left out, counted by the reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    reasons: BTreeMap<String, usize>,
}

impl LeftOut {
    /// One more file, for this reason.
    pub(super) fn count(&mut self, reason: &str) {
        // No reason is a name from outside, so there are only a few.
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    /// One more file, which is no image that can be read, by the ending of its name.
    pub(super) fn count_by_ending(&mut self, name: &[u8]) {
        let lower = name.to_ascii_lowercase();
        let dot = lower.iter().rposition(|&byte| byte == b'.');
        let ending = dot.map(|dot| &lower[dot + 1..]);
        match OTHER_IMAGES.iter().find(|known| ending == Some(known.as_bytes())) {
            Some(known) => self.count(&format!(".{known}")),
            None => self.count("not images"),
        }
    }

    /// The number of files.
    pub(super) fn total(&self) -> usize {
        self.reasons.values().sum()
    }

    /// As in "14 files left out: 9 .webp, 5 not images"; `None` if there are none.
    pub(super) fn in_words(&self) -> Option<String> {
        let total = self.total();
        let mut reasons: Vec<_> = self.reasons.iter().map(|(reason, n)| (*n, reason)).collect();
        // The most frequent first; equal ones by name.
        reasons.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let named = reasons.iter().take(MOST_KINDS);
        let mut parts: Vec<_> =
            named.map(|(n, reason)| format!("{} {reason}", thousands(*n as u64))).collect();
        let others: usize = reasons.iter().skip(MOST_KINDS).map(|(n, _)| n).sum();
        if others > 0 {
            parts.push(format!("{} others", thousands(others as u64)));
        }
        (total > 0).then(|| format!("{} left out: {}", counted(total, "file"), parts.join(", ")))
    }
}

/// The content of a set, and the remarks on it.
pub(super) fn in_words(shape: &Shape, names: &[String], remarks: &[String]) -> String {
    let images = match (shape.train, shape.test) {
        (0, test) => format!("{} to test on, none to train on", counted(test as usize, "image")),
        (train, test) => format!(
            "{} to train on and {} to test on",
            counted(train as usize, "image"),
            thousands(test as u64)
        ),
    };
    let mut text =
        format!("found {images}, {}, {}", shape.frame(), counted(shape.classes, "class"));
    if names.iter().enumerate().any(|(i, name)| *name != i.to_string()) {
        text.push_str(&format!(": {}", listed_names(names)));
    }
    for remark in remarks {
        text.push_str("; ");
        text.push_str(remark);
    }
    text
}

/// Names of classes, not all of too many, fit to be read.
pub(crate) fn listed_names(names: &[String]) -> String {
    listed(names.iter().map(|name| shown(name).into_owned()))
}

/// The first names of a list, and how many more there are.
pub(super) fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(MOST_LISTED);
    let mut text = names.take(MOST_LISTED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {} more", thousands(more as u64)));
    }
    text
}

/// The content of a folder: its folders by name, its files by number.
pub(super) fn contents(folders: &[&[u8]], files: usize) -> String {
    let names = folders.iter().map(|name| format!("{}/", shown_bytes(name)));
    match (folders.is_empty(), files) {
        (true, 0) => "it is empty".to_owned(),
        (true, files) => format!("there is no folder, but {}", counted(files, "file")),
        (false, 0) => format!("there is {}", listed(names)),
        (false, files) => format!("there is {} and {}", listed(names), counted(files, "file")),
    }
}

/// As in "1 file", "2 files", "3 classes".
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = match (count, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {noun}{plural}", thousands(count as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted_by_reason() {
        let mut left = LeftOut::default();
        assert_eq!(left.in_words(), None);
        for name in ["a.webp", "b.WEBP", "notes.txt", "x.gif", "webp", "c.webp"] {
            left.count_by_ending(name.as_bytes());
        }
        let text = "6 files left out: 3 .webp, 2 not images, 1 .gif";
        assert_eq!(left.in_words().as_deref(), Some(text));
    }

    #[test]
    fn a_set_is_told_in_a_line() {
        let shape =
            |train, classes| Shape { width: 12, height: 2, channels: 3, classes, train, test: 1 };
        let names = ["cat", "d\x1bog", "owl"].map(str::to_owned);
        assert_eq!(
            in_words(&shape(1_234_567, 3), &names, &["1 file left out: 1 .webp".to_owned()]),
            "found 1,234,567 images to train on and 1 to test on, 2 x 2 RGB, 3 classes: cat, \
             d\\u{1b}og, owl; 1 file left out: 1 .webp"
        );
        let numbers: Vec<_> = (0..12).map(|i| i.to_string()).collect();
        assert_eq!(
            in_words(&shape(0, 12), &numbers, &[]),
            "found 1 image to test on, none to train on, 2 x 2 RGB, 12 classes"
        );
        let many: Vec<_> = (0..1200).map(|i| format!("c{i}")).collect();
        let text = in_words(&shape(1, 1200), &many, &[]);
        assert!(
            text.ends_with("1,200 classes: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 1,190 more")
        );
    }

    #[test]
    fn what_systems_leave_in_folders_is_passed_over() {
        for name in [".git", "._a.png", "@eaDir", "Thumbs.db", "$RECYCLE.BIN", "__MACOSX"] {
            assert!(is_passed_over(name.as_bytes()), "{name}");
        }
        for name in ["cat", "-rf", "@home", "lost", "a.png", "\u{e9}"] {
            assert!(!is_passed_over(name.as_bytes()), "{name}");
        }
    }
}
