//! The house rules that the compiler does not keep.
//!
//! Rule: they hold without exception. Which part may know which, the length of files and functions,
//! imports that go one way, and a first line that says what a file is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "tidy/imports.rs"]
mod imports;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Lines of a file, at most. Two ideas in one file are one too many.
const MAX_LINES: usize = 400;

/// Lines of a function, at most.
const MAX_FUNCTION: usize = 60;

/// Source files of a folder, at most, where files are sorted into folders.
const MAX_FILES: usize = 12;

/// Folders whose files are sorted into folders. `net/proto/src` follows.
const SORTED: &[&str] = &["src/ff/src", "net/proto/src", "net/src"];

/// Packages without import cycles and long functions.
const UNTANGLED: &[&str] = &["src/ff/src", "net/proto/src", "net/src", "src"];

/// The pure packages, and all that they may depend on: nothing that knows an operating system.
const PURE: [(&str, &[&str]); 2] = [
    ("src/ff", &["blake3", "libm", "ndarray", "serde", "thiserror"]),
    ("net/proto", &["blake3", "serde"]),
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

/// What the lints of a pure package and its build for wasm32 cannot see: what it may be given.
#[test]
fn pure_packages_depend_on_pure_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: String| fs::read_to_string(root.join(path)).unwrap();
    for (package, allowed) in PURE {
        let manifest: toml::Table = read(format!("{package}/Cargo.toml")).parse().unwrap();
        for (name, _) in manifest["dependencies"].as_table().unwrap() {
            assert!(allowed.contains(&name.as_str()), "{package} depends on {name}");
        }
        let others =
            manifest.keys().filter(|key| key.as_str() == "target" || key.starts_with("build"));
        assert_eq!(others.count(), 0, "{package} has dependencies of another kind");
        let lints = |package: &str| read(format!("{package}/.clippy.toml"));
        assert_eq!(lints(package), lints(PURE[0].0), "{package} has lints of its own");
    }
}

#[test]
fn data_knows_only_itself() {
    for path in files("src/data", ".rs") {
        // How text is written is below everything, and knows nothing.
        let code = code(&path).replace("crate::text", "").replace("crate::data", "");
        for word in ["crate::", "ffp2p_ff", "ffp2p_proto", "ffp2p_net"] {
            assert!(!code.contains(word), "{} knows {word}", path.display());
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
        path.ends_with("net/src/wire/messages.rs")
            || path.ends_with("src/checkpoint/mod.rs")
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
fn folders_are_small() {
    for folder in SORTED {
        let mut counts: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for path in files(folder, ".rs") {
            *counts.entry(path.parent().unwrap().to_owned()).or_default() += 1;
        }
        counts.retain(|_, count| *count > MAX_FILES);
        assert!(counts.is_empty(), "more than {MAX_FILES} files: {counts:?}");
    }
}

#[test]
fn functions_are_short() {
    for path in UNTANGLED.iter().flat_map(|folder| files(folder, ".rs")) {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| opens_function(line)) {
            let indent = line.len() - line.trim_start().len();
            let ends = |line: &&str| line.trim_start() == "}" && line.len() == indent + 1;
            let length = 1 + lines[at..].iter().position(ends).unwrap_or(0);
            let place = format!("{}:{}", path.display(), at + 1);
            assert!(length <= MAX_FUNCTION, "{place} is a function of {length} lines");
        }
    }
}

/// Whether a function begins at this line and does not end there.
fn opens_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_before = |word: &str| word.starts_with("pub") || ["const", "async"].contains(&word);
    words.find(|word| !is_before(word)) == Some("fn") && !line.ends_with([';', '}'])
}

#[test]
fn no_files_import_each_other() {
    for folder in UNTANGLED {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let cycles = imports::Package::read(&root).cycles();
        assert!(cycles.is_empty(), "{folder} has import cycles: {cycles:#?}");
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
