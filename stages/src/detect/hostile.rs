//! Models that are something else, and networks that answer nonsense.

use std::io::Write as _;

use super::fixtures::{grey, made};
use super::onnx::{F32, I64, Onnx};
use super::*;

const SETTINGS: Settings = Settings { input: Size { w: 64, h: 32 }, ..Settings::DEFAULT };

/// What a network that should find nothing, or fail, does with a picture; `None` where the test is skipped.
fn detect(test: &str, model: &Onnx) -> Option<Result<Vec<Detection>, DetectError>> {
    let file = made(test, model)?;
    Some(load(file.path(), &SETTINGS).unwrap().detect(&grey(SETTINGS.input)))
}

/// `CenterFace`'s four maps of 16 x 8 cells, all of one value each.
fn centerface(heat: f32, size: f32, offset: f32, landmarks: f32) -> Onnx {
    let map = |channels: usize, value: f32| (vec![1, channels as i64, 8, 16], vec![value; channels * 128]);
    let maps = [map(1, heat), map(2, size), map(2, offset), map(10, landmarks)];
    let named = maps.into_iter().enumerate();
    named.fold(Onnx::new(0, 0), |model, (n, (shape, values))| model.output(&format!("{}", 537 + n), &shape, values))
}

/// `SCRFD`'s nine outputs, all of one value each kind.
fn scrfd(score: f32, bbox: f32, kps: f32) -> Onnx {
    let mut model = Onnx::new(0, 0);
    for (kind, values, value) in [("score", 1, score), ("bbox", 4, bbox), ("kps", 10, kps)] {
        for (stride, anchors) in [(8, 64), (16, 16), (32, 4)] {
            model = model.output(&format!("{kind}_{stride}"), &[1, anchors, values], vec![value; (anchors * values) as usize]);
        }
    }
    model
}

#[test]
fn nonsense_of_any_family_is_an_error_and_no_face() {
    let yunet = Onnx::yunet(64, 32, 3, 0.9);
    let bbox = |value: f32| yunet.clone().with("bbox_8", vec![value; 32 * 4]);
    let kps = |value: f32| yunet.clone().with("kps_8", vec![value; 32 * 10]);
    let (nan, inf, far) = (f32::NAN, f32::INFINITY, 1e30);
    let cases = [
        yunet.clone().with("cls_16", vec![nan; 8]),
        bbox(nan),
        bbox(inf),
        bbox(far),
        bbox(-far),
        kps(nan),
        kps(-inf),
        kps(far),
        centerface(nan, 0.0, 0.0, 0.0),
        centerface(0.9, nan, 0.0, 0.0),
        centerface(0.9, far, 0.0, 0.0),
        centerface(0.9, 0.0, -inf, 0.0),
        centerface(0.9, 0.0, 0.0, far),
        scrfd(nan, 1.0, 0.0),
        scrfd(0.9, inf, 0.0),
        scrfd(0.9, -far, 0.0),
        scrfd(0.9, 1.0, nan),
    ];
    for (n, model) in cases.iter().enumerate() {
        let Some(outcome) = detect("nonsense_of_any_family_is_an_error_and_no_face", model) else { return };
        assert!(matches!(outcome, Err(DetectError::Output(_))), "case {n}: {outcome:?}");
    }
    // A score beyond 1 is a sure face; one of minus infinity is none.
    let sure = detect("", &scrfd(inf, 0.25, 0.0)).unwrap().unwrap();
    assert!(!sure.is_empty() && sure.iter().all(|face| face.score == Some(1.0)));
    assert_eq!(detect("", &scrfd(-inf, nan, nan)).unwrap().unwrap(), []);
}

#[test]
fn faces_without_a_place_in_the_picture_are_none() {
    const NAME: &str = "faces_without_a_place_in_the_picture_are_none";
    // Every cell's face lies a thousand pixels up and left; its height is e to the power of -200, which is 0.
    for model in [
        Onnx::yunet(64, 32, 32, 0.9).with("bbox_8", [-125.0, -125.0, 0.0, 0.0].repeat(32)),
        Onnx::yunet(64, 32, 32, 0.9).with("bbox_8", [0.0, 0.0, 0.0, -200.0].repeat(32)),
        centerface(0.9, 0.0, -250.0, 0.0),
        scrfd(0.9, -1.0, 0.0),
    ] {
        let Some(outcome) = detect(NAME, &model) else { return };
        assert_eq!(outcome.unwrap(), []);
    }
}

#[test]
fn a_flood_of_faces_is_not_believed() {
    let settings = Settings { input: Size { w: 640, h: 384 }, ..SETTINGS };
    let Some(file) = made("a_flood_of_faces_is_not_believed", &Onnx::yunet(640, 384, usize::MAX, 1.0)) else { return };
    let faces = load(file.path(), &settings).unwrap().detect(&grey(settings.input)).unwrap();
    // Boxes of 8 x 8 at every 8 pixels touch and do not overlap; those of the first row and column lie half outside.
    assert_eq!(faces.len(), 80 * 48);
    let said = believable(faces.clone(), 1_000).unwrap_err().to_string();
    assert!(said.contains("3840 faces, more than 1000") && said.contains("detector.max_faces"), "{said}");
    assert_eq!(believable(faces, 3_840).unwrap().len(), 3_840);
}

#[test]
fn an_output_of_another_length_is_an_error() {
    let open = |shape: &[i64], len: usize| {
        let model = Onnx::yunet(64, 32, 0, 0.0);
        ["cls_8", "obj_8"].into_iter().fold(model, |model, name| model.reshaped(name, shape, vec![0.5; len]))
    };
    for (shape, len) in [([1, 0, 1], 31), ([1, 0, 1], 33), ([0, 32, 1], 64)] {
        let Some(outcome) = detect("an_output_of_another_length_is_an_error", &open(&shape, len)) else { return };
        let said = outcome.unwrap_err().to_string();
        assert!(said.contains(&format!("output 0 has {len} values, expected 32")), "{said}");
    }
}

#[track_caller]
fn assert_refused(file: &Path, says: &[&str]) {
    for error in [load(file, &SETTINGS).err().unwrap(), look(file).unwrap_err()] {
        let said = error.to_string();
        assert!(says.iter().chain([&&*file.display().to_string()]).all(|part| said.contains(*part)), "{said}");
    }
}

#[test]
fn a_graph_of_another_kind_is_refused_with_what_it_is() {
    const NAME: &str = "a_graph_of_another_kind_is_refused_with_what_it_is";
    let outputs = Onnx::yunet(64, 32, 0, 0.0);
    let inputs = |model: Onnx| model.outputs_of(&outputs);
    let cases = [
        (Onnx::new(64, 32).output("boxes", &[1, 4], vec![0.0; 4]), "is no YuNet, CenterFace or SCRFD model", "boxes: f32 1x4"),
        (inputs(Onnx::new(64, 32).input("thresholds", F32, &[2])), "is no network with one image input", "thresholds: f32 2"),
        (
            inputs(Onnx::default().input("image", I64, &[1, 3, 32, 64])),
            "takes 1 x 3 x height x width of f32",
            "image: i64 1x3x32x64",
        ),
        (
            inputs(Onnx::default().input("image", F32, &[1, 32, 64, 3])),
            "takes 1 x 3 x height x width of f32",
            "image: f32 1x32x64x3",
        ),
        (
            inputs(Onnx::default().input("image", F32, &[8, 3, 32, 64])),
            "takes 1 x 3 x height x width of f32",
            "image: f32 8x3x32x64",
        ),
        (inputs(Onnx::default().input("image", F32, &[3, 32, 64])), "takes 1 x 3 x height x width of f32", "image: f32 3x32x64"),
        (outputs.clone().reshaped("kps_8", &[1, 32, 8], vec![0.0; 256]), "is no YuNet, CenterFace or SCRFD", "kps_8: f32 1x32x8"),
    ];
    for (model, kind, found) in cases {
        let Some(file) = made(NAME, &model) else { return };
        assert_refused(file.path(), &[kind, found]);
    }
    // Of the right kind, for pictures of another size: only `load` minds.
    let file = made(NAME, &Onnx::yunet(128, 96, 0, 0.0)).unwrap();
    let said = load(file.path(), &SETTINGS).err().unwrap().to_string();
    assert!(said.contains("takes images of 128x96 only, detector.input is 64x32"), "{said}");
    assert_eq!(look(file.path()).unwrap().input, Some(Size { w: 128, h: 96 }));
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    const NAME: &str = "a_file_that_is_no_model_is_refused";
    let model = Onnx::yunet(64, 32, 0, 0.0);
    let Some(good) = made(NAME, &model) else { return };
    load(good.path(), &SETTINGS).unwrap();
    let bytes = model.bytes();
    for (content, says) in [
        (&b""[..], "it has 0 bytes"),
        (b"\x89PNG\r\n\x1a\n is no model", "it is no ONNX model"),
        (b"<html>404</html>", "it is no ONNX model"),
        (&bytes[..bytes.len() / 2], "cut short"),
        (&bytes[..bytes.len() - 1], "cut short"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        assert_refused(file.path(), &[says]);
    }
    assert_refused(Path::new("/nowhere/model.onnx"), &["cannot read the model"]);
    assert_refused(&std::env::temp_dir(), &["the model"]);
    // Larger than any model: not read at all. It takes no room on the disk.
    let vast = tempfile::NamedTempFile::new().unwrap();
    vast.as_file().set_len(5 << 40).unwrap();
    assert_refused(vast.path(), &["5497558138880 bytes"]);
}
