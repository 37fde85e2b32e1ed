//! What every format yields.

use image::DynamicImage;
use turbojpeg::{Colorspace, Compressor, PixelFormat, Subsamp};

use super::super::*;
use super::pictures::*;
use super::{TARGET, decoder};

#[test]
fn every_format_yields_its_pixels() {
    let mut decode = decoder();
    for (name, file) in every_format() {
        let image = decode.decode(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((image.size, image.original), (Size { w: 48, h: 32 }, Size { w: 48, h: 32 }), "{name}");
        assert_eq!(image.pixels.len(), 48 * 32 * 3, "{name}");
        assert_near(&block_colours(&image, 3, 2), &COLOURS, if name.contains("jpeg") { 4 } else { 0 });
    }
}

#[test]
fn jpeg_subsampling_and_progressive_files_keep_their_colours() {
    for subsamp in [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::Sub4x1, Subsamp::Sub1x2] {
        for progressive in [false, true] {
            let file = jpeg_with(&blocks(32), |compressor| {
                compressor.set_subsamp(subsamp).unwrap();
                compressor.set_progressive(progressive).unwrap();
            });
            assert_near(&block_colours(&decoder().decode(&file).unwrap(), 3, 2), &COLOURS, 4);
        }
    }
}

#[test]
fn grey_jpeg_becomes_rgb() {
    let file = jpeg_with(&blocks(32), |compressor| compressor.set_subsamp(Subsamp::Gray).unwrap());
    // ITU-R BT.601 luma, as JFIF prescribes.
    let luma = |[r, g, b]: [u8; 3]| (0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)).round() as u8;
    let expected = COLOURS.map(|colour| [luma(colour); 3]);
    assert_near(&block_colours(&decoder().decode(&file).unwrap(), 3, 2), &expected, 3);
}

#[test]
fn cmyk_jpeg_becomes_rgb() {
    // Adobe's inverted inks, as TurboJPEG writes them: 255 is none. Pixels of white, cyan, half black, red (magenta and yellow).
    let inks: [[u8; 4]; 4] = [[255, 255, 255, 255], [0, 255, 255, 255], [255, 255, 255, 128], [255, 0, 0, 255]];
    let expected = [[255, 255, 255], [0, 255, 255], [128, 128, 128], [255, 0, 0]];
    let pixels: Vec<u8> = (0..16 * 64).flat_map(|at| inks[at % 64 / 16]).collect();
    let picture = turbojpeg::Image { pixels: pixels.as_slice(), width: 64, pitch: 256, height: 16, format: PixelFormat::CMYK };
    for colorspace in [Colorspace::CMYK, Colorspace::YCCK] {
        let mut compressor = Compressor::new().unwrap();
        compressor.set_quality(95).unwrap();
        compressor.set_colorspace(colorspace).unwrap();
        let file = compressor.compress_to_vec(picture).unwrap();
        assert_near(&block_colours(&decoder().decode(&file).unwrap(), 4, 1), &expected, 6);
    }
}

#[test]
fn alpha_is_dropped_and_sixteen_bits_are_cut_to_the_high_byte() {
    let rgb = DynamicImage::ImageRgb8(blocks(4));
    let mut rgba = rgb.to_rgba8();
    rgba.pixels_mut().for_each(|pixel| pixel[3] = 0);
    let luma = rgb.to_luma8();
    let grey: Vec<[u8; 3]> = block_values(&luma);
    let mut rgb16 = rgb.to_rgb16();
    // 8-bit values widened are 0xVVVV: other low bytes would show if they were taken.
    rgb16.iter_mut().for_each(|sample| *sample = *sample & 0xFF00 | 0x0099);
    let mut luma16 = rgb.to_luma16();
    luma16.iter_mut().for_each(|sample| *sample = *sample & 0xFF00 | 0x0099);
    let grey16: Vec<[u8; 3]> = luma16.pixels().map(|pixel| [(pixel[0] >> 8) as u8; 3]).collect();
    let cases = [
        ("rgba", DynamicImage::ImageRgba8(rgba.clone()), COLOURS.to_vec()),
        ("grey", DynamicImage::ImageLuma8(luma.clone()), grey.clone()),
        ("grey with alpha", DynamicImage::ImageLumaA8(DynamicImage::ImageLuma8(luma).to_luma_alpha8()), grey),
        ("16-bit rgb", DynamicImage::ImageRgb16(rgb16.clone()), COLOURS.to_vec()),
        ("16-bit rgba", DynamicImage::ImageRgba16(DynamicImage::ImageRgb16(rgb16).to_rgba16()), COLOURS.to_vec()),
        ("16-bit grey", DynamicImage::ImageLuma16(luma16), [2, 6, 10, 74, 78, 82].map(|at| grey16[at]).to_vec()),
    ];
    for (name, picture, expected) in cases {
        let image_of = |file: Vec<u8>| block_colours(&decoder().decode(&file).unwrap(), 3, 2);
        assert_eq!(image_of(encoded(&picture, image::ImageFormat::Png)), expected, "{name}");
        if !name.contains("grey with alpha") {
            assert_eq!(image_of(encoded(&picture, image::ImageFormat::Tiff)), expected, "{name} as tiff");
        }
    }
}

fn block_values(luma: &image::GrayImage) -> Vec<[u8; 3]> {
    [(2, 2), (6, 2), (10, 2), (2, 6), (6, 6), (10, 6)].map(|(x, y)| [luma.get_pixel(x, y)[0]; 3]).to_vec()
}

#[test]
fn palettes_are_looked_up() {
    for depth in [png::BitDepth::One, png::BitDepth::Four, png::BitDepth::Eight] {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 8, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(depth);
        encoder.set_palette(vec![10, 20, 30, 200, 100, 50]);
        let row: Vec<u8> = match depth {
            png::BitDepth::One => vec![0b0000_1111],
            png::BitDepth::Four => vec![0, 0, 0x11, 0x11],
            _ => vec![0, 0, 0, 0, 1, 1, 1, 1],
        };
        encoder.write_header().unwrap().write_image_data(&row).unwrap();
        assert_eq!(block_colours(&decoder().decode(&file).unwrap(), 2, 1), [[10, 20, 30], [200, 100, 50]], "{depth:?}");
    }
}

#[test]
fn a_gif_yields_its_first_frame() {
    let frame = |index: usize| image::Frame::new(image::RgbaImage::from_pixel(4, 4, image::Rgb(COLOURS[index]).to_rgba_pixel()));
    let mut file = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut file);
    encoder.encode_frames([frame(3), frame(1)]).unwrap();
    drop(encoder);
    assert_near(&block_colours(&decoder().decode(&file).unwrap(), 1, 1), &COLOURS[3..4], 0);
}

trait ToRgbaPixel {
    fn to_rgba_pixel(self) -> image::Rgba<u8>;
}

impl ToRgbaPixel for image::Rgb<u8> {
    fn to_rgba_pixel(self) -> image::Rgba<u8> {
        image::Rgba([self[0], self[1], self[2], 255])
    }
}

#[test]
fn jpegs_are_reduced_as_far_as_the_detector_allows() {
    // Fitted into 640x384: 1920x1080 becomes 640x360, 1080x1920 becomes 216x384, 2000x500 becomes 640x160.
    let cases = [
        ((640, 360), (640, 360)),
        ((1279, 719), (640, 360)),
        ((1280, 720), (640, 360)),
        ((1920, 1080), (960, 540)),
        ((2560, 1440), (640, 360)),
        ((1080, 1920), (270, 480)),
        ((2000, 500), (1000, 250)),
        ((5120, 2880), (640, 360)),
        ((100, 50), (100, 50)),
    ];
    let mut decode = decoder();
    for ((w, h), (reduced_w, reduced_h)) in cases {
        let file = jpeg(&image::RgbImage::from_pixel(w, h, image::Rgb([90, 80, 70])));
        let image = decode.decode(&file).unwrap();
        assert_eq!(image.original, Size { w, h });
        assert_eq!(image.size, Size { w: reduced_w, h: reduced_h }, "{w} x {h}");
        assert_near(&block_colours(&image, 2, 2), &[[90, 80, 70]; 4], 2);
    }
}

#[test]
fn a_lossless_jpeg_is_decoded_in_full() {
    let picture = blocks(800);
    let file = jpeg_with(&picture, |compressor| compressor.set_lossless(true).unwrap());
    let mut decode = Decode::new(super::LIMITS, TARGET);
    let image = decode.decode(&file).unwrap();
    assert_eq!(image.size, Size { w: 2400, h: 1600 });
    assert!(image.pixels == picture.as_raw().as_slice());
}
