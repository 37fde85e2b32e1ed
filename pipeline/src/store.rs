//! The object store: where journal and tables lie.
//!
//! In: `[store]` of the configuration. Out: two clients over one prefix: `appends`, which never retries by itself (the journal
//! must see every error), and `files` for everything else. Invariant: no file is visible before it is complete.

mod health;
mod observed;
mod probe;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme, RetryConfig};
use url::Url;

pub use health::{Health, Outage};
pub use probe::{ProbeError, probe_create_only};
pub use upload::Upload;

use crate::config;
use crate::metrics::{Metrics, Operation};
use observed::Observed;

/// The longest that one append may take before its outcome is read back.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the client of files tries by itself.
const FILES_PATIENCE: Duration = Duration::from_secs(20);

/// A store that cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is no store.
    #[error("cannot use store.url {url}: {cause}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// An option is unknown to this kind of store.
    #[error("unknown store.options key {key} for {url}; object_store's names, such as `endpoint` or `region`, are valid")]
    Option {
        /// The key.
        key: String,
        /// As configured.
        url: String,
    },
    /// The store's client refuses the combination of options.
    #[error("cannot set up the store {url}: {cause}")]
    Client {
        /// As configured.
        url: String,
        /// What the client says.
        cause: object_store::Error,
    },
}

/// One store with its two clients.
#[derive(Clone, Debug)]
pub struct Store {
    /// For appends: no retries of its own, ten seconds at most.
    pub appends: Arc<dyn ObjectStore>,
    /// For everything else: retries transient errors.
    pub files: Arc<dyn ObjectStore>,
    /// As configured, for messages; credentials are never part of it.
    pub url: String,
    /// Whether it answers.
    pub health: Health,
    /// The root folder of a local store.
    local: Option<PathBuf>,
    /// Whether a LIST comes in order of keys; local and S3 Express (directory) buckets do not promise it.
    ordered: bool,
}

impl Store {
    /// Opens the store; a local folder is made if it is missing. Connects to nothing yet.
    pub fn open(config: &config::Store) -> Result<Self, StoreError> {
        let fail = |cause: String| StoreError::Url { url: config.url.clone(), cause };
        let url = Url::parse(&config.url).map_err(|error| fail(error.to_string()))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|error| fail(error.to_string()))?;
        if scheme == ObjectStoreScheme::Local {
            let root = url.to_file_path().map_err(|()| fail("expected file:///absolute/path".to_owned()))?;
            return Self::open_local(root, &config.url);
        }
        let client = |retry, timeout| remote(&scheme, config, retry, timeout).map(|store| prefixed(store, prefix.clone()));
        let no_retries = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        // Who uses it goes on trying; only then do metrics, probes and the log tell what is the matter.
        let few_retries = RetryConfig { max_retries: 3, retry_timeout: FILES_PATIENCE, ..RetryConfig::default() };
        Ok(Self {
            appends: client(no_retries, Some(APPEND_TIMEOUT))?,
            files: client(few_retries, None)?,
            url: config.url.clone(),
            health: Health::default(),
            local: None,
            ordered: !url.host_str().is_some_and(|bucket| bucket.ends_with("--x-s3")),
        })
    }

    fn open_local(root: PathBuf, url: &str) -> Result<Self, StoreError> {
        let unusable = |cause: std::io::Error| StoreError::Url { url: url.to_owned(), cause: cause.to_string() };
        std::fs::create_dir_all(&root).map_err(unusable)?;
        let store = LocalFileSystem::new_with_prefix(&root)
            .map_err(|cause| StoreError::Client { url: url.to_owned(), cause })?
            .with_fsync(true);
        let store: Arc<dyn ObjectStore> = Arc::new(store);
        Ok(Self {
            appends: Arc::clone(&store),
            files: store,
            url: url.to_owned(),
            health: Health::default(),
            local: Some(root),
            ordered: false,
        })
    }

    /// A store in memory or of another making, for tests.
    #[must_use]
    pub fn of(store: Arc<dyn ObjectStore>) -> Self {
        let (appends, url) = (Arc::clone(&store), "memory:///".to_owned());
        Self { appends, files: store, url, health: Health::default(), local: None, ordered: true }
    }

    /// The same store, with every request to it counted and timed.
    #[must_use]
    pub fn observed(self, metrics: &Metrics) -> Self {
        let observed = |store, writes| Arc::new(Observed::new(store, writes, metrics.clone())) as Arc<dyn ObjectStore>;
        Self { appends: observed(self.appends, Operation::Append), files: observed(self.files, Operation::Publish), ..self }
    }

    /// The smallest of the keys under `prefix` that `accept` turns into something: one page of a LIST where that comes in
    /// order, the whole LIST elsewhere.
    pub async fn first<T>(&self, prefix: &Path, accept: impl Fn(&Path) -> Option<T>) -> Result<Option<T>, object_store::Error> {
        let mut keys = self.files.list(Some(prefix));
        let mut first: Option<(Path, T)> = None;
        while let Some(object) = keys.try_next().await? {
            let smaller = first.as_ref().is_none_or(|(key, _)| object.location < *key);
            if let Some(accepted) = accept(&object.location).filter(|_| smaller) {
                first = Some((object.location, accepted));
                if self.ordered {
                    break;
                }
            }
        }
        Ok(first.map(|(_, accepted)| accepted))
    }

    /// Whether an object is there.
    pub async fn exists(&self, path: &Path) -> Result<bool, object_store::Error> {
        match self.files.head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins an upload that becomes visible as `target` only when it is completed. `staging` is where a local store keeps it until then.
    #[must_use]
    pub fn upload(&self, target: Path, staging: Path) -> Upload {
        Upload::new(Arc::clone(&self.files), target, self.local.is_some().then_some(staging))
    }

    /// Writes a file at once, in the place of one that is there. A local one is staged in `_staging` and renamed: a temporary name
    /// beside the target would show after a kill.
    pub async fn replace(&self, target: &Path, bytes: Bytes) -> Result<(), object_store::Error> {
        if self.local.is_none() {
            return self.files.put(target, bytes.into()).await.map(|_| ());
        }
        let staging = Path::from_iter(["_staging", target.filename().unwrap_or_default()]);
        self.files.put(&staging, bytes.into()).await?;
        self.files.rename(&staging, target).await
    }

    /// Removes what killed writers left behind in the local folders `staging` (everything) and `records` (temporary names).
    pub fn sweep(&self, staging: &Path, records: &Path) {
        for leftover in self.leftovers(staging, records) {
            // One that cannot be removed is invisible to readers and tried again at the next takeover.
            let _ = std::fs::remove_file(leftover);
        }
    }

    /// Removes what killed processes left behind of [`Store::replace`]: what was staged and not touched for `longer`, since others
    /// may be at work.
    pub fn sweep_replaced(&self, longer: Duration) {
        for leftover in self.leftovers(&Path::from("_staging"), &Path::from("_staging/_")) {
            let touched = std::fs::metadata(&leftover).and_then(|file| file.modified());
            if touched.is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= longer)) {
                let _ = std::fs::remove_file(leftover);
            }
        }
    }

    /// What [`Store::sweep`] would remove.
    #[must_use]
    pub fn leftovers(&self, staging: &Path, records: &Path) -> Vec<PathBuf> {
        let Some(root) = &self.local else { return Vec::new() };
        let entries = |folder: &Path| std::fs::read_dir(root.join(folder.as_ref())).into_iter().flatten().flatten();
        let temporary = entries(records).filter(|entry| entry.file_name().to_string_lossy().contains('#'));
        entries(staging).chain(temporary).map(|entry| entry.path()).collect()
    }
}

fn prefixed(store: Arc<dyn ObjectStore>, prefix: Path) -> Arc<dyn ObjectStore> {
    if prefix.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, prefix)) }
}

/// A client of a remote store; credentials come from `store.options` or the usual environment of each provider.
pub(crate) fn remote(
    scheme: &ObjectStoreScheme,
    config: &config::Store,
    retry: RetryConfig,
    timeout: Option<Duration>,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    macro_rules! client {
        ($builder:ty) => {{
            let mut builder = <$builder>::from_env().with_url(&config.url).with_retry(retry);
            let timeout = timeout.map(|timeout| ("timeout".to_owned(), format!("{}s", timeout.as_secs())));
            for (key, value) in config.options.iter().chain(timeout.as_ref().map(|(key, value)| (key, value))) {
                let key = key.to_ascii_lowercase();
                let Ok(known) = key.parse() else { return Err(StoreError::Option { key, url: config.url.clone() }) };
                builder = builder.with_config(known, value);
            }
            let client = builder.build().map_err(|cause| StoreError::Client { url: config.url.clone(), cause })?;
            Ok(Arc::new(client))
        }};
    }
    match scheme {
        ObjectStoreScheme::AmazonS3 => client!(AmazonS3Builder),
        ObjectStoreScheme::GoogleCloudStorage => client!(GoogleCloudStorageBuilder),
        ObjectStoreScheme::MicrosoftAzure => client!(MicrosoftAzureBuilder),
        _ => Err(StoreError::Url { url: config.url.clone(), cause: "expected file://, s3://, gs:// or az://".to_owned() }),
    }
}
