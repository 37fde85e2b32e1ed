//! How well found faces fit a truth: which face each of them is, precision and recall, average precision.
//!
//! In: for each picture the faces that are in it and those that were found. Out: an [`Evaluation`]. Invariant: a face is found once at
//! most, by the surest that fits it; nothing depends on the order in which a picture's faces were found, equal scores aside.

mod curve;
mod matching;

use facestream_schemas::Bbox;

pub use curve::{Point, average_precision};

/// A box counts as a face from this overlap on, intersection over union, in either protocol.
pub const IOU: f64 = 0.5;
/// The thresholds at which WIDER FACE's `eval_tools` look: a thousand, from 0.999 down to 0, of scores that reach from 0 to 1.
pub const WIDER_THRESHOLDS: u32 = 1000;

/// A box in pixels of the picture, as exact as the truth was written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl From<Bbox> for Rect {
    fn from(Bbox { x, y, w, h }: Bbox) -> Self {
        Self { x: x.into(), y: y.into(), w: w.into(), h: h.into() }
    }
}

/// A face that is in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// Where it is.
    pub rect: Rect,
    /// Whether to find it counts neither way. With [`Protocol::Coco`] it is a region that any number of boxes may lie in.
    pub ignored: bool,
}

/// A face that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Where.
    pub rect: Rect,
    /// How sure the detector is: any finite number, larger is surer.
    pub score: f64,
}

/// By which rules boxes are matched to faces, best score first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// As `pycocotools` does for one category, without a limit on boxes and sizes: a box takes the face that it overlaps most among
    /// those that no better one took; what takes none may lie in an ignored region, by the share of the box that is within it.
    Coco,
    /// As WIDER FACE's `eval_tools` do: a box is about the face that it overlaps most, taken or not, and a second one about the same
    /// face is wrong; boxes are one pixel wider and higher than they say; a picture without any face is left out.
    Wider,
}

/// What a found face is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// This face of the truth.
    Face(usize),
    /// None, or one that was found before.
    Wrong,
    /// Nothing that counts.
    Ignored,
}

/// What came of all pictures together.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// What counts of all that was found, best first, equal scores in the order of the pictures: score, and whether it is a face.
    verdicts: Vec<(f64, bool)>,
    /// Each face that is to be found: its height in pixels, and the score with which it was found.
    faces: Vec<(f64, Option<f64>)>,
    /// Lowest and highest of all scores.
    range: Option<(f64, f64)>,
}

/// Precision and recall from one score on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Faces that are to be found.
    pub faces: usize,
    /// Those that were.
    pub found: usize,
    /// What was found and is no face, or one that had been found.
    pub wrong: usize,
}

impl Counts {
    /// Share of the found that are faces; `None` where nothing was found.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.found, self.found + self.wrong)
    }

    /// Share of the faces that were found; `None` where there are none.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        ratio(self.found, self.faces)
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Evaluation {
    /// Matches what was found to the faces, picture by picture.
    pub fn of<'a>(protocol: Protocol, pictures: impl IntoIterator<Item = (&'a [Face], &'a [Found])>) -> Self {
        let mut evaluation = Self::default();
        for (faces, found) in pictures {
            evaluation.add(protocol, faces, found);
        }
        // Stable: equal scores stay in the order of the pictures, as in pycocotools.
        evaluation.verdicts.sort_by(|a, b| b.0.total_cmp(&a.0));
        evaluation
    }

    fn add(&mut self, protocol: Protocol, faces: &[Face], found: &[Found]) {
        for Found { score, .. } in found {
            let (low, high) = self.range.unwrap_or((*score, *score));
            self.range = Some((low.min(*score), high.max(*score)));
        }
        let mut best_first = found.to_vec();
        best_first.sort_by(|a, b| b.score.total_cmp(&a.score));
        let outcomes = match protocol {
            Protocol::Coco => matching::coco(faces, &best_first),
            Protocol::Wider if faces.is_empty() => return,
            Protocol::Wider => matching::wider(faces, &best_first),
        };
        let mut found_with = vec![None; faces.len()];
        for (outcome, Found { score, .. }) in outcomes.into_iter().zip(best_first) {
            if let Outcome::Face(index) = outcome {
                found_with[index] = Some(score);
            }
            if outcome != Outcome::Ignored {
                self.verdicts.push((score, matches!(outcome, Outcome::Face(_))));
            }
        }
        let counted = faces.iter().zip(found_with).filter(|(face, _)| !face.ignored);
        self.faces.extend(counted.map(|(face, score)| (face.rect.h, score)));
    }

    /// What was found with `least_score` or more. Matching goes by score, so that weaker ones have no part in it.
    #[must_use]
    pub fn at(&self, least_score: f64) -> Counts {
        let taken = self.verdicts.iter().take_while(|(score, _)| *score >= least_score);
        let (found, wrong) =
            taken.fold((0, 0), |(found, wrong), (_, right)| if *right { (found + 1, wrong) } else { (found, wrong + 1) });
        Counts { faces: self.faces.len(), found, wrong }
    }

    /// Of the faces that are at least `from` and less than `below` pixels high, those found with `least_score` or more.
    #[must_use]
    pub fn of_height(&self, from: f64, below: f64, least_score: f64) -> Counts {
        let of_height = self.faces.iter().filter(|(height, _)| (from..below).contains(height));
        let found = of_height.clone().filter(|(_, score)| score.is_some_and(|score| score >= least_score)).count();
        Counts { faces: of_height.count(), found, wrong: 0 }
    }
}

#[cfg(test)]
mod tests;
