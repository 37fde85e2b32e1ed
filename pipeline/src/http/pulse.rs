//! Once a second: rates, the last two minutes, and the state that every viewer of the live page gets.
//!
//! In: the metrics and the live page's sources. Out: the state and the history as event-stream text. Invariant: a state is written at
//! most once a second, however many viewers there are, and by the clock only while there is one; all share the same bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::Sight;
use super::numbers::{between, finite, frames, latencies};
use super::state::{self, History, Lately, Latency, Rates};
use crate::lane::Overview;
use crate::live::quantile;
use crate::metrics::Metrics;

const EVERY: Duration = Duration::from_secs(1);
/// Rates are over so many seconds, latencies over the second number.
const RATES_OVER: usize = 2;
const LATENCY_OVER: usize = 10;
/// Seconds of history.
const HISTORY: usize = 120;
/// Viewers at a time.
const MOST_VIEWERS: usize = 32;

/// What is read off the metrics once a second.
#[derive(Debug)]
struct Sample {
    at: Instant,
    frames: u64,
    faces: u64,
    bytes: u64,
    latencies: Vec<(f64, u64)>,
    busy: Vec<Duration>,
}

/// A second of history.
#[derive(Debug, Clone, Copy)]
struct Second {
    frames_per_s: f64,
    faces_per_s: f64,
    lag_seconds: f64,
    latency_p99_s: Option<f64>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The oldest first.
    samples: VecDeque<Sample>,
    history: VecDeque<Second>,
    state: Option<(Instant, Bytes)>,
    told: Option<(Instant, Bytes)>,
}

/// Shared by the task that beats and by handlers.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sight: Arc<Sight>,
    memory: Mutex<Memory>,
    states: watch::Sender<Bytes>,
    places: Arc<Semaphore>,
}

/// Somebody who has the event stream open.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) states: watch::Receiver<Bytes>,
    metrics: Metrics,
    _place: OwnedSemaphorePermit,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.metrics.live_viewers.dec();
    }
}

impl Pulse {
    pub(super) fn new(sight: Arc<Sight>) -> Self {
        let (states, _) = watch::channel(Bytes::new());
        Self(Arc::new(Inner { sight, memory: Mutex::default(), states, places: Arc::new(Semaphore::new(MOST_VIEWERS)) }))
    }

    /// Beats for as long as it is polled.
    pub(super) async fn beat(&self) {
        let mut seconds = tokio::time::interval(EVERY);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            self.sample();
            self.0.sight.live.tidy(&self.0.sight.board.overview().into_keys().collect());
            if self.0.states.receiver_count() > 0 {
                self.memory().state = None;
                self.0.states.send_replace(self.state());
            }
        }
    }

    /// A place among the viewers; `None` where there is none left.
    pub(super) fn viewer(&self) -> Option<Viewer> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        let metrics = self.0.sight.metrics.clone();
        metrics.live_viewers.inc();
        Some(Viewer { states: self.0.states.subscribe(), metrics, _place: place })
    }

    /// The state as an event, no older than a second.
    pub(super) fn state(&self) -> Bytes {
        let mut memory = self.memory();
        if let Some((_, state)) = memory.state.as_ref().filter(|(at, _)| at.elapsed() < EVERY) {
            return state.clone();
        }
        let lately = memory.lately();
        let state = event("state", &state::now_state(&self.0.sight, &lately));
        memory.state = Some((Instant::now(), state.clone()));
        state
    }

    /// The history as an event, no older than a second.
    pub(super) fn history(&self) -> Bytes {
        let mut memory = self.memory();
        if let Some((_, told)) = memory.told.as_ref().filter(|(at, _)| at.elapsed() < EVERY) {
            return told.clone();
        }
        let told = event("history", &memory.history(&self.0.sight));
        memory.told = Some((Instant::now(), told.clone()));
        told
    }

    fn sample(&self) {
        let Sight { metrics, live, board, .. } = &*self.0.sight;
        let sample = Sample {
            at: Instant::now(),
            frames: frames(metrics).values().sum(),
            faces: metrics.faces.get(),
            bytes: metrics.record_bytes.get(),
            latencies: latencies(metrics),
            busy: live.busy_so_far(),
        };
        let mut memory = self.memory();
        memory.samples.push_back(sample);
        let old = memory.samples.len().saturating_sub(LATENCY_OVER + 1);
        memory.samples.drain(..old);
        let (rates, latencies) = (memory.rates(1), memory.latencies(1));
        memory.history.push_back(Second {
            frames_per_s: rates.frames_per_s,
            faces_per_s: rates.faces_per_s,
            lag_seconds: worst_lag(board.overview().values()),
            latency_p99_s: quantile(&latencies, 0.99).map(finite),
        });
        let old = memory.history.len().saturating_sub(HISTORY);
        memory.history.drain(..old);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In seconds.
pub(super) fn worst_lag<'a>(partitions: impl IntoIterator<Item = &'a Overview>) -> f64 {
    partitions.into_iter().filter_map(|partition| partition.lag.seconds).map(finite).fold(0.0, f64::max)
}

impl Memory {
    /// The newest sample, and the one of so many seconds before; `None` at the beginning.
    fn ends(&self, seconds: usize) -> Option<(&Sample, &Sample)> {
        let last = self.samples.len().checked_sub(1)?;
        Some((&self.samples[last.saturating_sub(seconds)], &self.samples[last])).filter(|(before, after)| after.at > before.at)
    }

    fn rates(&self, seconds: usize) -> Rates {
        let Some((before, after)) = self.ends(seconds) else { return Rates::default() };
        let passed = (after.at - before.at).as_secs_f64();
        let rate = |before: u64, after: u64| finite(after.saturating_sub(before) as f64 / passed);
        Rates {
            frames_per_s: rate(before.frames, after.frames),
            faces_per_s: rate(before.faces, after.faces),
            bytes_per_s: rate(before.bytes, after.bytes),
        }
    }

    fn latencies(&self, seconds: usize) -> Vec<(f64, u64)> {
        self.ends(seconds).map(|(before, after)| between(&before.latencies, &after.latencies)).unwrap_or_default()
    }

    fn lately(&self) -> Lately {
        let latencies = self.latencies(LATENCY_OVER);
        let latency = quantile(&latencies, 0.5).zip(quantile(&latencies, 0.99));
        let busy = self.ends(RATES_OVER).map(|(before, after)| {
            let passed = (after.at - before.at).as_secs_f64();
            let share = |(before, after): (&Duration, &Duration)| after.saturating_sub(*before).as_secs_f64() / passed;
            before.busy.iter().zip(&after.busy).map(share).map(|share| finite(share).clamp(0.0, 1.0)).collect()
        });
        Lately {
            rates: self.rates(RATES_OVER),
            latency: latency.map(|(p50, p99)| Latency { p50: finite(p50), p99: finite(p99) }),
            busy: busy.unwrap_or_default(),
        }
    }

    fn history(&self, sight: &Sight) -> History {
        let seconds = || self.history.iter();
        History {
            now_us: crate::clock::now().0,
            every_s: EVERY.as_secs(),
            frames_per_s: seconds().map(|second| second.frames_per_s).collect(),
            faces_per_s: seconds().map(|second| second.faces_per_s).collect(),
            lag_seconds: seconds().map(|second| second.lag_seconds).collect(),
            latency_p99_s: seconds().map(|second| second.latency_p99_s).collect(),
            sources: sight.live.faces().into_iter().collect(),
        }
    }
}

/// An event of an event stream. JSON has no line breaks of its own.
fn event(name: &str, data: &impl serde::Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("it has a JSON form");
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// The JSON of an event.
pub(super) fn data(event: &Bytes) -> Bytes {
    let start = event.windows(6).position(|window| window == b"data: ").map_or(0, |at| at + 6);
    event.slice(start..event.len().saturating_sub(2).max(start))
}

#[cfg(test)]
mod tests;
