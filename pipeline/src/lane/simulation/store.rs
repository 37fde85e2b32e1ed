//! A store in memory that has bad days, as one of several processes sees it.
//!
//! In: a process's operations. Out: what they do, late, or an error, or an error although they took effect, now or later.
//! Invariant: a create-only PUT takes effect at most once per key and is atomic; a process that is frozen or dead does nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::chance::Chance;

/// What a process is able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    Frozen,
    Dead,
}

/// A process's life, as its operations see it.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<(Mutex<Life>, Notify)>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new((Mutex::new(Life::Running), Notify::new())))
    }

    /// Changes it; death is final.
    pub(super) fn set(&self, life: Life) {
        let mut now = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Life::Dead {
            *now = life;
            self.0.1.notify_waiters();
        }
    }

    pub(super) fn life(&self) -> Life {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on as soon as the process runs; never, once it is dead. (A `watch` would wake its receivers in random order.)
    pub(super) async fn pass(&self) {
        loop {
            let changed = self.0.1.notified();
            if self.life() == Life::Running {
                return;
            }
            changed.await;
        }
    }
}

/// The one store, and its mood.
#[derive(Debug)]
pub(super) struct World {
    pub(super) objects: InMemory,
    /// Keys of the dead letters that were told.
    pub(super) letters: Mutex<BTreeSet<Vec<u8>>>,
    chance: Chance,
    calm: AtomicBool,
    /// Share of operations that fail in some way.
    trouble: f64,
}

impl World {
    pub(super) fn new(chance: Chance, trouble: f64) -> Arc<Self> {
        Arc::new(Self { objects: InMemory::new(), letters: Mutex::default(), chance, calm: AtomicBool::new(false), trouble })
    }

    /// From now on everything is answered, truthfully and soon.
    pub(super) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    fn trouble(&self) -> bool {
        !self.calm.load(Ordering::Relaxed) && self.chance.happens(self.trouble)
    }

    /// Mostly quick, sometimes slow, rarely longer than an append waits.
    fn latency(&self) -> Duration {
        let range: Range<u64> = match self.chance.share() {
            share if share < 0.8 || self.calm.load(Ordering::Relaxed) => 1..40,
            share if share < 0.97 => 40..1_000,
            _ => 1_000..14_000,
        };
        self.chance.millis(range)
    }
}

/// The store as one process sees it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) world: Arc<World>,
    pub(super) gate: Gate,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

fn failed() -> Error {
    Error::Generic { store: "simulated", source: "503 Slow Down".into() }
}

impl Seen {
    /// The way to the store, or back.
    async fn travel(&self) {
        self.gate.pass().await;
        sleep(self.world.latency()).await;
        self.gate.pass().await;
    }

    /// A reading operation that may fail.
    async fn arrive(&self) -> Result<()> {
        self.travel().await;
        if self.world.trouble() { Err(failed()) } else { Ok(()) }
    }
}

#[async_trait]
impl ObjectStore for Seen {
    async fn put_opts(&self, path: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.travel().await;
        let now = self.world.objects.put_opts(path, payload.clone(), opts.clone());
        let answer = if self.world.trouble() {
            match self.world.chance.share() {
                // It takes effect, and the answer is lost.
                share if share < 0.35 => now.await.and_then(|_| Err(failed())),
                // It takes effect later, when nobody waits for it any more: the process may even be dead by then.
                share if share < 0.65 => {
                    let (world, path) = (Arc::clone(&self.world), path.clone());
                    let delay = world.chance.millis(if world.chance.happens(0.5) { 5..600 } else { 600..60_000 });
                    tokio::spawn(async move {
                        sleep(delay).await;
                        let _ = world.objects.put_opts(&path, payload, opts).await;
                    });
                    Err(failed())
                }
                // The client tried twice by itself, and the first try had taken effect.
                share if share < 0.8 => {
                    now.await.ok();
                    self.world.objects.put_opts(path, payload, opts).await
                }
                // Two writes collided: nothing is written, and "already exists" is answered.
                share if share < 0.9 => Err(Error::AlreadyExists { path: path.to_string(), source: "409".into() }),
                _ => Err(failed()),
            }
        } else {
            now.await
        };
        self.travel().await;
        answer
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("the simulation's files are smaller than a part")
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.arrive().await?;
        let found = self.world.objects.get_opts(path, options).await;
        self.travel().await;
        found
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let seen = Self { world: Arc::clone(&self.world), gate: self.gate.clone() };
        paths
            .then(move |path| {
                let seen = Self { world: Arc::clone(&seen.world), gate: seen.gate.clone() };
                async move {
                    let path = path?;
                    seen.arrive().await?;
                    seen.world.objects.delete(&path).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let seen = Self { world: Arc::clone(&self.world), gate: self.gate.clone() };
        let prefix = prefix.cloned();
        let objects = async move {
            if let Err(error) = seen.arrive().await {
                return futures::stream::once(async { Err(error) }).boxed();
            }
            let found: Vec<_> = seen.world.objects.list(prefix.as_ref()).collect().await;
            seen.travel().await;
            futures::stream::iter(found).boxed()
        };
        futures::stream::once(objects).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.arrive().await?;
        self.world.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.arrive().await?;
        self.world.objects.copy_opts(from, to, options).await
    }
}
