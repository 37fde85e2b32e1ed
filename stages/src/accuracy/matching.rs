//! Which face of the truth each found one is, in one picture.
//!
//! In: the faces, and what was found, best first. Out: an outcome for each found one. Invariant: no two are the same face.

use super::{Face, Found, IOU, Outcome, Rect};

/// The rules of `pycocotools` (`COCOeval.evaluateImg`): of two faces that are overlapped alike the later one is taken.
pub(super) fn coco(faces: &[Face], best_first: &[Found]) -> Vec<Outcome> {
    let mut taken = vec![false; faces.len()];
    let outcomes = best_first.iter().map(|found| {
        let free = (0..faces.len()).filter(|&index| !faces[index].ignored && !taken[index]);
        if let Some(index) = fullest(free, |index| overlap(faces[index].rect, found.rect, 0.0)) {
            taken[index] = true;
            return Outcome::Face(index);
        }
        let is_ignored = faces.iter().any(|face| face.ignored && share_within(found.rect, face.rect) >= IOU);
        if is_ignored { Outcome::Ignored } else { Outcome::Wrong }
    });
    outcomes.collect()
}

/// The last of those with the largest overlap, if that is enough.
fn fullest(indices: impl Iterator<Item = usize>, overlap: impl Fn(usize) -> f64) -> Option<usize> {
    let largest = indices.map(|index| (index, overlap(index))).max_by(|a, b| a.1.total_cmp(&b.1));
    largest.filter(|(_, overlap)| *overlap >= IOU).map(|(index, _)| index)
}

/// The rules of WIDER FACE's `eval_tools` (`evaluation.m`): of two faces that are overlapped alike the earlier one is meant.
pub(super) fn wider(faces: &[Face], best_first: &[Found]) -> Vec<Outcome> {
    let mut taken = vec![false; faces.len()];
    let outcomes = best_first.iter().map(|found| {
        let backwards = (0..faces.len()).rev();
        match fullest(backwards, |index| overlap(faces[index].rect, found.rect, 1.0)) {
            Some(index) if faces[index].ignored => Outcome::Ignored,
            Some(index) if !std::mem::replace(&mut taken[index], true) => Outcome::Face(index),
            _ => Outcome::Wrong,
        }
    });
    outcomes.collect()
}

/// Intersection over union of boxes that are each `more` pixels wider and higher.
fn overlap(a: Rect, b: Rect, more: f64) -> f64 {
    let both = common(a, b, more);
    if both == 0.0 { 0.0 } else { both / ((a.w + more) * (a.h + more) + (b.w + more) * (b.h + more) - both) }
}

/// The share of `inner` that is within `outer`.
fn share_within(inner: Rect, outer: Rect) -> f64 {
    let both = common(inner, outer, 0.0);
    if both == 0.0 { 0.0 } else { both / (inner.w * inner.h) }
}

fn common(a: Rect, b: Rect, more: f64) -> f64 {
    let w = (a.x + a.w).min(b.x + b.w) - a.x.max(b.x) + more;
    let h = (a.y + a.h).min(b.y + b.h) - a.y.max(b.y) + more;
    if w > 0.0 && h > 0.0 { w * h } else { 0.0 }
}
