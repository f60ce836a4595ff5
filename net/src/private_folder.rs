//! Folders for this user alone.
//!
//! Rule: a folder that is there already keeps its permissions.

use std::io;
use std::path::Path;

/// Makes `folder` and those above it; a new one is for this user only.
///
/// # Errors
/// The system's.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn new_folders_are_for_their_user_alone() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("one/two");
        create_private_folder(&deep).unwrap();
        create_private_folder(&deep).unwrap();
        for folder in [place.path().join("one"), deep] {
            assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
