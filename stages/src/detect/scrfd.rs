//! `SCRFD`: `InsightFace`'s face detector, with two anchors in each cell of grids of 8, 16 and 32 pixels.
//!
//! In: an image. Out: faces, with five landmarks where the network has them. Invariant: decodes the network's outputs as its authors do
//! (`https://github.com/deepinsight/insightface`, `detection/scrfd/tools/scrfd.py`): a box is given by its sides' distances from the
//! cell's corner, in strides.

use std::path::Path;

use facestream_schemas::{Bbox, Detection, DetectorIdentity, Size};

use super::nms::{face, within};
use super::runtime::{Network, Opened, values};
use super::weak::Weak;
use super::{DetectError, Detector, ModelError, Settings};
use crate::decode::Image;
use crate::preprocess::{Levels, Planes, Scale};

const STRIDES: [usize; 3] = [8, 16, 32];
/// Faces that each cell may have.
const ANCHORS: usize = 2;
/// Score, distances of the box's sides, landmarks: values per anchor beside, each for every stride. The last are not always there.
const OUTPUTS: [(&str, usize); 3] = [("score", 1), ("bbox", 4), ("kps", 10)];
/// `(value - 127.5) / 128`.
const LEVELS: Levels = Levels { mean: 127.5, divisor: 128.0 };

/// `SCRFD` in ONNX Runtime.
pub struct Scrfd {
    network: Network,
    order: Order,
    identity: DetectorIdentity,
    settings: Settings,
    weak: Weak,
}

impl Scrfd {
    /// Loads an `SCRFD` model with open shapes, or one whose fixed shape is `settings.input`.
    pub fn load(model: &Path, settings: &Settings) -> Result<Self, ModelError> {
        Self::from_opened(Opened::open(model, settings)?, settings)
    }

    pub(super) fn from_opened(opened: Opened, settings: &Settings) -> Result<Self, ModelError> {
        let order = Order::of(&opened).ok_or_else(|| opened.not_a("SCRFD model"))?;
        let (network, identity) = opened.into_network("scrfd", (Planes::Rgb, LEVELS), settings)?;
        Ok(Self { network, order, identity, settings: *settings, weak: Weak::default() })
    }
}

impl Detector for Scrfd {
    fn identity(&self) -> &DetectorIdentity {
        &self.identity
    }

    fn input(&self) -> Size {
        self.network.input()
    }

    fn detect(&mut self, image: &Image<'_>) -> Result<Vec<Detection>, DetectError> {
        let scale = self.network.prepare(image);
        let input = self.network.input();
        let outputs = self.network.infer()?;
        let mut faces = Vec::new();
        self.weak.begin();
        for (index, stride) in STRIDES.into_iter().enumerate() {
            let columns = input.w as usize / stride;
            let anchors = columns * (input.h as usize / stride) * ANCHORS;
            let output = |kind: usize| values(&outputs, self.order.0[kind][index], anchors * OUTPUTS[kind].1);
            let (scores, bbox) = (output(0)?, output(1)?);
            let kps = if self.order.has_landmarks() { Some(output(2)?) } else { None };
            let grid = Grid { stride: stride as f32, columns, scores, bbox, kps, scale };
            grid.collect(self.settings.score_threshold, &mut faces)?;
            self.weak.collect(|least, weak| grid.collect_weak(least, self.settings.score_threshold, weak));
        }
        Ok(within(self.weak.settle(faces, &self.settings), image.original))
    }

    fn remember_weak(&mut self, least_score: f32) {
        self.weak.remember(least_score);
    }

    fn weak(&self) -> &[Bbox] {
        self.weak.boxes()
    }
}

/// Whether the outputs are those of `SCRFD`.
pub(super) fn is_scrfd(opened: &Opened) -> bool {
    Order::of(opened).is_some()
}

/// Which output is which: its index, by kind and stride. Two or three kinds.
struct Order(Vec<[usize; STRIDES.len()]>);

impl Order {
    /// By their names where they have those that `InsightFace`'s export gives (`score_8` … `kps_32`), in whatever order; else all scores
    /// come first, then boxes, then landmarks, which is what published files hold.
    fn of(opened: &Opened) -> Option<Self> {
        let names: Vec<&str> = opened.output_names().collect();
        let kinds = names.len() / STRIDES.len();
        if !names.len().is_multiple_of(STRIDES.len()) || !matches!(kinds, 2 | 3) {
            return None;
        }
        let place_of = |kind: &str, stride: usize| names.iter().position(|name| *name == format!("{kind}_{stride}"));
        let is_named = OUTPUTS[..kinds].iter().all(|(kind, _)| STRIDES.iter().all(|stride| place_of(kind, *stride).is_some()));
        let index = |kind: usize, place: usize| match place_of(OUTPUTS[kind].0, STRIDES[place]) {
            Some(index) if is_named => index,
            _ => kind * STRIDES.len() + place,
        };
        let order = Self((0..kinds).map(|kind| std::array::from_fn(|place| index(kind, place))).collect());
        let fits = |index: usize, len: usize| {
            opened.output_ends_in(index, len) && opened.output_shape(index).is_some_and(|shape| matches!(shape.len(), 2 | 3))
        };
        let all_fit = order.0.iter().zip(OUTPUTS).all(|(places, (_, len))| places.iter().all(|index| fits(*index, len)));
        all_fit.then_some(order)
    }

    fn has_landmarks(&self) -> bool {
        self.0.len() == OUTPUTS.len()
    }
}

/// What the network says about one grid: [`ANCHORS`] in each cell, one after the other.
struct Grid<'a> {
    stride: f32,
    columns: usize,
    scores: &'a [f32],
    bbox: &'a [f32],
    kps: Option<&'a [f32]>,
    scale: Scale,
}

impl Grid<'_> {
    fn collect(&self, threshold: f32, faces: &mut Vec<Detection>) -> Result<(), DetectError> {
        for (anchor, score) in self.scores.iter().enumerate() {
            if score.is_nan() {
                let text = format!("the score of anchor {anchor} on the {}-pixel grid is NaN", self.stride);
                return Err(DetectError::Output(text));
            }
            if *score >= threshold {
                faces.push(self.face(anchor, score.clamp(0.0, 1.0))?);
            }
        }
        Ok(())
    }

    /// Faces from `least` to below `threshold`. An anchor whose numbers make no sense is no face here, and no error.
    fn collect_weak(&self, least: f32, threshold: f32, weak: &mut Vec<Detection>) {
        for (anchor, score) in self.scores.iter().enumerate().filter(|(_, score)| **score >= least && **score < threshold) {
            weak.extend(self.face(anchor, score.clamp(0.0, 1.0)));
        }
    }

    fn face(&self, anchor: usize, score: f32) -> Result<Detection, DetectError> {
        let cell = anchor / ANCHORS;
        let corner = [(cell % self.columns) as f32 * self.stride, (cell / self.columns) as f32 * self.stride];
        let [left, top, right, bottom] = std::array::from_fn(|i| self.bbox[anchor * 4 + i] * self.stride);
        let bbox = Bbox { x: corner[0] - left, y: corner[1] - top, w: left + right, h: top + bottom };
        let landmarks = self.kps.map(|kps| std::array::from_fn(|i| corner[i % 2] + kps[anchor * 10 + i] * self.stride));
        face(bbox, score, landmarks, self.scale)
    }
}

#[cfg(test)]
mod tests;
