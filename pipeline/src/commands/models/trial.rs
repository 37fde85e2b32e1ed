//! One picture through a model, to see that it runs.
//!
//! In: a model file of a known family, or a cascade. Out: what it calls itself, and how long it took. Invariant: the picture is plain grey, so that
//! faces that are found in it say nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use facestream_schemas::Size;
use facestream_stages::decode::Image;
use facestream_stages::detect::{self, Settings};

use crate::models::Folders;

/// For models that take pictures of any size: `detector.input`'s default.
const ANY: Size = Size { w: 640, h: 384 };

/// What the trial showed.
pub(super) struct Trial {
    /// `detector_id` in every row.
    pub(super) detector_id: String,
    pub(super) input: Size,
    pub(super) took: Duration,
}

/// Loads ONNX Runtime, once for the process.
pub(super) fn prepare(folders: &Folders) -> anyhow::Result<()> {
    Ok(detect::init_runtime(&folders.runtime_library()?)?)
}

/// Loads the model and runs it once, on a picture of the one size that it takes.
pub(super) fn run(model: &Path, input: Option<Size>) -> anyhow::Result<Trial> {
    let input = input.unwrap_or(ANY);
    let mut detector = detect::load(model, &Settings { input, ..Settings::DEFAULT })?;
    let pixels = vec![128; input.w as usize * input.h as usize * 3];
    let started = Instant::now();
    let outcome = detector.detect(&Image { pixels: &pixels, size: input, original: input });
    outcome.with_context(|| format!("the model {} fails on a grey picture", model.display()))?;
    Ok(Trial { detector_id: detector.identity().detector_id.clone(), input, took: started.elapsed() })
}
