//! The bytes of a file that are the image.
//!
//! PNG and JPEG files carry more than pixels: texts, profiles, thumbnails, other images behind the
//! end.
//!
//! Rule: a decoder gets what decides about the pixels and nothing else, so that what libpng and
//! libjpeg pass over is passed over here as well, and cannot do harm.

use super::flaw::ImageFlaw;

/// The first bytes of a PNG.
pub(super) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The first bytes of a JPEG.
pub(super) const JPEG: &[u8] = &[0xff, 0xd8];

/// The chunk that ends a PNG.
const END: &[u8] = b"\0\0\0\0IEND\xaeB`\x82";

/// Bytes of a chunk besides its content: length, kind and sum.
const CHUNK: usize = 12;

/// The colour type of PNGs with a palette.
const INDEXED: u8 = 3;

/// The most passes over a JPEG: each takes as long as decoding a plain one. libjpeg-turbo
/// suggests this number as well.
pub(super) const MOST_SCANS: usize = 500;

/// An image without what surrounds it.
#[derive(Debug)]
pub(super) struct Outline<T> {
    /// The bytes that decide about the pixels.
    pub(super) image: T,
    /// The Exif block, if there is one.
    pub(super) exif: Vec<u8>,
}

fn damaged<T>(reason: &str) -> Result<T, ImageFlaw> {
    Err(ImageFlaw::Damaged(reason.to_owned()))
}

/// The chunks of a PNG up to its pixels' last one. What follows may be missing, as for Pillow.
///
/// # Errors
/// If the palette is none: the decoder would panic.
pub(super) fn png(bytes: &[u8]) -> Result<Outline<Vec<u8>>, ImageFlaw> {
    let mut found = Outline { image: PNG.to_vec(), exif: Vec::new() };
    let (mut rest, mut colour, mut pixels, mut behind) = (&bytes[PNG.len()..], 0, false, false);
    while let Some((length, kind)) = chunk(rest)
        && let Some((whole, after)) = rest.split_at_checked(CHUNK + length)
    {
        rest = after;
        let content = &whole[8..8 + length];
        match &kind {
            b"IEND" => break,
            b"eXIf" if sum(&whole[4..8 + length]) == whole[8 + length..] => {
                found.exif = exif(content).to_vec();
            }
            b"IDAT" if !behind => {
                pixels = true;
                found.image.extend_from_slice(whole);
            }
            _ if pixels => behind = true,
            b"PLTE" if length % 3 != 0 && colour == INDEXED => {
                return damaged("its palette ends within a colour");
            }
            // A capital letter: a reader that does not know the chunk must not go on. Without an index
            // into it, a palette is only a proposal.
            [b'A'..=b'Z', ..] | b"tRNS" if kind != *b"PLTE" || colour == INDEXED => {
                if kind == *b"IHDR" {
                    colour = content.get(9).copied().unwrap_or_default();
                }
                found.image.extend_from_slice(whole);
            }
            _ if sum(&whole[4..8 + length]) != whole[8 + length..] => {
                return damaged("the sum of a chunk is wrong");
            }
            _ => {}
        }
    }
    found.image.extend_from_slice(END);
    Ok(found)
}

/// Length and kind of the chunk that comes next.
fn chunk(rest: &[u8]) -> Option<(usize, [u8; 4])> {
    let (length, kind) = (rest.get(..4)?, rest.get(4..8)?);
    let length = u32::from_be_bytes(length.try_into().ok()?);
    // A length beyond the file is found out where the chunk is split off.
    Some((usize::try_from(length).ok()?.min(usize::MAX / 2), kind.try_into().ok()?))
}

/// The sum of a chunk's kind and content, as it stands behind them.
fn sum(bytes: &[u8]) -> [u8; 4] {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum().to_be_bytes()
}

/// The block behind the word that JPEG puts before it.
fn exif(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"Exif\0\0").unwrap_or(content)
}

/// A JPEG up to its end marker. Behind it cameras write what they like.
///
/// # Errors
/// If there is no end marker (the decoder would make up for a few lost bytes), or there are more
/// than [`MOST_SCANS`] scans.
pub(super) fn jpeg(bytes: &[u8]) -> Result<Outline<&[u8]>, ImageFlaw> {
    let mut block = None;
    let (mut at, mut scans) = (JPEG.len(), 0);
    let cut = || damaged("no end marker");
    loop {
        // Pixels, and what lies between segments, up to the next marker.
        let Some(skipped) = bytes[at..].iter().position(|&byte| byte == 0xff) else { return cut() };
        at += skipped;
        let Some(fill) = bytes[at..].iter().position(|&byte| byte != 0xff) else { return cut() };
        at += fill + 1;
        match bytes[at - 1] {
            // A byte of pixels, or a marker without a segment.
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            0xd9 => {
                return Ok(Outline { image: &bytes[..at], exif: block.unwrap_or_default() });
            }
            0xda => scans += 1,
            _ => {}
        }
        if scans > MOST_SCANS {
            return damaged(&format!("more than {MOST_SCANS} scans"));
        }
        let Some(&[high, low]) = bytes.get(at..at + 2) else { return cut() };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(segment) = bytes.get(at + 2..at + length.max(2)) else { return cut() };
        if bytes[at - 1] == 0xe1 && segment.starts_with(b"Exif\0\0") && block.is_none() {
            block = Some(exif(segment).to_vec());
        }
        at += length.max(2);
    }
}
