//! The samples of a step: their order, how their images are changed, and their wrong labels.
//!
//! Rule: what happens to a sample follows from the spec, the epoch and the sample's number, never
//! from the mini-batch it is in or the peer that trains it.

mod augment;
mod feedback;
mod negatives;

pub use augment::{Frame, augment};
pub use feedback::FeedbackTable;
pub use negatives::{epoch_order, negative_labels};
