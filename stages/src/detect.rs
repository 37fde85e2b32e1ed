//! Detectors: an image in, faces out.
//!
//! In: upright RGB pixels. Out: faces in pixels of the original image, best first, or a [`DetectError`]. Invariant: every
//! number that leaves a detector is finite.

use std::path::{Path, PathBuf};

use facestream_schemas::{Bbox, Detection, DetectorIdentity, Size};

use crate::decode::Image;

mod centerface;
#[cfg(test)]
mod fixtures;
mod haar;
mod nms;
mod runtime;
mod scripted;
mod weak;
mod yunet;

pub use centerface::CenterFace;
pub use haar::{Haar, HaarSettings, is_cascade};
pub use runtime::init_runtime;
pub use scripted::{Scripted, is_script};
pub use yunet::YuNet;

/// Finds faces. One per worker thread; what it allocates it reuses from frame to frame.
pub trait Detector: Send {
    /// Which detector with which weights and thresholds this is.
    fn identity(&self) -> &DetectorIdentity;

    /// The size in pixels that images are fitted into.
    fn input(&self) -> Size;

    /// The size that pictures are to be decoded for: JPEGs come reduced as far as they still cover it. `Size::MAX`: every pixel.
    fn decode_for(&self) -> Size {
        self.input()
    }

    /// The faces in one image, in pixels of `image.original`: a network's best first and unclipped, a cascade's as `OpenCV` has them.
    fn detect(&mut self, image: &Image<'_>) -> Result<Vec<Detection>, DetectError>;

    /// From now on remembers faces too that [`Detector::detect`] leaves out, down to this score. What `detect` gives stays the same.
    fn remember_weak(&mut self, _least_score: f32) {}

    /// The faces of the last image that `detect` left out, their score or their size being too low: boxes in pixels of the
    /// original image. Those that nearly coincide with another face are left out here, too.
    fn weak(&self) -> &[Bbox] {
        &[]
    }
}

/// What can be set on every detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Images are fitted into this size in pixels; both sides multiples of 32.
    pub input: Size,
    /// Faces below this score are dropped, 0 to 1.
    pub score_threshold: f32,
    /// Faces that overlap a better one by more than this `IoU` are dropped, 0 to 1.
    pub nms_iou: f32,
    /// Faces whose box's shorter side is below this many original pixels are dropped.
    pub min_face_px: f32,
    /// What only a cascade has.
    pub haar: HaarSettings,
}

impl Settings {
    /// Largest side of the input in pixels: 4096 x 4096 is 200 MB of tensor.
    const MAX_INPUT_PX: u32 = 4096;

    fn check(&self) -> Result<(), ModelError> {
        let Size { w, h } = self.input;
        let side_ok = |side: u32| side > 0 && side.is_multiple_of(32) && side <= Self::MAX_INPUT_PX;
        if !side_ok(w) || !side_ok(h) {
            let nearest = |side: u32| (side.saturating_add(16) / 32 * 32).clamp(32, Self::MAX_INPUT_PX);
            let (near_w, near_h) = (nearest(w), nearest(h));
            return Err(ModelError::Settings(format!(
                "detector.input is {w}x{h}, both sides must be multiples of 32 up to {}: {near_w}x{near_h} is near",
                Self::MAX_INPUT_PX
            )));
        }
        for (name, value) in [("score_threshold", self.score_threshold), ("nms_iou", self.nms_iou)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(ModelError::Settings(format!("detector.{name} is {value}, it must be from 0 to 1")));
            }
        }
        if !(self.min_face_px >= 0.0 && self.min_face_px.is_finite()) {
            return Err(ModelError::Settings(format!("detector.min_face_px is {}, it must be 0 or more", self.min_face_px)));
        }
        Ok(())
    }
}

/// A detector could not be set up. Nothing that another frame could change.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The settings contradict themselves or the model.
    #[error("{0}")]
    Settings(String),
    /// ONNX Runtime's shared library is missing, is something else or is too old.
    #[error("cannot load onnx runtime from {}: {cause}", library.display())]
    Library {
        /// The file that was tried.
        library: PathBuf,
        /// What the loader said.
        cause: String,
    },
    /// A model was to be loaded before the runtime.
    #[error("cannot load a model before onnx runtime: call init_runtime first")]
    NoRuntime,
    /// The model file cannot be read.
    #[error("cannot read the model {}: {cause}", model.display())]
    Read {
        /// The model file.
        model: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// ONNX Runtime refuses the model.
    #[error("cannot load the model {}: {cause}", model.display())]
    Load {
        /// The model file.
        model: PathBuf,
        /// What ONNX Runtime said.
        cause: ort::Error,
    },
    /// The file of a scripted detector has a mistake.
    #[error("cannot use the scripted detector {}: {cause}", script.display())]
    Script {
        /// The file.
        script: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A cascade's file is none, or one of another kind.
    #[error("cannot use the cascade {}: {cause}", cascade.display())]
    Cascade {
        /// The file.
        cascade: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// An ONNX file of another kind.
    #[error("the model {} is no {expected}: it has inputs {inputs:?} and outputs {outputs:?}", model.display())]
    Family {
        /// The model file.
        model: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// Names of the graph's inputs.
        inputs: Vec<String>,
        /// Names of the graph's outputs.
        outputs: Vec<String>,
    },
}

/// A detector failed on one frame; the next may well succeed.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The inference itself failed.
    #[error("inference failed: {0}")]
    Inference(#[from] ort::Error),
    /// The network's answer makes no sense, such as NaN.
    #[error("the network's output is invalid: {0}")]
    Output(String),
    /// Every part of the picture looks like a face to the cascade.
    #[error("more than {0} windows of the picture pass for a face: give a larger detector.min_face_px, or a stricter cascade")]
    TooMany(usize),
}

/// Whether the file is of a detector that runs on ONNX Runtime; a script (`.toml`) and a cascade (`.xml`) need no runtime.
#[must_use]
pub fn needs_runtime(model: &Path) -> bool {
    !is_script(model) && !is_cascade(model)
}

/// Loads a scripted detector (`.toml`), a cascade (`.xml`), or a model of either family, told apart by the names and shapes of its
/// outputs; for a model, [`init_runtime`] comes first.
pub fn load(model: &Path, settings: &Settings) -> Result<Box<dyn Detector>, ModelError> {
    if is_script(model) {
        return Ok(Box::new(Scripted::load(model, settings)?));
    }
    if is_cascade(model) {
        return Ok(Box::new(Haar::load(model, settings)?));
    }
    let opened = runtime::Opened::open(model, settings)?;
    if yunet::is_yunet(&opened) {
        Ok(Box::new(YuNet::from_opened(opened, settings)?))
    } else if centerface::is_centerface(&opened) {
        Ok(Box::new(CenterFace::from_opened(opened, settings)?))
    } else {
        Err(opened.not_a("YuNet or CenterFace model"))
    }
}

#[cfg(test)]
mod tests;
