//! The doorway: parse, run, exit code.

fn main() {}
