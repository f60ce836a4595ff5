//! The rules of the house that the compiler does not keep: which part may know which, how long a
//! file may be, and that each opens with its idea.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lines of a file, at most. Two ideas in one file are one too many.
const MAX_LINES: usize = 400;

/// Words that a pure part must not contain, tests included.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::time",
    "std::env",
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "rand::",
    "tokio",
    "libp2p",
];

/// The files below `folder` with this ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no {ending} files below {folder}");
    found
}

fn sources() -> Vec<PathBuf> {
    ["src", "net/src", "net/proto/src", "tests", "net/tests", "net/proto/tests"]
        .into_iter()
        .flat_map(|folder| files(folder, ".rs"))
        .collect()
}

/// The code of a file without its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn pure_parts_know_no_world() {
    for path in files("src/ff", ".rs").into_iter().chain(files("net/proto/src", ".rs")) {
        let code = code(&path);
        for word in IMPURE {
            assert!(!code.contains(word), "{} knows {word}", path.display());
        }
    }
}

#[test]
fn arrows_point_one_way() {
    let forbidden = [
        (
            "src/ff",
            &["crate::node", "crate::config", "crate::data", "ffp2p_proto", "ffp2p_net"][..],
        ),
        ("src/data", &["crate::", "ffp2p_proto", "ffp2p_net"]),
        ("net/src", &["ndarray", "ffp2p::"]),
        ("net/proto/src", &["ndarray", "ffp2p::", "ffp2p_net"]),
    ];
    for (folder, words) in forbidden {
        for path in files(folder, ".rs") {
            // How text is written is below everything, and knows nothing.
            let code = code(&path).replace("crate::text", "");
            for word in words {
                let own = *word == "crate::" && code.contains("crate::data");
                assert!(own || !code.contains(word), "{} knows {word}", path.display());
            }
        }
    }
}

#[test]
fn how_text_is_written_knows_nothing() {
    let text = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/text.rs"));
    for word in ["crate::", "super::super", "ffp2p"] {
        assert!(!text.contains(word), "src/text.rs knows {word}");
    }
}

#[test]
fn bincode_is_in_two_files() {
    let users: Vec<_> =
        sources().into_iter().filter(|path| code(path).contains("bincode::")).collect();
    let is_codec = |path: &&PathBuf| {
        path.ends_with("net/src/wire.rs")
            || path.ends_with("src/checkpoint.rs")
            || path.ends_with("tests/tidy.rs")
    };
    assert!(users.iter().all(|path| is_codec(&path)), "{users:?}");
}

#[test]
fn files_open_with_their_idea_and_stay_short() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is", path.display());
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
    }
}

#[test]
fn documents_link_to_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = files("docs", ".md");
    documents.push(root.join("README.md"));
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if link.is_empty() || link.contains("://") {
                continue;
            }
            let target = path.parent().unwrap().join(link);
            assert!(target.exists(), "{} links to {link}", path.display());
        }
    }
}
