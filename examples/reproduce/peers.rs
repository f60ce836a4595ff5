//! A data set split over the peers of a federated run, and the chapters' round over them.
//!
//! Rule: a split follows from the data, the number of peers and the seed; each sample is one peer's.

use ffp2p::{
    data::{BatchSizeError, Data},
    ff::epoch_order,
    schedule::Schedule,
    spec::Checked,
};
use serde::Deserialize;

/// The samples of a peer.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Split {
    /// Every n-th sample: all classes alike.
    Even,
    /// The samples in the order of their labels, cut into twice as many pieces as there are peers;
    /// two of them drawn for each (McMahan et al. 2017, section 3): two to four classes.
    ByLabel,
}

/// The peers of a federated run.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Federation {
    /// The number of peers.
    pub(crate) peers: u32,
    /// The samples of each.
    pub(crate) split: Split,
}

impl Federation {
    /// In words.
    pub(crate) fn words(self) -> String {
        let split = match self.split {
            Split::Even => "evenly",
            Split::ByLabel => "by label",
        };
        format!("(split {split} over {} peers)", self.peers)
    }

    /// The samples of each peer.
    fn samples(self, labels: &[u8], seed: u64) -> Vec<Vec<u32>> {
        let (peers, n) = (self.peers.max(1), labels.len() as u32);
        match self.split {
            Split::Even => {
                (0..peers).map(|peer| (peer..n).step_by(peers as usize).collect()).collect()
            }
            Split::ByLabel => {
                let mut sorted: Vec<u32> = (0..n).collect();
                sorted.sort_by_key(|&sample| labels[sample as usize]);
                let pieces: Vec<&[u32]> =
                    sorted.chunks(n.div_ceil(2 * peers).max(1) as usize).collect();
                let drawn = epoch_order(seed, 0, pieces.len() as u32);
                let piece = |&it: &u32| pieces[it as usize];
                let of = |pair: &[u32]| pair.iter().map(piece).collect::<Vec<_>>().concat();
                drawn.chunks(2).map(of).collect()
            }
        }
    }

    /// The schedule of each peer.
    pub(crate) fn schedules(self, checked: &Checked) -> Result<Vec<Schedule>, BatchSizeError> {
        let data = &checked.data;
        let parts = self.samples(data.train_labels(), checked.spec.network.seed);
        let part = |samples: &Vec<u32>| -> Data { data.part(samples, 1) };
        let schedule = |data| Schedule::new(&Checked { spec: checked.spec.clone(), data }, 1);
        parts.iter().map(part).map(schedule).collect()
    }
}
