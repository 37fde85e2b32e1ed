//! A detector that answers by rule, for tests of what lies around detectors; and one whose rule is a small file, for trials of a
//! deployment without a model.
//!
//! In: an image; or a TOML file, which says how long a frame takes and which faces are in it. Out: what the rule says. Invariant:
//! no model, no runtime library.
//!
//! ```toml
//! latency = "50ms"           # how long a frame takes: the worker sleeps, and uses no CPU time for it
//!
//! [[faces]]                  # none, one or many, the same ones in every picture
//! box = [100, 80, 60, 75]    # left, top, width, height in pixels of the original picture
//! score = 0.9                # 0 to 1
//! ```

use std::path::Path;
use std::time::Duration;

use facestream_schemas::{Bbox, Detection, DetectorIdentity, ScoreKind, Size};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{DetectError, Detector, ModelError, Settings};
use crate::decode::Image;

/// A trial's frame takes no longer than this: a longer one is a slip of the pen.
const LONGEST: Duration = Duration::from_mins(1);

type Rule = dyn FnMut(&Image<'_>) -> Result<Vec<Detection>, DetectError> + Send;

/// Answers what a rule says.
pub struct Scripted {
    identity: DetectorIdentity,
    input: Size,
    rule: Box<Rule>,
}

impl Scripted {
    /// A detector with this rule. `input` only says how far JPEG decoding may reduce.
    pub fn new(input: Size, rule: impl FnMut(&Image<'_>) -> Result<Vec<Detection>, DetectError> + Send + 'static) -> Self {
        let identity =
            DetectorIdentity { detector_id: "scripted".to_owned(), model_sha256: None, score_threshold: 0.0, nms_iou: 1.0 };
        Self { identity, input, rule: Box::new(rule) }
    }

    /// The detector that the file `script` describes. Of the settings, the score threshold and the smallest face hold.
    pub fn load(script: &Path, settings: &Settings) -> Result<Self, ModelError> {
        settings.check()?;
        let text = std::fs::read(script).map_err(|cause| ModelError::Read { model: script.to_owned(), cause })?;
        let wrong = |cause: String| ModelError::Script { script: script.to_owned(), cause };
        let (latency, mut faces) = parse(&text).map_err(wrong)?;
        faces.retain(|face| {
            face.score.is_some_and(|score| score >= settings.score_threshold)
                && face.bbox.w.min(face.bbox.h) >= settings.min_face_px
        });
        let mut detector = Self::new(settings.input, move |_| {
            std::thread::sleep(latency);
            Ok(faces.clone())
        });
        detector.identity.model_sha256 = Some(format!("{:x}", Sha256::digest(&text)));
        detector.identity.score_threshold = settings.score_threshold;
        Ok(detector)
    }

    /// Reports the box around all pixels near `colour` (each channel within 48) as one face, in original pixels.
    #[must_use]
    pub fn finds(colour: [u8; 3], input: Size) -> Self {
        Self::new(input, move |image| Ok(box_around(colour, image).into_iter().collect()))
    }
}

/// Whether `model` is the file of a scripted detector, which needs no runtime library.
#[must_use]
pub fn is_script(model: &Path) -> bool {
    model.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// A scripted detector as a file describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    latency: String,
    #[serde(default)]
    faces: Vec<Face>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Face {
    #[serde(rename = "box")]
    xywh: [f32; 4],
    score: f32,
}

/// How long a frame takes, and the faces that are in it, the best first; or what is wrong with the text.
fn parse(text: &[u8]) -> Result<(Duration, Vec<Detection>), String> {
    let text = str::from_utf8(text).map_err(|error| format!("it is no text: {error}"))?;
    let Script { latency, faces } = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let latency = humantime::parse_duration(&latency)
        .map_err(|error| format!("latency {latency:?} is not a duration such as \"50ms\": {error}"))?;
    if latency > LONGEST {
        return Err(format!(
            "latency is {}, it must be {} or less",
            humantime::format_duration(latency),
            humantime::format_duration(LONGEST)
        ));
    }
    let mut faces = faces.iter().zip(1..).map(|(face, number)| detection(face, number)).collect::<Result<Vec<_>, _>>()?;
    faces.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(std::cmp::Ordering::Equal));
    Ok((latency, faces))
}

/// The `n`-th face of the file, as a detection.
fn detection(face: &Face, number: usize) -> Result<Detection, String> {
    let [x, y, w, h] = face.xywh;
    if !(face.xywh.iter().all(|number| number.is_finite()) && w > 0.0 && h > 0.0) {
        return Err(format!(
            "the box of face {number} is {:?}: give left, top, width and height in pixels, the latter above 0",
            face.xywh
        ));
    }
    if !(0.0..=1.0).contains(&face.score) {
        return Err(format!("the score of face {number} is {}, it must be from 0 to 1", face.score));
    }
    Ok(Detection {
        bbox: Bbox { x, y, w, h },
        score: Some(face.score),
        score_kind: ScoreKind::Prob,
        landmarks: None,
        track: None,
    })
}

fn box_around(colour: [u8; 3], image: &Image<'_>) -> Option<Detection> {
    const NEAR: u8 = 48;
    let (pixels, _) = image.pixels.as_chunks::<3>();
    let (mut min, mut max): (Option<[usize; 2]>, [usize; 2]) = (None, [0; 2]);
    for (at, pixel) in pixels.iter().enumerate() {
        if pixel.iter().zip(colour).all(|(channel, wanted)| channel.abs_diff(wanted) <= NEAR) {
            let here = [at % image.size.w as usize, at / image.size.w as usize];
            let least = min.unwrap_or(here);
            min = Some([least[0].min(here[0]), least[1].min(here[1])]);
            max = [max[0].max(here[0]), max[1].max(here[1])];
        }
    }
    let min = min?;
    let scale = [image.original.w as f32 / image.size.w as f32, image.original.h as f32 / image.size.h as f32];
    let [x, y] = std::array::from_fn(|axis| min[axis] as f32 * scale[axis]);
    let [w, h] = std::array::from_fn(|axis| (max[axis] + 1 - min[axis]) as f32 * scale[axis]);
    Some(Detection { bbox: Bbox { x, y, w, h }, score: None, score_kind: ScoreKind::None, landmarks: None, track: None })
}

impl Detector for Scripted {
    fn identity(&self) -> &DetectorIdentity {
        &self.identity
    }

    fn input(&self) -> Size {
        self.input
    }

    fn detect(&mut self, image: &Image<'_>) -> Result<Vec<Detection>, DetectError> {
        (self.rule)(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { score_threshold: 0.5, min_face_px: 10.0, ..Settings::DEFAULT };
    const SCRIPT: &str = "latency = '1ms'\n[[faces]]\nbox = [1, 2, 30, 40.5]\nscore = 0.6\n[[faces]]\nbox = [5, 6, 70, 80]\nscore = 0.9\n\
                          [[faces]]\nbox = [5, 6, 70, 80]\nscore = 0.4\n[[faces]]\nbox = [5, 6, 70, 8]\nscore = 1\n";

    fn load(text: &str) -> Result<Scripted, String> {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("trial.toml");
        std::fs::write(&script, text).unwrap();
        assert!(is_script(&script));
        Scripted::load(&script, &SETTINGS).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_says_which_faces_there_are_and_what_is_too_weak_or_small_is_dropped() {
        let mut detector = load(SCRIPT).unwrap();
        let image = Image { pixels: &[0; 12], size: Size { w: 2, h: 2 }, original: Size { w: 4, h: 4 } };
        let found = detector.detect(&image).unwrap();
        let boxes: Vec<_> = found.iter().map(|face| (face.bbox, face.score)).collect();
        let (best, other) = (Bbox { x: 5.0, y: 6.0, w: 70.0, h: 80.0 }, Bbox { x: 1.0, y: 2.0, w: 30.0, h: 40.5 });
        assert_eq!(boxes, [(best, Some(0.9)), (other, Some(0.6))]);
        assert_eq!(detector.identity().detector_id, "scripted");
        assert_eq!(detector.identity().model_sha256.as_ref().unwrap().len(), 64);
        assert_eq!(load("latency = '0s'").unwrap().detect(&image).unwrap(), []);
    }

    #[test]
    fn a_file_with_a_mistake_is_refused_and_the_mistake_named() {
        for (text, says) in [
            ("", "latency"),
            ("latency = '50'", "latency \"50\" is not a duration"),
            ("latency = '2m'", "1m or less"),
            ("latency = '1ms'\nfases = []", "unknown field `fases`"),
            ("latency = '1ms'\n[[faces]]\nbox = [1, 2, 3, 4]\nscore = 0.5\nlabel = 'x'", "unknown field `label`"),
            ("latency = '1ms'\n[[faces]]\nbox = [1, 2, 3]\nscore = 0.5", "4"),
            ("latency = '1ms'\n[[faces]]\nbox = [1, 2, 0, 4]\nscore = 0.5", "the box of face 1"),
            ("latency = '1ms'\n[[faces]]\nbox = [1, nan, 3, 4]\nscore = 0.5", "the box of face 1"),
            ("latency = '1ms'\n[[faces]]\nbox = [1, 2, 3, 4]\nscore = 1.5", "the score of face 1 is 1.5"),
        ] {
            let said = load(text).err().unwrap();
            assert!(said.contains(says) && said.contains("trial.toml"), "{text}: {said}");
        }
    }

    #[test]
    fn a_coloured_block_is_found_in_original_pixels() {
        let size = Size { w: 40, h: 20 };
        let pixels: Vec<u8> = (0..40 * 20)
            .flat_map(|at| if (10..15).contains(&(at % 40)) && (4..12).contains(&(at / 40)) { [250, 10, 200] } else { [90; 3] })
            .collect();
        let mut detector = Scripted::finds([255, 0, 220], Size { w: 640, h: 384 });
        let image = Image { pixels: &pixels, size, original: Size { w: 80, h: 60 } };
        let found = detector.detect(&image).unwrap();
        let [face] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(face.bbox, Bbox { x: 20.0, y: 12.0, w: 10.0, h: 24.0 });
        let grey = Image { pixels: &[90; 2400], ..image };
        assert_eq!(detector.detect(&grey).unwrap(), []);
    }
}
