//! EXIF orientation, against the table of the EXIF standard (tag 0x0112).

use image::{DynamicImage, ImageEncoder};

use super::super::*;
use super::decoder;
use super::pictures::*;

/// How blocks A B C over D E F (numbered 0 to 5) stand upright, for the values 1 to 8: what the tag calls the 0th row and the
/// 0th column are the visual top and left, for 6 for example right and top.
const UPRIGHT: [(u32, [usize; 6]); 8] = [
    (3, [0, 1, 2, 3, 4, 5]),
    (3, [2, 1, 0, 5, 4, 3]),
    (3, [5, 4, 3, 2, 1, 0]),
    (3, [3, 4, 5, 0, 1, 2]),
    (2, [0, 3, 1, 4, 2, 5]),
    (2, [3, 0, 4, 1, 5, 2]),
    (2, [5, 2, 4, 1, 3, 0]),
    (2, [2, 5, 1, 4, 0, 3]),
];

/// A TIFF header with one directory of one entry: orientation, a short.
fn exif(orientation: u8, big_endian: bool) -> Vec<u8> {
    if big_endian {
        vec![b'M', b'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]
    } else {
        vec![b'I', b'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0]
    }
}

/// The JPEG with an APP1 segment behind its start.
pub(super) fn with_exif(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let length = (2 + 6 + exif.len()) as u16;
    [&jpeg[..2], &[0xFF, 0xE1], &length.to_be_bytes(), b"Exif\0\0", exif, &jpeg[2..]].concat()
}

#[track_caller]
fn assert_upright(file: &[u8], side: u32, orientation: usize, tolerance: u8) {
    let (across, order) = UPRIGHT[orientation - 1];
    let down = 6 / across;
    let mut decode = decoder();
    let image = decode.decode(file).unwrap();
    assert_eq!(image.original, Size { w: across * side, h: down * side }, "orientation {orientation}");
    let expected = order.map(|block| COLOURS[block]);
    assert_near(&block_colours(&image, across, down), &expected, tolerance);
}

#[test]
fn jpegs_of_all_eight_orientations_stand_upright() {
    for orientation in 1..=8 {
        for big_endian in [false, true] {
            // Large ones are reduced while decoding, small ones not.
            for side in [16, 700] {
                let file = with_exif(&jpeg(&blocks(side)), &exif(orientation, big_endian));
                assert_upright(&file, side, usize::from(orientation), 4);
            }
        }
    }
}

#[test]
fn reduction_counts_the_upright_size() {
    // 1920x1080 on its side is 1080x1920, which is fitted as 216x384: a quarter, where upright a half is needed.
    let picture = image::RgbImage::from_pixel(1920, 1080, image::Rgb([1, 2, 3]));
    let mut decode = decoder();
    let image = decode.decode(&with_exif(&jpeg(&picture), &exif(6, false))).map(|image| (image.size, image.original));
    assert_eq!(image, Ok((Size { w: 270, h: 480 }, Size { w: 1080, h: 1920 })));
}

#[test]
fn png_and_webp_of_all_eight_orientations_stand_upright() {
    let picture = DynamicImage::ImageRgb8(blocks(5));
    for orientation in 1..=8 {
        let mut png = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
        encoder.set_exif_metadata(exif(orientation, true)).unwrap();
        picture.write_with_encoder(encoder).unwrap();
        assert_upright(&png, 5, usize::from(orientation), 0);
        let mut webp = Vec::new();
        let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
        encoder.set_exif_metadata(exif(orientation, false)).unwrap();
        picture.write_with_encoder(encoder).unwrap();
        assert_upright(&webp, 5, usize::from(orientation), 0);
    }
}

#[test]
fn broken_exif_does_not_cost_the_picture() {
    let file = jpeg(&blocks(16));
    let good = exif(6, false);
    for broken in [&good[..0], &good[..7], &good[..15], b"II*\0\xFF\xFF\xFF\xFF".as_slice(), &exif(0, false), &exif(9, true)] {
        assert_upright(&with_exif(&file, broken), 16, 1, 4);
    }
}
