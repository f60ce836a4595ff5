//! Fixtures of bytes that other nodes read.
//!
//! Rule: the files in `tests/fixtures` change on purpose only, and then the version of the protocol
//! that they belong to changes, too.

use std::fmt::Write as _;
use std::path::Path;

/// Compares named bytes with the lines `NAME HEX` of a file in `tests/fixtures`.
///
/// # Panics
/// When a line differs; the text has the whole file as it would be now.
pub(crate) fn check(file: &str, actual: &[(&str, Vec<u8>)]) {
    let mut now = String::new();
    for (name, bytes) in actual {
        now.push_str(name);
        now.push(' ');
        bytes.iter().for_each(|byte| write!(now, "{byte:02x}").unwrap());
        now.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    let pinned = std::fs::read_to_string(&path).unwrap_or_default();
    let differ: Vec<_> = now
        .lines()
        .filter(|line| !pinned.lines().any(|pinned| pinned == *line))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(
        pinned == now,
        "other bytes than in {}: {differ:?}. If this is on purpose, other versions cannot read them: \
         give the protocol a new version, and replace the file by\n{now}",
        path.display()
    );
}
