//! Pictures with known pixels, and their encodings.

use std::io::Cursor;

use image::{DynamicImage, Rgb, RgbImage};
use turbojpeg::{Compressor, PixelFormat, Subsamp};

/// Colours that are far from each other in every channel, chosen by hand.
pub(super) const COLOURS: [[u8; 3]; 6] =
    [[230, 20, 30], [20, 220, 40], [30, 40, 210], [240, 230, 60], [120, 130, 140], [10, 15, 5]];

/// Three blocks across, two down, each of `side` x `side` pixels in one of [`COLOURS`].
pub(super) fn blocks(side: u32) -> RgbImage {
    RgbImage::from_fn(3 * side, 2 * side, |x, y| Rgb(COLOURS[(x / side + 3 * (y / side)) as usize]))
}

pub(super) fn encoded(picture: &DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// How a JPEG is written.
pub(super) fn jpeg_with(picture: &RgbImage, set: impl Fn(&mut Compressor)) -> Vec<u8> {
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(95).unwrap();
    compressor.set_subsamp(Subsamp::None).unwrap();
    set(&mut compressor);
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels = picture.as_raw().as_slice();
    compressor.compress_to_vec(turbojpeg::Image { pixels, width, pitch: width * 3, height, format: PixelFormat::RGB }).unwrap()
}

pub(super) fn jpeg(picture: &RgbImage) -> Vec<u8> {
    jpeg_with(picture, |_| ())
}

/// The colours in the middle of each of `across` x `down` equal blocks, row by row.
pub(super) fn block_colours(image: &crate::decode::Image<'_>, across: u32, down: u32) -> Vec<[u8; 3]> {
    let (w, h) = (image.size.w, image.size.h);
    let middle = |index: u32, side: u32, count: u32| (2 * index + 1) * side / (2 * count);
    let pixel = |x: u32, y: u32| {
        let at = (y * w + x) as usize * 3;
        [image.pixels[at], image.pixels[at + 1], image.pixels[at + 2]]
    };
    (0..down)
        .flat_map(|row| (0..across).map(move |column| (row, column)))
        .map(|(row, column)| pixel(middle(column, w, across), middle(row, h, down)))
        .collect()
}

#[track_caller]
pub(super) fn assert_near(found: &[[u8; 3]], expected: &[[u8; 3]], tolerance: u8) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let near = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(*expected) <= tolerance);
        assert!(near, "found {found:?}, expected {expected:?} within {tolerance}");
    }
}

/// One file of every format, all of [`blocks`] with 16-pixel sides.
pub(super) fn every_format() -> Vec<(&'static str, Vec<u8>)> {
    let picture = blocks(16);
    let dynamic = DynamicImage::ImageRgb8(picture.clone());
    vec![
        ("jpeg", jpeg(&picture)),
        ("progressive jpeg", jpeg_with(&picture, |compressor| compressor.set_progressive(true).unwrap())),
        ("png", encoded(&dynamic, image::ImageFormat::Png)),
        ("webp", encoded(&dynamic, image::ImageFormat::WebP)),
        ("bmp", encoded(&dynamic, image::ImageFormat::Bmp)),
        ("gif", encoded(&dynamic, image::ImageFormat::Gif)),
        ("tiff", encoded(&dynamic, image::ImageFormat::Tiff)),
    ]
}
