//! From many overlapping faces to few.
//!
//! In: faces above the score threshold, in original pixels. Out: detections, best first. Invariant: no two of them overlap by
//! more than `nms_iou`, and every face that is missing overlaps a better one by more, or is too small.

use facestream_schemas::{Bbox, Detection, ScoreKind, Size};

use super::{DetectError, Settings};
use crate::preprocess::Scale;

/// Only this many of the best faces are looked at, as in `OpenCV`: suppression is quadratic.
const MAX_CANDIDATES: usize = 5000;

/// A network that sees a face further away than this, in pixels of a tensor whose sides are 4,096 at most, sees none.
const FURTHEST_PX: f32 = 1e6;

/// A face in the tensor's pixels, in original pixels. An error where the network gave NaN, infinity or numbers beyond all sense.
pub(super) fn face(bbox: Bbox, score: f32, landmarks: Option<[f32; 10]>, scale: Scale) -> Result<Detection, DetectError> {
    let numbers = [bbox.x, bbox.y, bbox.w, bbox.h, score];
    let mut all = numbers.into_iter().chain(landmarks.into_iter().flatten());
    // Not the other way round: nothing is less than NaN, either.
    if let Some(number) = all.find(|number| number.is_nan() || number.abs() > FURTHEST_PX) {
        return Err(DetectError::Output(format!("a face has the coordinate or score {number}")));
    }
    let (bbox, landmarks) = (scale.bbox(bbox), landmarks.map(|landmarks| scale.landmarks(landmarks)));
    Ok(Detection { bbox, score: Some(score), score_kind: ScoreKind::Prob, landmarks, track: None })
}

/// Those of which the picture shows something.
pub(super) fn within(mut faces: Vec<Detection>, picture: Size) -> Vec<Detection> {
    faces.retain(|Detection { bbox: Bbox { x, y, w, h }, .. }| {
        let shows = |at: f32, length: f32, side: u32| length > 0.0 && at < side as f32 && at + length > 0.0;
        shows(*x, *w, picture.w) && shows(*y, *h, picture.h)
    });
    faces
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

    use super::*;

    const ORIGINAL: Scale = Scale { x: 1.0, y: 1.0 };

    fn settings(nms_iou: f32, min_face_px: f32) -> Settings {
        Settings { input: Size { w: 32, h: 32 }, score_threshold: 0.0, nms_iou, min_face_px, ..Settings::DEFAULT }
    }

    fn at(x: f32, y: f32, w: f32, h: f32, score: f32) -> Detection {
        face(Bbox { x, y, w, h }, score, None, ORIGINAL).unwrap()
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
        assert!(face(good, 0.5, Some(marks), ORIGINAL).is_err());
        assert!(face(good, 0.5, Some([1e30; 10]), ORIGINAL).is_err());
        assert!(face(good, f32::NAN, None, ORIGINAL).is_err());
        assert!(face(Bbox { w: f32::INFINITY, ..good }, 0.5, None, ORIGINAL).is_err());
        let error = face(Bbox { x: -1e30, ..good }, 0.5, None, ORIGINAL).unwrap_err();
        assert!(error.to_string().contains("-1000000000000000"), "{error}");
        // What is left stays finite, whatever the picture's size.
        let vast = Scale { x: u32::MAX as f32, y: u32::MAX as f32 };
        let far = face(Bbox { x: 1e6, y: -1e6, w: 1e6, h: 1e6 }, 0.5, Some([1e6; 10]), vast).unwrap();
        assert!([far.bbox.x, far.bbox.y, far.bbox.w, far.landmarks.unwrap()[9]].iter().all(|number| number.is_finite()));
    }

    #[test]
    fn what_the_picture_does_not_show_is_no_face() {
        let picture = Size { w: 100, h: 50 };
        let shown = [(-9.0, 0.0, 10.0, 10.0), (99.0, 49.0, 10.0, 10.0), (-50.0, -50.0, 500.0, 500.0), (0.0, 0.0, 100.0, 50.0)];
        let hidden = [
            (-10.0, 0.0, 10.0, 10.0),
            (100.0, 0.0, 10.0, 10.0),
            (0.0, -10.0, 10.0, 10.0),
            (0.0, 50.0, 10.0, 10.0),
            (10.0, 10.0, 0.0, 10.0),
            (10.0, 10.0, 10.0, 0.0),
            (30.0, 30.0, -20.0, -20.0),
        ];
        let all = shown.into_iter().chain(hidden).map(|(x, y, w, h)| at(x, y, w, h, 0.9)).collect();
        let kept: Vec<_> = within(all, picture).iter().map(|face| (face.bbox.x, face.bbox.y, face.bbox.w, face.bbox.h)).collect();
        assert_eq!(kept, shown);
    }
}
