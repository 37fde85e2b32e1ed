//! The bytes of a picture.
//!
//! In: an [`Input`]. Out: its bytes, or why there are none. Invariant: nothing but regular files is read, and no more of one than
//! [`MOST_FILE_BYTES`]; what lies elsewhere is fetched as the stream fetches, though from wherever the person has named.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bytes::Bytes;
use facestream_schemas::{Partition, Reason, Reference, Rejection};
use indicatif::HumanBytes;
use rustix::fs::OFlags;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::inputs::{At, Input, Inputs};
use crate::budget::Permit;
use crate::commands::Failure;
use crate::config::{Allowed, Config};
use crate::fetch::Fetcher;
use crate::metrics::{BudgetName, Metrics};
use crate::topology::budget;

/// A larger file is no picture but a slip: it is not read into memory. The pixels have a limit of their own.
const MOST_FILE_BYTES: u64 = 256 << 20;

/// Opens pictures.
pub(super) struct Opener {
    /// Where any of them lies elsewhere.
    fetcher: Option<Fetcher>,
}

/// A picture on its way to a worker.
pub(super) enum Opened {
    /// Not read yet: that is the worker's to do.
    File,
    /// Its bytes, with their share of the memory.
    Fetched { bytes: Bytes, _memory: Permit },
}

impl Opener {
    /// Connects to nothing yet.
    pub(super) fn new(inputs: &Inputs, config: &Config, io: &Handle) -> anyhow::Result<Self> {
        let addresses = || {
            inputs.all.iter().filter_map(|input| match &input.at {
                At::Address(url) => Some(url),
                At::File(_) => None,
            })
        };
        if addresses().next().is_none() {
            return Ok(Self { fetcher: None });
        }
        let allowed = Allowed::named(addresses()).map_err(Failure::Usage)?;
        let metrics = Metrics::new();
        let bytes = config.workers.in_flight.bytes().max(2 * config.fetch.max_bytes.bytes());
        let in_flight = budget(BudgetName::InFlight, bytes, &metrics);
        let fetcher = Fetcher::of(allowed, &config.fetch, &config.store, (in_flight, metrics, io.clone()))?;
        Ok(Self { fetcher: Some(fetcher) })
    }

    /// Fetches what has to be fetched.
    pub(super) async fn open(&self, input: &Input) -> Result<Opened, Rejection> {
        let (At::Address(url), Some(fetcher)) = (&input.at, &self.fetcher) else { return Ok(Opened::File) };
        let (done, outcome) = oneshot::channel();
        // Fetches of one partition take turns; here there is but one.
        let partition = Partition { topic: "".into(), number: 0 };
        let reference = Reference { uri: url.as_str().to_owned(), sha256: None };
        // Whoever does not wait for it any more is about to end.
        fetcher.fetch(partition, reference, || true, move |fetched| drop(done.send(fetched.outcome)));
        let outcome = outcome.await.unwrap_or_else(|_| Err(Rejection::new(Reason::InternalError, "the fetch was dropped")));
        outcome.map(|(bytes, memory)| Opened::Fetched { bytes, _memory: memory })
    }
}

impl Opened {
    /// All of its bytes.
    pub(super) fn bytes(&self, input: &Input) -> Result<Bytes, Rejection> {
        match (self, &input.at) {
            (Self::Fetched { bytes, .. }, _) => Ok(bytes.clone()),
            (Self::File, At::File(path)) => read(path),
            (Self::File, At::Address(_)) => Err(Rejection::new(Reason::InternalError, "the picture was not fetched")),
        }
    }
}

/// The bytes of a regular file, if it is not too large for a picture.
pub(in crate::commands) fn read(path: &Path) -> Result<Bytes, Rejection> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Rejection::new(Reason::FetchError, "there is no such file"),
        _ => Rejection::new(Reason::FetchError, format_args!("cannot read it: {error}")),
    };
    // Not to wait for the other end of a pipe, nor to get a terminal.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Rejection::new(Reason::FetchRefused, "is not a regular file"));
    }
    let mut bytes = Vec::with_capacity(metadata.len().min(MOST_FILE_BYTES) as usize);
    file.take(MOST_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        0 => Err(Rejection::new(Reason::Unsupported, "is empty")),
        1..=MOST_FILE_BYTES => Ok(bytes.into()),
        _ => {
            let most = HumanBytes(MOST_FILE_BYTES);
            Err(Rejection::new(Reason::TooLarge, format_args!("the file has more than {most}: it is no picture")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(path: &Path) -> (Reason, String) {
        let rejection = read(path).unwrap_err();
        (rejection.reason, rejection.error)
    }

    #[test]
    fn nothing_but_regular_files_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a"), "bytes").unwrap();
        assert_eq!(read(&at("a")).unwrap(), "bytes");
        std::fs::write(at("empty"), "").unwrap();
        assert_eq!(failure(&at("empty")).0, Reason::Unsupported);
        assert_eq!(failure(&at("missing")), (Reason::FetchError, "there is no such file".to_owned()));
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).unwrap();
        for special in [at("pipe"), "/dev/zero".into(), folder.path().to_owned()] {
            assert_eq!(failure(&special).0, Reason::FetchRefused, "{}", special.display());
        }
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        assert_eq!(failure(&at("loop")).0, Reason::FetchError);
        // Nothing but a hole: it takes no room on the disk.
        std::fs::File::create(at("huge")).unwrap().set_len(MOST_FILE_BYTES + 1).unwrap();
        assert_eq!(failure(&at("huge")).0, Reason::TooLarge);
    }
}
