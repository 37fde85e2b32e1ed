//! The whole detector: box for box against `OpenCV` 4.6 in Python, where set-up could install that; what it says of itself; and files
//! that are no cascades.

use std::fmt::Write as _;

use facestream_schemas::Size;

use super::super::fixtures::cascade as debians;
use super::*;
use crate::decode::{Decode, Limits};

mod broken;
mod opencv;

const SETTINGS: Settings = Settings::DEFAULT;
const DEFAULT: &str = "haarcascade_frontalface_default.xml";

/// RGB pixels of their own.
#[derive(Clone)]
struct Picture {
    pixels: Vec<u8>,
    size: Size,
}

impl Picture {
    fn of(size: Size, mut pixel: impl FnMut(u32, u32) -> [u8; 3]) -> Self {
        let places = (0..size.h).flat_map(|y| (0..size.w).map(move |x| (x, y)));
        Self { pixels: places.flat_map(|(x, y)| pixel(x, y)).collect(), size }
    }

    /// 204 x 264 pixels with one face.
    fn astronaut() -> Self {
        let jpeg = include_bytes!("../../../../pipeline/assets/astronaut.jpg");
        let mut decode = Decode::new(Limits { max_pixels: 1_000_000 }, Size::MAX);
        let image = decode.decode(jpeg).unwrap();
        assert_eq!(image.size, Size { w: 204, h: 264 });
        Self { pixels: image.pixels.to_vec(), size: image.size }
    }

    fn at(&self, x: u32, y: u32) -> [u8; 3] {
        let (x, y) = (x.min(self.size.w - 1), y.min(self.size.h - 1));
        self.pixels.as_chunks::<3>().0[(y * self.size.w + x) as usize]
    }

    /// Between four pixels each.
    fn scaled(&self, size: Size) -> Self {
        let source = |at: u32, from: u32, to: u32| (f64::from(at) + 0.5) * f64::from(from) / f64::from(to) - 0.5;
        Self::of(size, |x, y| {
            let left_top = [source(x, self.size.w, size.w).max(0.0), source(y, self.size.h, size.h).max(0.0)];
            let [across, down] = left_top.map(f64::fract);
            let corner = |right: u32, below: u32| self.at(left_top[0] as u32 + right, left_top[1] as u32 + below).map(f64::from);
            let [above, below] = [0, 1].map(|row| {
                let (left, right) = (corner(0, row), corner(1, row));
                std::array::from_fn::<f64, 3, _>(|i| left[i] + (right[i] - left[i]) * across)
            });
            std::array::from_fn(|i| (above[i] + (below[i] - above[i]) * down).round() as u8)
        })
    }

    /// On grey ground, with copies of the other at these places and widths.
    fn crowd(size: Size, face: &Self, places: &[(u32, u32, u32)]) -> Self {
        let mut crowd = Self::of(size, |x, y| [(x / 9 % 120) as u8 + 60, (y / 7 % 90) as u8 + 80, 120]);
        for (left, top, w) in places {
            let copy = face.scaled(Size { w: *w, h: w * face.size.h / face.size.w });
            for (x, y) in (0..copy.size.h).flat_map(|y| (0..copy.size.w).map(move |x| (x, y))) {
                if left + x < size.w && top + y < size.h {
                    let at = ((top + y) * size.w + left + x) as usize;
                    crowd.pixels.as_chunks_mut::<3>().0[at] = copy.at(x, y);
                }
            }
        }
        crowd
    }

    /// With noise of this strength, the same each time.
    fn noisy(&self, strength: u32) -> Self {
        let mut state = 1_u32;
        let noise = |level: u8| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (i64::from(level) + i64::from(state >> 16) * i64::from(2 * strength + 1) / 65_536 - i64::from(strength)).clamp(0, 255)
                as u8
        };
        Self { pixels: self.pixels.iter().copied().map(noise).collect(), size: self.size }
    }

    fn mirrored(&self) -> Self {
        Self::of(self.size, |x, y| self.at(self.size.w - 1 - x, y))
    }

    fn turned(&self) -> Self {
        Self::of(Size { w: self.size.h, h: self.size.w }, |x, y| self.at(y, self.size.h - 1 - x))
    }

    fn image(&self) -> Image<'_> {
        Image { pixels: &self.pixels, size: self.size, original: self.size }
    }
}

fn found(detector: &mut Haar, picture: &Picture) -> Vec<[i32; 4]> {
    let faces = detector.detect(&picture.image()).unwrap();
    faces.iter().map(|face| [face.bbox.x, face.bbox.y, face.bbox.w, face.bbox.h].map(|number| number as i32)).collect()
}

#[test]
fn the_astronaut_is_found_and_what_is_said_of_her_makes_sense() {
    let Some(file) = debians("the_astronaut_is_found_and_what_is_said_of_her_makes_sense", DEFAULT) else { return };
    let mut haar = Haar::load(&file, &SETTINGS).unwrap();
    let identity = haar.identity().clone();
    assert_eq!(identity.detector_id, "haar_frontalface_default");
    assert_eq!(identity.model_sha256.unwrap().len(), 64);
    // The stageThreshold of the last stage in the file.
    assert!((identity.score_threshold - -2.992_828).abs() < 2e-5, "{}", identity.score_threshold);
    let picture = Picture::astronaut();
    let faces = haar.detect(&picture.image()).unwrap();
    let [face] = faces.as_slice() else { panic!("{faces:?}") };
    // Measured by hand: cheek to cheek and fringe to chin. A cascade's boxes are square.
    assert!(face.bbox.iou(&Bbox { x: 56.0, y: 65.0, w: 86.0, h: 113.0 }) > 0.6, "{face:?}");
    assert_eq!((face.score_kind, face.landmarks), (ScoreKind::HaarWeight, None));
    assert!(face.score.unwrap() > identity.score_threshold);
    // Told that the picture is a reduced one, the box is in the original's pixels.
    let original = Size { w: 408, h: 264 };
    let wider = haar.detect(&Image { original, ..picture.image() }).unwrap();
    assert_eq!(wider[0].bbox, Bbox { x: face.bbox.x * 2.0, w: face.bbox.w * 2.0, ..face.bbox });
}

#[test]
fn windows_that_are_too_few_for_a_face_are_remembered_for_blurring_only() {
    let Some(file) = debians("windows_that_are_too_few_for_a_face_are_remembered_for_blurring_only", DEFAULT) else { return };
    let picture = Picture::crowd(Size { w: 400, h: 300 }, &Picture::astronaut(), &[(10, 20, 180), (220, 60, 120)]);
    let usual = found(&mut Haar::load(&file, &SETTINGS).unwrap(), &picture);
    let strict = |min_neighbors| {
        let haar = HaarSettings { min_neighbors, ..HaarSettings::DEFAULT };
        Haar::load(&file, &Settings { haar, ..SETTINGS }).unwrap()
    };
    let mut detector = strict(10_000);
    detector.remember_weak(0.3);
    assert_eq!(found(&mut detector, &picture), [[0; 4]; 0]);
    let weak = detector.weak().to_vec();
    for [x, y, w, h] in usual.iter().map(|face| face.map(|number| number as f32)) {
        assert!(weak.iter().any(|weak| weak.iou(&Bbox { x, y, w, h }) > 0.9), "{weak:?}");
    }
    // Nobody asked, or another picture: none.
    assert_eq!(found(&mut detector, &Picture::of(Size { w: 60, h: 60 }, |_, _| [9; 3])), [[0; 4]; 0]);
    assert_eq!(detector.weak(), []);
    let mut detector = strict(10_000);
    detector.detect(&picture.image()).unwrap();
    assert_eq!(detector.weak(), []);
}

/// A cascade of one stage that lets every window pass which is no flat one.
fn lenient() -> String {
    let mut text = String::from(
        "<opencv_storage><cascade><stageType>BOOST</stageType><featureType>HAAR</featureType><height>4</height><width>4</width>",
    );
    text += "<stages><_><stageThreshold>0</stageThreshold><weakClassifiers><_><internalNodes>0 -1 0 0</internalNodes>";
    text += "<leafValues>1 1</leafValues></_></weakClassifiers></_></stages>";
    let _ = write!(text, "<features><_><rects><_>0 0 4 4 -1.</_></rects></_></features></cascade></opencv_storage>");
    text
}

#[test]
fn a_picture_that_is_all_faces_is_an_error_and_the_next_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lenient.xml");
    std::fs::write(&file, lenient()).unwrap();
    let mut haar = Haar::load(&file, &SETTINGS).unwrap();
    assert_eq!(haar.identity().detector_id, "haar_lenient");
    let chequered = |side| Picture::of(Size { w: side, h: side }, |x, y| [((x + y) % 2 * 255) as u8; 3]);
    let error = haar.detect(&chequered(700).image()).unwrap_err();
    assert!(error.to_string().contains("100000 windows") && error.to_string().contains("min_face_px"), "{error}");
    assert!(!haar.detect(&chequered(20).image()).unwrap().is_empty());
}
