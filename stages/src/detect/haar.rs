//! The classic: a cascade of Haar features, with the boxes that `OpenCV` 4.6 gives, box for box.
//!
//! In: a cascade as an XML file (Debian's `opencv-data` has some) and an image at its full size. Out: the boxes of
//! `CascadeClassifier::detectMultiScale(grey, scaleFactor, minNeighbors, 0, minSize)` in its order, each with the highest sum that
//! a window of its group reached at the cascade's last stage. Invariant: every number that decides is computed as in `OpenCV`'s
//! build for x86-64, in the same precision and order, so that boxes agree to the pixel; tests hold them against it.
//!
//! Where `OpenCV` runs on several threads, the order of its boxes is anybody's; ours is that of a single thread.
//!
//! What a picture costs: at 1.1 the scaled pictures have 5.8 times its pixels together, and every second or every fourth place in
//! them is looked at: time grows with the pixels. Memory is one byte a pixel for the grey picture, and a band of some rows.

use std::path::{Path, PathBuf};

use facestream_schemas::{Bbox, Detection, DetectorIdentity, ScoreKind, Size};
use sha2::{Digest, Sha256};

use super::weak::Weak;
use super::{DetectError, Detector, ModelError, Settings};
use crate::decode::Image;

mod cascade;
mod evaluate;
mod group;
mod integral;
mod pyramid;
#[cfg(test)]
mod tests;

use cascade::{Cascade, MAX_BYTES};
use evaluate::Windows;
use group::Rect;
use integral::Band;
use pyramid::{Grey, Scale, Shrink, scales};

/// Windows of one picture that pass for a face, before they are grouped; more are an error. A face in view gives 30 to 100.
const MAX_CANDIDATES: usize = 100_000;
/// Rows of windows that are looked at before the next rows of the picture are taken up.
const BAND_ROWS: usize = 32;

/// What can be set on the cascade besides the smallest face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HaarSettings {
    /// Each size of window is this many times the one before, above 1.
    pub scale_factor: f64,
    /// A face is where more than this many windows nearly coincide; with 0, each window is a face.
    pub min_neighbors: u32,
}

impl HaarSettings {
    /// `OpenCV`'s own.
    pub const DEFAULT: Self = Self { scale_factor: 1.1, min_neighbors: 3 };
    /// At 1.01 there are 600 sizes of window in a large picture.
    pub const LEAST_SCALE_FACTOR: f64 = 1.01;

    fn check(&self) -> Result<(), ModelError> {
        if self.scale_factor >= Self::LEAST_SCALE_FACTOR && self.scale_factor.is_finite() {
            return Ok(());
        }
        let least = Self::LEAST_SCALE_FACTOR;
        Err(ModelError::Settings(format!("haar.scale_factor is {}, it must be {least} or more", self.scale_factor)))
    }
}

/// Whether `model` is a cascade's file, which needs no runtime library.
#[must_use]
pub fn is_cascade(model: &Path) -> bool {
    model.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xml"))
}

/// A cascade of Haar features.
pub struct Haar {
    identity: DetectorIdentity,
    settings: Settings,
    windows: Windows,
    grey: Grey,
    shrink: Shrink,
    band: Band,
    candidates: Vec<Candidate>,
    weak: Weak,
}

/// A window that passed every stage.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    rect: Rect,
    /// The last stage's sum.
    weight: f64,
}

impl Haar {
    /// Reads the cascade. Of the settings, the smallest face and those in `haar` hold.
    pub fn load(file: &Path, settings: &Settings) -> Result<Self, ModelError> {
        settings.check()?;
        settings.haar.check()?;
        let wrong = |cause: String| ModelError::Cascade { cascade: PathBuf::from(file), cause };
        let text = read(file)?;
        let model_sha256 = Some(format!("{:x}", Sha256::digest(&text)));
        let text = str::from_utf8(&text).map_err(|error| wrong(format!("it is no text: {error}")))?;
        let cascade = Cascade::parse(text).map_err(wrong)?;
        let identity = DetectorIdentity {
            detector_id: detector_id(file),
            model_sha256,
            // Whatever passes has reached the last stage's threshold, and boxes are grouped, not suppressed.
            score_threshold: cascade.last_threshold(),
            nms_iou: 1.0,
        };
        Ok(Self {
            identity,
            settings: *settings,
            band: Band::new(cascade.window.h as usize + BAND_ROWS, cascade.has_tilted),
            windows: Windows::new(cascade),
            grey: Grey::default(),
            shrink: Shrink::default(),
            candidates: Vec::new(),
            weak: Weak::default(),
        })
    }

    /// Looks at all windows of all sizes.
    fn find_candidates(&mut self) -> Result<(), DetectError> {
        let HaarSettings { scale_factor, .. } = self.settings.haar;
        // Above the picture's own size all numbers mean the same.
        let least = (self.settings.min_face_px.ceil() as u32).min(1 << 20);
        let scales = scales(self.windows.size(), self.grey.size(), scale_factor, least);
        self.candidates.clear();
        let Some(largest) = scales.first().map(|scale| scale.shrunk(self.grey.size())) else { return Ok(()) };
        self.band.widen(largest.w as usize);
        self.windows.lay_out(&self.band);
        // Threads share the rows of all scales in stripes as high as the first scale is wide.
        let stripes = (largest.w + 1 - self.windows.size().w).div_ceil(32);
        for scale in scales {
            self.look_at(scale, stripes as usize)?;
        }
        Ok(())
    }

    /// Looks at all windows of one size: the picture is scaled, the window is not.
    fn look_at(&mut self, scale: Scale, stripes: usize) -> Result<(), DetectError> {
        let (window, scaled) = (self.windows.size(), scale.shrunk(self.grey.size()));
        let step = if scale.0 >= 2.0 { 1 } else { 2 };
        let columns = (scaled.w + 1).saturating_sub(window.w) as usize;
        let rows = (scaled.h + 1).saturating_sub(window.h) as usize;
        // Stripes have whole steps, so that the last row may be left out.
        let end = rows.min(stripes * (rows / step).div_ceil(stripes).max(1) * step);
        let size = scale.grown(window);
        self.shrink.begin(self.grey.size(), scaled);
        self.band.begin(scaled.w as usize);
        let (mut y, mut pixel_row) = (0, 0);
        while y < end {
            self.band.forget_above(y);
            while pixel_row < scaled.h as usize && self.band.has_room() {
                self.band.push(self.shrink.row(&self.grey, pixel_row));
                pixel_row += 1;
            }
            while y < end && y + window.h as usize <= pixel_row {
                let candidates = &mut self.candidates;
                self.windows.row(&self.band, y, columns, step, |x, weight| {
                    let rect = Rect { x: scale.at(x as u32), y: scale.at(y as u32), w: size.w as i32, h: size.h as i32 };
                    candidates.push(Candidate { rect, weight });
                });
                if self.candidates.len() > MAX_CANDIDATES {
                    return Err(DetectError::TooMany(MAX_CANDIDATES));
                }
                y += step;
            }
        }
        Ok(())
    }

    /// Faces in the order of their first window, and what else was grouped.
    fn group(&self) -> (Vec<Candidate>, Vec<Candidate>) {
        if self.settings.haar.min_neighbors == 0 {
            return (self.candidates.clone(), Vec::new());
        }
        group::group(&self.candidates, self.settings.haar.min_neighbors)
    }
}

impl Detector for Haar {
    fn identity(&self) -> &DetectorIdentity {
        &self.identity
    }

    /// Pictures are looked at as they are.
    fn input(&self) -> Size {
        self.settings.input
    }

    fn decode_for(&self) -> Size {
        Size::MAX
    }

    fn detect(&mut self, image: &Image<'_>) -> Result<Vec<Detection>, DetectError> {
        self.weak.begin();
        self.grey.take(image);
        self.find_candidates()?;
        let (faces, others) = self.group();
        let detections = |found: Vec<Candidate>| found.iter().filter_map(|face| detection(face, image)).collect::<Vec<_>>();
        let faces = detections(faces);
        self.weak.end(detections(others), &faces);
        Ok(faces)
    }

    /// Where some windows coincide, but too few; the score has no part in it, and what is too small was never looked at.
    fn remember_weak(&mut self, least_score: f32) {
        self.weak.remember(least_score);
    }

    fn weak(&self) -> &[Bbox] {
        self.weak.boxes()
    }
}

/// What of the box lies within the picture, in original pixels; rounding may put it a pixel outside.
fn detection(face: &Candidate, image: &Image<'_>) -> Option<Detection> {
    let Rect { x, y, w, h } = face.rect.clipped(image.size)?;
    let (across, down) = (ratio(image.original.w, image.size.w), ratio(image.original.h, image.size.h));
    let bbox = Bbox { x: x as f32 * across, y: y as f32 * down, w: w as f32 * across, h: h as f32 * down };
    Some(Detection { bbox, score: Some(face.weight as f32), score_kind: ScoreKind::HaarWeight, landmarks: None, track: None })
}

fn ratio(original: u32, side: u32) -> f32 {
    original as f32 / side as f32
}

fn read(file: &Path) -> Result<Vec<u8>, ModelError> {
    let cannot = |cause| ModelError::Read { model: PathBuf::from(file), cause };
    let length = std::fs::metadata(file).map_err(cannot)?.len();
    if length > MAX_BYTES {
        let cause = format!("it has {length} bytes: cascades have {MAX_BYTES} at most");
        return Err(ModelError::Cascade { cascade: PathBuf::from(file), cause });
    }
    std::fs::read(file).map_err(cannot)
}

/// `haar_frontalface_default` for `haarcascade_frontalface_default.xml`, `haar_mine` for `mine.xml`.
fn detector_id(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    format!("haar_{}", name.strip_prefix("haarcascade_").unwrap_or(&name))
}
