//! Random numbers for one generated sample.
//!
//! Every sample has a stream of its own, a keyed BLAKE3 output whose input is (seed, split, index).
//!
//! Rule: no sample's numbers depend on another sample, a clock or a machine, so any sample can be
//! made alone, in any order and on any number of threads.

/// Separates these streams from every other use of BLAKE3; a new version is a new data set.
const KEY: &[u8; 32] = b"ffp2p generated digits version 1";

/// One BLAKE3 output block, the unit in which the stream is read.
const BLOCK: usize = 64;

/// The random numbers of one sample, in the order they are asked for.
pub(super) struct Stream {
    reader: blake3::OutputReader,
    block: [u8; BLOCK],
    used: usize,
}

impl Stream {
    /// The stream of sample `index` of the given split.
    pub(super) fn new(seed: u64, split: u8, index: u32) -> Self {
        let mut name = [0; 13];
        name[..8].copy_from_slice(&seed.to_le_bytes());
        name[8] = split;
        name[9..].copy_from_slice(&index.to_le_bytes());
        let mut hasher = blake3::Hasher::new_keyed(KEY);
        hasher.update(&name);
        Self { reader: hasher.finalize_xof(), block: [0; BLOCK], used: BLOCK }
    }

    fn word(&mut self) -> u32 {
        if self.used == BLOCK {
            self.reader.fill(&mut self.block);
            self.used = 0;
        }
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.block[self.used..self.used + 4]);
        self.used += 4;
        u32::from_le_bytes(bytes)
    }

    /// A whole number in `0..n`, each equally likely to within 2^-32.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.word()) * n as u64) >> 32) as usize
    }

    /// A number in [0, 1), of 24 bits.
    pub(super) fn unit(&mut self) -> f32 {
        (self.word() >> 8) as f32 / 16_777_216.0
    }

    /// A number in [low, high), each equally likely.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A number in (-reach, reach), most likely near 0 (the difference of two uniform ones).
    pub(super) fn around(&mut self, reach: f32) -> f32 {
        let first = self.unit();
        let second = self.unit();
        reach * (first - second)
    }

    /// Fills `bytes` with uniform bytes.
    pub(super) fn bytes(&mut self, bytes: &mut [u8]) {
        self.reader.fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_every_part_of_their_name() {
        let first = |seed, split, index| Stream::new(seed, split, index).word();
        let base = first(1, 0, 0);
        assert_eq!(base, first(1, 0, 0));
        assert_ne!(base, first(2, 0, 0));
        assert_ne!(base, first(1, 1, 0));
        assert_ne!(base, first(1, 0, 1));
    }

    #[test]
    fn numbers_keep_to_their_ranges_and_fill_them() {
        let mut stream = Stream::new(7, 0, 0);
        let (mut low, mut high, mut seen) = (1.0_f32, 0.0_f32, [0; 10]);
        for _ in 0..5000 {
            let unit = stream.unit();
            low = low.min(unit);
            high = high.max(unit);
            seen[stream.below(10)] += 1;
            assert!(stream.around(2.0).abs() < 2.0);
            assert!((3.0..5.0).contains(&stream.between(3.0, 5.0)));
        }
        assert!((0.0..0.01).contains(&low) && (0.99..1.0).contains(&high));
        assert!(seen.iter().all(|&count| (400..600).contains(&count)), "{seen:?}");
    }
}
