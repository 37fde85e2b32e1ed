//! On a detector that finds every face that it is shown, cut or not; and on real ones.

use proptest::prelude::*;

use super::super::fixtures::model;
use super::super::load;
use super::*;
use crate::decode::{Decode, Limits};

const INPUT: Size = Size { w: 64, h: 32 };
const TILES: Tiles = Tiles { size: 128, overlap: 0.25 };
const SETTINGS: Settings = Settings { input: INPUT, score_threshold: 0.5, tiles: Some(TILES), ..Settings::DEFAULT };

/// Finds the faces of a picture whose pixels say where in the whole they are.
/// Of a face that is cut it sees what is there, if that is a quarter of it, and is less sure of it.
struct Seer {
    faces: Vec<Bbox>,
    identity: DetectorIdentity,
    weak: Vec<Bbox>,
}

fn seer(faces: &[Bbox]) -> Box<dyn Detector> {
    let identity =
        DetectorIdentity { detector_id: "seer".to_owned(), model_sha256: None, score_threshold: 0.5, nms_iou: SETTINGS.nms_iou };
    Box::new(Seer { faces: faces.to_vec(), identity, weak: Vec::new() })
}

impl Detector for Seer {
    fn identity(&self) -> &DetectorIdentity {
        &self.identity
    }

    fn input(&self) -> Size {
        INPUT
    }

    fn detect(&mut self, image: &Image<'_>) -> Result<Vec<Detection>, DetectError> {
        let high = |bits: u8| f32::from(bits & 15) * 256.0;
        let (x, y) =
            (f32::from(image.pixels[0]) + high(image.pixels[2]), f32::from(image.pixels[1]) + high(image.pixels[2] >> 4));
        let mut found = Vec::new();
        for face in &self.faces {
            let (left, top) = ((face.x - x).max(0.0), (face.y - y).max(0.0));
            let (right, bottom) =
                ((face.x + face.w - x).min(image.size.w as f32), (face.y + face.h - y).min(image.size.h as f32));
            let (w, h) = (right - left, bottom - top);
            let share = w.max(0.0) * h.max(0.0) / (face.w * face.h);
            // In the whole picture only large faces can be seen.
            let is_large = image.size.h <= 64 || face.w > 24.0;
            if share >= 0.25 && is_large {
                let bbox = Bbox { x: left, y: top, w, h };
                let landmarks = Some(std::array::from_fn(|i| if i % 2 == 0 { left + w / 2.0 } else { top + h / 2.0 }));
                found.push(Detection {
                    bbox,
                    score: Some(0.5 + 0.4 * share),
                    score_kind: ScoreKind::Prob,
                    landmarks,
                    track: None,
                });
            }
        }
        self.weak = vec![Bbox { x: 1.0, y: 1.0, w: 4.0, h: 4.0 }];
        Ok(found)
    }

    fn weak(&self) -> &[Bbox] {
        &self.weak
    }
}

/// A picture that says of each pixel where it is.
fn map(size: Size) -> Vec<u8> {
    (0..size.h).flat_map(|y| (0..size.w).flat_map(move |x| [x as u8, y as u8, (x >> 8 | y >> 8 << 4) as u8])).collect()
}

/// Crops of 128 x 64 overlap by 32 x 16, less the margins: faces of up to 26 x 13 are whole somewhere.
fn faces_apart() -> impl Strategy<Value = Vec<Bbox>> {
    let one = (0_u16..460, 0_u16..280, 6_u16..26, 6_u16..13);
    prop::collection::vec(one, 0..12).prop_map(|boxes| {
        let mut apart: Vec<Bbox> = Vec::new();
        for (x, y, w, h) in boxes {
            let bbox = Bbox { x: x.into(), y: y.into(), w: w.into(), h: h.into() };
            let grown = Bbox { x: bbox.x - 2.0, y: bbox.y - 2.0, w: bbox.w + 4.0, h: bbox.h + 4.0 };
            if apart.iter().all(|other| other.iou(&grown) == 0.0) {
                apart.push(bbox);
            }
        }
        apart
    })
}

proptest! {
    #[test]
    fn each_small_face_is_found_once_and_whole(faces in faces_apart(), w in 200_u32..512, h in 120_u32..320) {
        let size = Size { w, h };
        let inside: Vec<Bbox> =
            faces.into_iter().filter(|face| face.x + face.w <= size.w as f32 && face.y + face.h <= size.h as f32).collect();
        let mut tiled = Tiled::new(seer(&inside), TILES, &SETTINGS);
        let pixels = map(size);
        let found = tiled.detect(&Image { pixels: &pixels, size, original: size }).unwrap();
        prop_assert_eq!(found.len(), inside.len(), "{:?} for {:?}", found, inside);
        for face in &inside {
            let same = found.iter().find(|found| found.bbox == *face);
            prop_assert!(same.is_some(), "{:?} in {:?}", face, found);
            let [x, y, ..] = same.unwrap().landmarks.unwrap();
            prop_assert!((x - face.x - face.w / 2.0).abs() < 0.01 && (y - face.y - face.h / 2.0).abs() < 0.01);
        }
    }

    #[test]
    fn crops_cover_the_picture_overlap_enough_and_are_few(
        (w, h) in (1_u32..70_000, 1_u32..70_000),
        tile in 64_u32..2_000,
        percent in 0_u32..=50,
    ) {
        let overlap = percent as f32 / 100.0;
        let tiles = Tiles { size: tile, overlap }.of(Size { w, h }, Size { w: 640, h: 384 });
        prop_assert!(tiles.len() <= 64 && tiles.len() != 1);
        let Some(first) = tiles.first() else {
            // One crop would hold all.
            prop_assert!(w <= tile.max(1) * 70_000 && h > 0);
            return Ok(());
        };
        for (whole, length, starts) in [
            (w, first.size.w, tiles.iter().map(|tile| tile.x).collect::<std::collections::BTreeSet<_>>()),
            (h, first.size.h, tiles.iter().map(|tile| tile.y).collect()),
        ] {
            let starts: Vec<_> = starts.into_iter().collect();
            prop_assert_eq!((starts[0], starts[starts.len() - 1] + length), (0, whole));
            prop_assert!(starts.windows(2).all(|pair| (pair[0] + length - pair[1]) as f32 >= (overlap * length as f32).floor() - 1.0));
        }
        prop_assert!(tiles.iter().all(|tile| tile.size == first.size));
    }
}

#[test]
fn crops_of_common_pictures_counted_by_hand() {
    let count = |w: u32, h: u32| Tiles { size: 960, overlap: 0.25 }.of(Size { w, h }, Size { w: 640, h: 384 }).len();
    // 960 x 576, a step of 720 x 432: (1920 - 960) / 720 and (1080 - 576) / 432 are two steps each, so 3 x 3.
    assert_eq!(count(1920, 1080), 9);
    // 2880 / 720 = 4 and 1584 / 432 = 3.7: 5 x 5.
    assert_eq!(count(3840, 2160), 25);
    assert_eq!((count(960, 576), count(961, 576), count(640, 360)), (0, 2, 0));
}

#[test]
fn a_face_that_only_cut_crops_show_is_kept() {
    // 20 pixels high, more than crops share, and not seen in the whole: the larger rest stays, alone.
    let face = Bbox { x: 30.0, y: 46.0, w: 20.0, h: 20.0 };
    let mut tiled = Tiled::new(seer(&[face]), TILES, &SETTINGS);
    let size = Size { w: 128, h: 112 };
    let pixels = map(size);
    let found = tiled.detect(&Image { pixels: &pixels, size, original: size }).unwrap();
    let [rest] = &found[..] else { panic!("{found:?}") };
    assert!(rest.bbox.iou(&face) > 0.7, "{rest:?}");
}

#[test]
fn weak_faces_come_back_to_the_picture_and_small_ones_count_among_them() {
    let face = Bbox { x: 140.0, y: 100.0, w: 10.0, h: 10.0 };
    let settings = Settings { min_face_px: 12.0, ..SETTINGS };
    let mut tiled = Tiled::new(seer(&[face]), TILES, &settings);
    tiled.remember_weak(0.1);
    let size = Size { w: 224, h: 160 };
    let pixels = map(size);
    assert_eq!(tiled.detect(&Image { pixels: &pixels, size, original: size }).unwrap(), []);
    let weak: Vec<_> = tiled.weak().iter().map(|bbox| (bbox.x, bbox.y)).collect();
    assert!(weak.contains(&(140.0, 100.0)), "{weak:?}");
    // One a view: the whole picture's and those of crops at 0 and 96, at 0, 48 and 96; the first two are the same.
    for place in [(1.0, 1.0), (97.0, 1.0), (1.0, 49.0), (97.0, 49.0), (1.0, 97.0), (97.0, 97.0)] {
        assert!(weak.contains(&place), "{place:?} in {weak:?}");
    }
    assert_eq!((tiled.identity().detector_id.as_str(), tiled.decode_for()), ("seer_tiles", Size::MAX));
}

#[test]
fn a_reduced_picture_gives_faces_in_original_pixels() {
    let face = Bbox { x: 30.0, y: 20.0, w: 10.0, h: 10.0 };
    let mut tiled = Tiled::new(seer(&[face]), TILES, &SETTINGS);
    let size = Size { w: 256, h: 128 };
    let pixels = map(size);
    let found = tiled.detect(&Image { pixels: &pixels, size, original: Size { w: 512, h: 384 } }).unwrap();
    assert_eq!(found.iter().map(|face| face.bbox).collect::<Vec<_>>(), [Bbox { x: 60.0, y: 60.0, w: 20.0, h: 30.0 }]);
}

#[test]
fn a_real_detector_finds_a_small_face_in_a_large_picture_only_with_crops() {
    const NAME: &str = "a_real_detector_finds_a_small_face_in_a_large_picture_only_with_crops";
    let jpeg = include_bytes!("../../../../pipeline/assets/astronaut.jpg");
    let astronaut = turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::RGB).unwrap();
    // The portrait at a quarter of its size: a face of 28 pixels, 9 where 1920 x 1080 is fitted into 640 x 384.
    let mut decode = Decode::new(Limits { max_pixels: 1_000_000 }, Size { w: 51, h: 66 });
    let small = decode.decode(jpeg).unwrap();
    assert_eq!((small.size, astronaut.width), (Size { w: 51, h: 66 }, 204));
    let size = Size { w: 1920, h: 1080 };
    let mut pixels = vec![110; 1920 * 1080 * 3];
    let (x, y) = (1300_usize, 700_usize);
    for (row, line) in small.pixels.chunks_exact(51 * 3).enumerate() {
        pixels[((y + row) * 1920 + x) * 3..][..51 * 3].copy_from_slice(line);
    }
    let expected = Bbox { x: 1300.0 + 14.0, y: 700.0 + 16.25, w: 21.5, h: 28.25 };
    for file in ["yunet_n_dynamic.onnx", "centerface.onnx"] {
        let Some(model) = model(NAME, file) else { continue };
        let plain = Settings { input: Size { w: 640, h: 384 }, tiles: None, ..SETTINGS };
        let with = Settings { tiles: Some(Tiles { size: 640, overlap: 0.25 }), ..plain };
        let image = Image { pixels: &pixels, size, original: size };
        let mut tiled = load(&model, &with).unwrap();
        let found = tiled.detect(&image).unwrap();
        let [face] = &found[..] else { panic!("{file}: {found:?}") };
        assert!(face.bbox.iou(&expected) > 0.5, "{file}: {face:?}");
        let nose = face.landmarks.unwrap();
        assert!((nose[4] - 1324.3).abs() < 4.0 && (nose[5] - 731.4).abs() < 4.0, "{file}: {nose:?}");
        assert!(load(&model, &plain).unwrap().detect(&image).unwrap().len() <= 1);
    }
}

#[test]
fn tiles_out_of_range_are_refused_by_name() {
    for (tiles, says) in [
        (Tiles { size: 63, overlap: 0.2 }, "tiles.size is 63"),
        (Tiles { size: 640, overlap: 0.51 }, "tiles.overlap is 0.51"),
        (Tiles { size: 640, overlap: f32::NAN }, "tiles.overlap is NaN"),
    ] {
        let settings = Settings { input: Size { w: 640, h: 384 }, tiles: Some(tiles), ..SETTINGS };
        let error = load(std::path::Path::new("/nowhere.onnx"), &settings).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
}
