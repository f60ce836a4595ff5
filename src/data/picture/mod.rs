//! PNG and JPEG images, decoded to planes of bytes.
//!
//! Rule: the first bytes tell what a file is, its measures are bounded before it is decoded, and a
//! cut or damaged image is refused, never filled in. An image is turned as its Exif block says.
//! JPEG leaves the rounding to the decoder; this one is held to whole numbers and to no special
//! instructions, so that the pixels are the same on every machine.

mod flaw;
mod outline;

use std::io::Cursor;

use zune_core::{colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::{
    exif::Orientation,
    files::{Frame, MOST_PIXELS},
    forms,
};
pub use flaw::ImageFlaw;
use outline::{JPEG, MOST_SCANS, Outline, PNG};

/// Memory that the PNG decoder may allocate besides the pixels, bytes.
const PNG_MEMORY: usize = 4 << 20;

/// An image.
#[derive(Debug)]
pub(super) struct Picture {
    /// The order of its pixels.
    pub(super) frame: Frame,
    /// The pixels, plane by plane.
    pub(super) pixels: Vec<u8>,
    /// Whether it was stored otherwise, and turned.
    pub(super) turned: bool,
}

/// Decodes a PNG or a JPEG.
///
/// # Errors
/// If it is neither, damaged, neither grey nor RGB, or larger than [`MOST_PIXELS`].
pub(super) fn decode(bytes: &[u8]) -> Result<Picture, ImageFlaw> {
    let (frame, interleaved, exif) = if bytes.starts_with(PNG) {
        let Outline { image, exif } = outline::png(bytes)?;
        let (frame, pixels) = decode_png(&image)?;
        (frame, pixels, exif)
    } else if bytes.starts_with(JPEG) {
        let Outline { image, exif } = outline::jpeg(bytes)?;
        let (frame, pixels) = decode_jpeg(image)?;
        (frame, pixels, exif)
    } else {
        return Err(ImageFlaw::Format(forms::of(bytes).map_or("of another kind", |form| form.is)));
    };
    let mut pixels = Vec::with_capacity(frame.width());
    frame.planes(&interleaved, &mut pixels);
    let orientation = Orientation::of(&exif);
    if orientation == Orientation::UPRIGHT {
        return Ok(Picture { frame, pixels, turned: false });
    }
    let pixels = orientation.turn(frame, &pixels);
    Ok(Picture { frame: orientation.frame(frame), pixels, turned: true })
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
    // The decoder alone would not look at the sum of the unpacked pixels.
    decoder.ignore_checksums(false);
    // Palettes and other depths become bytes.
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let (columns, height) = decoder.read_header_info().map_err(damaged)?.size();
    bounded(height as usize, columns as usize, 1)?;
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (channels, alpha) = match reader.output_color_type().0 {
        png::ColorType::Grayscale => (1, 0),
        png::ColorType::GrayscaleAlpha => (1, 1),
        png::ColorType::Rgb => (3, 0),
        png::ColorType::Rgba => (3, 1),
        // The transformations leave none.
        png::ColorType::Indexed => return Err(ImageFlaw::Colours("of a palette")),
    };
    let frame = bounded(height as usize, columns as usize, channels)?;
    let mut pixels = vec![0; frame.width() / channels * (channels + alpha)];
    reader.next_frame(&mut pixels).map_err(damaged)?;
    reader.finish().map_err(damaged)?;
    let pixels = if alpha == 0 { pixels } else { opaque(&pixels, channels)? };
    Ok((frame, pixels))
}

/// The pixels without an alpha channel that hides nothing, as that of most screenshots.
fn opaque(pixels: &[u8], channels: usize) -> Result<Vec<u8>, ImageFlaw> {
    let hides = |pixel: &[u8]| pixel.last().is_some_and(|alpha| *alpha < u8::MAX);
    let mut pieces = pixels.chunks_exact(channels + 1);
    if pieces.clone().any(hides) {
        return Err(ImageFlaw::Colours("partly transparent"));
    }
    Ok(pieces.by_ref().flat_map(|pixel| &pixel[..channels]).copied().collect())
}

fn decode_jpeg(bytes: &[u8]) -> Result<(Frame, Vec<u8>), ImageFlaw> {
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(MOST_PIXELS)
        .set_max_height(MOST_PIXELS)
        .jpeg_set_max_scans(MOST_SCANS);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let (columns, height) = decoder.dimensions().unwrap_or((0, 0));
    let (channels, space) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => (3, ColorSpace::RGB),
        _ => return Err(ImageFlaw::Colours("in inks for print (CMYK)")),
    };
    let frame = bounded(height, columns, channels)?;
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let mut pixels = vec![0; frame.width()];
    decoder.decode_into(&mut pixels).map_err(damaged)?;
    Ok((frame, pixels))
}

#[cfg(test)]
mod tests;
