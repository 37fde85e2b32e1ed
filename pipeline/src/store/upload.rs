//! One file on its way into the store: written piece by piece, invisible until it is completed.
//!
//! In: the bytes as they are encoded. Out: a visible file, or nothing. Memory is one part. A local file is staged elsewhere
//! and linked into place (a temporary name beside the target would break readers after a kill); a remote one is a single PUT or
//! a multipart upload.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

/// Size of a part in bytes; S3 wants at least 5 MiB.
const PART_BYTES: usize = 8 << 20;

/// An upload in progress. Dropping it leaves nothing visible.
pub struct Upload {
    store: Arc<dyn ObjectStore>,
    target: Path,
    staging: Option<Path>,
    buffer: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    pub(super) fn new(store: Arc<dyn ObjectStore>, target: Path, staging: Option<Path>) -> Self {
        Self { store, target, staging, buffer: Vec::new(), parts: None }
    }

    /// Takes the next bytes; sends a part once enough have come together.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < PART_BYTES { Ok(()) } else { self.send_part().await }
    }

    async fn send_part(&mut self) -> Result<(), Error> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => self.parts.insert(self.store.put_multipart(self.staging.as_ref().unwrap_or(&self.target)).await?),
        };
        parts.put_part(std::mem::take(&mut self.buffer).into()).await
    }

    /// Brings everything as far as it can go without becoming visible.
    pub async fn stage(&mut self) -> Result<(), Error> {
        if let Some(staging) = &self.staging {
            let path = staging.clone();
            if self.parts.is_some() {
                self.send_part().await?;
                if let Some(mut parts) = self.parts.take() {
                    parts.complete().await?;
                }
            } else {
                self.store.put(&path, std::mem::take(&mut self.buffer).into()).await?;
            }
        } else if self.parts.is_some() && !self.buffer.is_empty() {
            self.send_part().await?;
        }
        Ok(())
    }

    /// Makes the staged file visible. One that is there already is left as it is: it was made from the same records.
    pub async fn complete(mut self) -> Result<(), Error> {
        let visible = match (&self.staging, self.parts.take()) {
            (Some(staging), _) => self.store.rename_if_not_exists(staging, &self.target).await,
            (None, Some(mut parts)) => parts.complete().await.map(|_| ()),
            (None, None) => {
                let payload = PutPayload::from(std::mem::take(&mut self.buffer));
                self.store.put_opts(&self.target, payload, PutMode::Create.into()).await.map(|_| ())
            }
        };
        match visible {
            // Stores also answer 409 where two writes collide and neither is there yet: only looking tells.
            Err(error @ Error::AlreadyExists { .. }) => self.store.head(&self.target).await.map(|_| ()).map_err(|_| error),
            other => other,
        }
    }

    /// Gives up: removes what was staged. Best effort; leftovers are invisible and swept by the next takeover.
    pub async fn abort(mut self) {
        if let Some(mut parts) = self.parts.take() {
            let _ = parts.abort().await;
        }
        if let Some(staging) = &self.staging {
            let _ = self.store.delete(staging).await;
        }
    }
}
