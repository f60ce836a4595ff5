//! PNG and JPEG images, decoded to planes of bytes.
//!
//! The rule kept here: the first bytes tell what a file is, its measures are bounded before it is
//! decoded, and a cut or damaged image is refused, never filled in. JPEG leaves the rounding to
//! the decoder; this one is held to whole numbers and to no special instructions, so that the
//! pixels are the same on every machine.

use std::io::Cursor;

use zune_core::{colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::files::{Frame, MOST_PIXELS};

/// The first bytes of a PNG.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The first bytes of a JPEG.
const JPEG: &[u8] = &[0xff, 0xd8];

/// The last bytes of a JPEG.
const JPEG_END: &[u8] = &[0xff, 0xd9];

/// What the PNG decoder may allocate, in bytes, besides the pixels.
const PNG_MEMORY: usize = 4 << 20;

/// An image.
#[derive(Debug)]
pub(super) struct Picture {
    /// How its pixels lie.
    pub(super) frame: Frame,
    /// The pixels, plane by plane.
    pub(super) pixels: Vec<u8>,
}

/// Why an image cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageFlaw {
    /// Its first bytes are of another format.
    #[error("is neither a PNG nor a JPEG; convert it")]
    Format,
    /// It has an alpha channel or inks for print.
    #[error("is neither grey nor RGB; save it without transparency, as grey or RGB")]
    Colours,
    /// It is empty or too large.
    #[error(
        "is {columns} x {height} pixels; scale it down: width x height x planes may be {MOST_PIXELS}"
    )]
    Large {
        /// Pixels of a row.
        columns: usize,
        /// Rows.
        height: usize,
    },
    /// It differs from the images before it.
    #[error("is {found}, but {first} is {wanted}; make all images of one size and kind")]
    Other {
        /// What it is.
        found: String,
        /// The image that sets the measure.
        first: String,
        /// What that one is.
        wanted: String,
    },
    /// The decoder gave up.
    #[error("is cut or damaged ({0}); replace it with a fresh copy")]
    Damaged(String),
}

/// Decodes a PNG or a JPEG.
///
/// # Errors
/// If it is neither, damaged, neither grey nor RGB, or larger than [`MOST_PIXELS`].
pub(super) fn decode(bytes: &[u8]) -> Result<Picture, ImageFlaw> {
    let (frame, interleaved) = if bytes.starts_with(PNG) {
        decode_png(bytes)?
    } else if bytes.starts_with(JPEG) {
        decode_jpeg(bytes)?
    } else {
        return Err(ImageFlaw::Format);
    };
    let mut pixels = Vec::with_capacity(frame.width());
    frame.planes(&interleaved, &mut pixels);
    Ok(Picture { frame, pixels })
}

/// A frame within bounds.
fn bounded(height: usize, columns: usize, channels: usize) -> Result<Frame, ImageFlaw> {
    Frame::new(height, columns, channels).ok_or(ImageFlaw::Large { columns, height })
}

fn damaged(error: impl std::fmt::Display) -> ImageFlaw {
    ImageFlaw::Damaged(error.to_string())
}

fn decode_png(bytes: &[u8]) -> Result<(Frame, Vec<u8>), ImageFlaw> {
    let limits = png::Limits { bytes: PNG_MEMORY };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    // Palettes and other depths become bytes; texts and colour profiles are not looked at.
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let (columns, height) = decoder.read_header_info().map_err(damaged)?.size();
    bounded(height as usize, columns as usize, 1)?;
    let mut reader = decoder.read_info().map_err(damaged)?;
    let channels = match reader.output_color_type().0 {
        png::ColorType::Grayscale => 1,
        png::ColorType::Rgb => 3,
        png::ColorType::Indexed | png::ColorType::GrayscaleAlpha | png::ColorType::Rgba => {
            return Err(ImageFlaw::Colours);
        }
    };
    let frame = bounded(height as usize, columns as usize, channels)?;
    let mut pixels = vec![0; frame.width()];
    reader.next_frame(&mut pixels).map_err(damaged)?;
    reader.finish().map_err(damaged)?;
    Ok((frame, pixels))
}

fn decode_jpeg(bytes: &[u8]) -> Result<(Frame, Vec<u8>), ImageFlaw> {
    // The decoder would make up for a few lost bytes.
    if !bytes.ends_with(JPEG_END) {
        return Err(damaged("no end marker at its end"));
    }
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(MOST_PIXELS)
        .set_max_height(MOST_PIXELS);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let (columns, height) = decoder.dimensions().unwrap_or((0, 0));
    let (channels, space) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => (3, ColorSpace::RGB),
        _ => return Err(ImageFlaw::Colours),
    };
    let frame = bounded(height, columns, channels)?;
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let mut pixels = vec![0; frame.width()];
    decoder.decode_into(&mut pixels).map_err(damaged)?;
    Ok((frame, pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOUR: &[u8] = include_bytes!("../../tests/data/colour.jpg");
    const PROGRESSIVE: &[u8] = include_bytes!("../../tests/data/progressive.jpg");
    const GREY: &[u8] = include_bytes!("../../tests/data/grey.jpg");

    #[test]
    fn jpegs_have_the_same_pixels_everywhere() {
        for (bytes, channels, pin) in [
            (COLOUR, 3, "3db37e573a2b8ef3"),
            (PROGRESSIVE, 3, "3db37e573a2b8ef3"),
            (GREY, 1, "ae35f00fe799ed15"),
        ] {
            let Picture { frame, pixels } = decode(bytes).unwrap();
            assert_eq!(frame, Frame { height: 16, columns: 16, channels });
            assert_eq!(&blake3::hash(&pixels).to_hex().as_str()[..16], pin);
        }
    }

    #[test]
    fn the_colours_are_about_those_that_were_encoded() {
        // Red grows to the right, green downwards.
        let pixels = decode(COLOUR).unwrap().pixels;
        for (place, value) in [(0, 8), (15, 248), (15 * 16, 8), (256, 8), (256 + 15 * 16, 248)] {
            assert!(pixels[place].abs_diff(value) < 40, "{place}: {}", pixels[place]);
        }
    }

    #[test]
    fn a_cut_jpeg_is_refused_wherever_it_is_cut() {
        for whole in [COLOUR, PROGRESSIVE, GREY] {
            for length in 0..whole.len() {
                assert!(decode(&whole[..length]).is_err(), "{length} of {}", whole.len());
            }
        }
    }

    #[test]
    fn no_damage_makes_a_decoder_panic() {
        let mut png = Vec::new();
        let mut writer = png::Encoder::new(&mut png, 9, 7).write_header().unwrap();
        writer.write_image_data(&[5; 63]).unwrap();
        writer.finish().unwrap();
        let mut random = super::super::random::Stream::new(1, 0, 0);
        for whole in [COLOUR, PROGRESSIVE, GREY, &png] {
            for _ in 0..20_000 {
                let mut bytes = whole.to_vec();
                for _ in 0..=random.below(3) {
                    let place = random.below(bytes.len());
                    bytes[place] = random.below(256) as u8;
                }
                if let Ok(Picture { frame, pixels }) = decode(&bytes) {
                    assert_eq!(pixels.len(), frame.width());
                }
            }
        }
    }

    #[test]
    fn a_jpeg_of_a_huge_declared_size_is_refused() {
        let mut huge = GREY.to_vec();
        let start = huge.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        // At most 65,535 each way can be said.
        huge[start + 5..start + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        let large = ImageFlaw::Large { columns: 65_535, height: 65_535 };
        assert_eq!(decode(&huge).unwrap_err(), large);
    }
}
