//! The store of a command: the folder that the user named, the one that a run has in the user's state
//! directory, or none; and what else is said before training begins.
//!
//! Rule: a folder that was named is used or the command ends; without one training goes on in
//! memory if it has to, and says so.

use std::path::Path;

use super::error::CommandError;
use crate::{
    data::Data,
    events::{Event, EventSink},
    sharing::manifest,
    spec::{Checked, Spec},
    store::{Disk, Durability, StateDir, StoreUser},
};

/// Written instead of a folder to keep nothing; a folder of that name is `./none`.
pub(super) const NOTHING: &str = "none";

/// A store, and the weight of its failure.
#[derive(Debug)]
pub(super) struct OpenStore {
    /// The folder, held by this process.
    pub(super) disk: Option<Disk>,
    /// The weight of a failure to keep something in it.
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
    sink: &mut dyn EventSink,
) -> Result<OpenStore, CommandError> {
    let (disk, durability) = match store {
        Some(none) if none == Path::new(NOTHING) => (None, Durability::None),
        Some(folder) => (Some(Disk::open(folder, spec)?), Durability::Required),
        None => {
            let opened = StateDir::of_user().and_then(|state| state.claim(spec, user));
            let opened = opened.map_err(|error| {
                let message = format!("nothing is kept on disk: {error}");
                sink.on_event(&Event::Note { message });
            });
            (opened.ok(), Durability::BestEffort)
        }
    };
    Ok(OpenStore { disk, durability })
}

/// Says what was found in the files of a data set, before anything is trained from it.
pub(super) fn report_found(sink: &mut dyn EventSink, data: &Data) {
    if let Some(message) = data.found() {
        sink.on_event(&Event::Note { message });
    }
}

/// Says that peers are served the run's data set, if they are.
pub(super) fn report_served(sink: &mut dyn EventSink, checked: &Checked) {
    if manifest(checked).is_some() {
        let message = "anybody on this network can join this run, and is given its data set \
                       (--placement federated keeps data where they are)";
        sink.on_event(&Event::Note { message: message.to_owned() });
    }
}
