//! One file from a web server, through breaks, up to its pinned bytes.
//!
//! In: an [`Order`]. Out: the file under its final name. Invariants: its sum was right before it got that name; a part that is kept is never
//! longer than the file; two processes never write into one part.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use indicatif::ProgressBar;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode, redirect};
use thiserror::Error;
use url::Url;

use crate::config::shown;
use crate::models::{ModelsError, sum};

const MOST_REDIRECTS: usize = 5;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) url: Url,
    /// In hexadecimal.
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pub(super) to: PathBuf,
}

/// How long is waited, and how often it is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) attempts: usize,
    /// Before the second attempt; doubles.
    pub(super) first_pause: Duration,
    pub(super) connect: Duration,
    /// Between two parts of an answer. There is no limit to the whole: a slow line is not a broken one.
    pub(super) silence: Duration,
}

impl Patience {
    pub(super) const USUAL: Self = Self {
        attempts: 5,
        first_pause: Duration::from_millis(500),
        connect: Duration::from_secs(10),
        silence: Duration::from_secs(30),
    };
}

/// Why there is no file.
#[derive(Debug, Error)]
pub(super) enum PullError {
    #[error("another pull is at work on {}", .0.display())]
    Busy(PathBuf),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{url}: the server answered {status}")]
    Refused { url: String, status: StatusCode },
    #[error("{url}: {why}; {attempts} attempts{}", if *.kept > 0 { ": what came is kept, the same command goes on from there" } else { "" })]
    GaveUp { url: String, why: String, attempts: usize, kept: u64 },
    #[error("{url} has other bytes than expected: {found}, expected {expected}; nothing of it is kept")]
    Wrong { url: String, found: String, expected: String },
    #[error(transparent)]
    Read(#[from] ModelsError),
    #[error("cannot make a client: {0}")]
    Client(String),
}

/// Why an attempt failed.
enum Fault {
    /// Another may succeed.
    Transient(String),
    Final(PullError),
}

/// Fetches it, or what is left of it.
pub(super) fn download(order: &Order, patience: Patience, bar: &ProgressBar) -> Result<(), PullError> {
    let setup = |error: &dyn std::error::Error| PullError::Client(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| setup(&error))?;
    let client = Client::builder()
        .user_agent(concat!("facestream/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::limited(MOST_REDIRECTS))
        .connect_timeout(patience.connect)
        .read_timeout(patience.silence)
        .build()
        .map_err(|error| setup(&error))?;
    let mut part = Part::open(&order.to)?;
    loop {
        let is_of_one_answer = runtime.block_on(fetch(&client, order, patience, &mut part, bar))?;
        let found = sum(&part.path)?;
        if found == order.sha256 {
            return part.finish(&order.to);
        }
        part.cut()?;
        // Pieces of two versions are nobody's fault: then all of it is fetched once more.
        if is_of_one_answer {
            part.remove();
            let (found, expected) = (format!("sha256 {found}"), format!("sha256 {}", order.sha256));
            return Err(PullError::Wrong { url: shown(&order.url), found, expected });
        }
    }
}

/// Attempts until the part is complete. Whether all of it came with one answer.
async fn fetch(
    client: &Client,
    order: &Order,
    patience: Patience,
    part: &mut Part,
    bar: &ProgressBar,
) -> Result<bool, PullError> {
    let mut pauses =
        ExponentialBuilder::default().with_min_delay(patience.first_pause).with_max_times(patience.attempts - 1).build();
    let mut began_at = part.length;
    while part.length != order.bytes {
        match attempt(client, order, part, bar, &mut began_at).await {
            Ok(()) => {}
            Err(Fault::Final(error)) => {
                // What came so far is still right, unless it is the bytes themselves that are wrong.
                if part.length == 0 || matches!(error, PullError::Wrong { .. }) {
                    part.remove();
                }
                return Err(error);
            }
            Err(Fault::Transient(why)) => {
                let Some(pause) = pauses.next() else {
                    let kept = part.length;
                    if kept == 0 {
                        part.remove();
                    }
                    return Err(PullError::GaveUp { url: shown(&order.url), why, attempts: patience.attempts, kept });
                };
                bar.suspend(|| eprintln!("{why}: trying again in {pause:.1?}"));
                tokio::time::sleep(pause).await;
            }
        }
    }
    Ok(began_at == 0)
}

/// One request, from where the part ends. `began_at` is where the answer began that the part's end came with.
async fn attempt(client: &Client, order: &Order, part: &mut Part, bar: &ProgressBar, began_at: &mut u64) -> Result<(), Fault> {
    if part.length > order.bytes {
        part.cut().map_err(Fault::Final)?;
    }
    let mut request = client.get(order.url.clone());
    if part.length > 0 {
        request = request.header(RANGE, format!("bytes={}-", part.length));
    }
    let mut answer = request.send().await.map_err(|error| Fault::Transient(bottom(&error)))?;
    *began_at = begin(&answer, order, part)?;
    bar.set_position(part.length);
    while let Some(bytes) = answer.chunk().await.map_err(|error| Fault::Transient(bottom(&error)))? {
        // Told before it fills the disk.
        if part.length + bytes.len() as u64 > order.bytes {
            return Err(wrong(order, format!("more than {} bytes", order.bytes)));
        }
        part.append(&bytes).map_err(Fault::Final)?;
        bar.set_position(part.length);
    }
    match part.length {
        length if length == order.bytes => Ok(()),
        length => Err(Fault::Transient(format!("the server ended after {length} of {} bytes", order.bytes))),
    }
}

/// Looks at the answer's head: the part is cut to where the answer begins, which is returned.
fn begin(answer: &Response, order: &Order, part: &mut Part) -> Result<u64, Fault> {
    let status = answer.status();
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
            let first = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok());
            if first != Some(part.length) {
                part.cut().map_err(Fault::Final)?;
                return Err(Fault::Transient(format!("the server answers with the range {range:?}, which was not asked for")));
            }
        }
        StatusCode::OK => {
            // All of it, whatever was asked for.
            part.cut().map_err(Fault::Final)?;
            if let Some(length) = answer.content_length().filter(|length| *length != order.bytes) {
                return Err(wrong(order, format!("{length} bytes")));
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            part.cut().map_err(Fault::Final)?;
            return Err(Fault::Transient("the server has no such range".to_owned()));
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            return Err(Fault::Transient(format!("the server answered {status}")));
        }
        _ if status.is_server_error() => return Err(Fault::Transient(format!("the server answered {status}"))),
        _ => return Err(Fault::Final(PullError::Refused { url: shown(&order.url), status })),
    }
    Ok(part.length)
}

fn wrong(order: &Order, found: String) -> Fault {
    Fault::Final(PullError::Wrong { url: shown(&order.url), found, expected: format!("{} bytes", order.bytes) })
}

/// What is at the bottom of the client's error: those above repeat the URL.
fn bottom(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let what = if error.is_timeout() { "no answer in time" } else { "the connection failed" };
    format!("{what}: {cause}")
}

/// What was fetched so far, beside the file's final place, and this process's alone.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Part {
    fn open(to: &Path) -> Result<Self, PullError> {
        let path = PathBuf::from(format!("{}.part", to.display()));
        loop {
            let failed = |source| PullError::Write { path: path.clone(), source };
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(PullError::Busy(path)),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Another process may have finished, and renamed or removed it, before it was locked here.
            let own = file.metadata().map_err(failed)?;
            if fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
                let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
                return Ok(Self { path, file, length });
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        self.file.write_all(bytes).map_err(|source| PullError::Write { path: self.path.clone(), source })?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Back to nothing.
    fn cut(&mut self) -> Result<(), PullError> {
        let cut = self.file.set_len(0).and_then(|()| self.file.rewind());
        cut.map_err(|source| PullError::Write { path: self.path.clone(), source })?;
        self.length = 0;
        Ok(())
    }

    /// Gone where nothing of it is worth keeping; one that cannot be removed is empty, and harmless.
    fn remove(&mut self) {
        let _ = self.cut();
        let _ = fs::remove_file(&self.path);
    }

    /// Durable, and under its final name.
    fn finish(self, to: &Path) -> Result<(), PullError> {
        let done = self.file.sync_all().and_then(|()| fs::rename(&self.path, to));
        done.map_err(|source| PullError::Write { path: to.to_owned(), source })
    }
}

#[cfg(test)]
mod tests;
