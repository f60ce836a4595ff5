//! The blobs of a node, and those that it lost.
//!
//! Rule: a blob that is read must be there, unless it was lost; anything else is an error of the
//! decisions and ends the run.

use std::collections::{BTreeMap, BTreeSet};

use crate::Hash;

/// Blobs by name.
#[derive(Debug, Default)]
pub(crate) struct Store {
    blobs: BTreeMap<Hash, Vec<u8>>,
    /// Names of blobs that were once lost.
    lost: BTreeSet<Hash>,
}

impl FromIterator<(Hash, Vec<u8>)> for Store {
    fn from_iter<T: IntoIterator<Item = (Hash, Vec<u8>)>>(blobs: T) -> Self {
        Self { blobs: blobs.into_iter().collect(), lost: BTreeSet::new() }
    }
}

impl Store {
    /// Adds a blob.
    pub(crate) fn insert(&mut self, hash: Hash, bytes: Vec<u8>) {
        self.blobs.insert(hash, bytes);
    }

    /// The bytes of a blob.
    pub(crate) fn get(&self, hash: &Hash) -> Option<&Vec<u8>> {
        self.blobs.get(hash)
    }

    /// Whether a blob is here.
    pub(crate) fn contains(&self, hash: &Hash) -> bool {
        self.blobs.contains_key(hash)
    }

    /// The number of blobs.
    pub(crate) fn len(&self) -> usize {
        self.blobs.len()
    }

    /// Forgets a blob.
    pub(crate) fn remove(&mut self, hash: &Hash) {
        self.blobs.remove(hash);
    }

    /// Loses a blob: its disk or file failed.
    pub(crate) fn lose(&mut self, hash: Hash) {
        self.blobs.remove(&hash);
        self.lost.insert(hash);
    }

    /// Forgets every blob.
    pub(crate) fn clear(&mut self) {
        self.blobs.clear();
    }

    /// The bytes of these blobs; `None` where one was lost.
    ///
    /// # Errors
    /// If one is missing that was not lost.
    pub(crate) fn read(&self, hashes: &[Hash]) -> Result<Option<Vec<&[u8]>>, String> {
        let mut read = Vec::new();
        for hash in hashes {
            match self.blobs.get(hash) {
                Some(bytes) => read.push(bytes.as_slice()),
                None if self.lost.contains(hash) => return Ok(None),
                None => {
                    return Err(format!("the trainer needs {hash:?}, which is not in the store"));
                }
            }
        }
        Ok(Some(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_blob_is_an_error_and_a_lost_one_is_not() {
        let name = |byte| Hash([byte; 32]);
        let mut store: Store = [(name(1), vec![1]), (name(2), vec![2])].into_iter().collect();
        assert_eq!(store.read(&[name(2), name(1)]), Ok(Some(vec![&[2_u8][..], &[1]])));
        assert!(store.read(&[name(1), name(3)]).is_err());
        store.lose(name(1));
        assert_eq!(store.read(&[name(2), name(1)]), Ok(None));
        store.remove(&name(2));
        assert!(store.read(&[name(2)]).is_err());
        store.insert(name(1), vec![1]);
        assert_eq!((store.read(&[name(1)]), store.len()), (Ok(Some(vec![&[1_u8][..]])), 1));
    }
}
