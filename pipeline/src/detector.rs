//! The configured detector, made ready to be built: its file found, and ONNX Runtime loaded where it needs that.
//!
//! In: `[detector]`, `[haar]` and `[tiles]` of the configuration, and the environment ([`Folders`]). Out: a file and settings, from which each
//! thread builds a decoder and a detector of its own ([`Parts`]). Invariant: a scripted detector and a cascade need no runtime library.

use std::sync::Arc;

use facestream_schemas::DetectorIdentity;
use facestream_stages::decode::{Decode, Limits};
use facestream_stages::detect::{self, HaarSettings, ModelError, Settings, Tiles};

use crate::config::{self, Config, Haar};
use crate::live;
use crate::models::registry::Licence;
use crate::models::{self, Folders, ModelFile, ModelsError};

/// What a detector is built from.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The model's file, the cascade's or the script's.
    pub model: ModelFile,
    /// Sizes and thresholds.
    pub settings: Settings,
    /// What one may do with the weights, where that is known.
    pub licence: Option<Licence>,
}

impl Ready {
    /// A decoder and a detector session of one's own. Where pictures are blurred, what is hardly a face is remembered, too.
    pub fn build(&self, limits: Limits, blurs: bool) -> anyhow::Result<Parts> {
        let mut detector = detect::load(&self.model.path, &self.settings)?;
        if blurs {
            detector.remember_weak(live::BLURRED_FROM.min(self.settings.score_threshold));
        }
        let decode = Decode::new(limits, detector.decode_for());
        let identity = Arc::new(detector.identity().clone());
        Ok(Parts { decode, detector, identity })
    }
}

/// What a thread looks at pictures with.
pub struct Parts {
    /// Decodes for the detector.
    pub decode: Decode,
    /// Finds the faces.
    pub detector: Box<dyn detect::Detector>,
    /// Which detector that is.
    pub identity: Arc<DetectorIdentity>,
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
    let config::Detector { model: name, score_threshold, nms_iou, input, min_face_px, .. } = &config.detector;
    let config::Tiles { enabled, size, overlap } = config.tiles;
    let Haar { cascade, scale_factor, min_neighbors } = &config.haar;
    let folders = Folders::from_env()?;
    let model = if name == "haar" { models::cascade(cascade)? } else { folders.find(name)? };
    if detect::needs_runtime(&model.path) {
        detect::init_runtime(&folders.runtime_library()?)?;
    }
    let settings = Settings {
        input: *input,
        score_threshold: *score_threshold,
        nms_iou: *nms_iou,
        min_face_px: *min_face_px,
        haar: HaarSettings { scale_factor: *scale_factor, min_neighbors: *min_neighbors },
        tiles: enabled.then_some(Tiles { size, overlap }),
    };
    Ok(Ready { model, settings, licence: folders.licence(name) })
}
