//! The examples as a reader of them starts them.
//!
//! Rule: an example is a program of at most 60 lines that opens with its idea and ends well.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path, process::Command};

/// Lines of an example, at most.
const MAX_LINES: usize = 60;

/// Runs an example to its end; what it printed.
fn run(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
    let source = fs::read_to_string(file).unwrap();
    assert!(source.starts_with("//! ") && source.lines().count() <= MAX_LINES, "{name}");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--locked", "--example", name]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {out}\n{err}");
    out.into_owned()
}

#[test]
fn train_alone() {
    let out = run("train_alone");
    assert!(out.contains("epoch 4: ") && out.contains("model "), "{out}");
}

#[test]
fn two_nodes() {
    let out = run("two_nodes");
    let ends: Vec<&str> = out.lines().filter(|line| line.starts_with("Done(")).collect();
    assert!(ends.len() == 2 && ends[0] == ends[1], "{out}");
}

#[test]
fn rehearse() {
    let out = run("rehearse");
    assert_eq!(out.lines().count(), 4, "{out}");
}
