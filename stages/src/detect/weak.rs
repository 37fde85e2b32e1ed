//! Faces that are too weak or too small for the rows, and yet faces: those that only blur a picture.
//!
//! In: all candidates, and the faces that were kept of them. Out: the boxes of the others. Invariant: rows depend on nothing here, since
//! the faces that were kept are only looked at; every candidate is kept, or lies within the slack of a box that is.

use facestream_schemas::{Bbox, Detection};

use super::Settings;
use super::nms::suppress;

/// A box that reaches beyond another by no more than this share of that one's side, on any side, is covered by it: boxes that
/// are blurred grow by more ([`crate::annotate::MARGIN`]).
pub(crate) const SLACK: f32 = 0.15;
/// With more candidates than this the picture is no picture of faces, or all of it is one.
const MOST_CANDIDATES: usize = 2_000;
/// A box around any picture.
const EVERYTHING: Bbox = Bbox { x: -1e6, y: -1e6, w: 1e7, h: 1e7 };

/// Collects them from one image after the other.
#[derive(Debug, Default)]
pub(super) struct Weak {
    /// Down to this score; `None` where nobody wants them.
    least: Option<f32>,
    candidates: Vec<Detection>,
    boxes: Vec<Bbox>,
}

impl Weak {
    pub(super) fn remember(&mut self, least_score: f32) {
        self.least = Some(least_score);
    }

    /// Forgets the last image's.
    pub(super) fn begin(&mut self) {
        self.candidates.clear();
        self.boxes.clear();
    }

    /// Has candidates below the threshold collected, where they are wanted.
    pub(super) fn collect(&mut self, collect: impl FnOnce(f32, &mut Vec<Detection>)) {
        if let Some(least) = self.least {
            collect(least, &mut self.candidates);
        }
    }

    /// The best of a picture's faces, best first; the weak ones are worked out beside them.
    pub(super) fn settle(&mut self, faces: Vec<Detection>, settings: &Settings) -> Vec<Detection> {
        let all = self.keep(&faces);
        let kept = suppress(faces, settings);
        self.end(all, &kept);
        kept
    }

    /// A copy of the candidates for rows, of which some may be dropped as too small.
    pub(super) fn keep(&self, candidates: &[Detection]) -> Vec<Detection> {
        if self.least.is_some() { candidates.to_vec() } else { Vec::new() }
    }

    /// Works out which of `all` and of the weak ones are not seen in `kept`.
    pub(super) fn end(&mut self, all: Vec<Detection>, kept: &[Detection]) {
        if self.least.is_none() {
            return;
        }
        self.candidates.extend(all);
        if self.candidates.len() > MOST_CANDIDATES {
            self.boxes.push(EVERYTHING);
            return;
        }
        self.candidates.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
        for candidate in &self.candidates {
            let is_covered = |by: &Bbox| covers(by, &candidate.bbox);
            if !kept.iter().any(|face| is_covered(&face.bbox)) && !self.boxes.iter().any(is_covered) {
                self.boxes.push(candidate.bbox);
            }
        }
    }

    pub(super) fn boxes(&self) -> &[Bbox] {
        &self.boxes
    }
}

fn covers(cover: &Bbox, inner: &Bbox) -> bool {
    let within = |from: f32, length: f32, inner_from: f32, inner_length: f32| {
        let slack = SLACK * length;
        from - slack <= inner_from && inner_from + inner_length <= from + length + slack
    };
    within(cover.x, cover.w, inner.x, inner.w) && within(cover.y, cover.h, inner.y, inner.h)
}

#[cfg(test)]
mod tests {
    use facestream_schemas::{ScoreKind, Size};
    use proptest::prelude::*;

    use super::super::fixtures::model;
    use super::super::load;
    use super::*;
    use crate::annotate::Region;
    use crate::decode::{Decode, Limits};

    fn at(x: f32, y: f32, w: f32, h: f32, score: f32) -> Detection {
        Detection { bbox: Bbox { x, y, w, h }, score: Some(score), score_kind: ScoreKind::Prob, landmarks: None, track: None }
    }

    fn split(faces: Vec<Detection>, weak: Vec<Detection>, settings: &Settings) -> (Vec<Detection>, Vec<Bbox>) {
        let mut remembered = Weak::default();
        remembered.remember(0.3);
        remembered.begin();
        remembered.collect(|_, candidates| candidates.extend(weak));
        let kept = remembered.settle(faces, settings);
        (kept, remembered.boxes().to_vec())
    }

    proptest! {
        /// A candidate's box lies within a kept or a remembered one that is 30 % larger: 15 % on each side.
        #[test]
        fn no_candidate_is_left_uncovered_and_weak_ones_change_nothing(
            boxes in prop::collection::vec((prop::array::uniform2(0_u8..60), prop::array::uniform2(1_u8..40), 30_u8..100), 0..30),
            min_face_px in prop::sample::select(vec![0.0_f32, 10.0, 25.0]),
        ) {
            let settings = Settings { input: Size { w: 32, h: 32 }, min_face_px, ..Settings::DEFAULT };
            let all: Vec<_> = boxes
                .into_iter()
                .map(|([x, y], [w, h], score)| at(x.into(), y.into(), w.into(), h.into(), f32::from(score) / 100.0))
                .collect();
            let (faces, weak): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|face| face.score >= Some(0.6));
            let (kept, remembered) = split(faces.clone(), weak, &settings);
            prop_assert_eq!(&kept, &suppress(faces, &settings));
            let shown: Vec<_> = kept.iter().map(|face| face.bbox).chain(remembered).collect();
            for candidate in &all {
                let inner = candidate.bbox;
                let covers = |cover: &Bbox| {
                    let (left, top) = (cover.x - 0.15 * cover.w - 0.01, cover.y - 0.15 * cover.h - 0.01);
                    let (right, bottom) = (left + 1.3 * cover.w + 0.02, top + 1.3 * cover.h + 0.02);
                    left <= inner.x && top <= inner.y && inner.x + inner.w <= right && inner.y + inner.h <= bottom
                };
                prop_assert!(shown.iter().any(covers), "{:?} is shown by none of {:?}", candidate, shown);
            }
        }
    }

    #[test]
    fn a_face_that_is_too_small_for_the_rows_is_remembered() {
        let settings = Settings { input: Size { w: 32, h: 32 }, min_face_px: 20.0, ..Settings::DEFAULT };
        let (kept, remembered) =
            split(vec![at(0.0, 0.0, 10.0, 10.0, 0.9), at(50.0, 0.0, 30.0, 30.0, 0.8)], Vec::new(), &settings);
        assert_eq!(kept.iter().map(|face| face.bbox.x).collect::<Vec<_>>(), [50.0]);
        assert_eq!(remembered, [Bbox { x: 0.0, y: 0.0, w: 10.0, h: 10.0 }]);
    }

    #[test]
    fn a_flood_of_candidates_covers_any_picture() {
        let settings = Settings { input: Size { w: 32, h: 32 }, ..Settings::DEFAULT };
        let flood = (0..5_000).map(|n| at(n as f32, 0.0, 5.0, 5.0, 0.4)).collect();
        let (_, remembered) = split(Vec::new(), flood, &settings);
        let region = Region::of(&remembered[0], Size { w: 60_000, h: 60_000 });
        assert!(region.left < 0.0 && region.top < 0.0 && region.right > 1.0 && region.bottom > 1.0);
    }

    /// On real networks: the same rows whether the weak ones are remembered or not, on a picture that has both kinds.
    #[test]
    fn a_real_detector_gives_the_same_faces_whether_it_remembers_weak_ones_or_not() {
        const NAME: &str = "a_real_detector_gives_the_same_faces_whether_it_remembers_weak_ones_or_not";
        let jpeg = include_bytes!("../../../pipeline/assets/astronaut.jpg");
        for file in ["centerface.onnx", "yunet_n_dynamic.onnx"] {
            let Some(model) = model(NAME, file) else { continue };
            let mut found_weak = 0;
            for (score_threshold, min_face_px) in [(0.6, 0.0), (0.95, 0.0), (0.05, 0.0), (0.3, 1_000.0)] {
                let settings = Settings { score_threshold, min_face_px, ..Settings::DEFAULT };
                let (mut plain, mut remembering) = (load(&model, &settings).unwrap(), load(&model, &settings).unwrap());
                remembering.remember_weak(0.02);
                let mut decode = Decode::new(Limits { max_pixels: 1_000_000 }, plain.input());
                let image = decode.decode(jpeg).unwrap();
                let faces = plain.detect(&image).unwrap();
                assert_eq!(remembering.detect(&image).unwrap(), faces, "{file} {score_threshold} {min_face_px}");
                assert!(plain.weak().is_empty());
                found_weak += remembering.weak().len();
                assert_eq!(remembering.identity(), plain.identity());
                // Nothing of it is left at the next picture.
                let grey = vec![128; 300 * 20 * 3];
                let size = Size { w: 300, h: 20 };
                let before = remembering.weak().to_vec();
                remembering.detect(&crate::decode::Image { pixels: &grey, size, original: size }).unwrap();
                assert!(remembering.weak().iter().all(|weak| !before.contains(weak)), "{:?}", remembering.weak());
            }
            assert!(found_weak > 0, "{file}: the face is below at least one of the thresholds");
        }
    }
}
