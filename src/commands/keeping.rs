//! Where a command keeps what it trains: the folder that the user named, the one that a run has in
//! the user's state directory, or memory alone.
//!
//! Rule: a folder that was named is used or the command ends; without one training goes on in
//! memory if it has to, and says so.

use std::path::Path;

use super::CommandError;
use crate::{
    events::{Event, EventSink},
    node::{Disk, Durability, StateDir, StoreUser},
    spec::Spec,
};

/// Written instead of a folder where nothing is to be kept; a folder of that name is `./none`.
pub(super) const NOTHING: &str = "none";

/// What is kept, and how much that matters.
#[derive(Debug)]
pub(super) struct OpenStore {
    /// The folder, held by this process.
    pub(super) disk: Option<Disk>,
    /// How much it matters that it takes what is kept.
    pub(super) durability: Durability,
}

/// Opens what `--store` says, for a run.
///
/// # Errors
/// If the folder that the user named cannot be used.
pub(super) fn open(
    store: Option<&Path>,
    spec: &Spec,
    user: StoreUser,
    events: &mut dyn EventSink,
) -> Result<OpenStore, CommandError> {
    let (disk, durability) = match store {
        Some(none) if none == Path::new(NOTHING) => (None, Durability::None),
        Some(folder) => (Some(Disk::open(folder, spec)?), Durability::Required),
        None => {
            let opened = StateDir::of_user().and_then(|state| state.claim(spec, user));
            let told = opened.map_err(|error| {
                let message = format!("nothing is kept on disk: {error}");
                events.on_event(&Event::Note { message });
            });
            (told.ok(), Durability::BestEffort)
        }
    };
    Ok(OpenStore { disk, durability })
}
