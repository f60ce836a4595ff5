//! Images whole, cut and damaged: what is decoded, and what is refused.

use super::*;

const COLOUR: &[u8] = include_bytes!("../../../tests/data/colour.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("../../../tests/data/progressive.jpg");
const GREY: &[u8] = include_bytes!("../../../tests/data/grey.jpg");

#[test]
fn jpegs_have_the_same_pixels_everywhere() {
    for (bytes, channels, pin) in [
        (COLOUR, 3, "3db37e573a2b8ef3"),
        (PROGRESSIVE, 3, "3db37e573a2b8ef3"),
        (GREY, 1, "ae35f00fe799ed15"),
    ] {
        let Picture { frame, pixels, .. } = decode(bytes).unwrap();
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
    let mut random = crate::data::random::Stream::new(1, 0, 0);
    for whole in [COLOUR, PROGRESSIVE, GREY, &png] {
        for _ in 0..20_000 {
            let mut bytes = whole.to_vec();
            for _ in 0..=random.below(3) {
                let place = random.below(bytes.len());
                bytes[place] = random.below(256) as u8;
            }
            if let Ok(Picture { frame, pixels, .. }) = decode(&bytes) {
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

/// A chunk of a PNG.
fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(kind);
    sum.update(content);
    let length = (content.len() as u32).to_be_bytes();
    [&length, &kind[..], content, &sum.sum().to_be_bytes()].concat()
}

/// A PNG of 3 x 2 pixels of this colour type, with more chunks before its pixels.
fn png(colour: u8, more: &[Vec<u8>]) -> Vec<u8> {
    use std::io::Write;
    let header = chunk(b"IHDR", &[0, 0, 0, 3, 0, 0, 0, 2, 8, colour, 0, 0, 0]);
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let samples = if colour == 2 { 3 } else { 1 };
    for row in 0..2 {
        let pixels: Vec<u8> = (0..3 * samples).map(|i| i + row * 10).collect();
        packed.write_all(&[&[0], &pixels[..]].concat()).unwrap();
    }
    let pixels = chunk(b"IDAT", &packed.finish().unwrap());
    [PNG, &header, &more.concat(), &pixels, &chunk(b"IEND", b"")].concat()
}

#[test]
fn a_palette_that_ends_within_a_colour_is_refused() {
    for length in 1..=50_usize {
        let palette = [chunk(b"PLTE", &vec![7; length])];
        assert_eq!(decode(&png(3, &palette)).is_ok(), length % 3 == 0, "{length}");
        // Of an RGB image it is only a proposal.
        decode(&png(2, &palette)).unwrap();
    }
    // The one that made the decoder panic.
    let header = chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 3, 0, 0, 0]);
    let palette = chunk(b"PLTE", &[1, 2, 3, 4, 5]);
    let pixels = chunk(b"IDAT", &[0x78, 1, 1, 2, 0, 0xfd, 0xff, 0, 0, 0, 2, 0, 1]);
    let whole = [PNG, &header, &palette, &pixels, &chunk(b"IEND", b"")].concat();
    assert!(matches!(decode(&whole).unwrap_err(), ImageFlaw::Damaged(_)));
}

#[test]
fn what_surrounds_the_pixels_is_passed_over() {
    let plain = decode(&png(2, &[])).unwrap();
    let same = |bytes: &[u8]| {
        let found = decode(bytes).unwrap();
        assert_eq!((found.frame, &found.pixels), (plain.frame, &plain.pixels));
    };
    let whole = png(2, &[]);
    same(&[&whole[..], b"trailing bytes"].concat());
    same(&whole[..whole.len() - 12]);
    same(&whole[..whole.len() - 5]);
    for kind in [b"tEXt", b"zTXt", b"iCCP", b"gAMA", b"acTL", b"teSt"] {
        same(&png(2, &[chunk(kind, b"no sense")]));
    }
    let jpeg = decode(COLOUR).unwrap().pixels;
    for rest in [&b"\0\0\0"[..], b"xx", COLOUR, &[0xff; 5]] {
        assert_eq!(decode(&[COLOUR, rest].concat()).unwrap().pixels, jpeg);
    }
    // An end marker in a comment is none.
    let comment = [&COLOUR[..2], b"\xff\xfe\0\x06hi\xff\xd9", &COLOUR[2..]].concat();
    assert_eq!(decode(&comment).unwrap().pixels, jpeg);
}

#[test]
fn a_damaged_png_is_refused() {
    let whole = png(2, &[chunk(b"tEXt", b"a\0text")]);
    // All but the last chunk has a sum.
    for place in 8..whole.len() - 12 {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        decode(&bytes).unwrap_err();
    }
    for length in 0..whole.len() - 12 {
        decode(&whole[..length]).unwrap_err();
    }
}

#[test]
fn images_are_turned_as_their_exif_block_says() {
    use crate::data::exif::tests::block;
    let Picture { frame, pixels, turned } = decode(&png(2, &[])).unwrap();
    assert!(!turned);
    for orientation in 2..=8 {
        let exif = block(orientation % 2 == 0, orientation);
        let expected = Orientation::of(&exif).turn(frame, &pixels);
        let found = decode(&png(2, &[chunk(b"eXIf", &exif)])).unwrap();
        assert_eq!((found.pixels, found.turned), (expected, true), "{orientation}");
        let swapped = (found.frame.height, found.frame.columns) == (3, 2);
        assert_eq!(swapped, orientation > 4);
        let segment = [&b"Exif\0\0"[..], &exif].concat();
        let length = (segment.len() as u16 + 2).to_be_bytes();
        let jpeg = [&COLOUR[..2], &[0xff, 0xe1], &length, &segment, &COLOUR[2..]].concat();
        let plain = decode(COLOUR).unwrap();
        let expected = Orientation::of(&exif).turn(plain.frame, &plain.pixels);
        assert_eq!(decode(&jpeg).unwrap().pixels, expected, "{orientation}");
    }
}

#[test]
fn no_png_with_right_sums_makes_the_decoder_panic() {
    let mut random = crate::data::random::Stream::new(2, 0, 0);
    let more = [chunk(b"PLTE", &[7; 30]), chunk(b"tRNS", &[1, 2, 3])];
    for colour in [0, 2, 3] {
        for more in [&more[..], &more[..1], &[]] {
            let whole = png(colour, more);
            for _ in 0..3000 {
                let mut bytes = damaged_png(&whole, &mut random);
                bytes.truncate(bytes.len().saturating_sub(random.below(2) * random.below(20)));
                if let Ok(Picture { frame, pixels, .. }) = decode(&bytes) {
                    assert_eq!(pixels.len(), frame.width());
                }
            }
        }
    }
}

/// A PNG with changed, missing or doubled chunks, whose sums are right again.
fn damaged_png(whole: &[u8], random: &mut crate::data::random::Stream) -> Vec<u8> {
    let mut bytes = PNG.to_vec();
    let mut rest = &whole[PNG.len()..];
    while rest.len() >= 12 {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let kind = rest[4..8].try_into().unwrap();
        let mut content = rest[8..8 + length].to_vec();
        rest = &rest[12 + length..];
        for _ in 0..random.below(3) * random.below(2) {
            match (content.len(), random.below(4)) {
                (0, _) | (_, 0) => content.push(random.below(256) as u8),
                (length, 1) => content.truncate(random.below(length)),
                (length, _) => content[random.below(length)] = random.below(256) as u8,
            }
        }
        for _ in 0..[1, 1, 1, 1, 1, 1, 0, 2][random.below(8)] {
            bytes.extend(chunk(kind, &content));
        }
    }
    bytes
}

#[test]
fn an_alpha_channel_that_hides_nothing_is_left_out() {
    let image = |color, pixels: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(color);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        decode(&bytes)
    };
    let Picture { frame, pixels, .. } =
        image(png::ColorType::Rgba, &[1, 2, 3, 255, 4, 5, 6, 255]).unwrap();
    assert_eq!((frame.channels, pixels), (3, vec![1, 4, 2, 5, 3, 6]));
    let Picture { frame, pixels, .. } =
        image(png::ColorType::GrayscaleAlpha, &[7, 255, 8, 255]).unwrap();
    assert_eq!((frame.channels, pixels), (1, vec![7, 8]));
    for (color, pixels) in [
        (png::ColorType::Rgba, &[1, 2, 3, 255, 4, 5, 6, 254][..]),
        (png::ColorType::GrayscaleAlpha, &[7, 0, 8, 255]),
    ] {
        let refused = image(color, pixels).unwrap_err();
        assert_eq!(refused, ImageFlaw::Colours("partly transparent"));
    }
}
