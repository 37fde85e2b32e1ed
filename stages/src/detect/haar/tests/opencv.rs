//! Box for box, and in the same order, against Python's `cv2` 4.6 on the same PNGs.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::super::super::fixtures::vision_python;
use super::*;

const SCRIPT: &str = include_str!("opencv.py");

/// A picture and how it is looked at.
struct Job {
    name: String,
    picture: Picture,
    cascade: &'static str,
    least: u32,
    haar: HaarSettings,
}

fn job(name: impl Into<String>, picture: Picture) -> Job {
    Job { name: name.into(), picture, cascade: DEFAULT, least: 0, haar: HaarSettings::DEFAULT }
}

/// Compares both on each picture, and gives how many boxes there were.
fn compare(test: &str, jobs: &[Job]) -> Option<usize> {
    let python = vision_python(test)?;
    debians(test, DEFAULT)?;
    let folder = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for (number, Job { picture, cascade, least, haar, .. }) in jobs.iter().enumerate() {
        let file = folder.path().join(format!("{number}.png"));
        write_png(&file, picture);
        let job = serde_json::json!({
            "picture": file,
            "cascade": debians(test, cascade)?,
            "least": least,
            "scale_factor": haar.scale_factor,
            "min_neighbors": haar.min_neighbors,
        });
        writeln!(lines, "{job}").unwrap();
    }
    let expected = ask(&python, &lines);
    assert_eq!(expected.len(), jobs.len());
    let mut boxes = 0;
    for (Job { name, picture, cascade, least, haar }, expected) in jobs.iter().zip(expected) {
        let settings = Settings { min_face_px: *least as f32, haar: *haar, ..SETTINGS };
        let mut detector = Haar::load(&debians(test, cascade)?, &settings).unwrap();
        boxes += expected.len();
        assert_eq!(found(&mut detector, picture), expected, "{name}, {cascade}, from {least} pixels, {haar:?}");
    }
    Some(boxes)
}

fn write_png(file: &Path, picture: &Picture) {
    let file = std::fs::File::create(file).unwrap();
    let mut encoder = png::Encoder::new(file, picture.size.w, picture.size.h);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(&picture.pixels).unwrap();
}

fn ask(python: &Path, jobs: &str) -> Vec<Vec<[i32; 4]>> {
    let mut command = Command::new(python);
    let mut child = command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let jobs = jobs.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(jobs.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    str::from_utf8(&output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn boxes_are_opencvs_on_faces_of_every_size_and_kind() {
    let astronaut = Picture::astronaut();
    let mut jobs = vec![
        job("as it is", astronaut.clone()),
        job("mirrored", astronaut.mirrored()),
        job("turned by a quarter", astronaut.turned()),
        job("a little noise", astronaut.noisy(8)),
        job("much noise", astronaut.noisy(90)),
        job("noise alone", Picture::of(Size { w: 301, h: 177 }, |_, _| [128; 3]).noisy(127)),
    ];
    for (w, h) in [(23, 300), (24, 24), (25, 31), (47, 61), (101, 97), (333, 431), (555, 413), (1021, 1321)] {
        jobs.push(job(format!("scaled to {w} x {h}"), astronaut.scaled(Size { w, h })));
    }
    let crowd: Vec<_> = (0..24).map(|n| (n % 6 * 315, n / 6 * 265, 50 + n * 6)).collect();
    jobs.push(job("a crowd at 1080p", Picture::crowd(Size { w: 1920, h: 1080 }, &astronaut, &crowd)));
    let edges = [(0, 0, 90), (330, 5, 90), (3, 190, 100), (290, 200, 110)];
    jobs.push(job("faces at the edges", Picture::crowd(Size { w: 401, h: 299 }, &astronaut, &edges).noisy(3)));
    let Some(boxes) = compare("boxes_are_opencvs_on_faces_of_every_size_and_kind", &jobs) else { return };
    assert!(boxes >= 30, "{boxes} boxes are too few to compare");
}

#[test]
fn boxes_are_opencvs_on_pictures_that_are_hardly_any() {
    let flat = |w, h, level| job(format!("flat, {w} x {h}"), Picture::of(Size { w, h }, |_, _| [level; 3]));
    let mut jobs = vec![flat(1, 1, 0), flat(1, 500, 9), flat(500, 1, 9), flat(24, 23, 77), flat(24, 24, 255), flat(311, 97, 200)];
    let stripes = |period: u32| Picture::of(Size { w: 257, h: 129 }, |x, _| [(x / period % 2 * 255) as u8; 3]);
    jobs.extend([1, 2, 7, 30].map(|period| job(format!("stripes of {period} pixels"), stripes(period))));
    jobs.push(job("a slope", Picture::of(Size { w: 300, h: 200 }, |x, y| [(x * 255 / 300) as u8, (y * 255 / 200) as u8, 40])));
    compare("boxes_are_opencvs_on_pictures_that_are_hardly_any", &jobs);
}

#[test]
fn boxes_are_opencvs_whatever_is_set() {
    let places = [(5, 8, 150), (170, 30, 90), (280, 10, 60), (300, 150, 130), (200, 190, 50)];
    let crowd = Picture::crowd(Size { w: 437, h: 311 }, &Picture::astronaut(), &places).noisy(2);
    let mut jobs = Vec::new();
    for scale_factor in [1.01, 1.05, 1.2, 1.3, 2.0, 7.5] {
        for min_neighbors in [0, 1, 2, 5] {
            let haar = HaarSettings { scale_factor, min_neighbors };
            jobs.push(Job { haar, ..job("settings", crowd.clone()) });
        }
    }
    // Larger than the picture too: then the nearest size is looked at.
    for least in [1, 24, 25, 30, 61, 200, 311, 312, 5000] {
        jobs.push(Job { least, ..job("smallest faces", crowd.clone()) });
    }
    let Some(boxes) = compare("boxes_are_opencvs_whatever_is_set", &jobs) else { return };
    assert!(boxes >= 300, "{boxes} boxes are too few to compare");
}

/// All of Debian's but the one in the format of `OpenCV` 1: stumps, trees, tilted features, windows that are no squares.
#[test]
fn boxes_are_opencvs_with_every_cascade() {
    const CASCADES: [&str; 16] = [
        DEFAULT,
        "haarcascade_eye.xml",
        "haarcascade_eye_tree_eyeglasses.xml",
        "haarcascade_frontalcatface.xml",
        "haarcascade_frontalcatface_extended.xml",
        "haarcascade_frontalface_alt.xml",
        "haarcascade_frontalface_alt2.xml",
        "haarcascade_frontalface_alt_tree.xml",
        "haarcascade_fullbody.xml",
        "haarcascade_lefteye_2splits.xml",
        "haarcascade_lowerbody.xml",
        "haarcascade_profileface.xml",
        "haarcascade_righteye_2splits.xml",
        "haarcascade_russian_plate_number.xml",
        "haarcascade_smile.xml",
        "haarcascade_upperbody.xml",
    ];
    let astronaut = Picture::astronaut();
    let places = [(5, 8, 210), (220, 30, 90), (330, 10, 60), (300, 150, 170)];
    let crowd = Picture::crowd(Size { w: 501, h: 377 }, &astronaut, &places);
    let mut jobs = Vec::new();
    for cascade in CASCADES {
        for min_neighbors in [0, 3] {
            let haar = HaarSettings { min_neighbors, ..HaarSettings::DEFAULT };
            jobs.push(Job { cascade, haar, ..job("a crowd", crowd.clone()) });
            jobs.push(Job { cascade, haar, ..job("large", astronaut.scaled(Size { w: 519, h: 673 })) });
            jobs.push(Job { cascade, haar, ..job("noise", Picture::of(Size { w: 200, h: 150 }, |_, _| [128; 3]).noisy(127)) });
        }
    }
    let Some(boxes) = compare("boxes_are_opencvs_with_every_cascade", &jobs) else { return };
    assert!(boxes >= 300, "{boxes} boxes are too few to compare");
}
