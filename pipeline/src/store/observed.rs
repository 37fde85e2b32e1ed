//! A store with every request to it counted and timed.
//!
//! In: requests. Out: the same requests and their answers, and metrics. Invariant: a request is observed once, whether it is
//! answered, fails, or is given up by whoever waited for it; that something is not there, or there already, is no error.

use std::fmt;
use std::ops::Range;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use std::sync::Arc;

use crate::metrics::{Metrics, Operation};

/// One of a store's clients.
#[derive(Debug)]
pub(super) struct Observed {
    store: Arc<dyn ObjectStore>,
    /// What this client's writes count as.
    writes: Operation,
    metrics: Metrics,
}

impl Observed {
    pub(super) fn new(store: Arc<dyn ObjectStore>, writes: Operation, metrics: Metrics) -> Self {
        Self { store, writes, metrics }
    }

    fn begin(&self, operation: Operation) -> Request {
        Request::begin(&self.metrics, operation)
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// A request on its way; observed when it is dropped.
struct Request {
    metrics: Metrics,
    operation: Operation,
    started: Instant,
}

impl Request {
    fn begin(metrics: &Metrics, operation: Operation) -> Self {
        Self { metrics: metrics.clone(), operation, started: Instant::now() }
    }

    fn note<T>(&self, answer: &Result<T>) {
        let answers = |error: &Error| {
            matches!(
                error,
                Error::NotFound { .. } | Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }
            )
        };
        if answer.as_ref().is_err_and(|error| !answers(error)) {
            self.metrics.store_errors.of(self.operation).inc();
        }
    }

    /// Waits for the answer.
    async fn done<T>(self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let answer = answer.await;
        self.note(&answer);
        answer
    }

    /// Observed when the stream is dropped, which is mostly before its end.
    fn stream<T: 'static>(self, stream: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
        stream.inspect(move |item| self.note(item)).boxed()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.metrics.store_seconds.of(self.operation).observe(self.started.elapsed().as_secs_f64());
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Observed {
    async fn put_opts(&self, path: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.begin(self.writes).done(self.store.put_opts(path, payload, opts)).await
    }

    async fn put_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.begin(self.writes).done(self.store.put_multipart_opts(path, opts)).await?;
        Ok(Box::new(ObservedUpload { upload, writes: self.writes, metrics: self.metrics.clone() }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let request = self.begin(Operation::Get);
        let answer = self.store.get_opts(path, options).await;
        request.note(&answer);
        let mut found = answer?;
        // The body of a local file is read by whoever asked.
        found.payload = match found.payload {
            GetResultPayload::Stream(body) => GetResultPayload::Stream(request.stream(body)),
            file @ GetResultPayload::File(..) => file,
        };
        Ok(found)
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.begin(Operation::Get).done(self.store.get_ranges(path, ranges)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.begin(Operation::Delete).stream(self.store.delete_stream(paths))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.begin(Operation::List).stream(self.store.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.begin(Operation::List).stream(self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.begin(Operation::List).done(self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.begin(self.writes).done(self.store.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.begin(self.writes).done(self.store.rename_opts(from, to, options)).await
    }
}

/// An upload in parts, each of which is a request.
#[derive(Debug)]
struct ObservedUpload {
    upload: Box<dyn MultipartUpload>,
    writes: Operation,
    metrics: Metrics,
}

#[async_trait]
impl MultipartUpload for ObservedUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        Request::begin(&self.metrics, self.writes).done(self.upload.put_part(payload)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        Request::begin(&self.metrics, self.writes).done(self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        Request::begin(&self.metrics, self.writes).done(self.upload.abort()).await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutMode};

    use super::super::Store;
    use super::*;

    #[tokio::test]
    async fn every_request_is_counted_by_what_it_is_for_and_answers_are_no_errors() {
        let metrics = Metrics::new();
        let store = Store::of(Arc::new(InMemory::new())).observed(&metrics);
        let (path, create) = (Path::from("a/b"), || PutOptions::from(PutMode::Create));
        store.appends.put_opts(&path, "one".into(), create()).await.unwrap();
        store.appends.put_opts(&path, "two".into(), create()).await.unwrap_err();
        assert_eq!(store.files.get(&path).await.unwrap().bytes().await.unwrap(), "one");
        assert!(!store.exists(&Path::from("none")).await.unwrap());
        store.files.put(&Path::from("c"), "three".into()).await.unwrap();
        let mut parts = store.files.put_multipart(&Path::from("d")).await.unwrap();
        parts.put_part("four".into()).await.unwrap();
        parts.complete().await.unwrap();
        assert_eq!(store.files.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 3);
        drop(store.files.list(None));
        store.files.delete(&path).await.unwrap();
        // A copy of nothing is an answer, too.
        store.files.copy(&path, &Path::from("e")).await.unwrap_err();

        let counted = |operation| metrics.store_seconds.of(operation).get_sample_count();
        let operations = [Operation::Append, Operation::Get, Operation::Publish, Operation::List, Operation::Delete];
        assert_eq!(operations.map(counted), [2, 2, 5, 2, 1]);
        assert_eq!(operations.map(|operation| metrics.store_errors.of(operation).get()), [0; 5]);
    }
}
