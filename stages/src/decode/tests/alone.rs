//! What comes of an image does not depend on the images before it: each is compared with what a decoder makes of it that has seen no
//! other.

use image::DynamicImage;
use proptest::prelude::*;
use turbojpeg::Subsamp;

use super::super::*;
use super::pictures::*;
use super::{LIMITS, TARGET, decoder};

fn outcome(decode: &mut Decode, file: &[u8]) -> Result<(Size, Size, Vec<u8>), String> {
    let seen = decode.decode(file).map(|image| (image.size, image.original, image.pixels.to_vec()));
    seen.map_err(|rejection| rejection.to_string())
}

fn alone(file: &[u8]) -> Result<(Size, Size, Vec<u8>), String> {
    outcome(&mut decoder(), file)
}

/// JPEGs with other tables than each other's.
fn jpegs() -> [Vec<u8>; 3] {
    [
        jpeg(&blocks(16)),
        jpeg_with(&blocks(24), |compressor| {
            compressor.set_quality(40).unwrap();
            compressor.set_optimize(true).unwrap();
            compressor.set_subsamp(Subsamp::Sub2x2).unwrap();
        }),
        jpeg_with(&blocks(8), |compressor| compressor.set_progressive(true).unwrap()),
    ]
}

/// A JPEG without its segments of this kind.
fn without(jpeg: &[u8], marker: u8) -> Vec<u8> {
    let mut file = jpeg.to_vec();
    while let Some(at) = file.windows(2).position(|pair| pair == [0xFF, marker]) {
        let length = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        file.drain(at..at + 2 + length);
    }
    file
}

#[test]
fn a_jpeg_that_is_cut_anywhere_spoils_no_other() {
    let files = jpegs();
    let expected = files.each_ref().map(|file| alone(file));
    assert!(expected.iter().all(Result::is_ok));
    for cut in &files {
        let mut decode = decoder();
        for length in 0..cut.len() {
            let _ = decode.decode(&cut[..length]);
            for (file, expected) in files.iter().zip(&expected) {
                assert_eq!(&outcome(&mut decode, file), expected, "after one cut to {length} bytes");
            }
        }
    }
}

#[test]
fn a_jpeg_with_any_byte_of_its_header_changed_spoils_no_other() {
    let files = jpegs();
    let expected = files.each_ref().map(|file| alone(file));
    for good in &files {
        let scan = good.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
        let mut decode = decoder();
        for (at, change) in (0..scan + 10).flat_map(|at| [0x01, 0x80, 0xFF].map(|change| (at, change))) {
            let mut damaged = good.clone();
            damaged[at] ^= change;
            assert_eq!(outcome(&mut decode, &damaged), alone(&damaged), "byte {at} changed by {change:#x}");
            for (file, expected) in files.iter().zip(&expected) {
                assert_eq!(&outcome(&mut decode, file), expected, "after byte {at} was changed by {change:#x}");
            }
        }
    }
}

/// Cameras that send motion JPEG leave out Huffman tables, which are then the standard's; quantization tables have no default.
#[test]
fn tables_that_a_jpeg_lacks_do_not_come_from_another() {
    let [standard, other, progressive] = jpegs();
    let (no_codes, no_steps) = (without(&standard, 0xC4), without(&standard, 0xDB));
    assert_eq!(alone(&no_codes), alone(&standard), "the standard's tables");
    assert!(alone(&no_steps).is_err());
    let mut decode = decoder();
    for before in [&other, &progressive, &standard] {
        decode.decode(before).unwrap();
        assert_eq!(outcome(&mut decode, &no_codes), alone(&standard));
        decode.decode(before).unwrap();
        assert_eq!(outcome(&mut decode, &no_steps), alone(&no_steps));
    }
}

/// A GIF whose pixels are all of a colour that its palette of two lacks (`GIF89a`, with codes of 3 bits, cleared before they grow).
fn gif_without_its_colours(w: u16, h: u16) -> Vec<u8> {
    const CLEAR: u8 = 4;
    const END: u8 = 5;
    const MISSING: u8 = 3;
    let pixels = usize::from(w) * usize::from(h);
    let codes = (0..pixels).flat_map(|at| if at % 2 == 0 { vec![CLEAR, MISSING] } else { vec![MISSING] }).chain([END]);
    let bits: Vec<u8> = codes.flat_map(|code| [code & 1, code >> 1 & 1, code >> 2]).collect();
    let data: Vec<u8> = bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit)).collect();
    let ([w_low, w_high], [h_low, h_high]) = (w.to_le_bytes(), h.to_le_bytes());
    let mut file = b"GIF89a".to_vec();
    file.extend([w_low, w_high, h_low, h_high, 0x80, 0, 0, 9, 9, 9, 99, 99, 99]);
    file.extend([b',', 0, 0, 0, 0, w_low, w_high, h_low, h_high, 0, 2]);
    for block in data.chunks(255) {
        file.push(block.len() as u8);
        file.extend(block);
    }
    file.extend([0, b';']);
    file
}

#[test]
fn pixels_that_a_file_leaves_out_show_nothing_of_another() {
    let secret = DynamicImage::ImageRgba8(DynamicImage::ImageRgb8(blocks(16)).into_rgba8());
    let gif = gif_without_its_colours(48, 32);
    let expected = alone(&gif).unwrap();
    assert!(expected.2.iter().all(|byte| *byte == 0));
    let mut decode = decoder();
    for before in [encoded(&secret, image::ImageFormat::Png), encoded(&secret, image::ImageFormat::WebP), jpeg(&blocks(16))] {
        decode.decode(&before).unwrap();
        assert_eq!(outcome(&mut decode, &gif).as_ref(), Ok(&expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_images_in_any_order_come_out_as_each_alone(
        images in prop::collection::vec(
            (0_usize..7, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), any::<prop::sample::Index>(), any::<bool>()),
            2..8,
        ),
    ) {
        let mut decode = Decode::new(LIMITS, TARGET);
        for (format, changes, cut, is_cut) in images {
            let mut file = every_format().swap_remove(format).1;
            for (at, value) in changes {
                let at = at.index(file.len());
                file[at] = value;
            }
            if is_cut {
                file.truncate(cut.index(file.len()));
            }
            prop_assert_eq!(outcome(&mut decode, &file), alone(&file));
        }
    }
}
