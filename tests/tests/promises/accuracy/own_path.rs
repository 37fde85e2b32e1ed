//! JPEGs come at a reduced size, are resized by another library than OpenCV and laid into the tensor: that must cost no accuracy.
//!
//! The reference: the whole picture from libjpeg, resized by OpenCV to the same size (by area where it shrinks, as OpenCV recommends),
//! written as a PNG, and given to the same detector, which resizes nothing that has its size.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use facestream::models::Folders;
use facestream::scene::{QUALITY, Scene};
use facestream_schemas::{Bbox, Size};
use facestream_stages::accuracy::{Evaluation, Face, Found, Protocol, Rect};
use facestream_stages::decode::{Decode, Limits};
use facestream_stages::detect::{self, Detector, Settings};
use facestream_stages::preprocess::{Scale, fit};
use facestream_tests::{scratch, workspace};
use serde_json::{Value, json};

use super::{ask, python_of};

const INPUT: Size = SETTINGS.input;
const THRESHOLD: f64 = 0.6;
/// Boxes of faces that are smaller than this in the tensor hang on single grey levels, by whatever filter pixels come about: those from
/// OpenCV's own two, area and bilinear, agree to 0.9 in nine of ten.
const LARGE_PX: f32 = 32.0;
const SETTINGS: Settings = Settings { score_threshold: 0.02, ..Settings::DEFAULT };

/// A labelled picture, as a file.
struct Labelled {
    path: PathBuf,
    size: Size,
    faces: Vec<Face>,
}

/// People of all sizes in pictures of many sizes: reductions by 1, 2, 4 and 8, odd sides, and some that are enlarged.
fn composed(folder: &Path) -> Vec<Labelled> {
    let sizes =
        [(1920, 1080, 8), (1280, 720, 4), (2592, 1944, 3), (3840, 2160, 1), (1921, 1083, 4), (720, 576, 6), (500, 375, 8)];
    let mut all = Vec::new();
    for (w, h, count) in sizes {
        for number in 0..count {
            let size = Size { w, h };
            let picture = Scene::crowd(100 + number, size).encoded(QUALITY);
            let path = folder.join(format!("{w}x{h}-{number}.jpg"));
            fs::write(&path, &picture.jpeg).expect("writing");
            let faces = picture.faces.into_iter().map(|bbox| Face { rect: bbox.into(), ignored: false }).collect();
            all.push(Labelled { path, size, faces });
        }
    }
    all
}

/// A few pictures that people labelled, where they are.
fn photographs() -> Vec<Labelled> {
    let folder = workspace().join("../shared/media/dlib-faces");
    let Ok(text) = fs::read_to_string(folder.join("annotations.jsonl")) else { return Vec::new() };
    let of_line = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let number = |key: &str| line[key].as_u64().expect("a number") as u32;
        let boxes = |key: &str, ignored: bool| -> Vec<Face> {
            let boxes: Vec<[f64; 4]> = serde_json::from_value(line[key].clone()).expect("boxes");
            boxes.into_iter().map(|[x, y, w, h]| Face { rect: Rect { x, y, w, h }, ignored }).collect()
        };
        Labelled {
            path: folder.join(line["image"].as_str().expect("a path")),
            size: Size { w: number("width"), h: number("height") },
            faces: [boxes("faces", false), boxes("ignore", true)].concat(),
        }
    };
    text.lines().map(of_line).collect()
}

/// Every face, in pixels of the picture.
fn look(detector: &mut dyn Detector, path: &Path, scale: Scale) -> Vec<(Bbox, f64)> {
    let mut decode = Decode::new(Limits { max_pixels: 100_000_000 }, detector.decode_for());
    let bytes = fs::read(path).expect("a picture");
    let image = decode.decode(&bytes).unwrap_or_else(|rejection| panic!("{}: {rejection}", path.display()));
    let faces = detector.detect(&image).expect("detection");
    faces.into_iter().map(|face| (scale.bbox(face.bbox), face.score.map_or(0.0, f64::from))).collect()
}

fn average_precision(labelled: &[Labelled], found: &[Vec<(Bbox, f64)>]) -> f64 {
    let found: Vec<Vec<Found>> = found
        .iter()
        .map(|faces| faces.iter().map(|(bbox, score)| Found { rect: (*bbox).into(), score: *score }).collect())
        .collect();
    let pictures = labelled.iter().zip(&found).map(|(labelled, found)| (&labelled.faces[..], &found[..]));
    Evaluation::of(Protocol::Coco, pictures).average_precision().expect("there are faces")
}

/// Boxes that overlap one of the other's by a half, and how many of those agree to 0.9.
#[derive(Clone, Copy, Debug, Default)]
struct Agreement {
    matches: usize,
    close: usize,
}

/// Of faces at least [`LARGE_PX`] high in the tensor, and of smaller ones; and how many boxes have no counterpart at all.
fn agreement(labelled: &[Labelled], ours: &[Vec<(Bbox, f64)>], theirs: &[Vec<(Bbox, f64)>]) -> ([Agreement; 2], usize) {
    let (mut agreements, mut alone) = ([Agreement::default(); 2], 0);
    for ((labelled, ours), theirs) in labelled.iter().zip(ours).zip(theirs) {
        let sure = |faces: &[(Bbox, f64)]| -> Vec<Bbox> {
            faces.iter().filter(|(_, score)| *score >= THRESHOLD).map(|(bbox, _)| *bbox).collect()
        };
        let (ours, theirs) = (sure(ours), sure(theirs));
        let scale = Scale::of(labelled.size, INPUT);
        for bbox in &ours {
            let best = theirs.iter().map(|other| bbox.iou(other)).fold(0.0, f32::max);
            let agreement = &mut agreements[usize::from(bbox.h / scale.y < LARGE_PX)];
            agreement.matches += usize::from(best >= 0.5);
            agreement.close += usize::from(best >= 0.9);
            alone += usize::from(best < 0.5);
        }
        alone += theirs.iter().filter(|bbox| ours.iter().all(|other| bbox.iou(other) < 0.5)).count();
    }
    (agreements, alone)
}

/// The models that are here: CenterFace always, `YuNet` where it could be fetched or lies in `../shared/models`.
fn models() -> Vec<PathBuf> {
    let folders = Folders::from_env().expect("a cache folder");
    detect::init_runtime(&folders.runtime_library().unwrap_or_else(|error| panic!("{error}"))).expect("the runtime loads");
    let shared = workspace().join("../shared/models/yunet_n_dynamic.onnx");
    let yunet = folders.find("yunet").map(|file| file.path).ok().or_else(|| shared.exists().then_some(shared));
    let centerface = folders.find("centerface").unwrap_or_else(|error| panic!("{error}")).path;
    std::iter::once(centerface).chain(yunet).collect()
}

#[test]
fn decoding_and_resizing_cost_no_accuracy() {
    let Some(python) = python_of("decoding_and_resizing_cost_no_accuracy") else { return };
    let folder = scratch();
    let sets = [("composed", composed(folder.path())), ("photographs", photographs())];
    let mut large = Agreement::default();
    for (name, labelled) in sets.iter().filter(|(_, labelled)| !labelled.is_empty()) {
        let resized = by_opencv(&python, folder.path(), name, labelled);
        for model in models() {
            let mut detector = detect::load(&model, &SETTINGS).expect("the model loads");
            let unscaled = Scale { x: 1.0, y: 1.0 };
            let ours: Vec<_> = labelled.iter().map(|labelled| look(&mut *detector, &labelled.path, unscaled)).collect();
            let reference = labelled.iter().zip(&resized);
            let reference = reference.map(|(labelled, path)| look(&mut *detector, path, Scale::of(labelled.size, INPUT)));
            let reference: Vec<_> = reference.collect();
            let (ours_ap, reference_ap) = (average_precision(labelled, &ours), average_precision(labelled, &reference));
            let ([of_large, of_small], alone) = agreement(labelled, &ours, &reference);
            let told = format!(
                "{name}, {}: AP {ours_ap:.4}, by OpenCV {reference_ap:.4}; boxes from {LARGE_PX} px: {of_large:?}, smaller: {of_small:?}, alone: {alone}",
                detector.identity().detector_id
            );
            let _ = writeln!(std::io::stderr(), "{told}");
            assert!((ours_ap - reference_ap).abs() <= 0.005, "{told}");
            large = Agreement { matches: large.matches + of_large.matches, close: large.close + of_large.close };
        }
    }
    // One in a hundred; where only one model is here, there are somewhat fewer than a hundred.
    let Agreement { matches, close } = large;
    assert!(matches > 80 && matches - close <= (matches / 100).max(1), "{large:?}");
}

/// The pictures as OpenCV decodes and resizes them.
fn by_opencv(python: &PathBuf, folder: &Path, name: &str, labelled: &[Labelled]) -> Vec<PathBuf> {
    let resized: Vec<_> = (0..labelled.len()).map(|n| folder.join(format!("{name}-{n}.png"))).collect();
    let orders = labelled.iter().zip(&resized).map(|(labelled, resized)| {
        let Size { w, h } = fit(labelled.size, INPUT);
        json!([labelled.path, [w, h], resized])
    });
    ask(python, include_str!("resize.py"), &json!(orders.collect::<Vec<_>>()));
    resized
}
