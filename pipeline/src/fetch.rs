//! Claim checks: messages that say where their picture lies. Fetching runs ahead of the workers.
//!
//! In: a [`Reference`] of a partition's frame. Out: the picture's bytes with their share of the memory, or why there are none,
//! exactly once, on one of tokio's threads; nothing where nobody wants it any more. Invariants: nothing is fetched that is not
//! allowed; no picture is in memory that the budget has no room for; a slow host holds up its own partition alone.

mod address;
mod body;
mod bucket;
mod failure;
mod file;
mod resolver;
mod schedule;
mod turns;
mod web;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use backon::BackoffBuilder;
use bytes::Bytes;
use facestream_schemas::{Partition, Reason, Reference, Rejection};
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::budget::{Budget, Permit};
use crate::config::{self, Allowed, At, Place, Target};
use crate::metrics::{Busy, Metrics, Queue, Stage};
use crate::store::StoreError;
use body::Opened;
use bucket::Buckets;
use failure::Failure;
use file::Folder;
use resolver::{Checked, Lookup, System};
use schedule::Schedule;
use turns::{Turn, Turns};
use web::Web;

/// Waits between attempts: the first, doubling up to the last, and up to as much again by chance.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Why pictures cannot be fetched as configured.
#[derive(Debug, thiserror::Error)]
pub enum FetchSetupError {
    /// The configuration's rules have let something through.
    #[error("fetch.{key}: {text}")]
    Allow {
        /// Below `fetch`.
        key: &'static str,
        /// What is wrong.
        text: String,
    },
    /// A bucket's client cannot be set up.
    #[error("cannot set up a bucket of fetch.allow: {0}")]
    Bucket(#[from] StoreError),
    /// The web client cannot be set up.
    #[error("cannot set up the web client for fetch.allow: {0:?}")]
    Web(#[from] reqwest::Error),
    /// There are no threads for a folder.
    #[error("cannot start threads for the folders of fetch.allow: {0}")]
    Threads(#[from] std::io::Error),
}

/// What a fetch came to.
#[derive(Debug)]
pub struct Fetched {
    /// The picture and its share of the budget, or why there is none.
    pub outcome: Result<(Bytes, Permit), Rejection>,
    /// From the start of the first attempt to the end of the last, without waits for memory.
    pub took: Duration,
}

/// Fetches pictures. Clones are the same one.
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    allowed: Allowed,
    sources: Sources,
    /// Bounded by `in_flight`, of which every frame that waits here has its share.
    schedule: Mutex<Schedule<Partition, Waiting>>,
    /// Where pictures keep their memory until those before them are through.
    turns: OnceLock<Turns>,
    in_flight: Budget,
    metrics: Metrics,
    runtime: Handle,
    /// `fetch.max_bytes`.
    most: usize,
    timeout: Duration,
    attempts: u32,
}

/// Where pictures come from.
struct Sources {
    web: Option<Web>,
    buckets: Buckets,
    folders: HashMap<PathBuf, Folder>,
}

/// A fetch that somebody wants.
struct Waiting {
    reference: Reference,
    turn: Turn,
    is_wanted: Box<dyn Fn() -> bool + Send>,
    done: Box<dyn FnOnce(Fetched) + Send>,
}

/// A place among the fetches in progress; the next starts when it is dropped.
struct Progress {
    fetcher: Fetcher,
    partition: Partition,
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.fetcher.0.metrics.queue_depth.of(Queue::Fetch).dec();
        self.fetcher.schedule().end(&self.partition);
        self.fetcher.start();
    }
}

impl Fetcher {
    /// A fetcher as configured. Pictures count into `in_flight`, which has to have room for two of the largest. Connects to
    /// nothing yet.
    pub fn new(
        settings: &config::Fetch,
        store: &config::Store,
        in_flight: Budget,
        metrics: Metrics,
        runtime: Handle,
    ) -> Result<Self, FetchSetupError> {
        Self::of(parse(settings)?, settings, store, (in_flight, metrics, runtime))
    }

    /// A fetcher of what is allowed, whatever the settings say of that.
    pub fn of(
        allowed: Allowed,
        settings: &config::Fetch,
        store: &config::Store,
        (in_flight, metrics, runtime): (Budget, Metrics, Handle),
    ) -> Result<Self, FetchSetupError> {
        let buckets = Buckets::open(&allowed, settings, store)?;
        Self::with(settings, allowed, buckets, Arc::new(System::default()), (in_flight, metrics, runtime))
    }

    fn with(
        settings: &config::Fetch,
        allowed: Allowed,
        buckets: Buckets,
        lookup: Arc<dyn Lookup>,
        (in_flight, metrics, runtime): (Budget, Metrics, Handle),
    ) -> Result<Self, FetchSetupError> {
        let most = settings.max_bytes.bytes() as usize;
        if !allowed.is_empty() {
            in_flight.keep(most);
        }
        let needs_web = allowed.places().any(|place| matches!(place, Place::Server { .. }));
        let resolver = Checked { lookup, private: allowed.private().into() };
        let web = needs_web.then(|| Web::new(resolver, settings.concurrency)).transpose()?;
        let folders = allowed.folders().map(|path| Ok((path.clone(), Folder::new(path)?)));
        let sources = Sources { web, buckets, folders: folders.collect::<std::io::Result<_>>()? };
        Ok(Self(Arc::new(Inner {
            allowed,
            sources,
            schedule: Mutex::new(Schedule::new(settings.concurrency)),
            turns: OnceLock::new(),
            in_flight,
            metrics,
            runtime,
            most,
            timeout: settings.timeout,
            attempts: settings.attempts,
        })))
    }

    /// Gives the memory for a partition's pictures in their order from now on: they keep it until all before them are through.
    pub fn keep_order(&self) {
        let _ = self.0.turns.set(Turns::default());
    }

    /// Fetches the picture when its turn comes, then calls `done` on one of tokio's threads. Once `is_wanted` says no, it is
    /// given up and `done` dropped. Never blocks.
    pub fn fetch(
        &self,
        partition: Partition,
        reference: Reference,
        is_wanted: impl Fn() -> bool + Send + 'static,
        done: impl FnOnce(Fetched) + Send + 'static,
    ) {
        self.0.metrics.queue_depth.of(Queue::Fetch).inc();
        let turn = self.0.turns.get().map(|turns| turns.next(&partition)).unwrap_or_default();
        let waiting = Waiting { reference, turn, is_wanted: Box::new(is_wanted), done: Box::new(done) };
        self.schedule().push(partition, waiting);
        self.start();
    }

    /// How many fetches of a partition wait or are in progress.
    #[must_use]
    pub fn waiting(&self, partition: &Partition) -> usize {
        self.schedule().pending(partition)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule<Partition, Waiting>> {
        self.0.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) {
        let next = || self.schedule().start();
        while let Some((partition, waiting)) = next() {
            self.0.runtime.spawn(self.clone().run(partition, waiting));
        }
    }

    async fn run(self, partition: Partition, waiting: Waiting) {
        let Waiting { reference, mut turn, is_wanted, done } = waiting;
        let progress = Progress { fetcher: self.clone(), partition };
        // A frame without an outcome would hold up its lane for ever.
        let fetched =
            AssertUnwindSafe(self.0.fetched(&reference, &mut turn, is_wanted)).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!("the fetch of a picture panicked, its frame is rejected as internal_error");
                let rejection = Rejection::new(Reason::InternalError, "the fetch of the picture panicked");
                Some(Fetched { outcome: Err(rejection), took: Duration::ZERO })
            });
        drop(progress);
        if let Some(fetched) = fetched {
            done(fetched);
        }
        // One that came to nothing may not have had its turn.
        turn.come().await;
    }
}

impl Inner {
    async fn fetched(&self, reference: &Reference, turn: &mut Turn, is_wanted: Box<dyn Fn() -> bool + Send>) -> Option<Fetched> {
        let (started, mut waited) = (Instant::now(), Duration::ZERO);
        let outcome = self.outcome(reference, turn, is_wanted, &mut waited).await?;
        let took = started.elapsed().saturating_sub(waited);
        self.metrics.stage_seconds.of(Stage::Fetch).observe(took.as_secs_f64());
        self.metrics.busy_seconds.of(Busy::Fetch).inc_by(took.as_secs_f64());
        let label = match &outcome {
            Ok((bytes, _)) => {
                self.metrics.fetched_bytes.inc_by(bytes.len() as u64);
                "ok"
            }
            Err(rejection) => rejection.reason.as_str(),
        };
        self.metrics.fetches.with_label_values(&[label]).inc();
        Some(Fetched { outcome, took })
    }

    /// Attempts until one succeeds, another would not help, there have been enough, or nobody wants it any more (`None`).
    async fn outcome(
        &self,
        reference: &Reference,
        turn: &mut Turn,
        is_wanted: Box<dyn Fn() -> bool + Send>,
        waited: &mut Duration,
    ) -> Option<Result<(Bytes, Permit), Rejection>> {
        let target = match self.allowed.target(&reference.uri) {
            Ok(target) => target,
            Err(why) => return is_wanted().then(|| Err(Rejection::new(Reason::FetchRefused, why))),
        };
        let mut pauses = backon::ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LAST_PAUSE)
            .with_max_times(self.attempts as usize - 1)
            .with_jitter()
            .build();
        let mut held = None;
        while is_wanted() {
            match self.attempt(&target, reference.sha256, (turn, &mut held), waited).await {
                Ok(picture) => return Some(Ok(picture)),
                Err(Failure::Final(rejection)) => return Some(Err(rejection)),
                Err(Failure::NoRoom(bytes)) => {
                    let started = Instant::now();
                    held = Some(self.reserve(turn, bytes).await);
                    *waited += started.elapsed();
                }
                Err(Failure::Transient { why, after }) => {
                    held = held.filter(|_| turn.is_kept());
                    let Some(pause) = pauses.next() else {
                        let why = format_args!("{why} (tried {} times)", self.attempts);
                        return Some(Err(Rejection::new(Reason::FetchError, why)));
                    };
                    self.metrics.fetches.with_label_values(&["retry"]).inc();
                    sleep(pause.max(after.unwrap_or_default())).await;
                }
            }
        }
        None
    }

    /// One attempt, in `timeout` without waits for memory. `held` is memory that an earlier one asked for, and what this one leaves.
    async fn attempt(
        &self,
        target: &Target,
        sha256: Option<[u8; 32]>,
        (turn, held): (&mut Turn, &mut Option<Permit>),
        waited: &mut Duration,
    ) -> Result<(Bytes, Permit), Failure> {
        let shown = &target.shown;
        let late = |what| Failure::transient(format!("{shown}: {what} within {}", humantime::format_duration(self.timeout)));
        let deadline = Instant::now() + self.timeout;
        let opened = timeout_at(deadline, self.open(target)).await.map_err(|_| late("no answer came"))??;
        let announced = opened.length;
        let need = match announced {
            Some(length) if length > self.most as u64 => {
                let most = self.most;
                return Err(Failure::too_large(format_args!("{shown}: has {length} bytes, fetch.max_bytes is {most}")));
            }
            Some(length) => length as usize,
            None => self.most,
        };

        let before = *waited;
        let mut permit = self.room(need, held.take(), turn, waited).await?;
        let deadline = deadline + waited.saturating_sub(before);
        let read = async {
            let read = opened.read(shown, need, sha256.is_some());
            let (bytes, digest) = timeout_at(deadline, read).await.map_err(|_| late("the whole body did not come"))??;
            match (sha256, digest) {
                (Some(expected), Some(found)) if expected != found => {
                    let why = format!("{shown}: its SHA-256 is {}, the message says {}", hex(&found), hex(&expected));
                    // Without an announced length a body that was cut looks whole.
                    Err(if announced.is_some() { Failure::error(why) } else { Failure::transient(why) })
                }
                _ => Ok(Bytes::from(bytes)),
            }
        };
        match read.await {
            Ok(bytes) => {
                permit.resize(bytes.len());
                Ok((bytes, permit))
            }
            Err(failure) => {
                *held = Some(permit);
                Err(failure)
            }
        }
    }

    async fn open(&self, target: &Target) -> Result<Opened, Failure> {
        let nowhere = || Failure::error(format_args!("{}: there is nothing to fetch it with", target.shown));
        match &target.at {
            At::Web(url) => self.sources.web.as_ref().ok_or_else(nowhere)?.open(url, &self.allowed).await,
            At::Object { bucket, key } => self.sources.buckets.get(bucket, key, &target.shown).await,
            At::File { folder, path } => self.sources.folders.get(folder).ok_or_else(nowhere)?.open(path, &target.shown).await,
        }
    }

    /// Memory for `bytes`. Meanwhile the answer waits, its body unread; where that lasts, it is let go of and the picture asked for
    /// again once there is memory ([`Failure::NoRoom`]), so that no server is kept waiting by a store that is out.
    async fn room(&self, bytes: usize, held: Option<Permit>, turn: &mut Turn, waited: &mut Duration) -> Result<Permit, Failure> {
        // What is held and not enough is given back before more is asked for; but who has had a turn does not queue again.
        if let Some(mut held) = held.filter(|held| held.bytes() >= bytes || turn.is_kept()) {
            held.resize(bytes);
            return Ok(held);
        }
        let started = Instant::now();
        let reserved = timeout(self.timeout, self.reserve(turn, bytes)).await;
        *waited += started.elapsed();
        reserved.map_err(|_| Failure::NoRoom(bytes))
    }

    async fn reserve(&self, turn: &mut Turn, bytes: usize) -> Permit {
        turn.come().await;
        let permit = self.in_flight.reserve(bytes).await;
        turn.pass();
        permit
    }
}

fn parse(settings: &config::Fetch) -> Result<Allowed, FetchSetupError> {
    Allowed::parse(settings).map_err(|mistakes| {
        let (key, text) = mistakes.into_iter().next().unwrap_or_default();
        FetchSetupError::Allow { key, text }
    })
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().fold(String::with_capacity(64), |hex, byte| format!("{hex}{byte:02x}"))
}

#[cfg(test)]
mod tests;
