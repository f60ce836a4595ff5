//! Random numbers that are a function of what they are for.
//!
//! Rule: no shared stream. A number is named by its key (seed, purpose, layer, shard, epoch)
//! and its place in that key's stream, so any peer can draw it in any order and gets the same.

use blake3::{Hasher, OutputReader};

/// Names this generator and its version: another version is another context.
const CONTEXT: &str = "ffp2p 1 counter-based random numbers";

/// Bytes of a stream that [`Stream::at`] sets aside for one item: sixteen draws.
const ITEM_BYTES: u64 = 64;

/// Bytes read ahead from the hash's output.
const BUFFER: usize = 256;

/// The use of random numbers. The number of each is part of every result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// The first weights of a shard.
    Weights = 1,
    /// The order of the samples in an epoch.
    Order = 2,
    /// A wrong label that a sample keeps for the whole run.
    FixedNegative = 3,
    /// A wrong label redrawn each epoch.
    RandomNegative = 4,
    /// Generated data sets.
    Data = 5,
    /// The shift and the mirroring of an image in an epoch.
    Augment = 6,
    /// The units that a step leaves out.
    Dropout = 7,
    /// A wrong label drawn from what the network predicted.
    AdaptiveNegative = 8,
}

/// Names one stream of random numbers. Parts that do not matter for a purpose are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// The use of the numbers.
    pub purpose: Purpose,
    /// Layer, from 0.
    pub layer: u32,
    /// Shard of the layer, from 0.
    pub shard: u32,
    /// Epoch or step, from 0.
    pub epoch: u64,
}

impl Key {
    /// The key of a purpose, with every other part 0.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { seed, purpose, layer: 0, shard: 0, epoch: 0 }
    }

    /// The stream, from its start.
    #[must_use]
    pub fn stream(self) -> Stream {
        let key = blake3::derive_key(CONTEXT, &self.seed.to_le_bytes());
        let mut hasher = Hasher::new_keyed(&key);
        hasher.update(&[self.purpose as u8]);
        hasher.update(&self.layer.to_le_bytes());
        hasher.update(&self.shard.to_le_bytes());
        hasher.update(&self.epoch.to_le_bytes());
        Stream { output: hasher.finalize_xof(), buffer: [0; BUFFER], read: BUFFER, spare: None }
    }
}

/// A stream of random numbers: the output of keyed BLAKE3, read as little-endian words.
#[derive(Clone)]
pub struct Stream {
    output: OutputReader,
    buffer: [u8; BUFFER],
    read: usize,
    spare: Option<f32>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    /// Goes to the numbers of one item. Sixteen draws belong to it alone.
    pub fn at(&mut self, item: u64) {
        self.output.set_position(item * ITEM_BYTES);
        self.read = BUFFER;
        self.spare = None;
    }

    /// The random bytes of block number `index`, each block as long as `bytes`.
    pub(crate) fn fill(&mut self, index: usize, bytes: &mut [u8]) {
        let stride = bytes.len().next_multiple_of(ITEM_BYTES as usize);
        self.output.set_position((index * stride) as u64);
        self.output.fill(bytes);
    }

    /// The next 32 bits.
    pub fn bits(&mut self) -> u32 {
        if self.read == BUFFER {
            self.output.fill(&mut self.buffer);
            self.read = 0;
        }
        let mut word = [0; 4];
        word.copy_from_slice(&self.buffer[self.read..self.read + 4]);
        self.read += 4;
        u32::from_le_bytes(word)
    }

    /// A number below `n`, each equally likely (Lemire 2019, "Fast random integer generation in an
    /// interval", algorithm 5). `n` = 0 gives 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.bits()) * u64::from(n);
        if (product as u32) < n {
            let reject = n.wrapping_neg() % n;
            while (product as u32) < reject {
                product = u64::from(self.bits()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    /// A number in [0, 1), a multiple of 2^-24.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / 16_777_216.0
    }

    /// A normal number, mean 0 and variance 1 (Box and Muller 1958): two draws make two numbers,
    /// the cosine first. Worked out in double precision, rounded once.
    pub fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let scale = 1.0 / 4_294_967_296.0;
        let radius = (-2.0 * libm::log((f64::from(self.bits()) + 1.0) * scale)).sqrt();
        let angle = std::f64::consts::TAU * f64::from(self.bits()) * scale;
        self.spare = Some((radius * libm::sin(angle)) as f32);
        (radius * libm::cos(angle)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Key::new(7, Purpose::Data).stream()
    }

    #[test]
    fn the_first_numbers_are_pinned() {
        let mut stream = stream();
        let bits = [stream.bits(), stream.bits(), stream.bits()];
        assert_eq!(bits, [3_664_137_774, 1_695_151_353, 236_258_084]);
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let key = Key::new(7, Purpose::Data);
        let others = [
            Key { seed: 8, ..key },
            Key { purpose: Purpose::Order, ..key },
            Key { layer: 1, ..key },
            Key { shard: 1, ..key },
            Key { epoch: 1, ..key },
        ];
        assert!(others.iter().all(|other| other.stream().bits() != key.stream().bits()));
    }

    #[test]
    fn an_item_has_its_own_numbers() {
        let (mut walk, mut jump) = (stream(), stream());
        for item in 0..40 {
            let here: Vec<u32> = (0..16).map(|_| walk.bits()).collect();
            jump.at(item);
            let there: Vec<u32> = (0..16).map(|_| jump.bits()).collect();
            assert_eq!(here, there);
        }
    }

    #[test]
    fn blocks_of_bytes_do_not_overlap() {
        let (mut walk, mut jump) = (stream(), stream());
        let mut all = [0; 192];
        walk.fill(0, &mut all);
        for (index, whole) in all.as_chunks::<64>().0.iter().enumerate() {
            let mut block = [0; 50];
            jump.fill(index, &mut block);
            assert_eq!(block, whole[..50]);
        }
    }

    #[test]
    fn below_is_even() {
        let mut stream = stream();
        let mut counts = [0u32; 9];
        for _ in 0..90_000 {
            counts[stream.below(9) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!(stream.below(1), 0);
        assert_eq!(stream.below(0), 0);
    }

    #[test]
    fn unit_and_normal_have_their_moments() {
        let mut stream = stream();
        let units: Vec<f32> = (0..40_000).map(|_| stream.unit()).collect();
        assert!(units.iter().all(|x| (0.0..1.0).contains(x)));
        assert!((units.iter().sum::<f32>() / 40_000.0 - 0.5).abs() < 0.01);
        let normals: Vec<f32> = (0..40_000).map(|_| stream.normal()).collect();
        let mean = normals.iter().sum::<f32>() / 40_000.0;
        let variance = normals.iter().map(|x| x * x).sum::<f32>() / 40_000.0;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
