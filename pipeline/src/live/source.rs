//! One source: what it did lately, and its latest picture.
//!
//! In: frames by number, pictures to show. Out: reports. Invariant: the lock is held for moments, never while a picture is made; a
//! picture is never replaced by one of an earlier frame.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use facestream_schemas::{Micros, SourceId};
use facestream_stages::annotate::{Mark, Tile};

use super::ring::Ring;
use super::strip::{Finished, Strip};
use super::turn::{Glimpse, Told};
use super::{PICTURES_PER_S, lock};

/// A camera in one partition.
#[derive(Debug)]
#[allow(clippy::struct_field_names, reason = "source_id is the word for it everywhere")]
pub(super) struct Source {
    pub(super) id: u64,
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) source_id: SourceId,
    /// In milliseconds since the process began to take frames, as all times here.
    seen: AtomicU64,
    watched_until: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Frames so far: the number of the next one.
    frames: u64,
    strip: Strip<Shot>,
    ring: Ring,
    last: Option<Last>,
    /// When the last picture was taken.
    taken: Option<u64>,
    pictures: u64,
    picture: Option<Picture>,
    /// Since when its partition is not held here.
    stray_since: Option<u64>,
}

/// What came of the last frame that was looked at, and when the last frame was captured.
#[derive(Debug)]
struct Last {
    captured: Micros,
    told: Told,
}

/// A picture that may be shown once faces are hidden.
#[derive(Debug)]
pub(super) struct Shot {
    pub(super) tile: Tile,
    pub(super) marks: Vec<Mark>,
    /// What taking it cost.
    pub(super) took: Duration,
}

#[derive(Debug)]
struct Picture {
    /// Of the frame.
    frame: u64,
    number: u64,
    jpeg: Bytes,
}

/// What is told of a source.
#[derive(Clone, Debug)]
pub struct SourceReport {
    /// Which one: for as long as the process knows it.
    pub id: u64,
    /// The camera: hostile text.
    pub source_id: SourceId,
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Kafka partition.
    pub partition: i32,
    /// Whether it had a frame lately.
    pub active: bool,
    /// Event time of the last frame.
    pub last_frame: Option<Micros>,
    /// Over the last seconds.
    pub frames_per_s: f64,
    /// What came of the last frame.
    pub last: Option<Told>,
    /// The number of the latest picture.
    pub picture: Option<u64>,
}

impl Source {
    pub(super) fn new(id: u64, topic: Arc<str>, partition: i32, source_id: SourceId, now: u64) -> Self {
        let (seen, watched_until) = (AtomicU64::new(now), AtomicU64::new(0));
        Self { id, topic, partition, source_id, seen, watched_until, state: Mutex::default() }
    }

    pub(super) fn seen(&self, now: u64) {
        self.seen.store(now, Relaxed);
    }

    pub(super) fn last_seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    pub(super) fn watch_until(&self, until: u64) {
        self.watched_until.store(until, Relaxed);
    }

    fn is_watched(&self, now: u64) -> bool {
        self.watched_until.load(Relaxed) > now
    }

    /// The number of a frame that was polled now.
    pub(super) fn enter(&self, at: Micros, blur: bool) -> u64 {
        let mut state = self.state();
        let number = state.frames;
        state.frames += 1;
        if blur {
            state.strip.enter(number, at);
        }
        number
    }

    /// The frame's regions will never be known.
    pub(super) fn leave(&self, number: u64) {
        self.state().strip.leave(number);
    }

    /// Whether a picture is to be taken now; then the next one is not before long.
    pub(super) fn claim(&self, now: u64) -> bool {
        if !self.is_watched(now) {
            return false;
        }
        let mut state = self.state();
        let due = state.taken.is_none_or(|taken| now >= taken + 1_000 / PICTURES_PER_S);
        if due {
            state.taken = Some(now);
        }
        due
    }

    /// Notes what came of a frame; gives a picture that may be made now.
    pub(super) fn finish(
        &self,
        number: u64,
        captured: Micros,
        told: Told,
        glimpse: Option<Glimpse>,
        now: u64,
        blur: bool,
    ) -> Option<Finished<Shot>> {
        let mut state = self.state();
        state.ring.add(now / 1_000, told.faces);
        match &mut state.last {
            Some(last) if told.skipped => last.captured = captured,
            last => *last = Some(Last { captured, told }),
        }
        let Some(Glimpse { regions, shot }) = glimpse else {
            state.strip.leave(number);
            return state.strip.finish();
        };
        if !blur {
            return shot.map(|picture| Finished { number, picture, regions });
        }
        state.strip.know(number, regions, shot)
    }

    /// Shows a picture, unless that of a later frame is shown or nobody looks any more; whether it is shown.
    pub(super) fn show(&self, frame: u64, jpeg: Bytes, now: u64) -> bool {
        let mut state = self.state();
        if !self.is_watched(now) || state.picture.as_ref().is_some_and(|shown| shown.frame > frame) {
            return false;
        }
        state.pictures += 1;
        state.picture = Some(Picture { frame, number: state.pictures, jpeg });
        true
    }

    pub(super) fn picture(&self) -> Option<(u64, Bytes)> {
        self.state().picture.as_ref().map(|picture| (picture.number, picture.jpeg.clone()))
    }

    /// Keeps no pixel of what nobody watches.
    pub(super) fn drop_unwatched(&self, now: u64) {
        if !self.is_watched(now) {
            let mut state = self.state();
            state.picture = None;
            state.strip.drop_picture();
        }
    }

    /// Whether it is still this process's, or has not been another's for long.
    pub(super) fn stays(&self, held: bool, now: u64, patience: Duration) -> bool {
        let mut state = self.state();
        if held {
            state.stray_since = None;
            return true;
        }
        let since = *state.stray_since.get_or_insert(now);
        now < since + patience.as_millis() as u64
    }

    pub(super) fn faces(&self, second: u64) -> Vec<Option<u16>> {
        self.state().ring.faces(second)
    }

    pub(super) fn report(&self, now: u64, silent_after: Duration) -> SourceReport {
        let state = self.state();
        SourceReport {
            id: self.id,
            source_id: self.source_id.clone(),
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            active: now < self.last_seen() + silent_after.as_millis() as u64,
            last_frame: state.last.as_ref().map(|last| last.captured),
            frames_per_s: state.ring.frames_per_s(now / 1_000),
            last: state.last.as_ref().map(|last| last.told.clone()),
            picture: state.picture.as_ref().map(|picture| picture.number),
        }
    }

    /// As if no picture had been taken yet.
    #[cfg(test)]
    pub(super) fn forget_taken(&self) {
        self.state().taken = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
