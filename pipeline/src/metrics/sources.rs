//! Metrics by source: only where `metrics.source_label` asks for them, and for so many sources at most.
//!
//! In: the source of each row, with its faces. Out: series with the label `source_id`. Invariant: never more series than the limit
//! and one: what comes from sources beyond it is counted together, as [`OTHER`]. A source that is not heard of for an hour makes
//! room for another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use facestream_schemas::{Micros, SourceId};
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, Opts};

use super::declare::Declare;

/// The label of all sources beyond the limit.
const OTHER: &str = "_other";
/// A source that is not heard of for so long is dropped.
const FORGET_AFTER: Duration = Duration::from_hours(1);
/// How often it is looked for such sources.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// The families, and which sources have series of their own.
#[derive(Debug)]
pub struct SourceSeries {
    /// Most sources with series of their own; 0 is off.
    limit: AtomicUsize,
    frames: IntCounterVec,
    faces: IntCounterVec,
    last_frame: GaugeVec,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    own: HashMap<SourceId, Series>,
    other: Option<Series>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Series {
    frames: IntCounter,
    faces: IntCounter,
    last_frame: Gauge,
    heard: Instant,
}

impl SourceSeries {
    pub(super) fn declared(declare: &mut Declare<'_>) -> Self {
        const LABEL: [&str; 1] = ["source_id"];
        let mut counters = |name: &str, help: &str| {
            declare.open(name, "counter", help, &LABEL, IntCounterVec::new(Opts::new(name, help), &LABEL))
        };
        let frames = counters("source_frames_total", "Frames finished of a source; only with metrics.source_label");
        let faces = counters("source_faces_total", "Faces detected of a source; only with metrics.source_label");
        let (name, help) = (
            "source_last_frame_timestamp_seconds",
            "Event time of a source's newest frame, as Unix time; only with metrics.source_label",
        );
        let last_frame = declare.open(name, "gauge", help, &LABEL, GaugeVec::new(Opts::new(name, help), &LABEL));
        Self { limit: AtomicUsize::new(0), frames, faces, last_frame, known: Mutex::default() }
    }

    /// Tells sources apart from now on, `limit` of them at most.
    pub fn tell_apart(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Counts a frame of a source. Does nothing unless sources are told apart.
    pub fn count(&self, source: &SourceId, faces: usize, captured: Micros, now: Instant) {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == 0 {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_silent(&mut known, now);
        let known = &mut *known;
        let is_full = known.own.len() >= limit;
        let series = match known.own.get_mut(source) {
            Some(series) => series,
            None if is_full || source.as_str() == OTHER => known.other.get_or_insert_with(|| self.series(OTHER, now)),
            None => known.own.entry(source.clone()).or_insert_with(|| self.series(source.as_str(), now)),
        };
        series.frames.inc();
        series.faces.inc_by(faces as u64);
        series.last_frame.set(series.last_frame.get().max(captured.0 as f64 / 1e6));
        series.heard = now;
    }

    /// Drops what is silent; to be asked before the page is made, too.
    pub(super) fn forget(&self, now: Instant) {
        self.forget_silent(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner), now);
    }

    fn series(&self, source: &str, now: Instant) -> Series {
        Series {
            frames: self.frames.with_label_values(&[source]),
            faces: self.faces.with_label_values(&[source]),
            last_frame: self.last_frame.with_label_values(&[source]),
            heard: now,
        }
    }

    fn forget_silent(&self, known: &mut Known, now: Instant) {
        if known.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_EVERY) {
            return;
        }
        known.looked = Some(now);
        let is_silent = |series: &Series| now.saturating_duration_since(series.heard) >= FORGET_AFTER;
        for (source, _) in known.own.extract_if(|_, series| is_silent(series)) {
            self.remove(source.as_str());
        }
        if known.other.take_if(|other| is_silent(other)).is_some() {
            self.remove(OTHER);
        }
    }

    fn remove(&self, source: &str) {
        // Fails only for what is not there.
        let _ = self.frames.remove_label_values(&[source]);
        let _ = self.faces.remove_label_values(&[source]);
        let _ = self.last_frame.remove_label_values(&[source]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    fn frames_of(metrics: &Metrics) -> Vec<String> {
        let page = metrics.render();
        let lines = page.lines().filter_map(|line| line.strip_prefix("facestream_source_frames_total"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn sources_are_told_apart_only_on_request_up_to_the_limit_and_for_as_long_as_they_are_heard_of() {
        let (metrics, start) = (Metrics::new(), Instant::now());
        let count = |source: &str, minute: u64| {
            let now = start + Duration::from_mins(minute);
            metrics.sources_apart.count(&SourceId::new(source), 2, Micros(1_000_000), now);
        };
        count("a", 0);
        assert!(frames_of(&metrics).is_empty());

        metrics.sources_apart.tell_apart(2);
        for source in ["a", "b", "a", "c", "d", "_other"] {
            count(source, 0);
        }
        let series = [r#"{source_id="_other"} 3"#, r#"{source_id="a"} 2"#, r#"{source_id="b"} 1"#];
        assert_eq!(frames_of(&metrics), series);
        assert!(metrics.render().contains("facestream_source_faces_total{source_id=\"_other\"} 6"));

        count("b", 30);
        // After an hour without "a" there is room again, and a source starts from zero.
        count("c", 61);
        assert_eq!(frames_of(&metrics), [r#"{source_id="b"} 2"#, r#"{source_id="c"} 1"#]);
        count("a", 62);
        assert_eq!(frames_of(&metrics).first().map(String::as_str), Some(r#"{source_id="_other"} 1"#));
    }

    #[test]
    fn the_newest_event_time_is_kept_and_hostile_names_are_escaped() {
        let metrics = Metrics::new();
        metrics.sources_apart.tell_apart(10);
        let hostile = SourceId::new("a\"} 1\nb 2");
        for captured in [5_000_000, 3_000_000] {
            metrics.sources_apart.count(&hostile, 0, Micros(captured), Instant::now());
        }
        let line = "facestream_source_last_frame_timestamp_seconds{source_id=\"a\\\"} 1\\nb 2\"} 5";
        assert!(metrics.render().lines().any(|found| found == line), "{}", metrics.render());
    }
}
