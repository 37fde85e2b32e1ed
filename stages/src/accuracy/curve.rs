//! Precision over recall, and the area under it.
//!
//! In: an [`Evaluation`]. Out: points, best score first, and average precision. Invariant: recall never falls along the points.

use super::{Evaluation, WIDER_THRESHOLDS};

/// What precision and recall are when everything with this score or more is taken for a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The lowest score that is taken.
    pub score: f64,
    /// Share of the faces that were found.
    pub recall: f64,
    /// Share of the found that are faces.
    pub precision: f64,
}

impl Evaluation {
    /// A point for each found face that counts; none where there is no face to be found.
    #[must_use]
    pub fn curve(&self) -> Vec<Point> {
        let faces = self.faces.len() as f64;
        let mut right = 0.0;
        let points = self.verdicts.iter().zip(1_u32..).map(|(&(score, is_face), taken)| {
            right += f64::from(u8::from(is_face));
            Point { score, recall: right / faces, precision: right / f64::from(taken) }
        });
        if self.faces.is_empty() { Vec::new() } else { points.collect() }
    }

    /// Average precision over all points; `None` where there is no face to be found.
    #[must_use]
    pub fn average_precision(&self) -> Option<f64> {
        (!self.faces.is_empty()).then(|| average_precision(&self.curve()))
    }

    /// Average precision as WIDER FACE's `eval_tools` have it: all scores are stretched to reach from 0 to 1, and the curve is looked at
    /// at [`WIDER_THRESHOLDS`] of them. `None` where there is no face to be found.
    #[must_use]
    pub fn average_precision_at_thresholds(&self) -> Option<f64> {
        let curve = self.curve();
        let (low, high) = self.range.unwrap_or_default();
        // Where all scores are the same, every threshold takes all.
        let stretched = |score: f64| if high > low { (score - low) / (high - low) } else { 1.0 };
        let at = |threshold: f64| {
            curve.partition_point(|point| stretched(point.score) >= threshold).checked_sub(1).map(|last| curve[last])
        };
        let thresholds = (1..=WIDER_THRESHOLDS).map(|n| 1.0 - f64::from(n) / f64::from(WIDER_THRESHOLDS));
        let points: Vec<_> = thresholds.filter_map(at).collect();
        (!self.faces.is_empty()).then(|| average_precision(&points))
    }
}

/// The area under the points, precision at a recall being the best at that recall or any higher one (PASCAL VOC 2010 and later).
#[must_use]
pub fn average_precision(points: &[Point]) -> f64 {
    let (mut area, mut best, mut to) = (0.0, 0.0_f64, None);
    for point in points.iter().rev() {
        area += best * (to.unwrap_or(point.recall) - point.recall);
        best = best.max(point.precision);
        to = Some(point.recall);
    }
    area + best * to.unwrap_or(0.0)
}
