//! One worker's decoder and detector: the stream's own.
//!
//! In: an encoded picture. Out: its faces, or why there are none. Invariant: nothing here differs from what a worker of the stream does
//! to a picture, whether a copy is drawn or not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use facestream_schemas::{Detection, Reason, Rejection, Size};
use facestream_stages::decode::Limits;
use facestream_stages::detect;

use super::annotated::{Artist, Plan};
use super::seen::{Found, Seen};
use crate::detector::{Parts, Ready};
use crate::panicked;

/// What all workers are built from.
pub(super) struct Blueprint<'a> {
    pub(super) ready: &'a Ready,
    pub(super) max_pixels: u64,
    pub(super) max_faces: usize,
    pub(super) plan: Option<&'a Plan>,
}

pub(super) struct Eyes<'a> {
    blueprint: &'a Blueprint<'a>,
    parts: Parts,
    artist: Option<Artist>,
}

impl<'a> Eyes<'a> {
    pub(super) fn open(blueprint: &'a Blueprint<'a>) -> anyhow::Result<Self> {
        let Blueprint { ready, max_pixels, plan, .. } = blueprint;
        let parts = ready.build(Limits { max_pixels: *max_pixels }, plan.is_some_and(|plan| plan.what.hides()))?;
        let artist = plan.is_some().then(|| Artist::new(*max_pixels));
        Ok(Self { blueprint, parts, artist })
    }

    /// Looks at the picture of this number. A panic is a bug of ours, and the end of no other picture.
    pub(super) fn look(&mut self, number: usize, name: &str, picture: &[u8]) -> Seen {
        let looked = catch_unwind(AssertUnwindSafe(|| self.look_at(number, picture)));
        let (image, outcome, not_copied) = looked.unwrap_or_else(|panic| {
            if let Ok(rebuilt) = Self::open(self.blueprint) {
                *self = rebuilt;
            }
            (None, Err(Rejection::new(Reason::InternalError, format_args!("a bug: {}", panicked::said(&*panic)))), None)
        });
        let outcome = outcome.map(|faces| Found { faces, detector: Arc::clone(&self.parts.identity) }).map_err(Into::into);
        Seen { name: name.to_owned(), image, outcome, not_copied }
    }

    fn look_at(&mut self, number: usize, picture: &[u8]) -> (Option<Size>, Result<Vec<Detection>, Rejection>, Option<String>) {
        let image = match self.parts.decode.decode(picture) {
            Ok(image) => image,
            Err(rejection) => return (None, Err(rejection), None),
        };
        let original = Some(image.original);
        let faces = match self.parts.detector.detect(&image).and_then(|faces| detect::believable(faces, self.blueprint.max_faces))
        {
            Ok(faces) => faces,
            Err(error) => return (original, Err(Rejection::new(Reason::DetectorError, error)), None),
        };
        let copied = match (self.blueprint.plan, &mut self.artist) {
            (Some(plan), Some(artist)) => artist.draw(plan, number, picture, &faces, self.parts.detector.weak()),
            _ => Ok(()),
        };
        (original, Ok(faces), copied.err().map(|error| format!("{error:#}")))
    }
}
