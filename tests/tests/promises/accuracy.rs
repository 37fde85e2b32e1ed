//! What is said of accuracy is so: average precision is what `pycocotools` counts, and pictures lose nothing on the way to the detector.

mod own_path;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use facestream_stages::accuracy::{Evaluation, Face, Found, Protocol, Rect};
use facestream_tests::vision_python;
use serde_json::{Value, json};

/// The Python with OpenCV and pycocotools; else says that `test` is skipped, and why.
pub(crate) fn python_of(test: &str) -> Option<PathBuf> {
    let python = vision_python();
    if python.is_none() {
        // Not eprintln: the test harness would swallow it.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {test}: there is no venv/vision in the cache folder (deploy/setup.sh test makes it, where Python is 3.12 or older)"
        );
    }
    python
}

/// Runs a script with a document on stdin; what it prints is one, too.
pub(crate) fn ask(python: &PathBuf, script: &str, document: &Value) -> Value {
    let mut child =
        Command::new(python).args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    child.stdin.take().expect("a pipe").write_all(document.to_string().as_bytes()).expect("python reads");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "python failed");
    serde_json::from_slice(&output.stdout).expect("python prints JSON")
}

/// Numbers that look random and are the same in every run (the finaliser of splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn rect(&mut self) -> Rect {
        let [x, y, w, h] = std::array::from_fn(|i| self.below(if i < 2 { 40 } else { 30 }) as f64);
        Rect { x, y, w: w + 1.0, h: h + 1.0 }
    }

    /// A box near another, at times the same, at times with fractions of pixels.
    fn near(&mut self, rect: Rect) -> Rect {
        let most = [1, 2, 6][self.below(3) as usize];
        let fraction = [1.0, 0.37][self.below(2) as usize];
        let mut moved = |value: f64| value + self.below(2 * most) as f64 * fraction - (most as f64 * fraction).floor();
        let (x, y, w, h) = (moved(rect.x), moved(rect.y), moved(rect.w), moved(rect.h));
        Rect { x, y, w: w.max(1.0), h: h.max(1.0) }
    }

    /// A picture with faces and ignored regions, and what was found: near faces, twice at times, elsewhere, often with equal scores.
    fn picture(&mut self) -> (Vec<Face>, Vec<Found>) {
        let count = self.below(7);
        let faces: Vec<_> = (0..count).map(|_| Face { rect: self.rect(), ignored: self.below(5) == 0 }).collect();
        let count = self.below(12);
        let found = (0..count).map(|_| {
            let rect = match faces.get(self.below(count + 1) as usize) {
                Some(face) => self.near(face.rect),
                None => self.rect(),
            };
            let score = if self.below(2) == 0 { self.below(5) as f64 / 4.0 } else { self.below(1_000_000) as f64 / 1e6 };
            Found { rect, score }
        });
        let found = found.collect();
        (faces, found)
    }
}

fn numbers(Rect { x, y, w, h }: Rect) -> Value {
    json!([x, y, w, h])
}

#[test]
fn average_precision_is_what_pycocotools_counts() {
    let Some(python) = python_of("average_precision_is_what_pycocotools_counts") else { return };
    let mut random = Random(7);
    let cases: Vec<Vec<_>> = (0..400).map(|n| (0..=n % 9).map(|_| random.picture()).collect()).collect();
    let document: Vec<Vec<Value>> = cases
        .iter()
        .map(|pictures| {
            let picture = |(faces, found): &(Vec<Face>, Vec<Found>)| {
                json!({
                    "faces": faces.iter().map(|face| (numbers(face.rect), face.ignored)).collect::<Vec<_>>(),
                    "found": found.iter().map(|found| (numbers(found.rect), found.score)).collect::<Vec<_>>(),
                })
            };
            pictures.iter().map(picture).collect()
        })
        .collect();
    let counted = ask(&python, include_str!("accuracy/coco.py"), &json!(document));
    let (mut worst, mut counts) = (0.0_f64, 0);
    for (index, (pictures, counted)) in cases.iter().zip(counted.as_array().expect("a list")).enumerate() {
        let evaluation = Evaluation::of(Protocol::Coco, pictures.iter().map(|(faces, found)| (&faces[..], &found[..])));
        match (evaluation.average_precision(), counted["ap"].as_f64()) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => {
                assert!((ours - theirs).abs() < 1e-6, "case {index}: {ours}, pycocotools says {theirs}");
                worst = worst.max((ours - theirs).abs());
                counts += 1;
            }
            other => panic!("case {index}: {other:?}"),
        }
        let counts = evaluation.at(0.0);
        assert_eq!(json!([counts.faces, counts.found, counts.wrong]), counted["counts"], "case {index}");
    }
    assert!(counts > 300, "{counts}");
    let _ = writeln!(std::io::stderr(), "average precision of {counts} sets of boxes is pycocotools', to {worst:.0e}");
}
