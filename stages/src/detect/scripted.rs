//! A detector that answers by rule, for tests of what lies around detectors.
//!
//! In: an image. Out: what the rule says about its pixels. Invariant: no model, no runtime library.

use facestream_schemas::{Bbox, Detection, DetectorIdentity, ScoreKind, Size};

use super::{DetectError, Detector};
use crate::decode::Image;

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

    /// Reports the box around all pixels near `colour` (each channel within 48) as one face, in original pixels.
    #[must_use]
    pub fn finds(colour: [u8; 3], input: Size) -> Self {
        Self::new(input, move |image| Ok(box_around(colour, image).into_iter().collect()))
    }
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
    Some(Detection { bbox: Bbox { x, y, w, h }, score: None, score_kind: ScoreKind::None, landmarks: None })
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
