//! Settings are refused before any file is touched.

use super::*;

const GOOD: Settings = Settings::DEFAULT;

#[track_caller]
fn assert_refused(settings: Settings, says: &str) {
    let error = load(Path::new("/nowhere/model.onnx"), &settings).err().unwrap();
    assert!(matches!(error, ModelError::Settings(_)), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn an_input_that_is_no_multiple_of_32_is_refused_with_one_that_is() {
    assert_refused(
        Settings { input: Size { w: 640, h: 360 }, ..GOOD },
        "detector.input is 640x360, both sides must be multiples of 32",
    );
    assert_refused(Settings { input: Size { w: 640, h: 360 }, ..GOOD }, "640x352 is near");
    assert_refused(Settings { input: Size { w: 0, h: 384 }, ..GOOD }, "32x384 is near");
    assert_refused(Settings { input: Size { w: 640, h: 99_968 }, ..GOOD }, "640x4096 is near");
}

#[test]
fn thresholds_out_of_range_are_refused_by_name() {
    assert_refused(Settings { score_threshold: 1.01, ..GOOD }, "detector.score_threshold is 1.01");
    assert_refused(Settings { nms_iou: -0.1, ..GOOD }, "detector.nms_iou is -0.1");
    assert_refused(Settings { nms_iou: f32::NAN, ..GOOD }, "detector.nms_iou is NaN");
    assert_refused(Settings { min_face_px: f32::INFINITY, ..GOOD }, "detector.min_face_px is inf");
    assert_refused(Settings { min_face_px: -1.0, ..GOOD }, "detector.min_face_px is -1");
}
