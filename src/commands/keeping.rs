//! Where a command keeps what it trains: the folder that the user named, the one that a run has in
//! the user's state directory, or memory alone.
//!
//! Rule: a folder that was named is used or the command ends; without one training goes on in
//! memory if it has to, and says so.

use std::path::Path;

use super::CommandError;
use crate::{
    node::{Disk, Keep, Keeper, StateDir},
    report::Event,
    spec::Spec,
    view::View,
};

/// Written instead of a folder where nothing is to be kept; a folder of that name is `./none`.
pub(super) const NOTHING: &str = "none";

/// What is kept, and how much that matters.
#[derive(Debug)]
pub(super) struct Keeping {
    /// The folder, held by this process.
    pub(super) disk: Option<Disk>,
    pub(super) keep: Keep,
}

/// Opens what `--store` says, for a run.
///
/// # Errors
/// If the folder that the user named cannot be used.
pub(super) fn open(
    store: Option<&Path>,
    spec: &Spec,
    keeper: Keeper,
    view: &mut View,
) -> Result<Keeping, CommandError> {
    let (disk, keep) = match store {
        Some(none) if none == Path::new(NOTHING) => (None, Keep::Nowhere),
        Some(folder) => (Some(Disk::open(folder, spec)?), Keep::Always),
        None => {
            let opened = StateDir::of_user().and_then(|state| state.claim(spec, keeper));
            let told = opened.map_err(|error| {
                let message = format!("nothing is kept on disk: {error}");
                view.show(&Event::Note { message });
            });
            (told.ok(), Keep::IfPossible)
        }
    };
    Ok(Keeping { disk, keep })
}
