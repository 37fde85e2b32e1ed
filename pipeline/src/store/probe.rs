//! Whether a store honours create-only PUT: the one thing that exactly-once stands on.

use std::time::Duration;

use backon::Retryable;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use uuid::Uuid;

/// Why a store was not found fit.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A second create of the same key succeeded.
    #[error(
        "the store {0} does not honour create-only PUT (If-None-Match: *): two writers could both append to the journal and rows \
         could double; use a store that does (S3, GCS, Azure, MinIO, Cloudflare R2, a local disk)"
    )]
    NotCreateOnly(String),
    /// The store does not answer, or refuses.
    #[error("cannot write to the store {url}: {cause}")]
    Unusable {
        /// As configured.
        url: String,
        /// What the store says.
        cause: Error,
    },
}

/// How often the probe is tried: one that the store does not carry out says nothing of what it honours.
const TRIES: usize = 4;

/// Creates a key twice under `_journal/probe/` and removes it: the second must be refused with the first's bytes kept.
pub async fn probe_create_only(store: &super::Store) -> Result<(), ProbeError> {
    let waits = backon::ExponentialBuilder::default().with_min_delay(Duration::from_millis(200)).with_max_times(TRIES - 1);
    (|| probe_once(store)).retry(waits).when(|error| matches!(error, ProbeError::Unusable { .. })).await
}

async fn probe_once(store: &super::Store) -> Result<(), ProbeError> {
    let unusable = |cause| ProbeError::Unusable { url: store.url.clone(), cause };
    let path = Path::from(format!("_journal/probe/{}", Uuid::new_v4()));
    let create = |bytes: &'static [u8]| store.appends.put_opts(&path, bytes.into(), PutMode::Create.into());
    create(b"first").await.map_err(unusable)?;
    let second = create(b"second").await;
    let kept = async { store.files.get(&path).await?.bytes().await }.await;
    store.files.delete(&path).await.map_err(unusable)?;
    match (second, kept.map_err(unusable)?.as_ref()) {
        (Err(Error::AlreadyExists { .. } | Error::Precondition { .. }), b"first") => Ok(()),
        (Err(cause), b"first") => Err(unusable(cause)),
        _ => Err(ProbeError::NotCreateOnly(store.url.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_store_in_memory_is_create_only_and_is_left_clean() {
        let store = Store::of(Arc::new(InMemory::new()));
        probe_create_only(&store).await.unwrap();
        assert_eq!(store.first(&Path::from("_journal"), |key| Some(key.clone())).await.unwrap(), None);
    }
}
