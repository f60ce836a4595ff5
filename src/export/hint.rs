//! The command line that writes the model of a run that is kept.
//!
//! Rule: it can be pasted into a shell.

use crate::spec::Spec;

/// How to export the model of a run from the store that the user named, or from the default folder.
pub(crate) fn how_to_export(spec: &Spec, named: Option<&str>) -> String {
    let from = named.map_or_else(
        || format!("--run {}", spec.run_id().short()),
        |folder| format!("--store {}", quoted(folder)),
    );
    format!("to write it to a file: ffp2p export {from} --out model.safetensors")
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if path.chars().all(is_plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}
