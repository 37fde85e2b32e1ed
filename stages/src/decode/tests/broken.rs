//! Files that are cut, lie, or are merely untidy.

use proptest::prelude::*;

use super::super::*;
use super::pictures::*;
use super::{LIMITS, TARGET, decoder};

fn rejection(file: &[u8]) -> Rejection {
    decoder().decode(file).map(|image| image.original).unwrap_err()
}

#[test]
fn what_is_no_image_is_unsupported_and_its_start_is_shown() {
    let text = rejection(b"hello");
    assert_eq!(text.reason, Reason::Unsupported);
    assert!(text.error.contains("5 bytes that begin with [68 65 6c 6c 6f]"), "{}", text.error);
    assert_eq!(rejection(b"").reason, Reason::Unsupported);
    let packet = rejection(&[0, 0, 0, 1, 0x67, 0x42]);
    assert!(packet.error.contains("H.264"), "{}", packet.error);
}

#[test]
fn a_cut_file_is_rejected_or_complete() {
    for (name, file) in every_format() {
        let mut decode = decoder();
        let whole = decode.decode(&file).unwrap().pixels.to_vec();
        for length in (0..file.len()).step_by(file.len() / 150 + 1).chain(file.len().saturating_sub(20)..file.len()) {
            match decode.decode(&file[..length]) {
                // Some formats end in bytes that carry no pixels. A JPEG ends in its end marker.
                Ok(image) => assert!(!name.contains("jpeg") && image.pixels == whole, "{name} cut to {length} of {}", file.len()),
                Err(error) => assert!(
                    matches!(error.reason, Reason::DecodeError | Reason::Unsupported | Reason::TooLarge),
                    "{name} cut to {length}: {error}"
                ),
            }
        }
    }
}

#[test]
fn a_jpeg_that_ends_early_but_properly_is_rejected() {
    let file = jpeg(&blocks(64));
    for keep in [file.len() / 2, file.len() * 3 / 4] {
        let patched = [&file[..keep], &[0xFF, 0xD9]].concat();
        assert_eq!(rejection(&patched).reason, Reason::DecodeError);
    }
}

/// Where the first scan begins.
fn scan_start(jpeg: &[u8]) -> usize {
    jpeg.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap()
}

fn inserted(file: &[u8], at: usize, stray: &[u8]) -> Vec<u8> {
    [&file[..at], stray, &file[at..]].concat()
}

#[test]
fn an_untidy_jpeg_is_decoded() {
    let file = jpeg(&blocks(32));
    let mut jfif_two = file.clone();
    let version = file.windows(5).position(|bytes| bytes == b"JFIF\0").unwrap() + 5;
    jfif_two[version] = 2;
    let cases = [
        ("padding before the end marker", inserted(&file, file.len() - 2, &[0; 20])),
        ("bytes behind the end", inserted(&file, file.len(), b"trailer")),
        ("stray bytes in the header", inserted(&file, scan_start(&file), &[7, 0, 7])),
        ("unknown JFIF revision", jfif_two.clone()),
        ("fill bytes in the header", inserted(&file, scan_start(&file), &[0xFF, 0xFF])),
    ];
    for (name, untidy) in cases {
        let mut decode = decoder();
        let image = decode.decode(&untidy).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_near(&block_colours(&image, 3, 2), &COLOURS, 4);
    }
    // What is both untidy and cut counts as cut, thumbnail or not.
    let thumbnail = [b"II*\0\x08\0\0\0\0\0\0\0\0\0".as_slice(), &jpeg(&blocks(8))].concat();
    for untidy in [&jfif_two, &inserted(&file, file.len() - 2, &[0; 20]), &super::turned::with_exif(&jfif_two, &thumbnail)] {
        for cut in [untidy.len() - 2, untidy.len() - 40, scan_start(untidy) + 30] {
            assert_eq!(rejection(&untidy[..cut]).reason, Reason::DecodeError);
        }
    }
}

#[test]
fn a_jpeg_without_an_image_is_rejected_even_after_a_good_one() {
    let file = jpeg(&blocks(16));
    let tables_only = [&file[..scan_start(&file)], &[0xFF, 0xD9]].concat();
    let mut decode = decoder();
    decode.decode(&file).unwrap();
    assert_eq!(decode.decode(&tables_only).unwrap_err().reason, Reason::DecodeError);
    let nothing = decode.decode(&[0xFF, 0xD8, 0xFF, 0xD9]).unwrap_err();
    assert_eq!(nothing.reason, Reason::DecodeError);
    assert!(nothing.error.ends_with("it ends before a picture begins"), "{}", nothing.error);
    assert_eq!(rejection(&file[..100]).error, nothing.error);
}

/// The JPEG with another size in its frame header.
fn declaring(jpeg: &[u8], w: u16, h: u16) -> Vec<u8> {
    let frame = jpeg.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2])).unwrap();
    let mut file = jpeg.to_vec();
    file[frame + 5..frame + 7].copy_from_slice(&h.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&w.to_be_bytes());
    file
}

#[test]
fn too_many_pixels_are_refused_before_memory_is_taken() {
    let file = declaring(&jpeg(&blocks(16)), 60_000, 50_000);
    let mut decode = decoder();
    let error = decode.decode(&file).unwrap_err();
    assert_eq!(error.reason, Reason::TooLarge);
    assert!(error.error.contains("60000 x 50000") && error.error.contains("20000000"), "{}", error.error);
    let mut png = Vec::new();
    png::Encoder::new(&mut png, 70_000, 60_000).write_header().unwrap().write_chunk(png::chunk::IDAT, &[0x78, 1]).unwrap();
    let error = decode.decode(&png).unwrap_err();
    assert_eq!(error.reason, Reason::TooLarge, "{error}");
    assert!(error.error.contains("70000 x 60000"), "{}", error.error);
    assert_eq!((decode.buffers.pixels.capacity(), decode.buffers.scratch.capacity()), (0, 0));
}

#[test]
fn a_file_far_too_short_for_its_size_is_rejected_before_memory_is_taken() {
    for progressive in [false, true] {
        let small = jpeg_with(&blocks(16), |compressor| compressor.set_progressive(progressive).unwrap());
        let mut decode = decoder();
        let error = decode.decode(&declaring(&small, 4000, 4000)).unwrap_err();
        assert_eq!(error.reason, Reason::DecodeError);
        assert!(error.error.contains("4000 x 4000 pixels cannot come from"), "{}", error.error);
        assert_eq!(decode.buffers.pixels.capacity(), 0);
    }
}

#[test]
fn headers_that_lie_are_rejected_in_every_format() {
    let of = |name: &str| every_format().into_iter().find(|(format, _)| *format == name).unwrap().1;
    let patched = |file: Vec<u8>, at: usize, bytes: &[u8]| [&file[..at], bytes, &file[at + bytes.len()..]].concat();
    let cases = [
        ("bmp, wide and high", patched(of("bmp"), 18, &[0x10, 0x27, 0, 0, 0x10, 0x27, 0, 0])),
        ("bmp, somewhat larger", patched(of("bmp"), 18, &[0xD0, 0x07, 0, 0, 0xD0, 0x07, 0, 0])),
        ("bmp, no width", patched(of("bmp"), 18, &[0, 0, 0, 0])),
        ("gif, wide and high", patched(of("gif"), 6, &[0xFF, 0xFF, 0xFF, 0xFF])),
        ("gif, no width", patched(of("gif"), 6, &[0, 0])),
        ("webp, wide and high", patched(of("webp"), 21, &[0xFF, 0xFF, 0xFF, 0x0F])),
        ("jpeg, larger", declaring(&of("jpeg"), 320, 200)),
        ("jpeg, no width", declaring(&of("jpeg"), 0, 32)),
    ];
    for (name, file) in cases {
        let error = rejection(&file);
        assert!(matches!(error.reason, Reason::TooLarge | Reason::DecodeError | Reason::Unsupported), "{name}: {error}");
    }
}

/// Where the entry of this tag begins in a little-endian TIFF's first directory.
fn tiff_entry(tiff: &[u8], tag: u16) -> usize {
    assert_eq!(&tiff[..4], b"II*\0");
    let first = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    let count = usize::from(u16::from_le_bytes([tiff[first], tiff[first + 1]]));
    let mut entries = (0..count).map(|index| first + 2 + 12 * index);
    entries.find(|at| tiff[*at..at + 2] == tag.to_le_bytes()).unwrap()
}

#[test]
fn a_tiff_that_holds_jpegs_is_refused() {
    let tiff = encoded(&image::DynamicImage::ImageRgb8(blocks(16)), image::ImageFormat::Tiff);
    decoder().decode(&tiff).unwrap();
    let compression = tiff_entry(&tiff, 259);
    for (kind, value) in [(3_u16, 7_u32), (3, 6), (4, 7), (1, 7)] {
        let mut file = tiff.clone();
        file[compression + 2..compression + 4].copy_from_slice(&kind.to_le_bytes());
        file[compression + 8..compression + 12].copy_from_slice(&value.to_le_bytes());
        let error = rejection(&file);
        assert_eq!(error.reason, Reason::Unsupported, "{error}");
        assert!(error.error.contains("strips are JPEGs"), "{error}");
    }
    // Said twice, the second time as a JPEG: over the entry behind it.
    let mut twice = tiff.clone();
    twice[compression + 12..compression + 24].copy_from_slice(&[3, 1, 3, 0, 1, 0, 0, 0, 7, 0, 0, 0]);
    assert_eq!(rejection(&twice).reason, Reason::Unsupported);
}

#[test]
fn a_webp_that_holds_a_larger_picture_than_it_declares_is_refused_before_that_is_decoded() {
    let chunk = |name: &[u8; 4], body: &[u8]| [&name[..], &(body.len() as u32).to_le_bytes(), body].concat();
    let side = |side: u16| side.to_le_bytes();
    let lossy = |w: u16, h: u16| chunk(b"VP8 ", &[&[0x10, 0, 0, 0x9D, 1, 0x2A][..], &side(w), &side(h), &[0; 16]].concat());
    // Signature, then 14 bits each of width - 1 and height - 1.
    let lossless = |w: u32, h: u32| chunk(b"VP8L", &[&[0x2F][..], &((w - 1) | (h - 1) << 14).to_le_bytes(), &[0; 15]].concat());
    let canvas = |flags: u8| chunk(b"VP8X", &[flags, 0, 0, 0, 15, 0, 0, 15, 0, 0]);
    let file = |chunks: &[Vec<u8>]| {
        let body = [b"WEBP".to_vec(), chunks.concat()].concat();
        chunk(b"RIFF", &body)
    };
    let frame = |inner: Vec<u8>| chunk(b"ANMF", &[&[0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, 0, 0, 0, 0][..], &inner].concat());
    let animation = chunk(b"ANIM", &[0; 6]);
    for hiding in [
        file(&[canvas(0), lossy(16_383, 16_000)]),
        file(&[canvas(0), lossless(16_383, 16_000)]),
        file(&[canvas(2), animation.clone(), frame(lossy(16_383, 16_000))]),
    ] {
        let error = rejection(&hiding);
        assert_eq!(error.reason, Reason::TooLarge, "{error}");
        assert!(error.error.contains("16383 x 16000"), "{error}");
    }
    // Frames in frames, as deep as the file is long.
    let nested = b"ANMF\xFF\xFF\xFF\x0F0123456789ABCDEF".repeat(200_000);
    rejection(&file(&[canvas(2), animation, nested]));
}

#[test]
fn a_scan_that_says_something_else_than_sequential_hides_no_damage() {
    let file = jpeg(&blocks(32));
    let scan = scan_start(&file);
    let mut odd = file.clone();
    // Three components: Ss, Se and Ah/Al come after a length, their number and two bytes for each.
    odd[scan + 11..scan + 14].copy_from_slice(&[0, 0, 0]);
    assert_eq!(decoder().decode(&odd).unwrap().pixels, decoder().decode(&file).unwrap().pixels);
    // A code of sixteen ones is none: the standard's tables have no such code (T.81, K.3).
    let middle = scan + 14 + (file.len() - scan) / 2;
    let broken = |file: &[u8]| [&file[..middle], &[0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0], &file[middle..]].concat();
    assert_eq!(rejection(&broken(&file)).reason, Reason::DecodeError);
    assert_eq!(rejection(&broken(&odd)).reason, Reason::DecodeError);
}

/// Of damage that shifts codes nothing may be seen but bytes that no code was read from: more of them than libjpeg reads ahead.
#[test]
fn bytes_that_are_left_over_at_the_end_are_damage_unless_they_are_padding() {
    let file = jpeg(&blocks(32));
    for stray in [[1, 2, 3].repeat(8), [vec![0; 20], vec![9]].concat(), [0xFF, 0].repeat(12)] {
        let error = rejection(&inserted(&file, file.len() - 2, &stray));
        assert_eq!(error.reason, Reason::DecodeError);
        assert!(error.error.contains("extraneous bytes before marker 0xd9"), "{error}");
    }
}

/// A JPEG with a restart after every block of 8 x 8 pixels: each is what the scan of a picture with this block alone holds (T.81, F.1.1.5).
fn with_restarts(picture: &image::RgbImage) -> Vec<u8> {
    /// The first scan's header, and the end marker.
    const HEADER: usize = 14;
    const END: usize = 2;
    let whole = jpeg(picture);
    let start = scan_start(&whole);
    let mut file = [&whole[..start], &[0xFF, 0xDD, 0, 4, 0, 1], &whole[start..start + HEADER]].concat();
    let across = picture.width() / 8;
    for index in 0..across * (picture.height() / 8) {
        let block = image::imageops::crop_imm(picture, index % across * 8, index / across * 8, 8, 8).to_image();
        let block = jpeg(&block);
        if index > 0 {
            file.extend([0xFF, 0xD0 + ((index - 1) % 8) as u8]);
        }
        file.extend(&block[scan_start(&block) + HEADER..block.len() - END]);
    }
    file.extend([0xFF, 0xD9]);
    file
}

#[test]
fn bytes_that_are_left_over_before_a_restart_are_damage() {
    let file = with_restarts(&blocks(32));
    assert_eq!(decoder().decode(&file).unwrap().pixels, decoder().decode(&jpeg(&blocks(32))).unwrap().pixels);
    let restart = file.windows(2).position(|pair| pair[0] == 0xFF && (0xD0..0xD8).contains(&pair[1])).unwrap();
    let error = rejection(&inserted(&file, restart, &[1, 2, 3, 4]));
    assert_eq!(error.reason, Reason::DecodeError);
    assert!(error.error.contains("extraneous bytes before marker 0xd0"), "{error}");
}

#[test]
fn a_huge_image_does_not_keep_its_memory() {
    let huge = image::DynamicImage::new_rgb8(4000, 4000);
    let small = jpeg(&blocks(16));
    let mut decode = decoder();
    assert_eq!(decode.decode(&encoded(&huge, image::ImageFormat::Bmp)).unwrap().pixels.len(), 48_000_000);
    decode.decode(&small).unwrap();
    assert!(decode.buffers.pixels.capacity() <= KEEP_BYTES);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is changed, decoding neither panics nor breaks its word about sizes.
    #[test]
    fn damaged_files_never_panic(format in 0_usize..7, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut file = every_format().swap_remove(format).1;
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        let mut decode = Decode::new(LIMITS, TARGET);
        if let Ok(image) = decode.decode(&file) {
            prop_assert_eq!(image.pixels.len(), rgb_bytes(image.size));
            prop_assert!(u64::from(image.original.w) * u64::from(image.original.h) <= LIMITS.max_pixels);
        }
    }
}
