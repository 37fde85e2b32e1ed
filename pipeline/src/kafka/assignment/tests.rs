//! A start with hundreds of partitions is no storm on the store.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use tokio::runtime::Builder;

use super::*;
use crate::lane::tests::lanes;
use crate::store::Store;

/// Operations of one kind: how many there were, and how many at a time.
#[derive(Debug, Default)]
struct Kind {
    total: AtomicUsize,
    running: AtomicUsize,
    peak: AtomicUsize,
}

impl Kind {
    /// One operation, long enough for others to begin meanwhile.
    async fn pass(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(running, Ordering::Relaxed);
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A store that counts.
#[derive(Debug, Default)]
struct Counting {
    inner: Arc<InMemory>,
    lists: Arc<Kind>,
    gets: Kind,
    puts: Kind,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counting")
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, path: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.puts.pass().await;
        self.inner.put_opts(path, payload, opts).await
    }

    async fn put_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, opts).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.pass().await;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (lists, found) = (Arc::clone(&self.lists), self.inner.list(prefix));
        let list = async move {
            lists.pass().await;
            found
        };
        stream::once(list).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Opens and starts all partitions as a rebalance does, and waits until each has its journal.
fn start(lanes: &Lanes, partitions: &[Partition]) {
    let assignment = Assignment::new(lanes.clone(), Start::Earliest, OnGap::Stop, BTreeMap::new(), BTreeMap::new());
    for (_, opened) in assignment.open(partitions, Duration::from_mins(1)) {
        let opened = opened.expect("a journal");
        let at = opened.end_offset().unwrap_or(Offset(0));
        assignment.bind(opened, Resume::at(at));
    }
    while lanes.board.progress().values().any(|progress| progress.journal_end.is_none()) {
        std::thread::yield_now();
    }
}

#[test]
fn two_hundred_partitions_start_with_one_list_get_and_put_each_32_at_a_time() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let partitions: Vec<_> = (0..200).map(|number| Partition { topic: "cams".into(), number }).collect();
    let store = Arc::new(Counting::default());
    start(&lanes(&Store::of(Arc::clone(&store.inner) as Arc<dyn ObjectStore>)), &partitions);

    start(&lanes(&Store::of(Arc::clone(&store) as Arc<dyn ObjectStore>)), &partitions);
    for kind in [&*store.lists, &store.gets, &store.puts] {
        assert_eq!(kind.total.load(Ordering::Relaxed), 200, "{store:?}");
        assert!((2..=32).contains(&kind.peak.load(Ordering::Relaxed)), "{kind:?}");
    }
}
