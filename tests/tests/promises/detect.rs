//! `facestream detect`: the same faces in every format, copies that show them, failures by name, and the loop through a pipeline.

mod copies;
mod elsewhere;
mod via_kafka;

use std::path::Path;

use facestream_tests::{Duck, Facestream, Finished, scratch};
use image::RgbImage;
use serde_json::{Value, json};

use crate::LONG;

/// A scripted detector: two faces in every picture, the second one weaker.
const SCRIPT: &str =
    "latency = '0s'\n[[faces]]\nbox = [10, 20, 30, 40]\nscore = 0.875\n[[faces]]\nbox = [60.5, 8, 70, 24.25]\nscore = 0.75\n";
const GREY: [u8; 3] = [96, 96, 96];

/// A folder with the script in it.
fn folder() -> tempfile::TempDir {
    let folder = scratch();
    std::fs::write(folder.path().join("two.toml"), SCRIPT).expect("writing");
    folder
}

/// Writes a grey picture of this size.
fn picture(path: &Path, w: u32, h: u32) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    RgbImage::from_pixel(w, h, image::Rgb(GREY)).save(path).expect("writing a picture");
}

/// Runs `facestream detect` in the folder.
fn detect(folder: &Path, arguments: &[&str]) -> Finished {
    Facestream::command(folder, &[&["detect"], arguments].concat(), LONG)
}

/// The same with the scripted detector.
fn scripted(folder: &Path, arguments: &[&str]) -> Finished {
    detect(folder, &[&["--detector", "two.toml"], arguments].concat())
}

/// The lines of JSON among what it wrote.
fn lines(finished: &Finished) -> Vec<Value> {
    let json = finished.output.lines().filter(|line| line.starts_with('{'));
    json.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// The words of the table's lines.
fn table(finished: &Finished) -> Vec<Vec<&str>> {
    let (_, table) = finished.output.split_once("Recognition Result:\n").expect("a table");
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn the_faces_are_a_table_and_the_same_numbers_in_every_format() {
    let folder = folder();
    let path = folder.path();
    picture(&path.join("a.png"), 120, 90);
    picture(&path.join("more/b ü.png"), 200, 100);
    let said = scripted(path, &["a.png", "more"]);
    assert_eq!(said.code, Some(0), "{}", said.output);
    let expected = [
        &["file", "face", "x", "y", "w", "h", "score"][..],
        &["a.png", "1", "10.0", "20.0", "30.0", "40.0", "0.875"],
        &["a.png", "2", "60.5", "8.0", "70.0", "24.2", "0.750"],
        &["more/b", "ü.png", "1", "10.0", "20.0", "30.0", "40.0", "0.875"],
        &["more/b", "ü.png", "2", "60.5", "8.0", "70.0", "24.2", "0.750"],
    ];
    assert_eq!(table(&said)[..5], expected);
    assert!(said.output.contains("2 pictures: 4 faces in 2, 0 without (scripted)"), "{}", said.output);
    let strict = scripted(path, &["--threshold", "0.8", "a.png"]);
    assert_eq!(table(&strict), expected[..2]);

    for format in ["json", "csv", "parquet"] {
        let file = format!("faces.{format}");
        let said = scripted(path, &["--format", format, "--output", &file, "a.png", "more"]);
        assert_eq!((said.code, said.output.contains("Recognition")), (Some(0), false), "{}", said.output);
    }
    let columns =
        "file, detection_idx, bbox_x_px, bbox_y_px, bbox_w_px, bbox_h_px, truncated, score, score_kind, detector_id, image_w_px";
    let duck = Duck::in_folder(path);
    let rows = |from: &str| json!(duck.rows(&format!("SELECT {columns} FROM {from} ORDER BY ALL")));
    let row = |file: &str, index: u32, [x, y, w, h]: [f64; 4], truncated: bool, score: f64, width: u32| {
        json!({"file": file, "detection_idx": index, "bbox_x_px": x, "bbox_y_px": y, "bbox_w_px": w, "bbox_h_px": h,
            "truncated": truncated, "score": score, "score_kind": "prob", "detector_id": "scripted", "image_w_px": width})
    };
    let (first, second) = ([10.0, 20.0, 30.0, 40.0], [60.5, 8.0, 70.0, 24.25]);
    let expected = json!([
        row("a.png", 0, first, false, 0.875, 120),
        // 60.5 + 70 is beyond 120.
        row("a.png", 1, second, true, 0.75, 120),
        row("more/b ü.png", 0, first, false, 0.875, 200),
        row("more/b ü.png", 1, second, false, 0.75, 200),
    ]);
    assert_eq!(rows("'faces.parquet'"), expected);
    assert_eq!(rows("'faces.csv'"), expected);
    let unnested = "(SELECT file, image_w_px, unnest(detections, recursive := true) FROM 'faces.json')";
    assert_eq!(rows(unnested), expected);
    let sha256 = duck.value("SELECT DISTINCT model_sha256 FROM 'faces.parquet'");
    let sum = std::process::Command::new("sha256sum").arg(path.join("two.toml")).output().expect("sha256sum").stdout;
    assert_eq!(sha256.as_str().expect("text").as_bytes(), &sum[..64]);
}

#[test]
fn the_astronauts_face_is_found_where_it_is_by_the_default_detector() {
    let folder = scratch();
    std::fs::write(folder.path().join("astronaut.jpg"), include_bytes!("../../../pipeline/assets/astronaut.jpg"))
        .expect("writing");
    for detector in ["auto", "centerface"] {
        let said = detect(folder.path(), &["--detector", detector, "--format", "json", "astronaut.jpg"]);
        assert_eq!(said.code, Some(0), "{}", said.output);
        let seen = &lines(&said)[0];
        assert_eq!((&seen["image_w_px"], &seen["image_h_px"], &seen["status"]), (&json!(204), &json!(264), &json!("ok")));
        let [face] = seen["detections"].as_array().expect("a list").as_slice() else { panic!("{seen}") };
        // Cheek to cheek and fringe to chin, read off an enlargement by eye: 56, 65 to 142, 178.
        let number = |name: &str| face[name].as_f64().expect("a number");
        let [x, y, w, h] = ["bbox_x_px", "bbox_y_px", "bbox_w_px", "bbox_h_px"].map(number);
        for (found, expected) in [(x, 56.0), (y, 65.0), (x + w, 142.0), (y + h, 178.0)] {
            assert!((found - expected).abs() < 15.0, "{face}");
        }
        assert!(number("score") > 0.7 && face["landmarks_px"].as_array().is_some_and(|points| points.len() == 10), "{face}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_named_and_everything_else_is_printed() {
    let folder = folder();
    let path = folder.path();
    picture(&path.join("photos/good.png"), 120, 90);
    picture(&path.join("photos/huge.png"), 400, 400);
    let png = std::fs::read(path.join("photos/good.png")).expect("reading");
    std::fs::write(path.join("photos/cut\nshort.png"), &png[..png.len() / 2]).expect("writing");
    std::fs::write(path.join("photos/notes.txt"), "no picture").expect("writing");
    std::fs::write(path.join("empty.jpg"), "").expect("writing");
    std::os::unix::fs::symlink(".", path.join("photos/round")).expect("a link");
    let made = std::process::Command::new("mkfifo").arg(path.join("pipe")).status().expect("mkfifo");
    assert!(made.success());
    let inputs = ["photos", "photos/notes.txt", "empty.jpg", "missing.jpg", "pipe", "/dev/zero", "photos/good.png"];
    let flags = ["--set", "envelope.max_pixels=50000", "--format", "json"];
    let said = scripted(path, &[&flags[..], &inputs].concat());
    assert_eq!(said.code, Some(1), "{}", said.output);
    let found: Vec<_> = lines(&said).iter().map(|line| (line["file"].clone(), line["status"].clone())).collect();
    let expected = [
        ("photos/cut\nshort.png", "decode_error"),
        ("photos/good.png", "ok"),
        ("photos/huge.png", "too_large"),
        ("photos/notes.txt", "unsupported"),
        ("empty.jpg", "unsupported"),
        ("missing.jpg", "fetch_error"),
        ("pipe", "fetch_refused"),
        ("/dev/zero", "fetch_refused"),
        ("photos/good.png", "ok"),
    ];
    assert_eq!(found, expected.map(|(file, status)| (json!(file), json!(status))));
    for line in [
        "photos/cut\\nshort.png: decode_error: ",
        "photos/huge.png: too_large: the image is 400 x 400",
        "missing.jpg: fetch_error: there is no such file",
        "pipe: fetch_refused: is not a regular file",
        "1 files are no images and are left out",
        "7 could not be looked at",
    ] {
        assert!(said.output.contains(line), "{line:?} is not said:\n{}", said.output);
    }
    // A link that leads back is said once, and followed no further.
    assert!(said.output.contains("cannot read") && said.output.contains("round"), "{}", said.output);
    assert!(!said.output.contains("panicked"), "{}", said.output);

    let nothing = scripted(path, &["photos/notes*"]);
    assert_eq!(nothing.code, Some(1), "{}", nothing.output);
    assert!(nothing.output.contains("1 files are no images"), "{}", nothing.output);
    for (arguments, says) in [
        (&["--detector", "no-such-model", "empty.jpg"][..], "no-such-model"),
        (&["--threshold", "7", "empty.jpg"], "detector.score_threshold"),
        (&["--workers", "0", "empty.jpg"], "workers.count"),
        (&["--output", "photos/good.png", "photos/good.png"], "one of the inputs"),
        (&["--out", ".", "--output", "photos/../good.png", "photos/good.png"], "one of the copies"),
        (&["ftp://host/a.jpg"], "ftp://"),
    ] {
        let said = detect(path, arguments);
        assert_eq!(said.code, Some(2), "{}", said.output);
        assert!(said.output.contains(says), "{}", said.output);
    }
    assert_eq!(std::fs::read(path.join("photos/good.png")).expect("reading"), png);
}

/// libjpeg goes on where an error in a header left it, unless it is begun anew.
#[test]
fn a_broken_picture_spoils_none_that_the_same_worker_sees_after_it() {
    let folder = folder();
    let path = folder.path();
    let good = include_bytes!("../../../pipeline/assets/astronaut.jpg");
    for (name, bytes) in
        [("0.jpg", &good[..]), ("1.jpg", &good[..300]), ("2.jpg", &good[..100]), ("3.jpg", &good[..]), ("4.jpg", &good[..])]
    {
        std::fs::write(path.join(name), bytes).expect("writing");
    }
    let said = scripted(path, &["--workers", "1", "--format", "json", "0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]);
    assert_eq!(said.code, Some(1), "{}", said.output);
    let statuses: Vec<_> = lines(&said).iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, ["ok", "decode_error", "decode_error", "ok", "ok"], "{}", said.output);
}

#[test]
fn many_pictures_come_out_in_their_order_whoever_looks_at_them() {
    let folder = folder();
    let path = folder.path();
    // Every third takes much longer than the others.
    for n in 0..120 {
        let side = if n % 3 == 0 { 900 } else { 40 };
        picture(&path.join(format!("photos/{n:03}.png")), side, side);
    }
    let said = scripted(path, &["--workers", "4", "--format", "json", "photos"]);
    assert_eq!(said.code, Some(0), "{}", said.output);
    let files: Vec<_> = lines(&said).iter().map(|line| line["file"].clone()).collect();
    assert_eq!(files, (0..120).map(|n| json!(format!("photos/{n:03}.png"))).collect::<Vec<_>>());
    let listed: Vec<_> = (0..120).rev().map(|n| format!("photos/{n:03}.png")).collect();
    let mut child = std::process::Command::new(facestream_tests::binary())
        .args(["detect", "--detector", "two.toml", "--format", "csv", "-"])
        .current_dir(path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starting");
    std::io::Write::write_all(&mut child.stdin.take().expect("its input"), listed.join("\n").as_bytes()).expect("writing");
    let output = child.wait_with_output().expect("its end").stdout;
    let text = String::from_utf8(output).expect("text");
    let files: Vec<_> = text.lines().skip(1).step_by(2).map(|line| line.split(',').next().unwrap_or_default()).collect();
    assert_eq!(files, listed);
}

#[test]
fn an_interrupt_ends_it_with_what_is_done() {
    let folder = folder();
    let path = folder.path();
    std::fs::write(path.join("slow.toml"), SCRIPT.replace("0s", "100ms")).expect("writing");
    (0..600).for_each(|n| picture(&path.join(format!("photos/{n:03}.png")), 40, 40));
    let mut running =
        Facestream::start(path, &["detect", "--detector", "slow.toml", "--workers", "1", "--format", "json", "photos"]);
    running.wait_until("a few results", LONG, |own| if own.output().lines().count() > 3 { Ok(()) } else { Err(String::new()) });
    running.signal("INT");
    let finished = running.wait_exit(LONG);
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    assert!(finished.output.contains("were not looked at: it was stopped"), "{}", finished.output);
    let files: Vec<_> = lines(&finished).iter().map(|line| line["file"].clone()).collect();
    assert!(files.len() > 3 && files.len() < 600, "{}", files.len());
    assert_eq!(files, (0..files.len()).map(|n| json!(format!("photos/{n:03}.png"))).collect::<Vec<_>>());
}
