//! What the tests of several detectors share: where set-up put model and library, and a picture with a known face.

use std::io::Write;
use std::path::{Path, PathBuf};

use facestream_schemas::{Bbox, Size};

use tempfile::NamedTempFile;

use super::onnx::Onnx;
use super::{Detector, init_runtime};
use crate::decode::{Decode, Image, Limits};

/// The face in the picture, measured by hand (see `pipeline/src/scene/portrait.rs`): cheek to cheek and fringe to chin.
const FACE: Bbox = Bbox { x: 56.0, y: 65.0, w: 86.0, h: 113.0 };
/// Right eye, left eye, tip of the nose, right and left corner of the mouth, measured by hand.
const LANDMARKS: [f32; 10] = [77.2, 101.0, 120.2, 103.0, 97.2, 125.5, 78.5, 140.5, 121.0, 139.0];
/// A tenth of the face's width.
const LANDMARK_TOLERANCE_PX: f32 = 8.6;

/// The folder that `deploy/setup.sh` fills.
fn cache() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("FACESTREAM_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|folder| folder.join("facestream")))
        .or_else(|| from("HOME").map(|folder| folder.join(".cache/facestream")))
        .unwrap_or_default()
}

fn library() -> Option<PathBuf> {
    let files = std::fs::read_dir(cache().join("lib")).ok()?;
    files.flatten().map(|file| file.path()).find(|path| path.to_string_lossy().contains("libonnxruntime.so"))
}

/// The model's path, with the runtime loaded; else says that `test` is skipped, and why.
pub(super) fn model(test: &str, name: &str) -> Option<PathBuf> {
    let models = std::env::var_os("FACESTREAM_MODELS").map_or_else(|| cache().join("models"), PathBuf::from);
    let model = models.join(name);
    match library() {
        Some(library) if model.exists() => {
            init_runtime(&library).unwrap();
            Some(model)
        }
        Some(_) => skipped(test, &model),
        None => skipped(test, &cache().join("lib/libonnxruntime.so.*")),
    }
}

/// The Python with `OpenCV` 4.6, where that could be installed; else says that `test` is skipped.
pub(super) fn vision_python(test: &str) -> Option<PathBuf> {
    let python = cache().join("venv/vision/bin/python");
    if python.exists() { Some(python) } else { skipped(test, &python) }
}

/// A cascade of Debian's opencv-data; else says that `test` is skipped.
pub(super) fn cascade(test: &str, name: &str) -> Option<PathBuf> {
    let cascade = Path::new("/usr/share/opencv4/haarcascades").join(name);
    if cascade.exists() { Some(cascade) } else { skipped(test, &cascade) }
}

/// The model in a file, with the runtime loaded; else says that `test` is skipped.
pub(super) fn made(test: &str, model: &Onnx) -> Option<NamedTempFile> {
    let Some(library) = library() else { return skipped(test, &cache().join("lib/libonnxruntime.so.*")) };
    init_runtime(&library).unwrap();
    let mut file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    file.write_all(&model.bytes()).unwrap();
    Some(file)
}

/// A grey picture; `size` has 640 x 384 pixels at most.
pub(super) fn grey(size: Size) -> Image<'static> {
    static PIXELS: [u8; 640 * 384 * 3] = [128; 640 * 384 * 3];
    Image { pixels: &PIXELS[..size.w as usize * size.h as usize * 3], size, original: size }
}

fn skipped<T>(test: &str, missing: &Path) -> Option<T> {
    // Not eprintln: the test harness would swallow it.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {test}: there is no {} (deploy/setup.sh fetches it where it can)",
        missing.display()
    );
    None
}

pub(super) fn assert_finds_the_astronaut(detector: &mut dyn Detector) {
    let jpeg = include_bytes!("../../../pipeline/assets/astronaut.jpg");
    let mut decode = Decode::new(Limits { max_pixels: 1_000_000 }, detector.decode_for());
    let image = decode.decode(jpeg).unwrap();
    assert_eq!(image.original, Size { w: 204, h: 264 });
    let faces = detector.detect(&image).unwrap();
    let [face] = faces.as_slice() else { panic!("{faces:?}") };
    assert!(face.bbox.iou(&FACE) > 0.8, "{face:?}");
    assert!(face.score.is_some_and(|score| score > 0.7 && score <= 1.0), "{face:?}");
    for (found, expected) in face.landmarks.unwrap().into_iter().zip(LANDMARKS) {
        assert!((found - expected).abs() < LANDMARK_TOLERANCE_PX, "{face:?}");
    }
    // The same picture once more, after another: nothing is left over in the reused tensor.
    let grey = vec![128; 300 * 20 * 3];
    let size = Size { w: 300, h: 20 };
    assert_eq!(detector.detect(&crate::decode::Image { pixels: &grey, size, original: size }).unwrap(), []);
    let image = decode.decode(jpeg).unwrap();
    assert_eq!(detector.detect(&image).unwrap(), faces);
}
