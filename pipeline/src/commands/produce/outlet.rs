//! Where an input's frames go: re-encoded, at their pace, into the one channel that leads to Kafka.
//!
//! In: pictures or pixels, on the input's own thread. Out: [`Shot`]s. Invariant: an input waits while the channel is full, and
//! stops when nobody takes frames any more.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::pace::Pace;
use super::report::Tally;
use super::retouch::{Retouch, RetouchError, Wanted};
use super::shot::{Shot, frame_id};
use super::stop::Stop;

/// How an input is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Frames a second of each camera.
    pub(super) fps: Option<f64>,
    /// In the time of the recording.
    pub(super) is_as_recorded: bool,
    /// Over and over.
    pub(super) is_again: bool,
    /// How often in a row a camera may fail before it is given up; 0: for ever.
    pub(super) attempts: usize,
    /// Largest encoded frame in bytes.
    pub(super) max_bytes: usize,
    pub(super) wanted: Wanted,
}

/// One input's way out.
pub(super) struct Outlet {
    pub(super) manner: Manner,
    pub(super) stop: Stop,
    /// The input, as it may be shown.
    pub(super) name: String,
    sources: Range<usize>,
    shots: mpsc::Sender<Shot>,
    tally: Arc<Tally>,
    pace: Pace,
    retouch: Retouch,
    offered: u64,
}

impl Outlet {
    pub(super) fn new(
        name: String,
        sources: Range<usize>,
        manner: Manner,
        shots: mpsc::Sender<Shot>,
        tally: Arc<Tally>,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        let (pace, retouch) = (Pace::new(manner.fps), Retouch::new(manner.wanted)?);
        Ok(Self { manner, stop, name, sources, shots, tally, pace, retouch, offered: 0 })
    }

    /// Sends a frame on. False if there is no use in going on.
    pub(super) fn offer(&mut self, frame_seq: u64, frame_id: Arc<str>, captured_ns: Option<i64>, image: Vec<u8>) -> bool {
        let shot = Shot { sources: self.sources.clone(), frame_seq, frame_id, captured_ns, image: Bytes::from(image) };
        let is_taken = self.shots.blocking_send(shot).is_ok();
        self.offered += u64::from(is_taken);
        is_taken && !self.is_stopped()
    }

    /// Sends on what a camera shows now, unless that is more than is wanted. False if there is no use in going on.
    pub(super) fn offer_live(&mut self, captured_ns: Option<i64>, image: Vec<u8>) -> bool {
        let captured_ns = captured_ns.or_else(now_ns).filter(|_| self.manner.is_as_recorded);
        self.offer(self.offered, frame_id(&format!("{}#{}", self.name, self.offered)), captured_ns, image)
    }

    /// Whether a frame that a camera has now is one too many.
    pub(super) fn is_surplus(&mut self) -> bool {
        self.pace.is_surplus(Instant::now())
    }

    /// How many frames have been sent on.
    pub(super) fn offered(&self) -> u64 {
        self.offered
    }

    /// Waits until the next frame is due. False if it was stopped.
    pub(super) fn wait_due(&mut self) -> bool {
        let wait = self.pace.wait(Instant::now());
        self.stop.wait(wait)
    }

    /// Waits for a point in time. False if it was stopped.
    #[cfg(feature = "video")]
    pub(super) fn wait_until(&self, at: Instant) -> bool {
        self.stop.wait(at.saturating_duration_since(Instant::now()))
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_raised()
    }

    pub(super) fn is_again(&self) -> bool {
        self.manner.is_again
    }

    /// An encoded picture as it is wanted.
    pub(super) fn retouched(&mut self, image: Vec<u8>) -> Result<Vec<u8>, RetouchError> {
        self.retouch.picture(image)
    }

    /// Pixels as a JPEG.
    #[cfg(feature = "video")]
    pub(super) fn encoded(
        &mut self,
        pixels: &[u8],
        size: facestream_schemas::Size,
        format: turbojpeg::PixelFormat,
    ) -> Result<Vec<u8>, RetouchError> {
        self.retouch.pixels(pixels, size, format)
    }

    /// Something that was to be sent cannot be.
    pub(super) fn unreadable(&self, what: impl Display) {
        self.tally.unreadable(what);
    }

    /// Something that people may want to know.
    pub(super) fn note(&self, what: impl Display) {
        self.tally.note(what);
    }
}

/// Nanoseconds since the Unix epoch.
pub(super) fn now_ns() -> Option<i64> {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// As a number, as long as there is one: until the year 2262.
pub(super) fn nanos(duration: Duration) -> Option<i64> {
    i64::try_from(duration.as_nanos()).ok()
}
