//! `facestream eval` counts as one does by hand, whatever the truth and the boxes come as, and says what it left out.

use std::fs;
use std::path::Path;

use facestream::scene::{QUALITY, Scene};
use facestream_schemas::Size;
use facestream_tests::{Facestream, Finished, scratch};
use serde_json::{Value, json};

use crate::LONG;
use crate::transport::scripted;

/// Runs the command in a folder.
fn eval(folder: &Path, arguments: &[&str]) -> Finished {
    Facestream::command(folder, &[&["eval"], arguments].concat(), LONG)
}

/// The document that it prints.
fn document(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let finished = eval(folder, &[arguments, &["--json"]].concat());
    assert_eq!(finished.code, Some(code), "{}", finished.output);
    let start = finished.output.find('{').unwrap_or(0);
    serde_json::from_str(&finished.output[start..]).unwrap_or_else(|error| panic!("{error}: {}", finished.output))
}

#[track_caller]
fn near(value: &Value, expected: f64) {
    assert!(value.as_f64().is_some_and(|value| (value - expected).abs() < 1e-6), "{value} for {expected}");
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], says: &str) {
    let finished = eval(folder, arguments);
    assert_eq!(finished.code, Some(2), "{}", finished.output);
    assert!(finished.output.contains(says), "{says}: {}", finished.output);
}

fn detection(bbox: [u32; 4], score: f64) -> Value {
    let [x, y, w, h] = bbox;
    json!({"bbox_x_px": x, "bbox_y_px": y, "bbox_w_px": w, "bbox_h_px": h, "score": score, "score_kind": "prob"})
}

/// Three faces in two pictures, 20, 40 and 80 pixels high; found at 0.9 (right), 0.8 (wrong), 0.7 (right), 0.3 (right).
fn by_hand(folder: &Path) {
    let truth = [
        json!({"file": "a.jpg", "faces": [[10, 10, 20, 20], [100, 100, 40, 40]]}),
        json!({"file": "deep/b.jpg", "faces": [[0, 0, 80, 80]], "ignore": [[200, 200, 50, 50]]}),
    ];
    let predictions = [
        json!({"file": "/data/photos/a.jpg", "image_w_px": 640, "image_h_px": 480, "detections": [
            detection([10, 10, 20, 20], 0.9), detection([300, 10, 20, 20], 0.8), detection([100, 100, 40, 36], 0.3)]}),
        json!({"file": "/data/photos/deep/b.jpg", "image_w_px": 640, "image_h_px": 480, "detections": [
            detection([0, 0, 80, 60], 0.7), detection([210, 210, 10, 10], 0.95)]}),
    ];
    let lines = |values: &[Value]| values.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    fs::write(folder.join("truth.jsonl"), lines(&truth)).expect("writing");
    fs::write(folder.join("boxes.jsonl"), lines(&predictions)).expect("writing");
}

#[test]
fn boxes_that_are_given_count_as_by_hand() {
    let folder = scratch();
    by_hand(folder.path());
    let arguments = ["--truth", "truth.jsonl", "--predictions", "boxes.jsonl"];
    let report = document(folder.path(), &arguments, 0);
    let all = &report["subsets"][0];
    // Precision 1 to recall 1/3; then the best that follows, 3/4, to 1: 2/3 after the second face is less.
    near(&all["ap"], 1.0 / 3.0 + 3.0 / 4.0 * 2.0 / 3.0);
    // At 0.6: two right, one wrong; the box in the ignored region counts neither way.
    near(&all["precision"], 2.0 / 3.0);
    near(&all["recall"], 2.0 / 3.0);
    assert_eq!((&all["faces"], &all["found"], &all["wrong"]), (&3.into(), &2.into(), &1.into()));
    let recall: Vec<_> = report["recall_by_height"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|height| (&height["faces"], &height["recall"]))
        .collect();
    assert_eq!(json!(recall), json!([[0, null], [1, 1.0], [1, 0.0], [1, 1.0], [0, null]]));
    assert_eq!((&report["protocol"]["iou"], &report["protocol"]["name"]), (&0.5.into(), &"COCO, one category".into()));
    assert_eq!(report["truth"]["pictures"], 2);
    // At another threshold.
    let lower = document(folder.path(), &[&arguments[..], &["--set", "detector.score_threshold=0.2"]].concat(), 0);
    near(&lower["subsets"][0]["recall"], 1.0);

    // The same as COCO JSON, and as a table.
    let coco = json!({
        "images": [{"id": 2, "file_name": "deep/b.jpg"}, {"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 7, "name": "face"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [100, 100, 40, 40], "area": 1600, "iscrowd": 0},
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [0, 0, 80, 80], "area": 6400, "iscrowd": 0},
            {"id": 4, "image_id": 2, "category_id": 7, "bbox": [200, 200, 50, 50], "area": 2500, "iscrowd": 1},
        ],
    });
    fs::write(folder.path().join("truth.json"), coco.to_string()).expect("writing");
    let of_coco = document(folder.path(), &["--coco", "truth.json", "--predictions", "boxes.jsonl"], 0);
    assert_eq!((&of_coco["subsets"], &of_coco["recall_by_height"]), (&report["subsets"], &report["recall_by_height"]));
    let table = eval(folder.path(), &arguments);
    for part in ["0.8333", "0.6667", "16 to 32", "from 128", "IoU 0.5", "all points"] {
        assert!(table.output.contains(part), "{part}: {}", table.output);
    }
}

#[test]
fn curves_are_drawn_as_whole_files() {
    let folder = scratch();
    by_hand(folder.path());
    for (file, begins, ends) in
        [("curve.svg", &b"<svg "[..], &b"</svg>\n"[..]), ("curve.png", b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82")]
    {
        let finished = eval(folder.path(), &["--truth", "truth.jsonl", "--predictions", "boxes.jsonl", "--curve", file]);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        let bytes = fs::read(folder.path().join(file)).expect("the curve");
        assert!(bytes.starts_with(begins) && bytes.ends_with(ends), "{file}");
    }
    let png = image::open(folder.path().join("curve.png")).expect("a picture");
    assert_eq!((png.width(), png.height()), (1440, 1200));
    refused(folder.path(), &["--truth", "truth.jsonl", "--predictions", "boxes.jsonl", "--curve", "curve.pdf"], ".svg or .png");
}

/// Two pictures as WIDER FACE is unpacked, and boxes as its `eval_tools` take them.
fn wider(folder: &Path) {
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("writing");
    };
    write("W/WIDER_val/images/0--Parade/note.txt", "");
    let list = "0--Parade/a.jpg\n2\n10 10 20 20 0 0 0 0 0 0 \n100 100 40 40 0 0 0 1 0 0 \n1--Riot/b.jpg\n1\n0 0 80 80 0 0 0 0 0 0 \n2--Rest/c.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n";
    write("W/wider_face_split/wider_face_val_bbx_gt.txt", list);
    // A right box, a second about the same face, one about a face that is invalid; a right one; and one where there is no face at all.
    write("P/0--Parade/a.txt", "a\n3\n10 10 20 20 0.9\n11 10 20 20 0.8\n100 100 40 40 0.95\n");
    write("P/1--Riot/b.txt", "b\n1\n0 0 80 70 0.7\n");
    write("P/2--Rest/c.txt", "c\n1\n0 0 80 70 0.99\n");
    write("P/9--Else/z.txt", "z\n0\n");
}

#[test]
fn wider_faces_layout_and_rules() {
    let folder = scratch();
    wider(folder.path());
    let report = document(folder.path(), &["--wider", "W", "--predictions", "P"], 0);
    assert_eq!(report["protocol"]["name"], "WIDER FACE");
    let all = &report["subsets"][0];
    // Right, wrong, right of two faces: 1 to recall 1/2, then 2/3. The second box about a face is wrong; those about an invalid face and
    // in the picture without faces count neither way.
    near(&all["ap"], 0.5 + 0.5 * 2.0 / 3.0);
    near(&all["ap_of_1000_thresholds"], 0.5 + 0.5 * 2.0 / 3.0);
    assert_eq!((&all["faces"], &all["found"], &all["wrong"]), (&2.into(), &2.into(), &1.into()));
    assert_eq!(report["by"]["predictions"]["strangers"], 1);
    assert!(
        report["truth"]["notes"][0].as_str().is_some_and(|note| note.contains("easy, medium and hard are left out")),
        "{report}"
    );
}

#[test]
fn pictures_go_through_the_detector_and_those_that_cannot_are_told() {
    let folder = scratch();
    let size = Size { w: 640, h: 360 };
    let pictures = folder.path().join("pictures");
    fs::create_dir(&pictures).expect("a folder");
    for number in 0..3 {
        fs::write(pictures.join(format!("{number}.jpg")), Scene::crowd(number, size).encoded(QUALITY).jpeg).expect("writing");
    }
    fs::write(pictures.join("broken.jpg"), b"\xff\xd8nonsense").expect("writing");
    // What the scripted detector finds in every picture, whatever is in it; and a face that it does not find.
    let line = |file: &str| json!({"file": file, "faces": [[100, 40, 60, 75], [400, 200, 50, 50]]}).to_string() + "\n";
    let whole: String = ["0.jpg", "1.jpg", "2.jpg"].map(line).concat();
    fs::write(folder.path().join("whole.jsonl"), &whole).expect("writing");
    fs::write(folder.path().join("more.jsonl"), whole + &line("absent.jpg") + &line("broken.jpg")).expect("writing");
    let model = scripted(folder.path(), "1ms");
    let arguments =
        |truth: &'static str| ["--truth", truth, "--images", "pictures", "--workers", "2", "--detector"].map(str::to_owned);
    let run = |truth: &'static str, code: i32| {
        let arguments = [arguments(truth).to_vec(), vec![model.clone()]].concat();
        document(folder.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>(), code)
    };
    let report = run("whole.jsonl", 0);
    assert_eq!((&report["truth"]["pictures"], &report["by"]["detector"]["id"]), (&3.into(), &"scripted".into()));
    assert_eq!(report["subsets"][0]["faces"], 6);
    assert!(report["ms_per_picture"]["detect_median"].as_f64() >= Some(1.0), "{report}");
    // The figures are of those that could be looked at, and the exit code says that they are not all.
    let more = run("more.jsonl", 1);
    assert_eq!(more["subsets"], report["subsets"]);
    let truth = &more["truth"];
    assert_eq!((&truth["pictures"], &truth["missing"], &truth["broken"]), (&3.into(), &1.into(), &1.into()));
    let left_out = truth["left_out"].to_string();
    assert!(
        left_out.contains("absent.jpg: there is no ") && left_out.contains("broken.jpg: unsupported: not a JPEG"),
        "{left_out}"
    );
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_a_reason() {
    let folder = scratch();
    by_hand(folder.path());
    let path = folder.path();
    refused(path, &[], "required");
    refused(path, &["--truth", "truth.jsonl", "--coco", "truth.json"], "cannot be used with");
    refused(path, &["--wider", "."], "wider_face_val_bbx_gt.txt");
    refused(path, &["--truth", "absent.jsonl"], "cannot read absent.jsonl");
    refused(path, &["--truth", "truth.jsonl", "--predictions", "absent.jsonl"], "cannot read absent.jsonl");
    refused(path, &["--truth", "truth.jsonl", "--predictions", "truth.jsonl"], "answers for none of the 2 pictures");
    fs::write(path.join("none.jsonl"), "{\"file\": \"x.jpg\", \"detections\": []}\n").expect("writing");
    refused(path, &["--truth", "truth.jsonl", "--predictions", "none.jsonl"], "answers for none of the 2 pictures");
    fs::write(path.join("twice.jsonl"), "{\"file\": \"a.jpg\", \"detections\": []}\n".repeat(2)).expect("writing");
    refused(path, &["--truth", "truth.jsonl", "--predictions", "twice.jsonl"], "line 2: a.jpg: it is there a second time");
    let unscored =
        json!({"file": "a.jpg", "detections": [{"bbox_x_px": 1, "bbox_y_px": 1, "bbox_w_px": 1, "bbox_h_px": 1, "score": null}]});
    fs::write(path.join("unscored.jsonl"), unscored.to_string()).expect("writing");
    refused(path, &["--truth", "truth.jsonl", "--predictions", "unscored.jsonl"], "line 1: a face has no score");
    let model = scripted(path, "1ms");
    refused(path, &["--truth", "truth.jsonl", "--detector", &model], "none of the 2 pictures");
    refused(path, &["--truth", "truth.jsonl", "--detector", "absent.onnx"], "absent.onnx");
}
