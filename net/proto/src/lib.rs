//! Owning, training, keeping and finishing: the decisions of `ffp2p`, as a state machine without IO.
//!
//! A run is a grid of cells, shard x chapter. What a cell computes is fixed; peers only decide
//! *where*. Each peer runs one [`State`]: it takes one [`Input`] at a time with the time at which
//! it happened, and returns the [`Output`]s to carry out. There is no leader: everything a peer
//! needs to decide is in what the others say of themselves ([`Message`]), and every rule is a
//! pure function of that.
//!
//! What is absent: sockets, clocks, threads, entropy, files, floating-point numbers, and any
//! knowledge of what training is.

mod config;
mod event;
mod flow;
mod id;
mod jobs;
mod known;
mod lifecycle;
mod message;
mod outbox;
mod placement;
mod plan;
mod replication;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshot;
mod state;
#[cfg(test)]
mod testing;
mod timers;

pub use config::{
    Config, MAX_BATCHES_PER_MESSAGE, MAX_CHECKPOINTS_PER_SHARD, MAX_FETCH_BYTES, MAX_FETCHES,
    MAX_MEMBERS, MAX_TRAIN_IN_FLIGHT,
};
pub use event::{Input, Merge, Notice, Output, Parts};
pub use id::{BlobRef, Hash, NodeId, ShardId, Term, Time};
pub use message::{
    Batch, BatchRun, Change, Checkpoint, Heartbeat, Kept, Lease, MAX_LIST, Message, Role, Score,
    Span, Task,
};
pub use plan::{LayerPlan, MAX_SHARDS, Placement, Plan};
pub use snapshot::{PeerView, ShardView, Snapshot};
pub use state::State;
