//! Copies of checkpoints: when they are fetched, and who waits for whom at the end.
