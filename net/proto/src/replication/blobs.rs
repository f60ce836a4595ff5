//! Which blobs of the local store are still needed.
//!
//! Rule: a blob is dropped exactly when the last reason to hold it ends. Equal bytes have one
//! name, so reasons are counted.

use std::collections::BTreeMap;

use crate::Hash;

/// How many reasons there are to hold each blob.
#[derive(Debug, Default)]
pub(crate) struct Blobs(BTreeMap<Hash, usize>);

impl Blobs {
    /// One more reason to hold `hash`.
    pub(crate) fn hold(&mut self, hash: Hash) {
        *self.0.entry(hash).or_default() += 1;
    }

    /// One reason less. Returns whether it was the last.
    pub(crate) fn release(&mut self, hash: Hash) -> bool {
        match self.0.get_mut(&hash) {
            Some(1) => {
                self.0.remove(&hash);
                true
            }
            Some(count) => {
                *count -= 1;
                false
            }
            None => false,
        }
    }

    pub(crate) fn contains(&self, hash: Hash) -> bool {
        self.0.contains_key(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_release_drops() {
        let (mut blobs, hash) = (Blobs::default(), Hash([1; 32]));
        blobs.hold(hash);
        blobs.hold(hash);
        assert!(!blobs.release(hash));
        assert!(blobs.contains(hash));
        assert!(blobs.release(hash));
        assert!(!blobs.release(hash));
    }
}
