//! The configured detector, made ready to be built: its file found, and ONNX Runtime loaded where it needs that.
//!
//! In: `[detector]` of the configuration, and the environment ([`Folders`]). Out: a file and settings, from which each worker builds a
//! detector of its own. Invariant: a scripted detector needs no runtime library.

use facestream_stages::detect::{self, ModelError, Settings};

use crate::config;
use crate::models::{Folders, ModelFile, ModelsError};

/// What a detector is built from.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The model's file, or the script's.
    pub model: ModelFile,
    /// Sizes and thresholds.
    pub settings: Settings,
}

/// Why there is no detector.
#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    /// A file is missing or the wrong one.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The library cannot be loaded.
    #[error(transparent)]
    Library(#[from] ModelError),
}

/// Finds the model, and loads the runtime library once for the process.
pub fn make_ready(detector: &config::Detector) -> Result<Ready, DetectorError> {
    let folders = Folders::from_env()?;
    let model = folders.find(&detector.model)?;
    if !detect::is_script(&model.path) {
        detect::init_runtime(&folders.runtime_library()?)?;
    }
    let settings = Settings {
        input: detector.input,
        score_threshold: detector.score_threshold,
        nms_iou: detector.nms_iou,
        min_face_px: detector.min_face_px,
    };
    Ok(Ready { model, settings })
}
