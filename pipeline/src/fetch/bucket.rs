//! Pictures in object stores.
//!
//! In: a bucket that is allowed and a key in it. Out: the object, its body unread. Invariant: one client per bucket, without
//! retries of its own; where it connects to is the operator's to say (an endpoint in the options), so no address is refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, ObjectStoreScheme, RetryConfig};

use super::body::{Body, Opened};
use super::failure::{Failure, without_queries};
use crate::config::{self, Allowed, Place, Settings, is_option};
use crate::store::{StoreError, remote};

/// The client's own limit for a request. Attempts are ended by `fetch.timeout`, which stands still while a picture waits for
/// memory.
const LIMIT: Duration = Duration::from_hours(1);

/// The clients, by bucket.
pub(super) struct Buckets(HashMap<Place, Arc<dyn ObjectStore>>);

impl Buckets {
    /// Clients for all buckets of the allow-list. Connects to nothing yet.
    pub(super) fn open(allowed: &Allowed, settings: &config::Fetch, store: &config::Store) -> Result<Self, StoreError> {
        let buckets = allowed.places().filter_map(|place| match place {
            Place::Bucket { scheme, name } => Some((place, *scheme, name)),
            _ => None,
        });
        let clients = buckets.map(|(place, scheme, name)| Ok((place.clone(), client(scheme, name, settings, store)?)));
        clients.collect::<Result<_, _>>().map(Self)
    }

    #[cfg(test)]
    pub(super) fn of(buckets: impl IntoIterator<Item = (Place, Arc<dyn ObjectStore>)>) -> Self {
        Self(buckets.into_iter().collect())
    }

    pub(super) async fn get(&self, bucket: &Place, key: &Path, shown: &str) -> Result<Opened, Failure> {
        let client =
            self.0.get(bucket).ok_or_else(|| Failure::error(format_args!("{shown}: there is no client for the bucket")))?;
        let found = client.get(key).await.map_err(|error| failure(&error, shown))?;
        let (length, owned) = (found.range.end - found.range.start, shown.to_owned());
        let body = found.into_stream().map_err(move |error| failure(&error, &owned)).boxed();
        Ok(Opened { length: Some(length), body: Body::Stream(body) })
    }
}

fn client(scheme: &str, name: &str, settings: &config::Fetch, store: &config::Store) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let is_the_stores = settings.options.is_empty() && store.url.starts_with(&format!("{scheme}://"));
    let options = if is_the_stores { &store.options } else { &settings.options };
    // One table of options serves all schemes.
    let options = options.iter().filter(|(key, _)| is_option(scheme, key));
    let options: Settings = options.map(|(key, value)| (key.clone(), value.clone())).collect();
    let kind = match scheme {
        "s3" => ObjectStoreScheme::AmazonS3,
        "gs" => ObjectStoreScheme::GoogleCloudStorage,
        _ => ObjectStoreScheme::MicrosoftAzure,
    };
    let bucket = config::Store { url: format!("{scheme}://{name}"), options };
    remote(&kind, &bucket, RetryConfig { max_retries: 0, ..RetryConfig::default() }, Some(LIMIT))
}

fn failure(error: &Error, shown: &str) -> Failure {
    let why = format!("{shown}: {}", without_queries(&error.to_string()));
    match error {
        Error::NotFound { .. } => Failure::expired(format_args!("{shown}: there is no such object")),
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => Failure::error(why),
        _ => Failure::transient(why),
    }
}
