//! The network shell of `ffp2p`: bytes and peers over libp2p.
//!
//! [`spawn`] starts a node and gives back a [`Handle`], with which things are said and fetched,
//! and a queue of [`Event`]s. One task owns the swarm; nothing in the handle waits for the
//! network except where it says so.
//!
//! Rule: only transport. Who trains what, whom to believe and when a silent peer is gone is
//! decided in `ffp2p-proto`; here everything is authenticated, bounded and verified, and then
//! handed on.
//!
//! Where things are: `about`, `config`, `event`, `error`, `handle`, `report` are what callers see. Finding
//! peers is `ports`, `multicast`, `announce`, `dial`, `address`, `rendezvous`, `neighbours`, `remembered`, `search`; talking is
//! `wire` (messages as bytes), `codec` (questions as frames), `fetch` (blobs in pieces);
//! `event_loop` with `listening`, `connections`, `asking` and `hearing` holds it together over `behaviour` and
//! `transport`.

mod about;
mod address;
mod announce;
mod asking;
mod behaviour;
mod codec;
mod config;
mod connections;
mod dial;
mod error;
mod event;
mod event_loop;
mod fetch;
mod greeting;
mod handle;
mod hearing;
mod listening;
mod multicast;
mod neighbours;
mod node_id;
mod outbox;
mod peers;
mod ports;
mod remembered;
mod rendezvous;
mod report;
mod search;
mod start;
mod storage;
mod survey;
mod transport;
mod wire;

pub use about::{About, AboutData, Described};
pub use address::parse_listen;
pub use codec::{MAX_CHUNK, MAX_SPEC};
pub use config::{BlobSource, Config, Listen, RunInfo, cut};
pub use dial::Via;
pub use error::{FetchError, StartError, SurveyError};
pub use event::{Event, Refusal};
pub use fetch::MAX_BLOB;
pub use greeting::{MAX_NODE_NAME, is_node_name, to_node_name};
pub use handle::{Handle, Traffic};
pub use ports::DEFAULT_PORT;
pub use report::{MdnsReport, Report, Unreached};
pub use search::ALONE_AFTER;
pub use start::spawn;
pub use storage::create_private_folder;
pub use survey::{Found, survey};
pub use wire::{MAX_BROADCAST, MAX_MESSAGE};
