//! What all threads of a round share: the log of what was done when, who is still at work, and whether something went wrong.
//!
//! In: events, errors. Out: `strikes.log` in the round's folder, and the moment at which the round is over: when every process has
//! taken its strikes, or at the first error.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a thread that waits looks up.
const TICK: Duration = Duration::from_millis(20);

/// Shared by reference.
pub(super) struct Arena {
    start: Instant,
    log: Mutex<File>,
    /// Whether what happens is shown on standard error, too.
    echo: bool,
    at_work: AtomicUsize,
    errors: Mutex<Vec<String>>,
    broker_away: AtomicBool,
}

impl Arena {
    /// An arena for so many processes.
    pub(super) fn new(folder: &Path, processes: usize, echo: bool) -> Arena {
        Arena {
            start: Instant::now(),
            log: Mutex::new(File::create(folder.join("strikes.log")).expect("creating strikes.log")),
            echo,
            at_work: AtomicUsize::new(processes),
            errors: Mutex::default(),
            broker_away: AtomicBool::new(false),
        }
    }

    /// Notes what was done.
    pub(super) fn note(&self, who: &str, what: &str) {
        let line = format!("{:8.3} s  {who:<12} {what}\n", self.start.elapsed().as_secs_f64());
        if self.echo {
            eprint!("{line}");
        }
        self.log.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes()).expect("writing strikes.log");
    }

    /// Notes an error: the round is over.
    pub(super) fn fail(&self, who: &str, error: &str) {
        self.note(who, &format!("ERROR {error}"));
        self.errors().push(format!("{who}: {error}"));
    }

    pub(super) fn errors(&self) -> MutexGuard<'_, Vec<String>> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a thread's work; its error or panic ends the round.
    pub(super) fn carry_out<T>(&self, who: &str, work: impl FnOnce() -> Result<T, String>) -> Option<T> {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => self.fail(who, &error),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
                self.fail(who, &format!("panicked: {}", text.unwrap_or("without a message")));
            }
        }
        None
    }

    /// A process has taken all its strikes.
    pub(super) fn is_done(&self) {
        self.at_work.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) == 0 || !self.errors().is_empty()
    }

    pub(super) fn set_broker_away(&self, away: bool) {
        self.broker_away.store(away, Ordering::Relaxed);
    }

    pub(super) fn is_broker_away(&self) -> bool {
        self.broker_away.load(Ordering::Relaxed)
    }

    /// Waits until `look` says something, the time is up, or the round is over.
    pub(super) fn wait<T>(&self, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let start = Instant::now();
        while start.elapsed() < limit && !self.is_over() {
            if let Some(seen) = look() {
                return Some(seen);
            }
            thread::sleep(TICK.min(limit.saturating_sub(start.elapsed())));
        }
        None
    }

    /// Waits for a time, or until the round is over.
    pub(super) fn pause(&self, limit: Duration) {
        self.wait(limit, || None::<()>);
    }
}
