//! Worker threads: each takes a frame, decodes it and looks for faces in one go, and sends the row to the frame's lane.
//!
//! In: [`Job`]s from the poll thread, over one bounded channel. Out: a [`FrameRow`] for every job whose lane is still there: a rejected
//! message gets its row here too, and a frame that makes a worker panic is rejected and the worker rebuilt. No pixels change threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use facestream_schemas::dead_letter::{self, Original};
use facestream_schemas::envelope::{ImageFormat, sniff};
use facestream_schemas::tables::{FrameRow, Timings, folder};
use facestream_schemas::{Bbox, Detection, FrameMeta, Picture, Reason, Rejection, Size};
use facestream_stages::annotate::{Easel, What};
use facestream_stages::decode::{Image, Limits};
use facestream_stages::detect;

use crate::annotate::Shot;
use crate::budget::Permit;
use crate::clock::now;
use crate::detector::{Parts, Ready};
use crate::failpoint;
use crate::lane::{Outgoing, Output, Ticket};
use crate::live::{Glimpse, Live, Told, Turn};
use crate::metrics::{Blocked, Busy, Metrics, Queue, Since, Stage, Status, Until};
use crate::panicked;

/// A message on its way through a worker.
#[derive(Debug)]
pub struct Job {
    /// What the envelope said.
    pub meta: FrameMeta,
    /// The picture, or why there is none.
    pub picture: Result<Picture, Rejection>,
    /// Where the row goes, and as which number.
    pub ticket: Ticket,
    /// Its turn among the messages of its source, for the live page.
    pub turn: Turn,
    /// The image's share of the budget.
    pub permit: Permit,
    /// When it was polled.
    pub polled: Instant,
    /// How long fetching its picture took, where that lay elsewhere.
    pub fetch: Option<Duration>,
    /// Largest decoded image in pixels.
    pub max_pixels: u64,
    /// Older than this it is not looked at: the load policy `skip_stale`.
    pub max_age: Option<Duration>,
    /// The message as it came, where it may become a dead letter.
    pub original: Option<Box<Original>>,
}

impl Job {
    /// Whether it is too old to be looked at.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.max_age.is_some_and(|max_age| age_s(&self.meta) > max_age.as_secs_f64())
    }
}

fn age_s(meta: &FrameMeta) -> f64 {
    now().millis_since(meta.capture_ts) / 1e3
}

/// Everything that a worker is built from.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// What finds the faces.
    pub ready: Ready,
    /// More faces than this in one picture are the detector's error.
    pub max_faces: u32,
    /// How far from the record's time a row's folder may lie.
    pub max_skew: Duration,
    /// The largest value in a dead letter, in bytes, if there is a topic for them.
    pub dead_letters: Option<u64>,
    /// This run of the process.
    pub run_id: Arc<str>,
    /// What is done to the pictures that are annotated, if any are.
    pub annotate: What,
    /// The live page.
    pub live: Live,
    /// Where work is counted.
    pub metrics: Metrics,
}

impl Blueprint {
    /// A decoder and a detector session of one's own.
    pub fn build(&self) -> anyhow::Result<Parts> {
        // Each frame brings its topic's own limits.
        self.ready.build(Limits { max_pixels: 0 }, self.live.blurs() || self.annotate.hides())
    }
}

/// Starts a worker thread; it ends when the channel's other end is gone.
pub fn spawn(id: i32, parts: Parts, blueprint: Blueprint, jobs: Receiver<Job>) -> std::io::Result<JoinHandle<()>> {
    let mut worker = Worker { id, parts, blueprint, easel: Easel::default() };
    std::thread::Builder::new().name(format!("worker-{id}")).spawn(move || {
        for job in jobs {
            // Its lane may have left: the partition was revoked, or a drain ran out of time. Then the frame is another process's.
            if job.ticket.is_wanted() {
                worker.take(job);
            } else {
                worker.blueprint.metrics.queue_depth.of(Queue::Work).dec();
            }
        }
    })
}

struct Worker {
    id: i32,
    parts: Parts,
    blueprint: Blueprint,
    easel: Easel,
}

/// What looking at a frame gave.
struct Seen {
    image: Option<Size>,
    outcome: Result<Vec<Detection>, Rejection>,
    timings: Timings,
    /// For the live page.
    glimpse: Option<Glimpse>,
    /// For the annotated picture.
    shot: Option<Shot>,
}

impl Seen {
    /// Nothing was looked at.
    fn nothing(rejection: Rejection) -> Self {
        Self { image: None, outcome: Err(rejection), timings: Timings::default(), glimpse: None, shot: None }
    }
}

impl Worker {
    fn take(&mut self, job: Job) {
        let started = Instant::now();
        let metrics = self.blueprint.metrics.clone();
        let _busy = self.blueprint.live.busy(self.id);
        metrics.queue_depth.of(Queue::Work).dec();
        metrics.busy_workers.inc();
        let queue = started.saturating_duration_since(job.polled);
        metrics.stage_seconds.of(Stage::Queue).observe(queue.as_secs_f64());

        let Job { mut meta, picture, ticket, turn, permit, fetch, max_pixels, max_age, original, .. } = job;
        self.parts.decode.limit(Limits { max_pixels });
        let mut seen = match picture.and_then(|picture| timely(picture, &meta, max_age)) {
            Ok(picture) => {
                failpoint::hit_at(|| format!("frame:{}", meta.frame_id));
                self.look_safely(picture, &mut meta, &turn, max_pixels)
            }
            Err(rejection) => Seen::nothing(rejection),
        };
        seen.timings.queue_ms = Some(millis(queue));
        seen.timings.fetch_ms = fetch.map(millis);
        let (glimpse, shot) = (seen.glimpse.take(), seen.shot.take());
        let row = self.row(meta, seen);
        let told = self.blueprint.live.is_on().then(|| Told::of(&row));
        count(&metrics, &row, Instant::now());
        let outgoing = catch_unwind(AssertUnwindSafe(|| self.outgoing(&row, original.as_deref()))).unwrap_or_else(|panic| {
            let what = self.panicked(&row.meta, &*panic);
            tracing::error!(record = %row.meta.key, "this message has no dead letter: {what}");
            Vec::new()
        });
        metrics.busy_workers.dec();
        let finished = Instant::now();
        metrics.busy_seconds.of(Busy::Work).inc_by(finished.duration_since(started).as_secs_f64());
        ticket.finish(row, outgoing, shot, permit);
        metrics.blocked_seconds.of(Blocked::Work).inc_by(finished.elapsed().as_secs_f64());
        if let Some(told) = told {
            let started = Instant::now();
            self.show(turn, told, glimpse);
            metrics.busy_seconds.of(Busy::Work).inc_by(started.elapsed().as_secs_f64());
        }
    }

    /// Has the live page show what came of the frame. Its row is with its lane already: whatever happens here, rows are the same.
    fn show(&mut self, turn: Turn, told: Told, glimpse: Option<Glimpse>) {
        let shown = catch_unwind(AssertUnwindSafe(|| turn.finish(told, glimpse, &mut self.easel)));
        if shown.is_err() {
            tracing::error!("a picture for the live page could not be made: a bug");
            self.easel = Easel::default();
        }
    }

    /// What the live page needs of the image: a panic there is not the frame's fault.
    fn glance(turn: &Turn, image: &Image<'_>, faces: &[Detection], weak: &[Bbox], easel: &mut Easel) -> Option<Glimpse> {
        catch_unwind(AssertUnwindSafe(|| turn.glance(image, faces, weak, easel))).unwrap_or_else(|_| {
            tracing::error!("a frame could not be looked at for the live page: a bug");
            *easel = Easel::default();
            None
        })
    }

    /// What is to be sent of the message besides what its lane tells of its row: a dead letter, if it failed.
    fn outgoing(&self, row: &FrameRow, original: Option<&Original>) -> Vec<Outgoing> {
        let failed = row.outcome.as_ref().err().map(|rejection| rejection.reason).filter(|reason| !reason.is_skip());
        match (failed, original, self.blueprint.dead_letters) {
            (Some(reason), Some(original), Some(max_bytes)) => {
                let message = dead_letter::of(row, original, now(), max_bytes);
                vec![Outgoing { to: Output::DeadLetters(reason), message }]
            }
            _ => Vec::new(),
        }
    }

    /// A panic is a bug of ours, not the end of the stream: the frame is rejected and the worker rebuilt from scratch.
    fn look_safely(&mut self, picture: Picture, meta: &mut FrameMeta, turn: &Turn, max_pixels: u64) -> Seen {
        catch_unwind(AssertUnwindSafe(|| self.look(picture, meta, turn, max_pixels))).unwrap_or_else(|panic| {
            let what = self.panicked(meta, &*panic);
            match self.blueprint.build() {
                Ok(parts) => self.parts = parts,
                Err(error) => tracing::error!("cannot rebuild the worker, going on with the old one: {error:#}"),
            }
            Seen::nothing(Rejection::new(Reason::InternalError, format_args!("a worker panicked: {what}")))
        })
    }

    /// Counts a panic and says of which frame; what it said itself.
    fn panicked(&self, meta: &FrameMeta, panic: &(dyn Any + Send)) -> String {
        let what = panicked::said(panic);
        tracing::error!(record = %meta.key, "a worker panicked on this frame: {what}");
        self.blueprint.metrics.worker_panics.inc();
        what
    }

    fn look(&mut self, picture: Picture, meta: &mut FrameMeta, turn: &Turn, max_pixels: u64) -> Seen {
        let started = Instant::now();
        let bytes = match encoded(picture) {
            Ok(image) => image,
            Err(rejection) => return Seen::nothing(rejection),
        };
        meta.content_type = sniff(&bytes).map(ImageFormat::media_type);
        let decoded = self.parts.decode.decode(&bytes);
        let decode = started.elapsed();
        self.blueprint.metrics.stage_seconds.of(Stage::Decode).observe(decode.as_secs_f64());
        let timings = Timings { decode_ms: Some(millis(decode)), ..Timings::default() };
        let image = match decoded {
            Ok(image) => image,
            Err(rejection) => return Seen { timings, ..Seen::nothing(rejection) },
        };

        let started = Instant::now();
        let most = self.blueprint.max_faces as usize;
        let outcome = self.parts.detector.detect(&image).and_then(|faces| detect::believable(faces, most));
        let detect = started.elapsed();
        self.blueprint.metrics.stage_seconds.of(Stage::Detect).observe(detect.as_secs_f64());
        let (detector, easel) = (&self.parts.detector, &mut self.easel);
        let glimpse = outcome.as_ref().ok().and_then(|faces| Self::glance(turn, &image, faces, detector.weak(), easel));
        let what = Some(self.blueprint.annotate).filter(|what| *what != What::None);
        let shot = what.zip(outcome.as_ref().ok());
        let shot = shot.map(|(what, faces)| Shot::of(what, bytes.clone(), max_pixels, image.original, faces, detector.weak()));
        Seen {
            image: Some(image.original),
            outcome: outcome.map_err(|error| Rejection::new(Reason::DetectorError, error)),
            timings: Timings { detect_ms: Some(millis(detect)), ..timings },
            glimpse,
            shot,
        }
    }

    fn row(&self, meta: FrameMeta, seen: Seen) -> FrameRow {
        FrameRow {
            folder: folder(&meta, self.blueprint.max_skew),
            e2e_ms: now().millis_since(meta.capture_ts),
            meta,
            image: seen.image,
            outcome: seen.outcome,
            detector: Arc::clone(&self.parts.identity),
            timings: seen.timings,
            worker_id: Some(self.id),
            run_id: Arc::clone(&self.blueprint.run_id),
        }
    }
}

/// The picture, unless it is too old now that its turn has come.
fn timely(picture: Picture, meta: &FrameMeta, max_age: Option<Duration>) -> Result<Picture, Rejection> {
    let age = age_s(meta);
    // One that was too old to be fetched stays too old, though the clock may have been put back since.
    let is_stale = |max_age: &Duration| age > max_age.as_secs_f64() || matches!(picture, Picture::At(_));
    match max_age.filter(is_stale) {
        Some(max_age) => {
            let why = format_args!("captured {age:.1} s ago, load.max_age is {}", humantime::format_duration(max_age));
            Err(Rejection::new(Reason::Stale, why))
        }
        None => Ok(picture),
    }
}

/// The encoded image.
fn encoded(picture: Picture) -> Result<Bytes, Rejection> {
    match picture {
        Picture::Encoded(image) => Ok(image),
        Picture::Base64(text) => match base64(&text) {
            Ok(image) if image.is_empty() => Err(Rejection::new(Reason::EnvelopeError, "image is empty")),
            Ok(image) => Ok(Bytes::from(image)),
            Err(error) => Err(Rejection::new(Reason::EnvelopeError, format_args!("image is no base64: {error}"))),
        },
        Picture::At(_) => Err(Rejection::new(Reason::InternalError, "the picture was not fetched")),
    }
}

/// Standard or URL-safe alphabet, padded or not, in one line or in several, as MIME has it.
fn base64(text: &[u8]) -> Result<Vec<u8>, base64::DecodeError> {
    const EITHER: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, EITHER);
    let decoded = match STANDARD.decode(text) {
        Err(base64::DecodeError::InvalidByte(_, b'-' | b'_')) => URL_SAFE.decode(text),
        decoded => decoded,
    };
    match decoded {
        Err(base64::DecodeError::InvalidByte(_, b'\r' | b'\n')) => {
            base64(&text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect::<Vec<_>>())
        }
        decoded => decoded,
    }
}

fn count(metrics: &Metrics, row: &FrameRow, now: Instant) {
    let meta = &row.meta;
    let status = row.outcome.as_ref().err().map_or(Status::Ok, |rejection| Status::Not(rejection.reason));
    let faces = row.outcome.as_ref().map_or(0, Vec::len);
    metrics.frames.of(status).inc();
    metrics.frame_bytes.of(status).inc_by(meta.size_bytes);
    metrics.faces.inc_by(faces as u64);
    let since_record_ms = row.e2e_ms + meta.capture_ts.millis_since(meta.record_ts);
    for (since, ms) in [(Since::Event, row.e2e_ms), (Since::Record, since_record_ms)] {
        metrics.e2e_seconds.of((since, Until::Detected)).observe(ms.max(0.0) / 1e3);
    }
    metrics.sources_apart.count(&meta.source_id, faces, meta.capture_ts, now);
}

fn millis(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e3
}
