//! A face, as a detector reports it: coordinates in pixels of the original image.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A box in pixels of the original image (EXIF orientation applied), unclipped: it may reach over the border.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bbox {
    /// Left edge in pixels.
    pub x: f32,
    /// Top edge in pixels.
    pub y: f32,
    /// Width in pixels.
    pub w: f32,
    /// Height in pixels.
    pub h: f32,
}

impl Bbox {
    /// Intersection over union with `other`: 0 for disjoint, 1 for equal boxes.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        if w <= 0.0 || h <= 0.0 {
            return 0.0;
        }
        let intersection = w * h;
        intersection / (self.w * self.h + other.w * other.h - intersection)
    }
}

/// What a detection's score means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// A confidence from 0 to 1.
    Prob,
    /// The sum that a Haar cascade's last stage came to: any number, larger is surer.
    HaarWeight,
    /// The detector gives none.
    None,
}

impl ScoreKind {
    /// The name in the `score_kind` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prob => "prob",
            Self::HaarWeight => "haar_weight",
            Self::None => "none",
        }
    }
}

/// One face.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Where it is.
    pub bbox: Bbox,
    /// How sure the detector is, where it says so.
    pub score: Option<f32>,
    /// What `score` means.
    pub score_kind: ScoreKind,
    /// x0 y0 … x4 y4 in pixels: right eye, left eye, nose, right and left mouth corner, right and left as the person's own.
    pub landmarks: Option<[f32; 10]>,
    /// The face's track through the frames of its source, where faces are tracked. Detectors leave it empty.
    pub track: Option<Track>,
}

impl Detection {
    /// Roughly how much memory it holds, in bytes; the track's name is counted with each of its faces.
    #[must_use]
    pub fn memory(&self) -> usize {
        let shared = 2 * size_of::<usize>();
        size_of::<Self>() + self.track.as_ref().map_or(0, |track| track.id.len() + shared)
    }
}

/// A face's place in a track: one face (not one person) followed from frame to frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// The detection that the track began with, as `topic/partition/offset/detection_idx`: unique, and the same whenever the same
    /// messages are consumed again.
    pub id: Arc<str>,
    /// Whether it began with this face.
    pub is_new: bool,
}

/// Which detector, with which weights and thresholds, produced a row.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorIdentity {
    /// Detector and variant, such as `yunet_n`.
    pub detector_id: String,
    /// SHA-256 of the model file in lower-case hex; `None` for a detector without weights.
    pub model_sha256: Option<String>,
    /// Detections below this score were dropped.
    pub score_threshold: f32,
    /// Detections overlapping a better one by more than this IoU were dropped.
    pub nms_iou: f32,
}
