//! The network shell of `ffp2p`: bytes and peers over libp2p.
//!
//! [`spawn`] starts a node and gives back a [`Handle`], with which messages are sent and blobs
//! fetched, and a queue of [`Event`]s. One task owns the swarm; nothing in the handle waits for the
//! network except where it says so.
//!
//! Rule: only transport. Who trains what, whom to believe and when a silent peer is gone is
//! decided in `ffp2p-proto`; here everything is authenticated, bounded and verified, and then
//! passed to the owner.
//!
//! The map:
//!
//! - `config`, `handle`, `event`, `error` and `survey` are what callers see.
//! - `discovery` finds peers, and reports what was tried.
//! - `connection` listens, dials, and knows who is connected.
//! - `exchange` sends and answers requests, and fetches blobs.
//! - `wire` makes bytes of it all and reads them.
//! - `io` is libp2p and the queue to the owner.
//! - `dispatch` gives each event to the duty that it concerns; `event_loop` is the task.

mod address;
pub mod atomic_file;
mod config;
mod connection;
mod discovery;
mod dispatch;
mod error;
mod event;
mod event_loop;
mod exchange;
mod handle;
mod io;
mod private_folder;
mod start;
mod survey;
mod wire;

pub use address::parse_listen;
pub use config::{Config, Listen, RunInfo};
pub use connection::ports::DEFAULT_PORT;
pub use connection::unreached::{Unreached, Via};
pub use discovery::report::{MdnsReport, Report};
pub use discovery::search::ALONE_AFTER;
pub use error::{FetchError, StartError, SurveyError};
pub use event::{Event, Refusal};
pub use exchange::blob_fetching::MAX_BLOB;
pub use exchange::blob_serving::{BlobSource, NoBlobs, cut};
pub use handle::Handle;
pub use io::counters::Traffic;
pub use private_folder::create_private_folder;
pub use start::spawn;
pub use survey::{Found, survey};
pub use wire::about::{About, AboutData, Described, Progress};
pub use wire::greeting::{MAX_NODE_NAME, is_node_name, to_node_name};
pub use wire::limits::{MAX_BROADCAST, MAX_CHUNK, MAX_MESSAGE, MAX_SPEC};
