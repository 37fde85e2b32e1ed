//! How busy each worker is.
//!
//! In: when a worker takes a frame and when it is done. Out: the time with a frame in hand so far. Invariant: no locks; a frame that
//! takes long counts while it is worked on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Inner;

#[derive(Debug)]
pub(super) struct Activity {
    started: Instant,
    workers: Vec<Worker>,
}

/// In nanoseconds since `started`.
#[derive(Debug, Default)]
struct Worker {
    /// With frames that are done.
    spent: AtomicU64,
    /// When the frame in hand was taken; 0 for none.
    since: AtomicU64,
}

impl Activity {
    pub(super) fn new(workers: usize) -> Self {
        Self { started: Instant::now(), workers: (0..workers).map(|_| Worker::default()).collect() }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos().max(1) as u64
    }

    pub(super) fn so_far(&self) -> Vec<Duration> {
        let now = self.now();
        let in_hand = |since: u64| if since == 0 { 0 } else { now.saturating_sub(since) };
        let nanos = |worker: &Worker| worker.spent.load(Relaxed) + in_hand(worker.since.load(Relaxed));
        self.workers.iter().map(|worker| Duration::from_nanos(nanos(worker))).collect()
    }
}

/// A worker has a frame in hand for as long as this lives.
#[derive(Debug)]
pub struct Busy {
    live: Option<Arc<Inner>>,
    worker: usize,
    since: u64,
}

impl Busy {
    pub(super) fn new(live: Option<Arc<Inner>>, worker: i32) -> Self {
        let worker = usize::try_from(worker).unwrap_or(usize::MAX);
        let since = live.as_ref().map_or(0, |inner| inner.activity.now());
        if let Some(own) = live.as_ref().and_then(|inner| inner.activity.workers.get(worker)) {
            own.since.store(since, Relaxed);
        }
        Self { live, worker, since }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Some(activity) = self.live.as_ref().map(|inner| &inner.activity) else { return };
        if let Some(own) = activity.workers.get(self.worker) {
            own.since.store(0, Relaxed);
            own.spent.fetch_add(activity.now().saturating_sub(self.since), Relaxed);
        }
    }
}
