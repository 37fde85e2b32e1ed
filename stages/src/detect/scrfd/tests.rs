//! Against a decoding by hand of networks whose outputs are made in code.

use super::super::fixtures::{grey, made};
use super::super::onnx::Onnx;
use super::super::{Family, load, look};
use super::*;

const SETTINGS: Settings = Settings { input: Size { w: 64, h: 32 }, score_threshold: 0.5, nms_iou: 0.4, ..Settings::DEFAULT };
/// Anchors on the three grids of 64 x 32: 8 x 4, 4 x 2 and 2 x 1 cells.
const COUNTS: [usize; 3] = [64, 16, 4];

/// What one anchor says.
#[derive(Clone, Copy)]
struct Says {
    grid: usize,
    anchor: usize,
    score: f32,
    distances: [f32; 4],
}

/// A face around the cell at column 5, row 2 of the first grid, by its second anchor; another at column 1, row 0 of the last, by its first.
const TWO: [Says; 2] = [
    Says { grid: 0, anchor: (2 * 8 + 5) * 2 + 1, score: 0.75, distances: [1.0, 0.5, 0.25, 1.5] },
    Says { grid: 2, anchor: 2, score: 0.9, distances: [0.25, 0.125, 0.5, 0.75] },
];

/// Landmark `i`'s distances in strides: the same for all anchors.
fn kps(i: usize) -> f32 {
    i as f32 / 16.0 - 0.25
}

/// Nine outputs, or six, of two dimensions or three, in the order of `InsightFace`'s export unless `names` says otherwise.
fn model(says: &[Says], has_landmarks: bool, batched: bool, name: impl Fn(&str, usize) -> String) -> Onnx {
    let mut model = Onnx::new(0, 0);
    for (kind, values) in OUTPUTS.into_iter().take(if has_landmarks { 3 } else { 2 }) {
        for (grid, count) in COUNTS.into_iter().enumerate() {
            let mut all: Vec<f32> = match kind {
                "kps" => (0..count * 10).map(|i| kps(i % 10)).collect(),
                _ => vec![0.0; count * values],
            };
            for says in says.iter().filter(|says| says.grid == grid) {
                match kind {
                    "score" => all[says.anchor] = says.score,
                    "bbox" => all[says.anchor * 4..][..4].copy_from_slice(&says.distances),
                    _ => {}
                }
            }
            let shape = [1, 0, values as i64];
            model = model.output(&name(kind, STRIDES[grid]), if batched { &shape } else { &shape[1..] }, all);
        }
    }
    model
}

fn named(kind: &str, stride: usize) -> String {
    format!("{kind}_{stride}")
}

/// As published files have them: numbers of the exporting program's nodes.
fn numbered(kind: &str, stride: usize) -> String {
    (stride * 100 + kind.len()).to_string()
}

fn near(found: &[f32], expected: &[f32]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3)
}

/// The last grid's: its cell's corner is at (32, 0), from which it reaches 8 left, 4 up, 16 right and 24 down. The first grid's: from (40, 16)
/// it reaches 8 left, 4 up, 2 right and 12 down. The picture has twice the tensor's width and height.
fn assert_finds_both(detector: &mut dyn Detector) {
    let picture = Size { w: 128, h: 64 };
    let faces = detector.detect(&Image { pixels: &vec![9; 128 * 64 * 3], size: picture, original: picture }).unwrap();
    let boxes: Vec<_> = faces.iter().map(|face| [face.bbox.x, face.bbox.y, face.bbox.w, face.bbox.h]).collect();
    assert!(near(&boxes[0], &[48.0, -8.0, 48.0, 56.0]) && near(&boxes[1], &[64.0, 24.0, 20.0, 32.0]), "{boxes:?}");
    assert_eq!(faces.iter().map(|face| face.score).collect::<Vec<_>>(), [Some(0.9), Some(0.75)]);
    let Some(marks) = faces[1].landmarks else { return };
    let expected: Vec<f32> = (0..10).map(|i| 2.0 * (if i % 2 == 0 { 40.0 } else { 16.0 } + 8.0 * kps(i))).collect();
    assert!(near(&marks, &expected), "{marks:?}");
}

#[test]
fn a_network_is_decoded_as_the_formula_says_whatever_form_its_outputs_have() {
    const NAME: &str = "a_network_is_decoded_as_the_formula_says_whatever_form_its_outputs_have";
    for (has_landmarks, batched) in [(true, true), (true, false), (false, true), (false, false)] {
        for name in [named, numbered] {
            let Some(file) = made(NAME, &model(&TWO, has_landmarks, batched, name)) else { return };
            let mut detector = load(file.path(), &SETTINGS).unwrap();
            assert_eq!(detector.identity().detector_id, "scrfd");
            assert_finds_both(&mut *detector);
            let faces = detector.detect(&grey(SETTINGS.input)).unwrap();
            assert_eq!(faces.iter().filter(|face| face.landmarks.is_some()).count(), if has_landmarks { 2 } else { 0 });
        }
    }
}

#[test]
fn outputs_are_found_by_their_names_in_whatever_order() {
    let model = model(&TWO, true, true, named);
    let Some(file) = made("outputs_are_found_by_their_names_in_whatever_order", &model.reversed()) else { return };
    let looked = look(file.path()).unwrap();
    assert_eq!((looked.family, looked.input), (Family::Scrfd, None));
    assert_finds_both(&mut *load(file.path(), &SETTINGS).unwrap());
}

#[test]
fn what_lies_below_the_threshold_is_remembered_and_no_face() {
    let weak = [Says { score: 0.45, ..TWO[0] }, Says { anchor: 0, ..TWO[1] }];
    let Some(file) = made("what_lies_below_the_threshold_is_remembered_and_no_face", &model(&weak, true, true, named)) else {
        return;
    };
    let mut detector = load(file.path(), &SETTINGS).unwrap();
    detector.remember_weak(0.4);
    assert_eq!(detector.detect(&grey(SETTINGS.input)).unwrap().len(), 1);
    let [only] = detector.weak() else { panic!("{:?}", detector.weak()) };
    assert!(near(&[only.x, only.y, only.w, only.h], &[32.0, 12.0, 10.0, 16.0]), "{only:?}");
}

#[test]
fn a_box_that_is_none_is_no_face() {
    // Right of left, and below the picture.
    let turned = Says { distances: [1.0, 1.0, -2.0, 1.0], ..TWO[0] };
    let outside = Says { grid: 0, anchor: 62, score: 0.8, distances: [0.5, -2.0, 0.5, 4.0] };
    let model = model(&[turned, outside, TWO[1]], false, true, named);
    let Some(file) = made("a_box_that_is_none_is_no_face", &model) else { return };
    let faces = load(file.path(), &SETTINGS).unwrap().detect(&grey(SETTINGS.input)).unwrap();
    assert_eq!(faces.iter().map(|face| face.score).collect::<Vec<_>>(), [Some(0.9)]);
}
