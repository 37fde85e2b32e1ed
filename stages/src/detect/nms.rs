//! From many overlapping faces to few.
//!
//! In: faces above the score threshold, in original pixels. Out: detections, best first. Invariant: no two of them overlap by
//! more than `nms_iou`, and every face that is missing overlaps a better one by more, or is too small.

use facestream_schemas::{Bbox, Detection, ScoreKind};

use super::{DetectError, Settings};
use crate::preprocess::Scale;

/// Only this many of the best faces are looked at, as in `OpenCV`: suppression is quadratic.
const MAX_CANDIDATES: usize = 5000;

/// A face in the tensor's pixels, in original pixels. An error where the network gave NaN or infinity.
pub(super) fn face(bbox: Bbox, score: f32, landmarks: [f32; 10], scale: Scale) -> Result<Detection, DetectError> {
    let bbox = scale.bbox(bbox);
    let landmarks = scale.landmarks(landmarks);
    let numbers = [bbox.x, bbox.y, bbox.w, bbox.h, score];
    if let Some(number) = numbers.iter().chain(&landmarks).find(|number| !number.is_finite()) {
        return Err(DetectError::Output(format!("a face has the coordinate or score {number}")));
    }
    Ok(Detection { bbox, score: Some(score), score_kind: ScoreKind::Prob, landmarks: Some(landmarks), track: None })
}

/// Greedy suppression by score, then the size filter.
pub(super) fn suppress(mut candidates: Vec<Detection>, settings: &Settings) -> Vec<Detection> {
    // Equal scores keep the order of the network's grid: the same picture gives the same rows.
    candidates.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    candidates.truncate(MAX_CANDIDATES);
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|better| better.bbox.iou(&candidate.bbox) <= settings.nms_iou) {
            kept.push(candidate);
        }
    }
    kept.retain(|face| face.bbox.w.min(face.bbox.h) >= settings.min_face_px);
    kept
}

#[cfg(test)]
mod tests {
    use facestream_schemas::Size;
    use proptest::prelude::*;

    use super::super::HaarSettings;
    use super::*;

    const ORIGINAL: Scale = Scale { x: 1.0, y: 1.0 };

    fn settings(nms_iou: f32, min_face_px: f32) -> Settings {
        Settings { input: Size { w: 32, h: 32 }, score_threshold: 0.0, nms_iou, min_face_px, haar: HaarSettings::DEFAULT }
    }

    fn at(x: f32, y: f32, w: f32, h: f32, score: f32) -> Detection {
        face(Bbox { x, y, w, h }, score, [0.0; 10], ORIGINAL).unwrap()
    }

    /// Overlap by counting whole pixels.
    fn counted_iou(a: [u32; 4], b: [u32; 4]) -> f32 {
        let within = |[x, y, w, h]: [u32; 4], column: u32, row: u32| (x..x + w).contains(&column) && (y..y + h).contains(&row);
        let (mut both, mut either) = (0_u32, 0_u32);
        for (column, row) in (0..24).flat_map(|column| (0..24).map(move |row| (column, row))) {
            both += u32::from(within(a, column, row) && within(b, column, row));
            either += u32::from(within(a, column, row) || within(b, column, row));
        }
        both as f32 / either as f32
    }

    /// The textbook's way: take the best, drop all that overlap it, repeat.
    fn textbook(mut faces: Vec<([u32; 4], u32)>, nms_iou: f32) -> Vec<([u32; 4], u32)> {
        let mut kept = Vec::new();
        while let Some(best) = faces.iter().copied().max_by_key(|(_, score)| *score) {
            kept.push(best);
            faces.retain(|(bbox, _)| *bbox != best.0 && counted_iou(best.0, *bbox) <= nms_iou);
        }
        kept
    }

    proptest! {
        #[test]
        fn suppression_agrees_with_the_textbook(
            boxes in prop::collection::vec([0_u32..12, 0_u32..12, 1_u32..12, 1_u32..12], 0..25),
            nms_iou in prop::sample::select(vec![0.0_f32, 0.3, 0.5, 0.99]),
        ) {
            let scored: Vec<([u32; 4], u32)> = boxes.iter().enumerate().map(|(i, bbox)| (*bbox, (i as u32 * 37) % 101)).collect();
            let faces = scored
                .iter()
                .map(|([x, y, w, h], score)| at(*x as f32, *y as f32, *w as f32, *h as f32, *score as f32 / 128.0))
                .collect();
            let found: Vec<_> = suppress(faces, &settings(nms_iou, 0.0)).into_iter().map(|face| (face.bbox, face.score)).collect();
            let expected: Vec<_> = textbook(scored, nms_iou)
                .into_iter()
                .map(|([x, y, w, h], score)| (Bbox { x: x as f32, y: y as f32, w: w as f32, h: h as f32 }, Some(score as f32 / 128.0)))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn faces_below_the_least_size_go_by_their_shorter_side() {
        let faces = vec![at(0.0, 0.0, 40.0, 9.9, 0.9), at(100.0, 0.0, 10.0, 10.0, 0.8), at(200.0, 0.0, 9.0, 30.0, 0.7)];
        let kept = suppress(faces, &settings(0.3, 10.0));
        assert_eq!(kept.iter().map(|face| face.bbox.x).collect::<Vec<_>>(), [100.0]);
    }

    #[test]
    fn a_flood_of_faces_is_cut_to_the_best() {
        let faces = (0..20_000).map(|i| at(i as f32 * 10.0, 0.0, 5.0, 5.0, i as f32 / 20_000.0)).collect();
        let kept = suppress(faces, &settings(0.3, 0.0));
        assert_eq!(kept.len(), 5000);
        assert!(kept.iter().all(|face| face.score >= Some(0.75)));
    }

    #[test]
    fn numbers_that_are_none_are_errors() {
        let good = Bbox { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };
        let mut marks = [0.0; 10];
        marks[7] = f32::NEG_INFINITY;
        assert!(face(good, 0.5, marks, ORIGINAL).is_err());
        assert!(face(good, f32::NAN, [0.0; 10], ORIGINAL).is_err());
        assert!(face(Bbox { w: f32::INFINITY, ..good }, 0.5, [0.0; 10], ORIGINAL).is_err());
        // Finite in the tensor, infinite in the original.
        let error = face(Bbox { w: f32::MAX, ..good }, 0.5, [0.0; 10], Scale { x: 3.0, y: 3.0 }).unwrap_err();
        assert!(error.to_string().contains("inf"), "{error}");
    }
}
