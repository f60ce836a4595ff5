//! Lost blobs: whatever is lost when something reads it, a peer alone ends its run.
