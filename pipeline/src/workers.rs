//! Worker threads: each takes a frame, decodes it and looks for faces in one go, and sends the row to the frame's lane.
//!
//! In: [`Job`]s from the poll thread, over one bounded channel. Out: a [`FrameRow`] for every job, always: a rejected message gets
//! its row here too, and a frame that makes a worker panic is rejected and the worker rebuilt. No pixels change threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crossbeam_channel::Receiver;
use facestream_schemas::tables::{FrameRow, Timings, folder};
use facestream_schemas::{Detection, DetectorIdentity, FrameMeta, Picture, Reason, Rejection, Size};
use facestream_stages::decode::{Decode, Limits};
use facestream_stages::detect::{self, Detector, Settings};

use crate::budget::Permit;
use crate::clock::now;
use crate::failpoint;
use crate::lane::Ticket;
use crate::metrics::Metrics;

/// A message on its way through a worker.
#[derive(Debug)]
pub struct Job {
    /// What the envelope said.
    pub meta: FrameMeta,
    /// The picture, or why there is none.
    pub picture: Result<Picture, Rejection>,
    /// Where the row goes, and as which number.
    pub ticket: Ticket,
    /// The image's share of the budget.
    pub permit: Permit,
    /// When it was polled.
    pub polled: Instant,
}

/// Everything that a worker is built from.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// The model file.
    pub model: PathBuf,
    /// Detector settings.
    pub settings: Settings,
    /// Limits of the decoder.
    pub limits: Limits,
    /// How far from the record's time a row's folder may lie.
    pub max_skew: Duration,
    /// This run of the process.
    pub run_id: Arc<str>,
    /// Where work is counted.
    pub metrics: Metrics,
}

impl Blueprint {
    /// A decoder and a detector session of one's own.
    pub fn build(&self) -> anyhow::Result<Parts> {
        let detector = detect::load(&self.model, &self.settings)?;
        let decode = Decode::new(self.limits, detector.input())?;
        let identity = Arc::new(detector.identity().clone());
        Ok(Parts { decode, detector, identity })
    }
}

/// What a worker works with.
pub struct Parts {
    decode: Decode,
    detector: Box<dyn Detector>,
    identity: Arc<DetectorIdentity>,
}

impl Parts {
    /// The detector in use.
    #[must_use]
    pub fn identity(&self) -> &Arc<DetectorIdentity> {
        &self.identity
    }
}

/// Starts a worker thread; it ends when the channel's other end is gone.
pub fn spawn(id: i32, parts: Parts, blueprint: Blueprint, jobs: Receiver<Job>) -> std::io::Result<JoinHandle<()>> {
    let mut worker = Worker { id, parts, blueprint };
    std::thread::Builder::new().name(format!("worker-{id}")).spawn(move || {
        for job in jobs {
            worker.take(job);
        }
    })
}

struct Worker {
    id: i32,
    parts: Parts,
    blueprint: Blueprint,
}

/// What looking at a frame gave.
struct Seen {
    image: Option<Size>,
    outcome: Result<Vec<Detection>, Rejection>,
    timings: Timings,
}

impl Worker {
    fn take(&mut self, job: Job) {
        let metrics = self.blueprint.metrics.clone();
        metrics.queued_frames.dec();
        metrics.busy_workers.inc();
        let queue = job.polled.elapsed();
        metrics.stage_seconds.with_label_values(&["queue"]).observe(queue.as_secs_f64());

        let Job { meta, picture, ticket, permit, .. } = job;
        let mut seen = match picture.and_then(encoded) {
            Ok(image) => {
                failpoint::hit_at(|| format!("frame:{}", meta.frame_id));
                self.look_safely(&image, &meta)
            }
            Err(rejection) => Seen { image: None, outcome: Err(rejection), timings: Timings::default() },
        };
        seen.timings.queue_ms = Some(millis(queue));
        let row = self.row(meta, seen);
        count(&metrics, &row);
        metrics.busy_workers.dec();
        ticket.finish(row, permit);
    }

    /// A panic is a bug of ours, not the end of the stream: the frame is rejected and the worker rebuilt from scratch.
    fn look_safely(&mut self, image: &[u8], meta: &FrameMeta) -> Seen {
        catch_unwind(AssertUnwindSafe(|| self.look(image))).unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<&str>().map(ToString::to_string);
            let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(message = %meta.key, "a worker panicked on this frame, it is rejected as internal_error: {what}");
            self.blueprint.metrics.worker_panics.inc();
            match self.blueprint.build() {
                Ok(parts) => self.parts = parts,
                Err(error) => tracing::error!("cannot rebuild the worker, going on with the old one: {error:#}"),
            }
            let rejection = Rejection::new(Reason::InternalError, format_args!("a worker panicked: {what}"));
            Seen { image: None, outcome: Err(rejection), timings: Timings::default() }
        })
    }

    fn look(&mut self, image: &[u8]) -> Seen {
        let started = Instant::now();
        let decoded = self.parts.decode.decode(image);
        let decode = started.elapsed();
        self.blueprint.metrics.stage_seconds.with_label_values(&["decode"]).observe(decode.as_secs_f64());
        let timings = Timings { decode_ms: Some(millis(decode)), ..Timings::default() };
        let image = match decoded {
            Ok(image) => image,
            Err(rejection) => return Seen { image: None, outcome: Err(rejection), timings },
        };

        let started = Instant::now();
        let outcome = self.parts.detector.detect(&image);
        let detect = started.elapsed();
        self.blueprint.metrics.stage_seconds.with_label_values(&["detect"]).observe(detect.as_secs_f64());
        Seen {
            image: Some(image.original),
            outcome: outcome.map_err(|error| Rejection::new(Reason::DetectorError, error)),
            timings: Timings { detect_ms: Some(millis(detect)), ..timings },
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

/// The encoded image.
fn encoded(picture: Picture) -> Result<Bytes, Rejection> {
    match picture {
        Picture::Encoded(image) => Ok(image),
        Picture::Base64(text) => {
            let image = STANDARD.decode(&text).map_err(|error| Rejection::new(Reason::EnvelopeError, error))?;
            Ok(Bytes::from(image))
        }
        Picture::At(_) => Err(Rejection::new(Reason::FetchRefused, "fetch.allow is empty")),
    }
}

fn count(metrics: &Metrics, row: &FrameRow) {
    let status = row.outcome.as_ref().err().map_or("ok", |rejection| rejection.reason.as_str());
    metrics.frames.with_label_values(&[status]).inc();
    metrics.faces.inc_by(row.outcome.as_ref().map_or(0, |faces| faces.len() as u64));
    metrics.e2e_seconds.with_label_values(&["detected"]).observe(row.e2e_ms.max(0.0) / 1e3);
}

fn millis(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e3
}
