//! The IDX format of MNIST and its kin: a header that declares counts, then plain bytes.
//!
//! The content comes from strangers.
//!
//! Rule: nothing is believed before it is checked. Memory grows with the bytes that really arrive
//! and never beyond a fixed cap, the content ends exactly where the header says, and every refusal
//! names the byte.

use std::io::{BufRead, Read};

use super::{
    files,
    gunzip::{Gunzip, MAGIC},
};

/// The largest content accepted after the header, in bytes: five times the MNIST training images.
pub(super) const MOST_BYTES: u64 = 256 << 20;

/// The layout of a file.
#[derive(Debug)]
pub(super) struct Layout {
    /// The plural of what one byte of content is.
    noun: &'static str,
    /// The lengths of one item along each of its axes; empty for single bytes.
    item: &'static [u32],
}

/// Grey images of 28 x 28 pixels.
pub(super) const IMAGES: Layout = Layout { noun: "pixels", item: &[28, 28] };

/// Labels.
pub(super) const LABELS: Layout = Layout { noun: "labels", item: &[] };

/// A file's content, checked against its layout.
#[derive(Debug)]
pub(super) struct Idx {
    /// The content: a whole number of items, at least one.
    pub(super) body: Vec<u8>,
    /// Whether something followed the gzip stream.
    pub(super) garbage: bool,
}

/// The place where a file departs from its layout.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Byte position in the unpacked file.
    pub(super) at: u64,
    /// The content expected.
    pub(super) expected: String,
    /// The content found.
    pub(super) found: String,
}

impl Flaw {
    fn new(at: u64, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { at, expected: expected.into(), found: found.into() }
    }
}

/// Reads one IDX file of `length` bytes, plain or packed with gzip, which its first bytes tell.
///
/// # Errors
/// A [`Flaw`] if the input cannot be read or unpacked, departs from `layout`, is longer or shorter
/// than its header declares, or declares more than [`MOST_BYTES`] or than fits its length.
pub(super) fn read(mut input: impl BufRead, length: u64, layout: &Layout) -> Result<Idx, Flaw> {
    let most = MOST_BYTES.min(files::room(length));
    let start = input
        .fill_buf()
        .map_err(|error| Flaw::new(0, "a readable file", format!("\"{error}\"")))?;
    if !start.starts_with(&MAGIC) {
        return read_plain(&mut input, layout, most);
    }
    let mut input = Gunzip::new(input);
    let idx = read_plain(&mut input, layout, most)?;
    Ok(Idx { garbage: input.had_garbage(), ..idx })
}

fn read_plain(input: &mut impl Read, layout: &Layout, most: u64) -> Result<Idx, Flaw> {
    let rank = 1 + layout.item.len();
    let header = pull(input, 0, 4 + 4 * rank as u64, "IDX header")?;
    let total = check_header(&header, layout, most)?;
    let start = header.len() as u64;
    let body = pull(input, start, total, layout.noun)?;
    match input.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => return Err(Flaw::new(start + total, "the end of the file", "more bytes")),
        Err(error) => {
            let found = format!("\"{error}\"");
            return Err(Flaw::new(start + total, "the end of the file", found));
        }
    }
    Ok(Idx { body, garbage: false })
}

/// Checks magic bytes and lengths; gives the number of content bytes, at most `most`.
fn check_header(header: &[u8], layout: &Layout, most: u64) -> Result<u64, Flaw> {
    let magic = [0, 0, 8, 1 + layout.item.len() as u8];
    if header[..4] != magic {
        let expected = format!("the magic bytes {} of {}", hex(&magic), layout.noun);
        return Err(Flaw::new(0, expected, hex(&header[..4])));
    }
    let number = |at: usize| {
        let bytes = &header[at..at + 4];
        bytes.iter().fold(0_u32, |sum, &byte| sum << 8 | u32::from(byte))
    };
    for (axis, &length) in layout.item.iter().enumerate() {
        let at = 8 + 4 * axis;
        if number(at) != length {
            let expected = format!("a side of {length} pixels");
            return Err(Flaw::new(at as u64, expected, number(at).to_string()));
        }
    }
    let size: u64 = layout.item.iter().map(|&length| u64::from(length)).product();
    let (count, most) = (u64::from(number(4)), most / size);
    if (1..=most).contains(&count) {
        return Ok(count * size);
    }
    Err(Flaw::new(4, format!("a count from 1 to {most}"), count.to_string()))
}

/// Exactly `wanted` bytes of `noun`; memory grows only with the bytes that arrive.
fn pull(input: &mut impl Read, at: u64, wanted: u64, noun: &str) -> Result<Vec<u8>, Flaw> {
    let mut bytes = Vec::new();
    let expected = || format!("{wanted} bytes of {noun}");
    match input.take(wanted).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 == wanted => Ok(bytes),
        Ok(_) => Err(Flaw::new(at, expected(), bytes.len().to_string())),
        Err(error) => {
            let found = format!("{} and then \"{error}\"", bytes.len());
            Err(Flaw::new(at, expected(), found))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn images(count: u32, body: usize) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 3];
        for number in [count, 28, 28] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend((0..body).map(|i| (i % 251) as u8));
        bytes
    }

    fn labels(values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 1];
        bytes.extend((values.len() as u32).to_be_bytes());
        bytes.extend(values);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Reads a file of whose length nothing is concluded.
    fn read(bytes: &[u8], layout: &Layout) -> Result<Idx, Flaw> {
        super::read(bytes, u64::MAX, layout)
    }

    fn flaw(bytes: &[u8], layout: &Layout) -> (u64, String, String) {
        let Flaw { at, expected, found } = read(bytes, layout).unwrap_err();
        (at, expected, found)
    }

    fn says(at: u64, expected: &str, found: &str) -> (u64, String, String) {
        (at, expected.to_owned(), found.to_owned())
    }

    #[test]
    fn plain_and_packed_content_read_the_same() {
        let plain = images(3, 3 * 784);
        for bytes in [plain.clone(), gzip(&plain)] {
            let idx = read(bytes.as_slice(), &IMAGES).unwrap();
            assert_eq!(idx.body, plain[16..]);
        }
        let idx = read(labels(&[0, 9, 4]).as_slice(), &LABELS).unwrap();
        assert_eq!(idx.body, [0, 9, 4]);
    }

    #[test]
    fn cut_files_name_what_is_missing() {
        let cut = images(60_000, 1000);
        assert_eq!(flaw(&cut, &IMAGES), says(16, "47040000 bytes of pixels", "1000"));
        assert_eq!(flaw(&gzip(&cut), &IMAGES), says(16, "47040000 bytes of pixels", "1000"));
        assert_eq!(flaw(&cut[..7], &IMAGES), says(0, "16 bytes of IDX header", "7"));
        assert_eq!(flaw(&[], &LABELS), says(0, "8 bytes of IDX header", "0"));
    }

    #[test]
    fn a_cut_or_damaged_gzip_stream_is_refused_wherever_it_is_cut() {
        let packed = gzip(&images(2, 2 * 784));
        for length in 2..packed.len() {
            read(&packed[..length], &IMAGES).unwrap_err();
        }
        let mut damaged = packed.clone();
        let checksum = packed.len() - 8;
        damaged[checksum] ^= 1;
        let (at, expected, found) = flaw(&damaged, &IMAGES);
        assert_eq!((at, expected.as_str()), (16 + 2 * 784, "the end of the file"));
        assert!(found.contains("checksum"), "{found}");
    }

    #[test]
    fn wrong_headers_are_refused_at_their_byte() {
        let one = images(1, 784);
        assert_eq!(
            flaw(&one, &LABELS),
            says(0, "the magic bytes 00 00 08 01 of labels", "00 00 08 03")
        );
        let mut wide = one.clone();
        wide[15] = 32;
        assert_eq!(flaw(&wide, &IMAGES), says(12, "a side of 28 pixels", "32"));
        assert_eq!(flaw(&images(0, 0), &IMAGES), says(4, "a count from 1 to 342392", "0"));
    }

    #[test]
    fn a_huge_declared_count_is_refused_before_any_content_is_read() {
        let huge = images(u32::MAX, 10);
        assert_eq!(flaw(&huge, &IMAGES), says(4, "a count from 1 to 342392", "4294967295"));
        assert_eq!(flaw(&gzip(&huge), &IMAGES).0, 4);
        let largest = images(342_392, 10);
        assert_eq!(flaw(&largest, &IMAGES), says(16, "268435328 bytes of pixels", "10"));
    }

    #[test]
    fn a_small_file_may_declare_no_more_than_fits_its_length() {
        let packed = gzip(&images(90_000, 10));
        let flaw = super::read(packed.as_slice(), packed.len() as u64, &IMAGES).unwrap_err();
        assert_eq!((flaw.at, flaw.found.as_str()), (4, "90000"));
    }

    #[test]
    fn bytes_after_the_content_are_refused() {
        let long = images(1, 785);
        assert_eq!(flaw(&long, &IMAGES), says(800, "the end of the file", "more bytes"));
        assert_eq!(flaw(&gzip(&long), &IMAGES).0, 800);
    }

    #[test]
    fn a_packed_file_may_have_several_members_and_padding() {
        let plain = images(2, 2 * 784);
        let members = [gzip(&plain[..100]), gzip(&plain[100..]), vec![0; 9]].concat();
        let idx = read(members.as_slice(), &IMAGES).unwrap();
        assert!(!idx.garbage);
        assert_eq!(idx.body, plain[16..]);
        let garbage = [&members[..], b"garbage"].concat();
        assert!(read(garbage.as_slice(), &IMAGES).unwrap().garbage);
        let more = [gzip(&plain), gzip(b"more")].concat();
        assert_eq!(flaw(&more, &IMAGES), says(16 + 2 * 784, "the end of the file", "more bytes"));
    }

    #[test]
    fn no_damage_makes_the_reader_panic() {
        let mut random = crate::data::random::Stream::new(4, 0, 0);
        let (images, labels) = (images(2, 2 * 784), labels(&[3, 1, 4, 1, 5]));
        let two = [gzip(&images[..50]), gzip(&images[50..])].concat();
        for (whole, layout) in [(&images, &IMAGES), (&two, &IMAGES), (&labels, &LABELS)] {
            for _ in 0..3000 {
                let mut bytes = whole.clone();
                for _ in 0..=random.below(3) {
                    let most = bytes.len().min([12, 4000][random.below(2)]);
                    bytes[random.below(most)] = random.below(256) as u8;
                }
                bytes.truncate(bytes.len() - random.below(2) * random.below(8));
                if let Ok(Idx { body, .. }) = read(bytes.as_slice(), layout) {
                    let item = layout.item.iter().product::<u32>() as usize;
                    assert_eq!(body.len() % item, 0);
                }
            }
        }
    }

    #[test]
    fn a_packed_flood_is_cut_at_the_declared_length() {
        let flood = gzip(&images(1, 50_000_000));
        assert!(flood.len() < 1_000_000);
        assert_eq!(flaw(&flood, &IMAGES), says(800, "the end of the file", "more bytes"));
    }
}
