//! A message's way past the live page: its turn among those of its source, from the poll thread to the end of its work.
//!
//! In: the image that was looked at, and what came of it. Out: a note in its source and, where somebody watches, a picture. Invariant:
//! whatever becomes of the message, its turn ends: a turn that is dropped counts as a frame that nobody looked at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use facestream_schemas::tables::FrameRow;
use facestream_schemas::{Bbox, Detection, FrameMeta, Micros, Offset, Size};
use facestream_stages::annotate::{Easel, Mark, Region, Style};
use facestream_stages::decode::Image;

use super::source::{Shot, Source};
use super::strip::Finished;
use super::{Failure, Inner};
use crate::clock;
use crate::metrics::Stage;

/// A message's turn. Without a live page it is nothing.
#[derive(Debug)]
pub struct Turn(Option<Own>);

#[derive(Debug)]
struct Own {
    live: Arc<Inner>,
    source: Arc<Source>,
    number: u64,
    captured: Micros,
    offset: Offset,
    ended: bool,
}

/// What is kept of an image from when it was looked at until its row is done.
#[derive(Debug)]
pub struct Glimpse {
    pub(super) regions: Vec<Region>,
    pub(super) shot: Option<Shot>,
}

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The `status` of its row.
    pub status: &'static str,
    /// Why it has no detections, where it has none.
    pub error: Option<String>,
    /// A load policy left it out.
    pub skipped: bool,
    /// Faces in its row.
    pub faces: Option<u32>,
    /// Size of the original image.
    pub image: Option<Size>,
}

impl Told {
    /// What the row says.
    #[must_use]
    pub fn of(row: &FrameRow) -> Self {
        let rejection = row.outcome.as_ref().err();
        Self {
            status: rejection.map_or("ok", |rejection| rejection.reason.as_str()),
            error: rejection.map(|rejection| rejection.error.clone()),
            skipped: rejection.is_some_and(|rejection| rejection.reason.is_skip()),
            faces: row.outcome.as_ref().ok().map(|faces| faces.len() as u32),
            image: row.image,
        }
    }
}

impl Turn {
    /// Where there is no live page.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    pub(super) fn new(live: Arc<Inner>, source: Arc<Source>, meta: &FrameMeta) -> Self {
        let number = source.enter(meta.capture_ts, live.settings.blur);
        let (captured, offset) = (meta.capture_ts, meta.key.offset);
        Self(Some(Own { live, source, number, captured, offset, ended: false }))
    }

    /// Keeps what the live page needs of an image in which a detector has found `faces`, and `weak` ones that only count for blurring.
    /// Pixels are only touched where somebody watches.
    pub fn glance(&self, image: &Image<'_>, faces: &[Detection], weak: &[Bbox], easel: &mut Easel) -> Option<Glimpse> {
        let own = self.0.as_ref()?;
        let region = |bbox: &Bbox| Region::of(bbox, image.original);
        let hidden = faces.iter().map(|face| &face.bbox).chain(weak);
        let regions = if own.live.settings.blur { hidden.map(region).collect() } else { Vec::new() };
        let shot = own.source.claim(own.live.now_ms()).then(|| {
            let started = Instant::now();
            let tile = easel.shrink(image);
            let marks = faces.iter().map(|face| Mark::of(face, image.original)).collect();
            Shot { tile, marks, took: started.elapsed() }
        });
        Some(Glimpse { regions, shot })
    }

    /// Ends the turn: notes what came of the message and, where a picture may be shown with that, makes it.
    pub fn finish(mut self, told: Told, glimpse: Option<Glimpse>, easel: &mut Easel) {
        let Some(own) = &mut self.0 else { return };
        own.note_failure(&told);
        let blur = own.live.settings.blur;
        let finished = own.source.finish(own.number, own.captured, told, glimpse, own.live.now_ms(), blur);
        own.ended = true;
        if let Some(finished) = finished {
            own.make(finished, easel);
        }
    }
}

impl Own {
    fn note_failure(&self, told: &Told) {
        let Some(error) = told.error.as_ref().filter(|_| !told.skipped) else { return };
        self.live.failures.add(Failure {
            at_us: clock::now().0,
            topic: Arc::clone(&self.source.topic),
            partition: self.source.partition,
            offset: self.offset.0,
            source_id: self.source.source_id.clone(),
            status: told.status,
            error: error.clone(),
        });
    }

    fn make(&self, Finished { number, picture, regions }: Finished<Shot>, easel: &mut Easel) {
        let started = Instant::now();
        let Shot { mut tile, marks, took } = picture;
        tile.hide(&regions);
        tile.draw(&marks, &Style::SMALL);
        let jpeg = match easel.encode(&tile) {
            Ok(jpeg) => Bytes::from(jpeg),
            Err(error) => return tracing::warn!("cannot make a picture for the live page: {error}"),
        };
        let metrics = &self.live.metrics;
        let took: Duration = took + started.elapsed();
        metrics.stage_seconds.of(Stage::Live).observe(took.as_secs_f64());
        if self.source.show(number, jpeg, self.live.now_ms()) {
            metrics.live_images.inc();
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if !self.ended {
            self.source.leave(self.number);
        }
    }
}
