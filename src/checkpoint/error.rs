//! The reasons why bytes are not a checkpoint.
//!
//! Rule: nothing of the bytes is shown, as they may come from anyone.

/// The reason why bytes are not a checkpoint of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The header is cut off or does not decode.
    #[error("the header of the checkpoint does not decode")]
    Header,
    /// It belongs to another shard, spec or version.
    #[error("the checkpoint belongs to another shard, spec or version")]
    Other,
    /// It is of another step than was announced.
    #[error("the checkpoint is of step {found}, not of step {expected} as announced")]
    Step {
        /// The announced step.
        expected: u64,
        /// The step in the bytes.
        found: u64,
    },
    /// Not the length that the shapes ask for.
    #[error("a checkpoint of {expected} bytes is {found} bytes long")]
    Length {
        /// The length that the shapes give.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A number that is not finite, or a second moment below zero.
    #[error("the checkpoint holds a number that no training makes")]
    Number,
}
