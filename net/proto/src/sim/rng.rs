//! Random numbers that can be repeated, taken from BLAKE3's output stream, keyed by seed and purpose.
//!
//! Rule: every purpose has its own stream, so that one more draw for the network does not change
//! the schedule of the faults.

use std::fmt;

/// Bytes taken from the output stream at once.
const BUFFER: usize = 512;

/// A stream of numbers that a seed and a purpose determine.
pub struct Rng {
    reader: blake3::OutputReader,
    buffer: [u8; BUFFER],
    used: usize,
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng").field("position", &self.reader.position()).finish_non_exhaustive()
    }
}

impl Rng {
    /// The stream of `purpose` under `seed`.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(purpose.as_bytes());
        Self { reader: hasher.finalize_xof(), buffer: [0; BUFFER], used: BUFFER }
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        if self.used + 8 > BUFFER {
            self.reader.fill(&mut self.buffer);
            self.used = 0;
        }
        let bytes = &self.buffer[self.used..self.used + 8];
        self.used += 8;
        bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.any()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `per_mille` times in a thousand.
    pub fn hit(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_purpose_name_one_stream() {
        let draw = |seed, purpose| {
            let mut rng = Rng::new(seed, purpose);
            (0..200).map(|_| rng.any()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn numbers_keep_their_bounds_and_use_all_of_them() {
        let mut rng = Rng::new(7, "bounds");
        let drawn: Vec<u64> = (0..1000).map(|_| rng.between(3, 6)).collect();
        for value in 3..=6 {
            assert!(drawn.contains(&value), "{value}");
        }
        assert!(drawn.iter().all(|value| (3..=6).contains(value)));
        assert_eq!(rng.below(0), 0);
        let hits = (0..1000).filter(|_| rng.hit(250)).count();
        assert!((150..350).contains(&hits), "{hits}");
    }
}
