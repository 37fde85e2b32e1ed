//! The configured detector, made ready to be built: its file found, and ONNX Runtime loaded where it needs that.
//!
//! In: `[detector]` and `[haar]` of the configuration, and the environment ([`Folders`]). Out: a file and settings, from which each
//! worker builds a detector of its own. Invariant: a scripted detector and a cascade need no runtime library.

use facestream_stages::detect::{self, HaarSettings, ModelError, Settings};

use crate::config::{Config, Detector, Haar};
use crate::models::{self, Folders, ModelFile, ModelsError};

/// What a detector is built from.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The model's file, the cascade's or the script's.
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
pub fn make_ready(config: &Config) -> Result<Ready, DetectorError> {
    let Detector { model, score_threshold, nms_iou, input, min_face_px } = &config.detector;
    let Haar { cascade, scale_factor, min_neighbors } = &config.haar;
    let model = if model == "haar" { models::cascade(cascade)? } else { Folders::from_env()?.find(model)? };
    if detect::needs_runtime(&model.path) {
        detect::init_runtime(&Folders::from_env()?.runtime_library()?)?;
    }
    let settings = Settings {
        input: *input,
        score_threshold: *score_threshold,
        nms_iou: *nms_iou,
        min_face_px: *min_face_px,
        haar: HaarSettings { scale_factor: *scale_factor, min_neighbors: *min_neighbors },
    };
    Ok(Ready { model, settings })
}
