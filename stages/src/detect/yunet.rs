//! `YuNet`: a small face detector without anchors, on grids of 8, 16 and 32 pixels.
//!
//! In: an image. Out: faces with five landmarks. Invariant: decodes the network's outputs as `OpenCV`'s `FaceDetectorYN` does
//! (`modules/objdetect/src/face_detect.cpp`), which is the published use of these weights.

use std::path::Path;

use facestream_schemas::{Bbox, Detection, DetectorIdentity, Size};

use super::nms::{face, within};
use super::runtime::{Network, Opened, values};
use super::weak::Weak;
use super::{DetectError, Detector, ModelError, Settings};
use crate::decode::Image;
use crate::preprocess::{Levels, Planes, Scale};

const STRIDES: [usize; 3] = [8, 16, 32];
/// The outputs in order: class score, objectness, box and landmarks, each for every stride. Values per grid cell beside.
const OUTPUTS: [(&str, usize); 4] = [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)];

/// Published weights by SHA-256: the graph does not say which variant it is. (The third is `OpenCV` zoo's, whose 232,589 bytes have
/// room for the smaller variant's 54,608 numbers only.)
const VARIANTS: [(&str, &str); 4] = [
    ("104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12", "yunet_n"),
    ("25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31", "yunet_n"),
    ("8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4", "yunet_s"),
    ("daede24002cc8590f457998cc5e6c9e8b82f45f6bd969506a8913cd4ed10a2d3", "yunet_s"),
];

/// `YuNet` in ONNX Runtime.
pub struct YuNet {
    network: Network,
    identity: DetectorIdentity,
    settings: Settings,
    weak: Weak,
}

impl YuNet {
    /// Loads a `YuNet` model with open shapes, or one whose fixed shape is `settings.input`.
    pub fn load(model: &Path, settings: &Settings) -> Result<Self, ModelError> {
        let opened = Opened::open(model, settings)?;
        if !is_yunet(&opened) {
            return Err(opened.not_a("YuNet model"));
        }
        Self::from_opened(opened, settings)
    }

    pub(super) fn from_opened(opened: Opened, settings: &Settings) -> Result<Self, ModelError> {
        let variant = VARIANTS.iter().find(|(sha256, _)| *sha256 == opened.sha256()).map_or("yunet", |(_, name)| name);
        let (network, identity) = opened.into_network(variant, (Planes::Bgr, Levels::RAW), settings)?;
        Ok(Self { network, identity, settings: *settings, weak: Weak::default() })
    }

    /// First half of [`Detector::detect`]: fits the image into the input tensor.
    pub fn prepare(&mut self, image: &Image<'_>) -> Scale {
        self.network.prepare(image)
    }

    /// Second half of [`Detector::detect`]: the faces in the input tensor, those included that lie outside the picture.
    pub fn infer(&mut self, scale: Scale) -> Result<Vec<Detection>, DetectError> {
        let input = self.network.input();
        let outputs = self.network.infer()?;
        let mut faces = Vec::new();
        self.weak.begin();
        for (index, stride) in STRIDES.into_iter().enumerate() {
            let columns = input.w as usize / stride;
            let cells = columns * (input.h as usize / stride);
            let output = |kind: usize| values(&outputs, kind * STRIDES.len() + index, cells * OUTPUTS[kind].1);
            let (cls, obj, bbox, kps) = (output(0)?, output(1)?, output(2)?, output(3)?);
            let grid = Grid { stride: stride as f32, columns, cls, obj, bbox, kps, scale };
            grid.collect(self.settings.score_threshold, &mut faces)?;
            self.weak.collect(|least, weak| grid.collect_weak(least, self.settings.score_threshold, weak));
        }
        Ok(self.weak.settle(faces, &self.settings))
    }
}

impl Detector for YuNet {
    fn identity(&self) -> &DetectorIdentity {
        &self.identity
    }

    fn input(&self) -> Size {
        self.network.input()
    }

    fn detect(&mut self, image: &Image<'_>) -> Result<Vec<Detection>, DetectError> {
        let scale = self.prepare(image);
        Ok(within(self.infer(scale)?, image.original))
    }

    fn remember_weak(&mut self, least_score: f32) {
        self.weak.remember(least_score);
    }

    fn weak(&self) -> &[Bbox] {
        self.weak.boxes()
    }
}

/// Whether the outputs are those of `YuNet`: `cls_8`, `cls_16`, … `kps_32`.
pub(super) fn is_yunet(opened: &Opened) -> bool {
    let expected = OUTPUTS.iter().flat_map(|(kind, _)| STRIDES.map(|stride| format!("{kind}_{stride}")));
    opened.output_names().eq(expected)
        && (0..OUTPUTS.len() * STRIDES.len()).all(|index| opened.output_ends_in(index, OUTPUTS[index / STRIDES.len()].1))
}

/// What the network says about one grid.
struct Grid<'a> {
    stride: f32,
    columns: usize,
    cls: &'a [f32],
    obj: &'a [f32],
    bbox: &'a [f32],
    kps: &'a [f32],
    scale: Scale,
}

impl Grid<'_> {
    fn collect(&self, threshold: f32, faces: &mut Vec<Detection>) -> Result<(), DetectError> {
        // sqrt(cls * obj) < threshold, without the root for the many cells that hold no face.
        let least = threshold * threshold;
        for (cell, (cls, obj)) in self.cls.iter().zip(self.obj).enumerate() {
            let product = cls.clamp(0.0, 1.0) * obj.clamp(0.0, 1.0);
            if product.is_nan() {
                return Err(DetectError::Output(format!("the score of cell {cell} on the {}-pixel grid is NaN", self.stride)));
            }
            if product >= least {
                faces.push(self.face(cell, product.sqrt())?);
            }
        }
        Ok(())
    }

    /// Faces from `least` to below `threshold`. A cell whose numbers make no sense is no face here, and no error.
    fn collect_weak(&self, least: f32, threshold: f32, weak: &mut Vec<Detection>) {
        for (cell, (cls, obj)) in self.cls.iter().zip(self.obj).enumerate() {
            let product = cls.clamp(0.0, 1.0) * obj.clamp(0.0, 1.0);
            if product >= least * least && product < threshold * threshold {
                weak.extend(self.face(cell, product.sqrt()));
            }
        }
    }

    fn face(&self, cell: usize, score: f32) -> Result<Detection, DetectError> {
        let corner = [(cell % self.columns) as f32, (cell / self.columns) as f32];
        let [x, y, w, h] = std::array::from_fn(|i| self.bbox[cell * 4 + i]);
        let (w, h) = (w.exp() * self.stride, h.exp() * self.stride);
        let (x, y) = ((corner[0] + x) * self.stride - w / 2.0, (corner[1] + y) * self.stride - h / 2.0);
        let landmarks = std::array::from_fn(|i| (self.kps[cell * 10 + i] + corner[i % 2]) * self.stride);
        face(Bbox { x, y, w, h }, score, Some(landmarks), self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{assert_finds_the_astronaut, model};
    use super::*;

    const SETTINGS: Settings = Settings::DEFAULT;

    #[test]
    fn a_grid_decodes_as_the_formula_says() {
        // Two columns, two rows of 16 pixels; only the last cell, at column 1 and row 1, holds a face.
        let (cls, obj) = ([0.1, 0.5, 0.0, 0.81], [0.9, 0.5, 1.0, 1.7]);
        let mut bbox = [0.0; 16];
        bbox[12..].copy_from_slice(&[0.25, -0.5, 2.0_f32.ln(), 3.0_f32.ln()]);
        let kps: [f32; 40] = std::array::from_fn(|i| if i < 30 { 0.0 } else { (i - 30) as f32 / 8.0 });
        let scale = Scale { x: 2.0, y: 10.0 };
        let grid = Grid { stride: 16.0, columns: 2, cls: &cls, obj: &obj, bbox: &bbox, kps: &kps, scale };
        let mut faces = Vec::new();
        grid.collect(0.6, &mut faces).unwrap();
        let [face] = faces.as_slice() else { panic!("{faces:?}") };
        // Centre (1.25, 0.5) x 16 = (20, 8), size 32 x 48, so left -> 4, top -> -16; then to original pixels.
        let expected = Bbox { x: 8.0, y: -160.0, w: 64.0, h: 480.0 };
        assert!(face.bbox.iou(&expected) > 0.9999, "{:?}", face.bbox);
        assert!((face.score.unwrap() - 0.9).abs() < 1e-6);
        let marks = face.landmarks.unwrap();
        assert_eq!(marks[0..2], [(1.0 + 0.0) * 16.0 * 2.0, (1.0 + 0.125) * 16.0 * 10.0]);
        assert_eq!(marks[8..10], [(1.0 + 1.0) * 16.0 * 2.0, (1.0 + 1.125) * 16.0 * 10.0]);
    }

    #[test]
    fn invalid_numbers_are_errors_and_not_faces() {
        let scale = Scale { x: 1.0, y: 1.0 };
        let collect = |cls: f32, width: f32| {
            let bbox = [0.0, 0.0, width, 0.0];
            let grid = Grid { stride: 8.0, columns: 1, cls: &[cls], obj: &[1.0], bbox: &bbox, kps: &[0.0; 10], scale };
            grid.collect(0.5, &mut Vec::new())
        };
        assert!(collect(0.9, 1.0).is_ok());
        assert!(collect(f32::NAN, 1.0).is_err());
        assert!(collect(0.9, f32::NAN).is_err());
        assert!(collect(0.9, 200.0).is_err());
        // 8 exp(12) is more than a million pixels.
        assert!(collect(0.9, 12.0).is_err() && collect(0.9, 11.0).is_ok());
        // Where there is no face, nobody looks at the box.
        assert!(collect(0.1, f32::NAN).is_ok());
    }

    #[test]
    fn yunet_finds_the_astronaut() {
        let Some(model) = model("yunet_finds_the_astronaut", "yunet_n_dynamic.onnx") else { return };
        let mut yunet = YuNet::load(&model, &SETTINGS).unwrap();
        assert_eq!(yunet.identity().detector_id, "yunet_n");
        assert_finds_the_astronaut(&mut yunet);
    }
}
