//! Runs the detector over the pictures, on several threads, by the way that frames of the stream go.
//!
//! In: pictures, and what a detector is built from. Out: for each what was found and how long that took, or why there is nothing.
//! Invariant: results are in the order of the pictures, whichever thread was first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use facestream_schemas::{DetectorIdentity, ScoreKind};
use facestream_stages::accuracy::Found;
use facestream_stages::decode::Limits;
use indicatif::ProgressBar;

use super::truth::{At, Picture};
use crate::detector::{Parts, Ready};
use crate::panicked;

/// What came of one picture.
#[derive(Debug)]
pub(super) enum Seen {
    /// It was looked at, or somebody else did that.
    Faces {
        found: Vec<Found>,
        /// Whether scores are something else than probabilities.
        other_scores: bool,
        times: Option<Times>,
    },
    /// The file is not there.
    Missing,
    /// It is no picture, or nothing could be made of it; why.
    Broken(String),
}

/// How long a picture took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) decode_ms: f64,
    pub(super) detect_ms: f64,
}

impl Seen {
    /// What was found, if it was looked at.
    pub(super) fn found(&self) -> Option<&[Found]> {
        match self {
            Self::Faces { found, .. } => Some(found),
            Self::Missing | Self::Broken(_) => None,
        }
    }

    /// Why it was not looked at.
    pub(super) fn why_not(&self, picture: &Picture) -> Option<String> {
        match (self, &picture.at) {
            (Self::Faces { .. }, _) => None,
            (Self::Missing, At::File(path)) => Some(format!("there is no {}", path.display())),
            (Self::Missing, At::Composed(..)) => Some("there is none".to_owned()),
            (Self::Broken(why), _) => Some(why.clone()),
        }
    }
}

/// Looks at every picture.
pub(super) fn look(
    pictures: &[Picture],
    ready: &Ready,
    max_pixels: u64,
    workers: usize,
    bar: &ProgressBar,
) -> anyhow::Result<(DetectorIdentity, Vec<Seen>)> {
    let next = AtomicUsize::new(0);
    let build = || ready.build(Limits { max_pixels }, false);
    let identity = DetectorIdentity::clone(&build()?.identity);
    let work = || -> anyhow::Result<Vec<(usize, Seen)>> {
        let mut parts = build()?;
        let mut seen = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(picture) = pictures.get(index) else { return Ok(seen) };
            // A panic is a bug of ours, and the end of no other picture.
            let looked = catch_unwind(AssertUnwindSafe(|| look_at(picture, &mut parts)));
            let looked = looked.or_else(|panic| {
                parts = build()?;
                anyhow::Ok(Seen::Broken(format!("a bug: {}", panicked::said(&*panic))))
            })?;
            seen.push((index, looked));
            bar.inc(1);
        }
    };
    let results: anyhow::Result<Vec<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.min(pictures.len()))
            .map(|id| std::thread::Builder::new().name(format!("worker-{id}")).spawn_scoped(scope, work))
            .collect::<Result<_, _>>()?;
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut all: Vec<_> = results?.into_iter().flatten().collect();
    all.sort_by_key(|(index, _)| *index);
    Ok((identity, all.into_iter().map(|(_, seen)| seen).collect()))
}

fn look_at(picture: &Picture, Parts { decode, detector, .. }: &mut Parts) -> Seen {
    let bytes = match picture.at.read() {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Seen::Missing,
        Err(rejection) => return Seen::Broken(rejection.to_string()),
    };
    let started = Instant::now();
    let image = match decode.decode(&bytes) {
        Ok(image) => image,
        Err(rejection) => return Seen::Broken(rejection.to_string()),
    };
    let decoded = Instant::now();
    let faces = match detector.detect(&image) {
        Ok(faces) => faces,
        Err(error) => return Seen::Broken(error.to_string()),
    };
    let detect_ms = decoded.elapsed().as_secs_f64() * 1e3;
    let found = faces.iter().map(|face| Found { rect: face.bbox.into(), score: face.score.map_or(1.0, f64::from) });
    Seen::Faces {
        found: found.collect(),
        other_scores: faces.iter().any(|face| face.score_kind != ScoreKind::Prob),
        times: Some(Times { decode_ms: decoded.duration_since(started).as_secs_f64() * 1e3, detect_ms }),
    }
}
