//! A Haar cascade is a detector like the others, and needs neither `OpenCV` nor ONNX Runtime.

use std::fs;

use facestream::scene::Scene;
use facestream_schemas::{Bbox, Size};
use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};

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
        let number = |row: &serde_json::Map<String, serde_json::Value>, key: &str| row[key].as_f64().expect("a number") as f32;
        let boxes: Vec<_> = faces
            .iter()
            .map(|row| Bbox { x: number(row, "x"), y: number(row, "y"), w: number(row, "w"), h: number(row, "h") })
            .collect();
        put += picture.faces.len();
        seen += picture.faces.iter().filter(|face| boxes.iter().any(|found| found.iou(face) >= 0.5)).count();
        for face in &faces {
            assert_eq!((&face["score_kind"], &face["landmarks_px"]), (&"haar_weight".into(), &serde_json::Value::Null));
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
