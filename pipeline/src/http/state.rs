//! What the live page is told once a second, as JSON; `pipeline/assets/openapi.json` describes every field.
//!
//! In: metrics, partitions, sources. Out: [`State`] and [`History`]. Invariant: every number is finite; texts that producers wrote are
//! cut short, and otherwise as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use facestream_schemas::Partition;
use serde::Serialize;

use super::numbers::{finite, frames};
use super::pulse::worst_lag;
use super::{Sight, obstacles};
use crate::clock::now;
use crate::lane::Overview;
use crate::live::{Failure, SourceReport};

/// Longest text of a source's name, and of an error beside it.
const NAME_CHARS: usize = 256;
const ERROR_CHARS: usize = 300;

/// Which process this is, and what was decided when it began.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the description of the interface says it")]
pub struct Process {
    pub host: String,
    pub pid: u32,
    pub run_id: String,
    pub started_us: i64,
    pub group: String,
    pub topics: Vec<String>,
    pub brokers: String,
    pub store: String,
    pub detector: String,
    pub workers: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct State {
    now_us: i64,
    version: &'static str,
    ready: bool,
    obstacles: Vec<&'static str>,
    process: Arc<Process>,
    blur: bool,
    login: bool,
    rates: Rates,
    totals: Totals,
    latency_s: Option<Latency>,
    lag: Lag,
    partitions: Vec<PartitionState>,
    workers: Vec<Worker>,
    sources_total: usize,
    sources: Vec<Source>,
    failures: Vec<FailureState>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(clippy::struct_field_names, reason = "the names are those of the interface")]
pub(super) struct Rates {
    pub(super) frames_per_s: f64,
    pub(super) faces_per_s: f64,
    pub(super) bytes_per_s: f64,
}

#[derive(Debug, Serialize)]
struct Totals {
    frames: BTreeMap<&'static str, u64>,
    faces: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

#[derive(Debug, Serialize)]
struct Lag {
    records: i64,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct PartitionState {
    topic: Arc<str>,
    partition: i32,
    state: &'static str,
    lag_records: Option<i64>,
    lag_seconds: Option<f64>,
    watermark_delay_s: Option<f64>,
    journal_end: Option<i64>,
    collected_end: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Worker {
    id: usize,
    busy: f64,
}

#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names, reason = "source_id is the word for it everywhere")]
struct Source {
    id: u64,
    source_id: String,
    topic: Arc<str>,
    partition: i32,
    active: bool,
    last_frame_us: Option<i64>,
    frames_per_s: f64,
    faces: Option<u32>,
    status: Option<&'static str>,
    error: Option<String>,
    image_w_px: Option<u32>,
    image_h_px: Option<u32>,
    image: Option<u64>,
}

#[derive(Debug, Serialize)]
struct FailureState {
    at_us: i64,
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    source_id: String,
    status: &'static str,
    error: String,
}

/// What a browser gets once, when it connects.
#[derive(Debug, Serialize)]
pub(super) struct History {
    pub(super) now_us: i64,
    pub(super) every_s: u64,
    pub(super) frames_per_s: Vec<f64>,
    pub(super) faces_per_s: Vec<f64>,
    pub(super) lag_seconds: Vec<f64>,
    pub(super) latency_p99_s: Vec<Option<f64>>,
    pub(super) sources: BTreeMap<u64, Vec<Option<u16>>>,
}

/// What the last seconds came to.
#[derive(Debug)]
pub(super) struct Lately {
    pub(super) rates: Rates,
    pub(super) latency: Option<Latency>,
    pub(super) busy: Vec<f64>,
}

/// The state as it is now.
pub(super) fn now_state(sight: &Sight, lately: &Lately) -> State {
    let metrics = &sight.metrics;
    let obstacles = obstacles(metrics);
    let held = sight.board.overview();
    let of_lanes = sight.board.count_sources();
    let sources: Vec<_> = sight.live.sources().into_iter().map(source).collect();
    State {
        now_us: now().0,
        version: env!("CARGO_PKG_VERSION"),
        ready: obstacles.is_empty(),
        obstacles,
        process: Arc::clone(&sight.process),
        blur: sight.live.blurs(),
        login: sight.access.asks(),
        rates: lately.rates,
        totals: Totals { frames: frames(metrics), faces: metrics.faces.get() },
        latency_s: lately.latency,
        lag: Lag { records: metrics.total_lag(), seconds: worst_lag(held.values()) },
        partitions: held.iter().map(partition).collect(),
        workers: lately.busy.iter().enumerate().map(|(id, busy)| Worker { id, busy: *busy }).collect(),
        sources_total: sources.len().max(of_lanes),
        sources,
        failures: sight.live.failures().into_iter().map(failure).collect(),
    }
}

fn partition((partition, overview): (&Partition, &Overview)) -> PartitionState {
    let Overview { standing, lag, journal_end, collected_end } = overview;
    PartitionState {
        topic: Arc::clone(&partition.topic),
        partition: partition.number,
        state: standing.as_str(),
        lag_records: lag.records,
        lag_seconds: lag.seconds.map(finite),
        watermark_delay_s: lag.watermark_delay_s.map(finite),
        journal_end: journal_end.map(|end| end.0),
        collected_end: collected_end.map(|end| end.0),
    }
}

fn source(report: SourceReport) -> Source {
    let SourceReport { id, source_id, topic, partition, active, last_frame, frames_per_s, last, picture } = report;
    let image = last.as_ref().and_then(|last| last.image);
    Source {
        id,
        source_id: cut(source_id.as_str(), NAME_CHARS),
        topic,
        partition,
        active,
        last_frame_us: last_frame.map(|time| time.0),
        frames_per_s: finite(frames_per_s),
        faces: last.as_ref().and_then(|last| last.faces),
        status: last.as_ref().map(|last| last.status),
        error: last.and_then(|last| last.error).map(|error| cut(&error, ERROR_CHARS)),
        image_w_px: image.map(|size| size.w),
        image_h_px: image.map(|size| size.h),
        image: picture,
    }
}

fn failure(failure: Failure) -> FailureState {
    let Failure { at_us, topic, partition, offset, source_id, status, error } = failure;
    let (source_id, error) = (cut(source_id.as_str(), NAME_CHARS), cut(&error, ERROR_CHARS));
    FailureState { at_us, topic, partition, offset, source_id, status, error }
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_characters() {
        assert_eq!(cut("äöü", 2), "äö");
        assert_eq!(cut("<script>", 300), "<script>");
    }
}
