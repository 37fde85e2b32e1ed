//! A Haar cascade is a detector like the others, and needs neither `OpenCV` nor ONNX Runtime.

use std::fs;

use facestream::scene::Scene;
use facestream_schemas::{Bbox, Size};
use facestream_stages::decode::{Decode, Image, Limits};
use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use serde_json::{Value, json};

use crate::accuracy::{ask, python_of};
use crate::{LONG, assert_exactly_once, file_url, set};

const PICTURE: Size = Size { w: 640, h: 360 };
/// Nothing of what set-up fetched is where it is looked for.
const NOWHERE: [(&str, &str); 3] =
    [("FACESTREAM_CACHE", "/nowhere"), ("FACESTREAM_MODELS", "/nowhere"), ("ORT_DYLIB_PATH", "/nowhere/lib.so")];

#[test]
fn a_cascade_finds_faces_in_the_stream_and_needs_nothing_else() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("haar", 1);
    let scene = Scene::new(0, PICTURE);
    let pictures: Vec<_> = (0..8).map(|n| scene.picture(n * 25)).collect();
    let record = |jpeg: &Vec<u8>| Record { key: Some(b"camera-0".to_vec()), payload: Some(jpeg.clone()), ..Record::default() };
    let offsets = kafka.produce(&topic, &pictures.iter().map(|picture| record(&picture.jpeg)).collect::<Vec<_>>());
    let folder = scratch();
    let mut config = Facestream::config(kafka, &topic, "haar", &file_url(folder.path()));
    set(&mut config, "detector", "model", "haar");
    set(&mut config, "detector", "min_face_px", 30.0);
    let file = folder.path().join("facestream.toml");
    fs::write(&file, config.to_string()).expect("writing the configuration");

    let log = folder.path().join("log");
    let finished = Facestream::run_logged(&file, &["--until-end"], &NOWHERE, &log).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);

    assert_exactly_once(kafka, &topic, folder.path());
    let duck = Duck::in_folder(folder.path());
    let detector = &duck.rows("SELECT DISTINCT detector_id, nms_iou, length(model_sha256) AS sha FROM 'frames/**/*.parquet'");
    assert_eq!(detector.len(), 1);
    assert_eq!((&detector[0]["detector_id"], &detector[0]["sha"]), (&"haar_frontalface_default".into(), &64.into()));
    let (mut put, mut seen) = (0, 0);
    for (picture, offset) in pictures.iter().zip(offsets) {
        let faces = duck.rows(&format!(
            "SELECT bbox_x_px AS x, bbox_y_px AS y, bbox_w_px AS w, bbox_h_px AS h, score, score_threshold, score_kind, landmarks_px
             FROM 'detections/**/*.parquet' JOIN 'frames/**/*.parquet' USING (kafka_offset) WHERE kafka_offset = {offset}"
        ));
        let number = |row: &serde_json::Map<String, Value>, key: &str| row[key].as_f64().expect("a number") as f32;
        let boxes: Vec<_> = faces
            .iter()
            .map(|row| Bbox { x: number(row, "x"), y: number(row, "y"), w: number(row, "w"), h: number(row, "h") })
            .collect();
        put += picture.faces.len();
        seen += picture.faces.iter().filter(|face| boxes.iter().any(|found| found.iou(face) >= 0.5)).count();
        for face in &faces {
            assert_eq!((&face["score_kind"], &face["landmarks_px"]), (&"haar_weight".into(), &Value::Null));
            assert!(number(face, "score") >= number(face, "score_threshold"), "{face:?}");
        }
    }
    // It is a weaker detector than the others, yet most are found.
    assert!(put >= 6 && seen * 4 >= put * 3, "{seen} of {put} faces are found");
}

#[test]
fn check_takes_a_cascade_and_says_what_is_missing_of_one() {
    let folder = scratch();
    let store = format!("store.url={}", file_url(folder.path()));
    let check = |set: &[&str]| {
        let values = ["kafka.topics=frames", &store, "http.listen=127.0.0.1:0", "detector.model=haar"];
        let arguments: Vec<_> = values.iter().chain(set).flat_map(|value| ["--set", value]).collect();
        let arguments = [&["check", "--no-connect"], arguments.as_slice()].concat();
        Facestream::start_with(folder.path(), &arguments, &NOWHERE).wait_exit(LONG)
    };
    let finished = check(&[]);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert!(finished.output.contains("haar_frontalface_default, sha256 "), "{}", finished.output);
    for (set, code, says) in [
        ("haar.cascade=/nowhere/face.xml", 1, &["/nowhere/face.xml", "opencv-data", "haar.cascade"][..]),
        ("haar.cascade=/nowhere/face.onnx", 2, &["haar.cascade", "is no .xml file"]),
        ("haar.scale_factor=1.0", 2, &["haar.scale_factor", "at least 1.01"]),
    ] {
        let finished = check(&[set]);
        assert_eq!(finished.code, Some(code), "{set}: {}", finished.output);
        assert!(says.iter().all(|word| finished.output.contains(word)), "{set}: {}", finished.output);
    }
}

#[test]
fn the_command_finds_what_opencv_finds_box_for_box() {
    let Some(python) = python_of("the_command_finds_what_opencv_finds_box_for_box") else { return };
    let folder = scratch();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    let astronaut = include_bytes!("../../../pipeline/assets/astronaut.jpg").to_vec();
    let crowds =
        [(1920, 1080), (1280, 720), (641, 479), (333, 500)].map(|(w, h)| Scene::crowd(w, Size { w, h }).encoded(90).jpeg);
    for (number, jpeg) in std::iter::once(astronaut).chain(crowds).enumerate() {
        let mut decode = Decode::full(Limits { max_pixels: 10_000_000 });
        let Image { pixels, size, .. } = decode.decode(&jpeg).expect("a picture");
        let picture = image::RgbImage::from_raw(size.w, size.h, pixels.to_vec()).expect("three bytes a pixel");
        picture.save(photos.join(format!("{number}.png"))).expect("writing a picture");
    }
    image::GrayImage::from_fn(400, 300, |x, y| image::Luma([(x * y % 251) as u8])).save(photos.join("5.png")).expect("writing");

    let said = Facestream::command(folder.path(), &["detect", "--detector", "haar", "--format", "json", "photos"], LONG);

    assert_eq!(said.code, Some(0), "{}", said.output);
    let lines = said.output.lines().filter(|line| line.starts_with('{'));
    let seen: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let paths: Vec<_> = (0..6).map(|number| photos.join(format!("{number}.png"))).collect();
    let expected = ask(&python, include_str!("haar.py"), &json!(paths));
    let mut boxes = 0;
    for (number, seen) in seen.iter().enumerate() {
        let sides = ["bbox_x_px", "bbox_y_px", "bbox_w_px", "bbox_h_px"];
        let faces = seen["detections"].as_array().expect("a list").iter();
        let found: Vec<_> = faces.map(|face| sides.map(|side| face[side].as_f64().expect("a number"))).collect();
        let expected: Vec<[f64; 4]> = serde_json::from_value(expected[number].clone()).expect("boxes");
        assert_eq!((&seen["file"], found), (&json!(format!("photos/{number}.png")), expected.clone()));
        boxes += expected.len();
    }
    assert!(seen.len() == 6 && boxes > 10, "{boxes} boxes in {} pictures", seen.len());
}
