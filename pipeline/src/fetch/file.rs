//! Pictures among this machine's files, below the folders that are allowed.
//!
//! In: an allow-listed folder and a path below it. Out: an open file and its size, then its bytes. Invariants: the kernel
//! resolves the path and lets it out of the folder by no link and no `..`, whatever is changed meanwhile; nothing but regular
//! files is read; threads of the folder's own do what may block (tokio's would), so a mount that hangs holds up itself alone.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::body::{Body, Opened, Whole};
use super::failure::Failure;

/// Threads for one folder: enough to keep a network mount busy.
const THREADS: usize = 4;
/// Work that waits for one of them; who finds it full waits, too.
const WAITING: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

/// A folder that is allowed, and the threads that read in it; they end with it.
#[derive(Clone)]
pub(super) struct Folder {
    path: PathBuf,
    work: mpsc::Sender<Work>,
}

/// A regular file.
pub(super) struct OpenFile {
    file: File,
    shown: String,
    folder: Folder,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> std::io::Result<Self> {
        let (work, queue) = mpsc::channel::<Work>(WAITING);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..THREADS {
            let queue = Arc::clone(&queue);
            let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            std::thread::Builder::new().name("fetch-file".to_owned()).spawn(move || {
                while let Some(work) = next() {
                    work();
                }
            })?;
        }
        Ok(Self { path, work })
    }

    /// Opens the file at `path` below the folder.
    pub(super) async fn open(&self, path: &Path, shown: &str) -> Result<Opened, Failure> {
        let (root, path) = (self.path.clone(), path.to_owned());
        let opened = self.run(shown, move || open_beneath(&root, &path)).await?;
        let (file, length) = opened.map_err(|error| error.failure(shown))?;
        let file = OpenFile { file, shown: shown.to_owned(), folder: self.clone() };
        Ok(Opened { length: Some(length), body: Body::File(file) })
    }

    /// Does what may block on one of the folder's threads; not at all if nobody waits for it any more.
    async fn run<T: Send + 'static>(&self, shown: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let gone = |()| Failure::transient(format!("{shown}: the reading thread is gone"));
        let (done, result) = oneshot::channel();
        let work = move || {
            if !done.is_closed() {
                let _ = done.send(work());
            }
        };
        self.work.send(Box::new(work)).await.map_err(|_| gone(()))?;
        result.await.map_err(|_| gone(()))
    }
}

impl OpenFile {
    /// Reads `room` bytes, or what there is; one byte more where the file has grown, which tells that it has.
    pub(super) async fn read(self, room: usize, digest: bool) -> Result<Whole, Failure> {
        let Self { file, shown, folder } = self;
        let read = move || {
            let mut bytes = Vec::with_capacity(room + 1);
            file.take(room as u64 + 1).read_to_end(&mut bytes)?;
            let digest = digest.then(|| Sha256::digest(&bytes).into());
            Ok((bytes, digest))
        };
        let read: std::io::Result<Whole> = folder.run(&shown, read).await?;
        read.map_err(|error| Failure::transient(format!("{shown}: cannot read the file: {error}")))
    }
}

/// Why a file was not opened.
enum NotOpened {
    Folder(Errno),
    File(Errno),
    NotRegular,
}

impl NotOpened {
    fn failure(&self, shown: &str) -> Failure {
        match self {
            Self::NotRegular => Failure::refused(format_args!("{shown}: is not a regular file")),
            Self::Folder(error) => Failure::transient(format!("{shown}: cannot open the folder in fetch.allow: {error}")),
            Self::File(Errno::NOENT | Errno::NOTDIR) => Failure::expired(format_args!("{shown}: there is no such file")),
            Self::File(Errno::XDEV | Errno::LOOP) => {
                Failure::refused(format_args!("{shown}: a link leads out of the folder in fetch.allow"))
            }
            Self::File(Errno::NOSYS) => {
                Failure::error(format_args!("{shown}: file:// needs a kernel that has openat2 (Linux 5.6 or later)"))
            }
            Self::File(error @ (Errno::ACCESS | Errno::PERM | Errno::NAMETOOLONG)) => {
                Failure::error(format_args!("{shown}: cannot open the file: {error}"))
            }
            Self::File(error) => Failure::transient(format!("{shown}: cannot open the file: {error}")),
        }
    }
}

fn open_beneath(root: &Path, path: &Path) -> Result<(File, u64), NotOpened> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(root, folder, Mode::empty()).map_err(NotOpened::Folder)?;
    // Not to wait for the other end of a pipe, nor to get a terminal.
    let reading = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file: OwnedFd = openat2(&root, path, reading, Mode::empty(), resolve).map_err(|error| match error {
        // A socket cannot be opened at all.
        Errno::NXIO => NotOpened::NotRegular,
        error => NotOpened::File(error),
    })?;
    let stat = fstat(&file).map_err(NotOpened::File)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(NotOpened::NotRegular);
    }
    Ok((file.into(), stat.st_size as u64))
}
