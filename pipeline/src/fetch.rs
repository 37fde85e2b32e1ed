//! Stand-in.
use crate::budget::{Budget, Permit};
use crate::metrics::Metrics;
use bytes::Bytes;
use facestream_schemas::{Partition, Reason, Reference, Rejection};
use std::time::Duration;
use tokio::runtime::Handle;
/// E.
#[derive(Debug, thiserror::Error)]
#[error("fetch")]
pub struct FetchSetupError;
/// F.
#[derive(Clone, Debug)]
pub struct Fetcher;
/// F.
#[derive(Debug)]
pub struct Fetched {
    /// o
    pub outcome: Result<(Bytes, Permit), Rejection>,
    /// t
    pub took: Duration,
}
impl Fetcher {
    /// n
    pub fn new(
        _: &crate::config::Fetch,
        _: &crate::config::Store,
        _: Budget,
        _: Metrics,
        _: Handle,
    ) -> Result<Self, FetchSetupError> {
        Ok(Self)
    }
    /// f
    pub fn fetch(
        &self,
        _: Partition,
        _: Reference,
        _: impl Fn() -> bool + Send + 'static,
        done: impl FnOnce(Fetched) + Send + 'static,
    ) {
        done(Fetched { outcome: Err(Rejection::new(Reason::FetchRefused, "stand-in")), took: Duration::ZERO });
    }
    /// w
    #[must_use]
    pub fn waiting(&self, _: &Partition) -> usize {
        0
    }
}
