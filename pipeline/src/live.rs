//! What the live page shows: sources with their latest picture, recent failures, how busy the workers are.
//!
//! In: a [`Turn`] for each message as it is polled, what came of it from the workers, and which sources somebody looks at. Out: reports
//! for the state, JPEGs. Invariant: nobody looking costs two short locks of the source's own state for a frame and touches no pixel; a
//! picture is made only of a source that was asked for in the last [`WATCHED_FOR`], at most [`PICTURES_PER_S`] a second; everything
//! kept is bounded. A picture is only shown once the faces of the frames around it are hidden in it, too (`strip.rs`).

mod activity;
mod failures;
mod quantile;
mod ring;
mod source;
mod strip;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use facestream_schemas::{FrameMeta, Partition, SourceId};

pub use activity::Busy;
pub use failures::Failure;
pub(crate) use quantile::quantile;
pub use source::SourceReport;
pub use turn::{Glimpse, Told, Turn};

use crate::metrics::Metrics;
use activity::Activity;
use failures::Failures;
use source::Source;

/// Sources that are known at a time: those seen most recently.
pub const MOST_SOURCES: usize = 1_000;
/// Sources that pictures are made of at a time.
const MOST_WATCHED: usize = 64;
/// A source is watched for so long after it was asked for.
pub const WATCHED_FOR: Duration = Duration::from_secs(5);
/// Pictures of a source a second, at most.
pub const PICTURES_PER_S: u64 = 4;
/// A source whose partition is not held here is forgotten after so long: its lane may only be starting over.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// Faces are blurred on pictures down to this score, or the rows' own threshold where that is lower.
pub const BLURRED_FROM: f32 = 0.3;

/// Shared by the poll thread, the workers and HTTP. `Live::off()` takes everything and keeps nothing.
#[derive(Clone, Debug)]
pub struct Live(Option<Arc<Inner>>);

/// How it works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether faces are hidden.
    pub blur: bool,
    /// A source without a frame for this long is silent.
    pub silent_after: Duration,
    /// Worker threads.
    pub workers: usize,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    started: Instant,
    sources: RwLock<Sources>,
    watched: Mutex<HashMap<u64, u64>>,
    failures: Failures,
    activity: Activity,
    metrics: Metrics,
    ids: AtomicU64,
}

#[derive(Debug, Default)]
struct Sources {
    by_key: HashMap<Key, Arc<Source>>,
    by_id: HashMap<u64, Arc<Source>>,
}

/// A camera, and where it comes in: each of its partitions has its own order of frames.
type Key = (Arc<str>, i32, SourceId);

/// What there is to see of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// There is no such source.
    Unknown,
    /// No picture yet.
    Nothing,
    /// The latest picture, and its number, which counts up.
    Picture(u64, Bytes),
}

impl Live {
    /// Nothing is kept.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Ready to take frames.
    #[must_use]
    pub fn new(settings: Settings, metrics: Metrics) -> Self {
        Self(Some(Arc::new(Inner {
            settings,
            started: Instant::now(),
            sources: RwLock::default(),
            watched: Mutex::default(),
            failures: Failures::default(),
            activity: Activity::new(settings.workers),
            metrics,
            ids: AtomicU64::new(1),
        })))
    }

    /// Whether there is a live page.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether faces are hidden.
    #[must_use]
    pub fn blurs(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.settings.blur)
    }

    /// A message's place among those of its source. To be called in the order in which messages are polled.
    #[must_use]
    pub fn turn(&self, meta: &FrameMeta) -> Turn {
        let Some(inner) = &self.0 else { return Turn::none() };
        let now = inner.now_ms();
        let source = inner.source(&meta.key.topic, meta.key.partition, &meta.source_id, now);
        Turn::new(Arc::clone(inner), source, meta)
    }

    /// Notes that a worker has a frame in hand, until the value is dropped.
    #[must_use]
    pub fn busy(&self, worker: i32) -> Busy {
        Busy::new(self.0.clone(), worker)
    }

    /// How long each worker has had a frame in hand so far.
    #[must_use]
    pub fn busy_so_far(&self) -> Vec<Duration> {
        self.0.as_ref().map(|inner| inner.activity.so_far()).unwrap_or_default()
    }

    /// All sources, ordered by name.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceReport> {
        let Some(inner) = &self.0 else { return Vec::new() };
        let now = inner.now_ms();
        let mut reports: Vec<_> = inner.all().iter().map(|source| source.report(now, inner.settings.silent_after)).collect();
        reports.sort_by(|a, b| (&a.source_id, &a.topic, a.partition).cmp(&(&b.source_id, &b.topic, b.partition)));
        reports
    }

    /// For each source by id the most faces seen in each of the last 60 whole seconds, the oldest first; `None` where it had no frame.
    #[must_use]
    pub fn faces(&self) -> Vec<(u64, Vec<Option<u16>>)> {
        let Some(inner) = &self.0 else { return Vec::new() };
        let second = inner.now_ms() / 1_000;
        inner.all().iter().map(|source| (source.id, source.faces(second))).collect()
    }

    /// The most recent failures, the newest first.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        self.0.as_ref().map(|inner| inner.failures.newest()).unwrap_or_default()
    }

    /// The latest picture of a source, which is watched from now on, as long as there is room among those watched.
    #[must_use]
    pub fn watch(&self, id: u64) -> Sight {
        let Some(inner) = &self.0 else { return Sight::Unknown };
        let Some(source) = inner.sources().by_id.get(&id).cloned() else { return Sight::Unknown };
        let now = inner.now_ms();
        let until = now + WATCHED_FOR.as_millis() as u64;
        let mut watched = lock(&inner.watched);
        if watched.len() >= MOST_WATCHED && !watched.contains_key(&id) {
            watched.retain(|_, until| *until > now);
        }
        if watched.len() < MOST_WATCHED || watched.contains_key(&id) {
            watched.insert(id, until);
            source.watch_until(until);
        }
        drop(watched);
        source.picture().map_or(Sight::Nothing, |(number, jpeg)| Sight::Picture(number, jpeg))
    }

    /// Once a second: drops the pictures of sources that nobody watches any more, and sources whose partitions are others' now.
    pub fn tidy(&self, held: &BTreeSet<Partition>) {
        let Some(inner) = &self.0 else { return };
        let now = inner.now_ms();
        lock(&inner.watched).retain(|_, until| *until > now);
        let mut gone = Vec::new();
        for source in inner.all() {
            source.drop_unwatched(now);
            let partition = Partition { topic: Arc::clone(&source.topic), number: source.partition };
            if !source.stays(held.contains(&partition), now, FORGOTTEN_AFTER) {
                gone.push(source);
            }
        }
        if !gone.is_empty() {
            let mut sources = inner.sources.write().unwrap_or_else(PoisonError::into_inner);
            for source in gone {
                sources.remove(&source);
            }
        }
    }
}

impl Inner {
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn sources(&self) -> std::sync::RwLockReadGuard<'_, Sources> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Source>> {
        self.sources().by_id.values().cloned().collect()
    }

    /// The source of this name; a new one where there is none, in the place of the one seen least recently where there are too many.
    fn source(&self, topic: &Arc<str>, partition: i32, source_id: &SourceId, now: u64) -> Arc<Source> {
        let key = (Arc::clone(topic), partition, source_id.clone());
        if let Some(source) = self.sources().by_key.get(&key) {
            source.seen(now);
            return Arc::clone(source);
        }
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.by_key.get(&key) {
            return Arc::clone(source);
        }
        if sources.by_id.len() >= MOST_SOURCES {
            let oldest = sources.by_id.values().min_by_key(|source| source.last_seen()).cloned();
            if let Some(oldest) = oldest {
                sources.remove(&oldest);
            }
        }
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let source = Arc::new(Source::new(id, Arc::clone(topic), partition, source_id.clone(), now));
        sources.by_id.insert(id, Arc::clone(&source));
        sources.by_key.insert(key, Arc::clone(&source));
        source
    }
}

impl Sources {
    fn remove(&mut self, source: &Source) {
        self.by_id.remove(&source.id);
        self.by_key.remove(&(Arc::clone(&source.topic), source.partition, source.source_id.clone()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
