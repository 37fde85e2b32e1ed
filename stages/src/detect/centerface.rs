//! `CenterFace`: a face detector that finds face centres on one grid of 4 pixels.
//!
//! In: an image. Out: faces with five landmarks. Invariant: decodes the network's outputs as its authors do
//! (`https://github.com/Star-Clouds/CenterFace`), save that boxes are not clipped to the image.

use std::path::Path;

use facestream_schemas::{Bbox, Detection, DetectorIdentity, Size};

use super::nms::{face, within};
use super::runtime::{Network, Opened, values};
use super::weak::Weak;
use super::{DetectError, Detector, ModelError, Settings};
use crate::decode::Image;
use crate::preprocess::{Levels, Planes, Scale};

const STRIDE: usize = 4;
/// The outputs in order: heat map, box height and width, offset of the centre down and right, landmarks as pairs of y and x.
const CHANNELS: [usize; 4] = [1, 2, 2, 10];

/// `CenterFace` in ONNX Runtime.
pub struct CenterFace {
    network: Network,
    identity: DetectorIdentity,
    settings: Settings,
    weak: Weak,
}

impl CenterFace {
    /// Loads a `CenterFace` model whose shapes have been made open.
    pub fn load(model: &Path, settings: &Settings) -> Result<Self, ModelError> {
        let opened = Opened::open(model, settings)?;
        if !is_centerface(&opened) {
            return Err(opened.not_a("CenterFace model"));
        }
        Self::from_opened(opened, settings)
    }

    pub(super) fn from_opened(opened: Opened, settings: &Settings) -> Result<Self, ModelError> {
        let (network, identity) = opened.into_network("centerface", (Planes::Rgb, Levels::RAW), settings)?;
        Ok(Self { network, identity, settings: *settings, weak: Weak::default() })
    }
}

impl Detector for CenterFace {
    fn identity(&self) -> &DetectorIdentity {
        &self.identity
    }

    fn input(&self) -> Size {
        self.network.input()
    }

    fn detect(&mut self, image: &Image<'_>) -> Result<Vec<Detection>, DetectError> {
        let scale = self.network.prepare(image);
        let input = self.network.input();
        let columns = input.w as usize / STRIDE;
        let cells = columns * (input.h as usize / STRIDE);
        let outputs = self.network.infer()?;
        let output = |kind: usize| values(&outputs, kind, cells * CHANNELS[kind]);
        let (heat, size, offset, landmarks) = (output(0)?, output(1)?, output(2)?, output(3)?);
        let mut faces = Vec::new();
        let grid = Grid { columns, cells, heat, size, offset, landmarks, scale };
        grid.collect(self.settings.score_threshold, &mut faces)?;
        self.weak.begin();
        self.weak.collect(|least, weak| grid.collect_weak(least, self.settings.score_threshold, weak));
        Ok(within(self.weak.settle(faces, &self.settings), image.original))
    }

    fn remember_weak(&mut self, least_score: f32) {
        self.weak.remember(least_score);
    }

    fn weak(&self) -> &[Bbox] {
        self.weak.boxes()
    }
}

/// Whether the outputs are those of `CenterFace`: four maps with 1, 2, 2 and 10 channels. Their names mean nothing.
pub(super) fn is_centerface(opened: &Opened) -> bool {
    let channels = |index: usize| opened.output_shape(index).filter(|shape| shape.len() == 4).map(|shape| shape[1]);
    opened.output_names().count() == CHANNELS.len()
        && CHANNELS.iter().enumerate().all(|(index, expected)| channels(index) == Some(*expected as i64))
}

/// What the network says, one plane of `cells` values per channel.
struct Grid<'a> {
    columns: usize,
    cells: usize,
    heat: &'a [f32],
    size: &'a [f32],
    offset: &'a [f32],
    landmarks: &'a [f32],
    scale: Scale,
}

impl Grid<'_> {
    fn collect(&self, threshold: f32, faces: &mut Vec<Detection>) -> Result<(), DetectError> {
        for (cell, score) in self.heat.iter().enumerate() {
            if score.is_nan() {
                return Err(DetectError::Output(format!("the score of cell {cell} is NaN")));
            }
            if *score >= threshold {
                faces.push(self.face(cell, score.clamp(0.0, 1.0))?);
            }
        }
        Ok(())
    }

    /// Faces from `least` to below `threshold`. A cell whose numbers make no sense is no face here, and no error.
    fn collect_weak(&self, least: f32, threshold: f32, weak: &mut Vec<Detection>) {
        for (cell, score) in self.heat.iter().enumerate().filter(|(_, score)| **score >= least && **score < threshold) {
            weak.extend(self.face(cell, score.clamp(0.0, 1.0)));
        }
    }

    fn face(&self, cell: usize, score: f32) -> Result<Detection, DetectError> {
        let at = |map: &[f32], channel: usize| map[channel * self.cells + cell];
        let stride = STRIDE as f32;
        let (column, row) = ((cell % self.columns) as f32, (cell / self.columns) as f32);
        let (h, w) = (at(self.size, 0).exp() * stride, at(self.size, 1).exp() * stride);
        let x = (column + at(self.offset, 1) + 0.5) * stride - w / 2.0;
        let y = (row + at(self.offset, 0) + 0.5) * stride - h / 2.0;
        let landmarks = std::array::from_fn(|i| {
            // The network gives y before x, as fractions of the box.
            if i % 2 == 0 { x + at(self.landmarks, i + 1) * w } else { y + at(self.landmarks, i - 1) * h }
        });
        face(Bbox { x, y, w, h }, score, Some(landmarks), self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{assert_finds_the_astronaut, model};
    use super::super::{YuNet, load};
    use super::*;

    const SETTINGS: Settings = Settings::DEFAULT;

    #[test]
    fn a_grid_decodes_as_the_formula_says() {
        // Three columns, two rows; only cell 5, at column 2 and row 1, holds a face.
        let (mut heat, mut size, mut offset, mut landmarks) = ([0.2; 6], [9.0; 12], [9.0; 12], [9.0; 60]);
        heat[5] = 0.75;
        (size[5], size[11]) = (5.0_f32.ln(), 3.0_f32.ln());
        (offset[5], offset[11]) = (0.5, -0.25);
        // Channel 2i is landmark i's y, 2i + 1 its x, as fractions of the box.
        (0..10).for_each(|channel| landmarks[channel * 6 + 5] = channel as f32 / 10.0);
        let scale = Scale { x: 10.0, y: 100.0 };
        let grid = Grid { columns: 3, cells: 6, heat: &heat, size: &size, offset: &offset, landmarks: &landmarks, scale };
        let mut faces = Vec::new();
        grid.collect(0.6, &mut faces).unwrap();
        let [face] = faces.as_slice() else { panic!("{faces:?}") };
        // Centre (2 - 0.25 + 0.5, 1 + 0.5 + 0.5) x 4 = (9, 8), size 12 x 20.
        assert!(face.bbox.iou(&Bbox { x: 30.0, y: -200.0, w: 120.0, h: 2000.0 }) > 0.9999, "{:?}", face.bbox);
        assert_eq!(face.score, Some(0.75));
        let near = |found: f32, expected: f32| (found - expected).abs() < 0.01;
        let marks = face.landmarks.unwrap();
        assert!(near(marks[0], (3.0 + 0.1 * 12.0) * 10.0) && near(marks[1], (-2.0 + 0.0 * 20.0) * 100.0), "{marks:?}");
        assert!(near(marks[8], (3.0 + 0.9 * 12.0) * 10.0) && near(marks[9], (-2.0 + 0.8 * 20.0) * 100.0), "{marks:?}");
    }

    #[test]
    fn an_invalid_score_is_an_error() {
        let grid = |heat: &[f32; 1]| {
            let scale = Scale { x: 1.0, y: 1.0 };
            let (size, offset, landmarks) = (&[0.0; 2], &[0.0; 2], &[0.0; 10]);
            Grid { columns: 1, cells: 1, heat, size, offset, landmarks, scale }.collect(0.5, &mut Vec::new())
        };
        assert!(grid(&[0.9]).is_ok());
        assert!(grid(&[f32::NAN]).is_err());
    }

    #[test]
    fn centerface_finds_the_astronaut() {
        let Some(model) = model("centerface_finds_the_astronaut", "centerface.onnx") else { return };
        let mut centerface = CenterFace::load(&model, &SETTINGS).unwrap();
        assert_eq!(centerface.identity().detector_id, "centerface");
        assert_finds_the_astronaut(&mut centerface);
    }

    #[test]
    fn a_model_is_known_by_its_outputs() {
        let Some(model) = model("a_model_is_known_by_its_outputs", "centerface.onnx") else { return };
        assert_eq!(load(&model, &SETTINGS).unwrap().identity().detector_id, "centerface");
        let error = YuNet::load(&model, &SETTINGS).err().unwrap().to_string();
        assert!(error.contains("is no YuNet model") && error.contains("537"), "{error}");
    }
}
