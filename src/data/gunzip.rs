//! Gzip streams as gunzip takes them.
//!
//! Rule: what follows one member is another one; zeros after the last are padding; anything else
//! there is not read, and the reader can say that it was there. A member that is cut or damaged is
//! an error.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of a member.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The unpacked bytes of all members.
#[derive(Debug)]
pub(super) struct Gunzip<R> {
    /// The member that is being read; none after the last.
    member: Option<GzDecoder<R>>,
    garbage: bool,
}

impl<R: BufRead> Gunzip<R> {
    /// Reads from `input`, which must begin with a member.
    pub(super) fn new(input: R) -> Self {
        Self { member: Some(GzDecoder::new(input)), garbage: false }
    }

    /// Whether something that is no padding followed the last member; known at the end.
    pub(super) fn had_garbage(&self) -> bool {
        self.garbage
    }

    /// Whether another member follows.
    fn follows(&mut self, input: &mut R) -> io::Result<bool> {
        let mut padded = false;
        loop {
            let bytes = input.fill_buf()?;
            let Some(place) = bytes.iter().position(|&byte| byte != 0) else {
                let count = bytes.len();
                if count == 0 {
                    return Ok(false);
                }
                padded = true;
                input.consume(count);
                continue;
            };
            // Where the input gives a single byte at first, the decoder looks at the second one.
            let rest = &bytes[place..];
            let member = rest.starts_with(&MAGIC) || rest == &MAGIC[..1];
            self.garbage = padded || place > 0 || !member;
            return Ok(!self.garbage);
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.member {
            let got = decoder.read(buffer)?;
            if got > 0 || buffer.is_empty() {
                return Ok(got);
            }
            if let Some(mut input) = self.member.take().map(GzDecoder::into_inner)
                && self.follows(&mut input)?
            {
                self.member = Some(GzDecoder::new(input));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The bytes read through a buffer of this size, and whether there was garbage.
    fn gunzip(bytes: &[u8], buffer: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut reader = Gunzip::new(BufReader::with_capacity(buffer, bytes));
        let mut all = Vec::new();
        reader.read_to_end(&mut all)?;
        Ok((all, reader.had_garbage()))
    }

    #[test]
    fn members_follow_each_other_and_padding_is_nothing() {
        let two = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        for padding in [0, 1, 5, 70_000] {
            let padded = [&two[..], &vec![0; padding]].concat();
            for buffer in [1, 7, 8192] {
                assert_eq!(gunzip(&padded, buffer).unwrap(), (b"one two".to_vec(), false));
            }
        }
    }

    #[test]
    fn what_is_no_member_is_not_read_and_told() {
        let one = gzip(b"one");
        for rest in [&b"xx"[..], b"\0\0x", b"\x1fx", &[&[0][..], &one].concat()] {
            let long = [&one[..], rest].concat();
            assert_eq!(gunzip(&long, 8192).unwrap(), (b"one".to_vec(), true), "{rest:?}");
        }
    }

    #[test]
    fn a_member_that_is_cut_or_damaged_is_an_error() {
        let two = [gzip(b"one"), gzip(b"two")].concat();
        for length in gzip(b"one").len() + 1..two.len() {
            gunzip(&two[..length], 8192).unwrap_err();
        }
        for place in [2, two.len() - 8, two.len() - 1] {
            let mut damaged = two.clone();
            damaged[place] ^= 1;
            gunzip(&damaged, 8192).unwrap_err();
        }
    }
}
