//! Pictures to an object store, so that messages need only say where they lie.
//!
//! In: an encoded picture. Out: its URI and SHA-256, once it is there. Invariant: an object is named by what it holds, so that
//! a picture that is uploaded twice is the same object.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use facestream_schemas::envelope::{ImageFormat, sniff};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::commands::Failure;
use crate::config::{self, Config, Settings};
use crate::store::{Store, StoreError};

/// Pictures that are known to be there: no more than this many are remembered.
const MOST_REMEMBERED: usize = 100_000;
const EXPECTED: &str = "expected s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder";
/// How often the store is tried again, beside what its client does by itself: for about half a minute.
const RETRIES: usize = 6;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(8);

/// Where a picture lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Claim {
    pub(in crate::commands) uri: String,
    /// In hex.
    pub(in crate::commands) sha256: String,
}

/// A place for pictures.
#[derive(Debug)]
pub(in crate::commands) struct Uploads {
    store: Store,
    /// What URIs begin with, without a slash at the end.
    base: String,
    is_local: bool,
    there: Mutex<HashSet<[u8; 32]>>,
}

impl Uploads {
    /// The place at `url`. Connects to nothing yet.
    pub(in crate::commands) fn open(url: &str, config: &Config) -> Result<Self, Failure> {
        let mistake = |text: &str| Failure::Usage(format!("--upload {url}: {text}"));
        let parsed = Url::parse(url).map_err(|_| mistake(EXPECTED))?;
        if !["s3", "gs", "az", "file"].contains(&parsed.scheme()) {
            return Err(mistake(EXPECTED));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() || parsed.fragment().is_some()
        {
            return Err(Failure::Usage(
                "--upload takes neither credentials nor parameters: they belong into [fetch.options]".to_owned(),
            ));
        }
        let store = config::Store { url: url.to_owned(), options: options(parsed.scheme(), config) };
        let store = Store::open(&store).map_err(|error| match error {
            StoreError::Url { cause, .. } => mistake(&cause),
            StoreError::Option { key, .. } => mistake(&format!("unknown option {key} in [fetch.options] or [store.options]")),
            StoreError::Client { cause, .. } => mistake(&cause.to_string()),
        })?;
        let base = parsed.as_str().trim_end_matches('/').to_owned();
        Ok(Self { store, base, is_local: parsed.scheme() == "file", there: Mutex::default() })
    }

    /// Uploads a picture unless it is known to be there. What passes by itself is tried again.
    pub(in crate::commands) async fn put(&self, image: Bytes, sha256: [u8; 32]) -> Result<Claim, Error> {
        let claim = self.claim(&image, sha256);
        if !self.there.lock().unwrap_or_else(PoisonError::into_inner).contains(&sha256) {
            let name = Path::from(claim.uri[self.base.len() + 1..].to_owned());
            let attempts = if self.is_local { 0 } else { RETRIES };
            let delays =
                ExponentialBuilder::default().with_min_delay(FIRST_DELAY).with_max_delay(LONGEST_DELAY).with_max_times(attempts);
            let put = || self.store.files.put(&name, image.clone().into());
            put.retry(delays).when(may_pass).await?;
            let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
            if there.len() >= MOST_REMEMBERED {
                there.clear();
            }
            there.insert(sha256);
        }
        Ok(claim)
    }

    fn claim(&self, image: &[u8], sha256: [u8; 32]) -> Claim {
        let hex = sha256.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // a String takes all
            hex
        });
        Claim { uri: format!("{}/{hex}.{}", self.base, extension(image)), sha256: hex }
    }
}

/// The SHA-256 of a picture: work for a thread of one's own, not for one of tokio's.
pub(in crate::commands) fn sha256(image: &[u8]) -> [u8; 32] {
    Sha256::digest(image).into()
}

/// `fetch.options`, or where there are none the store's if it is of the same kind.
fn options(scheme: &str, config: &Config) -> Settings {
    let is_same = config.store.url.split_once("://").is_some_and(|(stores, _)| stores == scheme);
    match () {
        () if scheme == "file" => Settings::default(),
        () if !config.fetch.options.is_empty() => config.fetch.options.clone(),
        () if is_same => config.store.options.clone(),
        () => Settings::default(),
    }
}

fn extension(image: &[u8]) -> &'static str {
    match sniff(image) {
        Some(ImageFormat::Jpeg) => "jpg",
        Some(ImageFormat::Png) => "png",
        Some(ImageFormat::WebP) => "webp",
        Some(ImageFormat::Bmp) => "bmp",
        Some(ImageFormat::Gif) => "gif",
        Some(ImageFormat::Tiff) => "tiff",
        _ => "bin",
    }
}

/// Whether it may help to try again: not where the answer was a clear no.
fn may_pass(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use axum::extract::State;
    use axum::http::{StatusCode, Uri};

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1A\n and so on";
    /// printf '\x89PNG\r\n\x1A\n and so on' | sha256sum
    const SHA256: &str = "e103dc84851b76cf5ce939661e70bd97ad9accff3cc9c24a930f3bdf94f1ec46";

    #[tokio::test]
    async fn a_picture_lies_in_the_folder_under_its_sha256() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/not yet/there/", folder.path().display());
        let uploads = Uploads::open(&url, &Config::default()).unwrap();
        for _ in 0..2 {
            let claim = uploads.put(Bytes::from_static(PNG), sha256(PNG)).await.unwrap();
            assert_eq!(claim.sha256, SHA256);
            assert_eq!(claim.uri, format!("file://{}/not%20yet/there/{SHA256}.png", folder.path().display()));
        }
        let there = std::fs::read_dir(folder.path().join("not yet/there")).unwrap().count();
        assert_eq!(there, 1);
        assert_eq!(std::fs::read(folder.path().join(format!("not yet/there/{SHA256}.png"))).unwrap(), PNG);
    }

    #[test]
    fn what_is_no_place_for_pictures_is_refused() {
        for (url, mentions) in [
            ("photos/", "expected s3://"),
            ("ftp://host/x", "expected s3://"),
            ("https://host/x", "expected s3://"),
            ("s3://key:secret@bucket/x", "[fetch.options]"),
            ("s3://bucket/x?versionId=1", "[fetch.options]"),
        ] {
            let error = Uploads::open(url, &Config::default()).unwrap_err().to_string();
            assert!(error.contains(mentions) && !error.contains("secret"), "{url}: {error}");
        }
        let mut config = Config::default();
        config.fetch.options = [("colour".to_owned(), "red".to_owned())].into_iter().collect();
        let error = Uploads::open("s3://bucket/x", &config).unwrap_err().to_string();
        assert!(error.contains("colour"), "{error}");
    }

    #[test]
    fn access_is_fetchs_or_else_that_of_a_store_of_the_same_kind() {
        let settings = |value: &str| [("region".to_owned(), value.to_owned())].into_iter().collect::<Settings>();
        let mut config = Config::default();
        config.store = config::Store { url: "s3://faces/x".to_owned(), options: settings("of the store") };
        assert_eq!(options("s3", &config), settings("of the store"));
        assert_eq!(options("gs", &config), Settings::default());
        config.fetch.options = settings("of fetch");
        assert_eq!(options("s3", &config), settings("of fetch"));
        assert_eq!(options("file", &config), Settings::default());
    }

    /// An S3 server of sorts that answers PUTs with `status`, the first `bad` of them; counts them.
    async fn server(status: StatusCode, bad: usize) -> (String, Arc<AtomicUsize>) {
        let puts = Arc::new(AtomicUsize::new(0));
        let put = move |State(puts): State<Arc<AtomicUsize>>, _: Uri| async move {
            let status = if puts.fetch_add(1, Relaxed) < bad { status } else { StatusCode::OK };
            (status, [("etag", "\"1\"")])
        };
        let app = axum::Router::new().fallback(put).with_state(Arc::clone(&puts));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (address, puts)
    }

    async fn put_to(address: &str) -> Result<Claim, Error> {
        let options = [
            ("endpoint", address),
            ("allow_http", "true"),
            ("region", "here"),
            ("access_key_id", "a"),
            ("secret_access_key", "b"),
        ];
        let mut config = Config::default();
        config.fetch.options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        Uploads::open("s3://bucket/x", &config).unwrap().put(Bytes::from_static(PNG), sha256(PNG)).await
    }

    #[tokio::test]
    async fn a_store_that_is_away_for_a_while_is_tried_again_and_one_that_refuses_is_not() {
        // Beyond the patience of the client itself, which tries four times.
        let (address, puts) = server(StatusCode::SERVICE_UNAVAILABLE, 6).await;
        assert_eq!(put_to(&address).await.unwrap().uri, format!("s3://bucket/x/{SHA256}.png"));
        assert_eq!(puts.load(Relaxed), 7);
        let (address, puts) = server(StatusCode::FORBIDDEN, usize::MAX).await;
        assert!(matches!(put_to(&address).await, Err(Error::PermissionDenied { .. })));
        assert_eq!(puts.load(Relaxed), 1);
    }
}
