//! The run on this node's disk, and the consequences of a failure.
//!
//! Rule: a store that the user named is used or the node stops; without one it goes on in memory, and
//! says so.

use ffp2p_proto::Checkpoint;

use crate::store::{Disk, Durability, StoreError};

/// A node's work on disk.
#[derive(Debug)]
pub(super) struct Persistence {
    /// The store, for the user, as long as it takes what is to be kept.
    folder: Option<String>,
    /// Steps at the furthest checkpoint in it, per shard.
    kept: Vec<u64>,
    durability: Durability,
    /// The failure of a store that was required.
    failure: Option<StoreError>,
}

impl Persistence {
    /// Nothing is kept yet of `shards` shards.
    pub(super) fn new(disk: Option<&Disk>, durability: Durability, shards: usize) -> Self {
        let folder = disk.map(|disk| disk.store().display().to_string());
        Self { folder, kept: vec![0; shards], durability, failure: None }
    }

    /// A checkpoint is on disk, or will be soon.
    pub(super) fn note_kept(&mut self, checkpoint: &Checkpoint) {
        if self.folder.is_some()
            && let Some(step) = self.kept.get_mut(usize::from(checkpoint.shard.0))
        {
            *step = checkpoint.step.max(*step);
        }
    }

    /// The store takes no more. Returns what the user is to know.
    pub(super) fn on_failure(&mut self, error: StoreError) -> String {
        self.folder = None;
        if self.durability == Durability::Required {
            let message = format!("{error}; this node hands over its shards and stops");
            self.failure = Some(error);
            message
        } else {
            format!("{error}; from here on this node keeps its work in memory only")
        }
    }

    /// Whether the node has to stop.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// The failure that the node has to stop for.
    pub(super) fn take_failure(&mut self) -> Option<StoreError> {
        self.failure.take()
    }

    /// Steps at the furthest checkpoint on disk, per shard.
    pub(super) fn kept(&self) -> &[u64] {
        &self.kept
    }

    /// The store, for the user.
    pub(super) fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }

    /// The store, if the user named it.
    pub(super) fn named_folder(&self) -> Option<&str> {
        self.folder().filter(|_| self.durability == Durability::Required)
    }

    /// Whether it matters that there is no store.
    pub(super) fn is_missing(&self) -> bool {
        self.folder.is_none() && self.durability == Durability::BestEffort
    }
}

#[cfg(test)]
mod tests {
    use ffp2p_proto::{BlobRef, Hash, NodeId, ShardId};

    use super::*;

    fn persistence(durability: Durability) -> Persistence {
        let folder = Some("store".to_owned());
        Persistence { folder, kept: vec![0; 2], durability, failure: None }
    }

    #[test]
    fn a_failure_ends_a_node_whose_store_was_named_and_no_other() {
        let mut named = persistence(Durability::Required);
        assert_eq!(named.named_folder(), Some("store"));
        assert!(named.on_failure(StoreError::Full(1)).contains("hands over"));
        assert!(named.has_failed() && named.take_failure().is_some() && !named.is_missing());
        let mut default = persistence(Durability::BestEffort);
        assert_eq!((default.named_folder(), default.is_missing()), (None, false));
        assert!(default.on_failure(StoreError::Full(1)).contains("in memory only"));
        assert!(!default.has_failed() && default.is_missing());
    }

    #[test]
    fn the_furthest_checkpoint_counts() {
        let mut persistence = persistence(Durability::Required);
        let blob = BlobRef { hash: Hash([0; 32]), size: 1 };
        for (shard, step) in [(1, 8), (1, 4), (7, 9)] {
            let (shard, by) = (ShardId(shard), NodeId([0; 32]));
            persistence.note_kept(&Checkpoint { shard, step, blob, by, loss_micro: 0 });
        }
        assert_eq!(persistence.kept(), [0, 8]);
    }
}
