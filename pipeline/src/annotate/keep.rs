//! Where annotated pictures are kept.
//!
//! In: a JPEG and where it belongs. Out: a file in the store, complete or not there. Invariant: the place depends on the message alone,
//! and a file that is there already is replaced, so that a frame has one picture however often it is consumed.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use facestream_schemas::tables::FrameRow;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::store::Store;

/// First and longest wait before a picture is written again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// A store that takes nothing is reported this often, by each picture that waits for it.
const REPORT_EVERY: Duration = Duration::from_secs(30);
/// A folder's name is at most this long; file systems take 255 bytes.
const NAME_BYTES: usize = 120;
/// What lies staged for so long was left behind by a process that was killed.
const LEFTOVER: Duration = Duration::from_hours(1);

/// A store of pictures.
#[derive(Clone, Debug)]
pub struct Keep {
    store: Store,
    metrics: Metrics,
}

impl Keep {
    /// In this store; removes what was left behind there.
    #[must_use]
    pub fn new(store: Store, metrics: Metrics) -> Self {
        store.sweep_replaced(LEFTOVER);
        Self { store, metrics }
    }

    /// Writes a picture, and tries again for as long as it is polled.
    pub async fn keep(self, path: Path, jpeg: Bytes) {
        let mut delay = RETRY.0;
        let mut reported: Option<Instant> = None;
        while let Err(error) = self.store.replace(&path, jpeg.clone()).await {
            self.metrics.keep_errors.inc();
            if reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
                tracing::warn!(%path, "cannot write a picture to {}, trying again (rows wait for it): {error}", self.store.url);
                reported = Some(Instant::now());
            }
            sleep(delay).await;
            delay = (delay * 2).min(RETRY.1);
        }
        self.metrics.kept_pictures.inc();
    }
}

/// Where a frame's picture lies: `SOURCE/event_date=…/event_hour=…/TOPIC-PARTITION-OFFSET.jpg`.
#[must_use]
pub fn path(row: &FrameRow) -> Path {
    let key = &row.meta.key;
    let (source, hour) = (folder_name(row.meta.source_id.as_str()), row.folder);
    let path = format!("{source}/{hour}/{}-{}-{}.jpg", key.topic, key.partition, key.offset);
    Path::parse(&path).unwrap_or_else(|_| Path::from(path))
}

/// A source's name as that of a folder: anything but letters, digits, `-`, `_` and dots (but not at the beginning) as `%XX`, byte by
/// byte; one that gets too long is cut and told apart by its SHA-256.
fn folder_name(source_id: &str) -> String {
    let mut name = String::new();
    for byte in source_id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && !name.is_empty()) {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}");
        }
    }
    if name.is_empty() {
        return "%".to_owned();
    }
    if name.len() > NAME_BYTES {
        name.truncate(NAME_BYTES - 33);
        name.push('~');
        for byte in &Sha256::digest(source_id.as_bytes())[..16] {
            let _ = write!(name, "{byte:02x}");
        }
    }
    name
}

/// Writes and removes a file: whether pictures can be kept there.
pub async fn probe_writable(store: &Store) -> Result<(), Error> {
    let path = Path::from(format!("probe-{}", Uuid::new_v4()));
    store.replace(&path, Bytes::from_static(b"probe")).await?;
    store.files.delete(&path).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::config;
    use crate::journal::samples;

    #[test]
    fn any_source_has_a_folder_of_its_own_that_file_systems_take() {
        let long = "x".repeat(256);
        let longer = "\u{1F600}".repeat(256);
        let hostile =
            ["", ".", "..", "a/b", "a%2Fb", "/", "..\\x", "a\0b", "a b", "CON", "%", &long, &longer, &long[1..], "Tür 1"];
        let names: BTreeSet<_> = hostile.iter().map(|id| folder_name(id)).collect();
        assert_eq!(names.len(), hostile.len());
        for name in &names {
            assert!(!name.is_empty() && name.len() <= NAME_BYTES && !name.starts_with('.'), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.%~".contains(&byte)), "{name}");
        }
        assert_eq!(folder_name("Tür 1"), "T%C3%BCr%201");
        assert_eq!(folder_name("cam-7.hall_2"), "cam-7.hall_2");
    }

    /// On a disk: the file's name is the path's, and one that is there is replaced.
    #[tokio::test]
    async fn a_picture_lies_where_its_message_says_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        let store = Store::open(&config::Store { url, options: config::Settings::default() }).unwrap();
        probe_writable(&store).await.unwrap();
        let metrics = Metrics::new();
        let keep = Keep::new(store, metrics.clone());
        let mut row = samples::frame(5);
        row.meta.source_id = facestream_schemas::SourceId::new("door/1 %");
        for bytes in [&b"first"[..], b"second"] {
            keep.clone().keep(path(&row), Bytes::copy_from_slice(bytes)).await;
        }
        let key = &row.meta.key;
        let file = format!("door%2F1%20%25/{}/{}-{}-5.jpg", row.folder, key.topic, key.partition);
        assert_eq!(std::fs::read(folder.path().join(file)).unwrap(), b"second");
        assert_eq!(metrics.kept_pictures.get(), 2);
        let files = walkdir::WalkDir::new(folder.path()).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        assert_eq!(files.count(), 1, "nothing else is left");
    }

    #[test]
    fn what_killed_processes_left_behind_is_removed_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let staging = folder.path().join("_staging");
        std::fs::create_dir_all(staging.join("event_date=2026-01-01")).unwrap();
        let long_ago = std::time::SystemTime::now() - 2 * LEFTOVER;
        for (name, at) in [("cams-0-5.jpg", None), ("cams-0-4.jpg", Some(long_ago)), ("cams-0-4.jpg#1", Some(long_ago))] {
            let file = std::fs::File::create(staging.join(name)).unwrap();
            if let Some(at) = at {
                file.set_modified(at).unwrap();
            }
        }
        let url = format!("file://{}", folder.path().display());
        let _keep = Keep::new(Store::open(&config::Store { url, options: config::Settings::default() }).unwrap(), Metrics::new());
        let left = std::fs::read_dir(&staging).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
        assert_eq!(left.collect::<BTreeSet<_>>(), BTreeSet::from(["cams-0-5.jpg", "event_date=2026-01-01"].map(str::to_owned)));
    }

    #[tokio::test]
    async fn a_store_in_memory_takes_pictures_too() {
        let store = Store::of(Arc::new(InMemory::new()));
        Keep::new(store.clone(), Metrics::new()).keep(path(&samples::frame(0)), Bytes::from_static(b"x")).await;
        assert!(store.exists(&path(&samples::frame(0))).await.unwrap());
    }
}
