//! Events of the network as inputs of the decisions.
//!
//! Rule: what was fetched is in the store before the decisions hear of it.

use ffp2p_net::{Event, FetchError};
use ffp2p_proto::Input;

use super::blobs::BlobStore;

/// The input that an event is.
///
/// # Errors
/// The event itself, if it does not concern the decisions.
pub(crate) fn input_of(event: Event, store: &BlobStore) -> Result<Input, Box<Event>> {
    Ok(match event {
        Event::Connected(peer) => Input::Connected(peer),
        Event::Disconnected(peer) => Input::Disconnected(peer),
        Event::Received { from, message } => Input::Received { from, message },
        Event::Fetched { blob, bytes } => {
            store.insert(blob.hash, bytes);
            Input::Fetched { hash: blob.hash }
        }
        Event::FetchFailed { hash, from, reason } => {
            Input::FetchFailed { hash, from, lied: reason == FetchError::WrongBytes }
        }
        Event::Greeted { .. }
        | Event::Listening(_)
        | Event::OtherRun { .. }
        | Event::NotReached { .. }
        | Event::Refused { .. }
        | Event::Alone(_) => return Err(Box::new(event)),
    })
}
