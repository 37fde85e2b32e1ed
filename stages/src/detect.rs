//! Detectors: an image in, faces out.
//!
//! In: upright RGB pixels. Out: faces in pixels of the original image, best first, or a [`DetectError`]. Invariant: every
//! number that leaves a detector is finite.

use std::path::{Path, PathBuf};

use facestream_schemas::{Bbox, Detection, DetectorIdentity, Size};

use crate::decode::Image;
use tiles::Tiled;

mod centerface;
#[cfg(test)]
mod fixtures;
mod haar;
mod nms;
#[cfg(test)]
#[path = "../../tests/src/onnx.rs"]
#[allow(dead_code, unreachable_pub, reason = "the end-to-end tests' own, which use what is not used here")]
mod onnx;
mod runtime;
mod scrfd;
mod scripted;
mod tiles;
pub(crate) mod weak;
mod yunet;

pub use centerface::CenterFace;
pub use haar::{Haar, HaarSettings, is_cascade};
pub use runtime::init_runtime;
pub use scrfd::Scrfd;
pub use scripted::{Scripted, is_script};
pub use tiles::Tiles;
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
    /// Whether a model looks at overlapping crops, too.
    pub tiles: Option<Tiles>,
}

impl Settings {
    /// What the configuration says unless told otherwise.
    pub const DEFAULT: Self = Self {
        input: Size { w: 640, h: 384 },
        score_threshold: 0.6,
        nms_iou: 0.3,
        min_face_px: 0.0,
        haar: HaarSettings::DEFAULT,
        tiles: None,
    };
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
        if let Some(tiles) = self.tiles {
            tiles.check()?;
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
    /// The model file is empty, or larger than any model.
    #[error("cannot load the model {}: it has {bytes} bytes, there must be some, and {most} at most", model.display())]
    Length {
        /// The model file.
        model: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest that is read.
        most: u64,
    },
    /// ONNX Runtime refuses the model.
    #[error("cannot load the model {}: it is no ONNX model that onnx runtime can run, or cut short: {cause}", model.display())]
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
    #[error("the model {} is no {expected}: it has the inputs [{}] and the outputs [{}]", model.display(), inputs.join(", "), outputs.join(", "))]
    Family {
        /// The model file.
        model: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// The graph's inputs: name, type and shape.
        inputs: Vec<String>,
        /// The graph's outputs.
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
    /// Nobody can be sure of so many.
    #[error("{found} faces, more than {most} in a picture are not believed: is it the right model? (detector.max_faces)")]
    Unbelievable {
        /// How many were found.
        found: usize,
        /// How many may be.
        most: usize,
    },
}

/// The faces, unless there are more of them than are believed.
pub fn believable(faces: Vec<Detection>, most: usize) -> Result<Vec<Detection>, DetectError> {
    if faces.len() > most { Err(DetectError::Unbelievable { found: faces.len(), most }) } else { Ok(faces) }
}

/// The kinds of network that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `https://github.com/ShiqiYu/libfacedetection.train`
    YuNet,
    /// `https://github.com/Star-Clouds/CenterFace`
    CenterFace,
    /// `https://github.com/deepinsight/insightface`
    Scrfd,
}

impl Family {
    /// Its name in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::YuNet => "yunet",
            Self::CenterFace => "centerface",
            Self::Scrfd => "scrfd",
        }
    }

    /// Told by the names and shapes of the outputs.
    fn of(opened: &runtime::Opened) -> Result<Self, ModelError> {
        match () {
            () if yunet::is_yunet(opened) => Ok(Self::YuNet),
            () if centerface::is_centerface(opened) => Ok(Self::CenterFace),
            () if scrfd::is_scrfd(opened) => Ok(Self::Scrfd),
            () => Err(opened.not_a("YuNet, CenterFace or SCRFD model")),
        }
    }
}

/// What a model file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The kind of network.
    pub family: Family,
    /// The one size of pictures that it takes; `None` where it takes any.
    pub input: Option<Size>,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
}

/// Looks at a model without making it ready for pictures; [`init_runtime`] comes first. An error where it is of no known family, or does
/// not take one picture.
pub fn look(model: &Path) -> Result<Looked, ModelError> {
    let opened = runtime::Opened::look(model)?;
    let family = Family::of(&opened)?;
    opened.check_inputs()?;
    Ok(Looked { family, input: opened.fixed_input(), sha256: opened.sha256().to_owned() })
}

/// Whether the file is of a detector that runs on ONNX Runtime; a script (`.toml`) and a cascade (`.xml`) need no runtime.
#[must_use]
pub fn needs_runtime(model: &Path) -> bool {
    !is_script(model) && !is_cascade(model)
}

/// Loads a scripted detector (`.toml`), a cascade (`.xml`), or a model of any [`Family`]; for a model, [`init_runtime`] comes first.
/// With `settings.tiles` a model looks at crops, too; a cascade sees every pixel anyway.
pub fn load(model: &Path, settings: &Settings) -> Result<Box<dyn Detector>, ModelError> {
    let Some(tiles) = settings.tiles.filter(|_| needs_runtime(model)) else { return load_plain(model, settings) };
    settings.check()?;
    let inner = load_plain(model, &Settings { min_face_px: 0.0, tiles: None, ..*settings })?;
    Ok(Box::new(Tiled::new(inner, tiles, settings)))
}

fn load_plain(model: &Path, settings: &Settings) -> Result<Box<dyn Detector>, ModelError> {
    if is_script(model) {
        return Ok(Box::new(Scripted::load(model, settings)?));
    }
    if is_cascade(model) {
        return Ok(Box::new(Haar::load(model, settings)?));
    }
    let opened = runtime::Opened::open(model, settings)?;
    Ok(match Family::of(&opened)? {
        Family::YuNet => Box::new(YuNet::from_opened(opened, settings)?),
        Family::CenterFace => Box::new(CenterFace::from_opened(opened, settings)?),
        Family::Scrfd => Box::new(Scrfd::from_opened(opened, settings)?),
    })
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
