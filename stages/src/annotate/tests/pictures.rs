//! Whole pictures, from the bytes that a camera sent to the bytes that people get.

use std::collections::BTreeSet;

use turbojpeg::{PixelFormat, Subsamp};

use super::super::*;
use super::{noise, pixel};
use crate::decode::{Decode, Limits};

const LIMITS: Limits = Limits { max_pixels: 10_000_000 };
/// A marker that ought not to come out, as a camera or a phone writes it.
const SECRET: &[u8] = b"52.5163N 13.3777E, owner: somebody";

fn face(x: f32, y: f32, side: f32, score: Option<f32>, score_kind: ScoreKind) -> Detection {
    Detection { bbox: Bbox { x, y, w: side, h: side }, score, score_kind, landmarks: None, track: None }
}

fn jpeg(tile: &Tile) -> Vec<u8> {
    let (width, height) = (tile.size.w as usize, tile.size.h as usize);
    let image = turbojpeg::Image { pixels: &tile.rgb[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
    turbojpeg::compress(image, 90, Subsamp::None).unwrap().to_vec()
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xFF, marker], &((body.len() + 2) as u16).to_be_bytes()[..], body].concat()
}

/// EXIF as in its standard: a first directory with the orientation 6 (to be turned right by 90 degrees) and a pointer to a GPS
/// directory, a second one with an embedded JPEG.
fn exif(thumbnail: &[u8]) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let value = if kind == 3 { (value << 16).to_be_bytes() } else { value.to_be_bytes() };
        [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &count.to_be_bytes(), &value].concat()
    };
    let directory = |entries: &[Vec<u8>], next: u32| {
        [&(entries.len() as u16).to_be_bytes()[..], &entries.concat(), &next.to_be_bytes()].concat()
    };
    let (gps_at, second_at) = (8 + 2 + 24 + 4, 8 + 2 + 24 + 4 + 2 + 12 + 4);
    let (text_at, image_at) = (second_at + 2 + 24 + 4, second_at + 2 + 24 + 4 + SECRET.len() as u32);
    let first = directory(&[entry(0x0112, 3, 1, 6), entry(0x8825, 4, 1, gps_at)], second_at);
    let gps = directory(&[entry(0x001B, 7, SECRET.len() as u32, text_at)], 0);
    let second = directory(&[entry(0x0201, 4, 1, image_at), entry(0x0202, 4, 1, thumbnail.len() as u32)], 0);
    [b"Exif\0\0MM\0\x2A\0\0\0\x08", &first[..], &gps, &second, SECRET, thumbnail].concat()
}

/// The markers of a JPEG up to its pixels.
fn markers(jpeg: &[u8]) -> Vec<u8> {
    let (mut at, mut found) = (2, Vec::new());
    while jpeg[at + 1] != 0xDA {
        assert_eq!(jpeg[at], 0xFF, "a marker at {at}");
        found.push(jpeg[at + 1]);
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn no_metadata_comes_out_and_a_picture_is_turned_upright() {
    let size = Size { w: 300, h: 200 };
    let sent = Tile { rgb: [0, 0, 200].repeat(60_000), size };
    let plain = jpeg(&sent);
    let thumbnail = jpeg(&noise(Size { w: 60, h: 40 }, 3));
    let metadata = [
        segment(0xE1, &exif(&thumbnail)),
        segment(0xE1, &[b"http://ns.adobe.com/xap/1.0/\0", SECRET].concat()),
        segment(0xE2, &[b"ICC_PROFILE\0\x01\x01", SECRET].concat()),
        segment(0xED, &[b"Photoshop 3.0\0", SECRET].concat()),
        segment(0xFE, SECRET),
    ];
    let file = [&plain[..2], &metadata.concat(), &plain[2..]].concat();
    assert!(contains(&file, SECRET) && contains(&file, &thumbnail));

    let mut decode = Decode::full(LIMITS);
    let image = decode.decode(&file).unwrap();
    assert_eq!((image.size, image.original), (Size { w: 200, h: 300 }, Size { w: 200, h: 300 }), "turned by 90 degrees");
    let mut tile = Tile::of(&image);
    tile.annotate(What::Blur, &[face(50.0, 50.0, 60.0, Some(0.9), ScoreKind::Prob)], &[], image.original, &Style::default());
    let mut easel = Easel::default();
    let made = easel.encode(&tile).unwrap();
    let found = markers(&made);
    // JFIF's own (APP0), tables and the frame's header: nothing else.
    assert!(found.iter().all(|marker| [0xE0, 0xDB, 0xC0, 0xC4].contains(marker)), "{found:02X?}");
    let header = turbojpeg::read_header(&made).unwrap();
    assert_eq!((header.width, header.height), (200, 300));
    let png = easel.encode_as(&tile, Format::Png).unwrap();
    let mut at = 8;
    while at < png.len() {
        let length = u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
        assert!([&b"IHDR"[..], b"IDAT", b"IEND"].contains(&&png[at + 4..at + 8]), "{:?}", &png[at + 4..at + 8]);
        at += 12 + length;
    }
    for bytes in [&made, &png] {
        assert!(!contains(bytes, &SECRET[..8]) && !contains(bytes, &thumbnail[..64]));
    }
    let decoded = image::load_from_memory(&png).unwrap().into_rgb8();
    assert_eq!(decoded.into_raw(), tile.rgb, "without loss");
}

#[test]
fn a_picture_is_decoded_in_full_and_into_the_same_memory_each_time() {
    let (large, small) = (noise(Size { w: 640, h: 400 }, 1), noise(Size { w: 40, h: 24 }, 2));
    let (large_file, small_file) = (jpeg(&large), jpeg(&small));
    let mut decode = Decode::full(LIMITS);
    let mut pixels = Vec::new();
    for (file, size) in [(&large_file, large.size), (&small_file, small.size), (&large_file, large.size)] {
        let expected = Decode::full(LIMITS).decode(file).unwrap().pixels.to_vec();
        assert_eq!(decode.decode_into(file, &mut pixels), Ok(size));
        assert_eq!(pixels, expected);
    }
    let before = pixels.clone();
    assert!(decode.decode_into(b"no picture", &mut pixels).is_err());
    assert!(pixels.is_empty() || pixels == before, "nothing half-made");
}

#[test]
fn what_says_itself_and_nothing_else_is_taken() {
    for (name, what) in [("none", What::None), ("boxes", What::Boxes), ("blur", What::Blur), ("pixelate", What::Pixelate)] {
        assert_eq!((name.parse(), what.to_string()), (Ok(what), name.to_owned()));
        assert_eq!(serde_json::to_value(what).unwrap(), name);
    }
    let error = "Blur".parse::<What>().unwrap_err().to_string();
    assert!(error.contains("\"Blur\"") && error.contains("pixelate"), "{error}");
}

#[test]
fn each_kind_does_what_it_says_to_faces_of_an_image_that_was_larger() {
    // The tile has half of the original's pixels along each side.
    let (size, original) = (Size { w: 200, h: 150 }, Size { w: 400, h: 300 });
    let picture = noise(size, 9);
    let faces = [face(100.0, 100.0, 80.0, Some(0.97), ScoreKind::Prob)];
    let weak = [Bbox { x: 300.0, y: 200.0, w: 40.0, h: 40.0 }];
    let made = |what| {
        let mut tile = picture.clone();
        tile.annotate(what, &faces, &weak, original, &Style::default());
        tile
    };
    assert_eq!(made(What::None), picture);
    for what in [What::Blur, What::Pixelate] {
        let hidden = made(what);
        for (x, y, side) in [(50, 50, 40), (150, 100, 20)] {
            let changed = (y..y + side).flat_map(|y| (x..x + side).map(move |x| (x, y)));
            let same = changed.filter(|(x, y)| pixel(&hidden, *x, *y) == pixel(&picture, *x, *y)).count();
            assert!(same < 20, "{what}: {same} pixels of {} are as they were", side * side);
        }
        assert_eq!(pixel(&hidden, 10, 10), pixel(&picture, 10, 10));
    }
    let drawn = made(What::Boxes);
    // A line of three pixels around the edges at 50 and 90; within it, and where the weak face is, nothing is touched.
    let green = |x: u32, y: u32| pixel(&drawn, x, y) == [0, 255, 0];
    for edge in [49, 50, 51, 89, 90, 91] {
        assert!(green(edge, 70) && green(70, edge), "{edge}");
    }
    assert!((52..89).all(|x| pixel(&drawn, x, 70) == pixel(&picture, x, 70)));
    assert!((150..170).all(|x| pixel(&drawn, x, 110) == pixel(&picture, x, 110)));
    assert!(green(49, 49) && green(91, 91), "corners are square");
}

#[test]
fn pixelated_faces_are_squares_of_one_colour_each() {
    let size = Size { w: 512, h: 512 };
    let mut picture = noise(size, 4);
    picture.pixelate(&[Region::of(&Bbox { x: 128.0, y: 128.0, w: 60.0, h: 60.0 }, size)]);
    // 60 pixels and 18 on each side, from 110 to 206: six cells of 16 across.
    let mut colours = BTreeSet::new();
    for (row, column) in (0..6).flat_map(|row| (0..6).map(move |column| (row, column))) {
        let (left, top) = (110 + column * 16, 110 + row * 16);
        let colour = pixel(&picture, left, top);
        let all = (top..top + 16).flat_map(|y| (left..left + 16).map(move |x| (x, y)));
        assert!(all.into_iter().all(|(x, y)| pixel(&picture, x, y) == colour), "cell {row} {column}");
        colours.insert(colour.to_vec());
    }
    assert!(colours.len() > 30, "each its own");
}

#[test]
fn only_a_score_that_is_a_share_is_written() {
    let original = Size { w: 200, h: 200 };
    for (score, kind, written) in [
        (Some(0.5), ScoreKind::Prob, Some(0.5)),
        (Some(117.3), ScoreKind::HaarWeight, None),
        (None, ScoreKind::None, None),
        (Some(0.5), ScoreKind::None, None),
    ] {
        assert_eq!(Mark::of(&face(0.0, 0.0, 10.0, score, kind), original).score, written, "{kind:?}");
    }
}

#[test]
fn a_score_without_room_above_its_box_is_within_it_and_within_the_picture() {
    let size = Size { w: 100, h: 100 };
    let mut picture = Tile { rgb: vec![128; 30_000], size };
    let region = Region::of(&Bbox { x: 80.0, y: 2.0, w: 15.0, h: 60.0 }, size);
    picture.draw(&[Mark { region, score: Some(1.0) }], &Style::default());
    // "100%" in dots of 2 pixels, as the box is narrow: 17 dots wide and 7 high. Its black ground ends at the picture's right edge
    // and begins below the line, at y = 4.
    let black = |x: u32, y: u32| pixel(&picture, x, y) == [0, 0, 0];
    assert!(black(66, 4) && black(99, 17) && !black(65, 4) && !black(66, 18));
}
