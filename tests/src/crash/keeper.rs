//! Keeps one process of a group going, and strikes it: each process that dies has a successor.
//!
//! In: the group, the strikes. Out: how many of each kind were dealt. A process that ends otherwise than it was told to is an
//! error. Invariant: when it returns, its process is gone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::arena::Arena;
use super::schedule::{Blow, Kind, Strike};
use crate::Facestream;

/// How long a failpoint may take to be reached before it is replaced by SIGKILL.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a process may take to obey SIGTERM, with a broker away.
const STOP: Duration = Duration::from_mins(2);
const SIGKILL: i32 = 9;

/// How many strikes of each kind.
pub(super) type Tally = BTreeMap<Kind, u64>;

/// A consumer group.
pub(super) struct Group {
    pub(super) name: String,
    /// Where its configuration and its processes' logs lie.
    pub(super) folder: PathBuf,
    /// The pages of its processes, where there are any.
    pub(super) addresses: Mutex<Vec<Option<String>>>,
}

impl Group {
    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("facestream.toml")
    }

    /// Addresses of those that were started last.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect()
    }
}

/// One of a group's processes with its successors.
pub(super) struct Keeper<'a> {
    arena: &'a Arena,
    group: &'a Group,
    index: usize,
    name: String,
    starts: u32,
    tally: Tally,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(arena: &'a Arena, group: &'a Group, index: usize) -> Self {
        Keeper { arena, group, index, name: format!("{}/{}", group.name, index + 1), starts: 0, tally: Tally::new() }
    }

    /// Deals all strikes, keeps the last process until the round is over, then kills it (which counts as nothing).
    pub(super) fn keep(mut self, strikes: &[Strike]) -> Result<Tally, String> {
        let mut running = None;
        for strike in strikes {
            let process = running.take().unwrap_or_else(|| self.start(strike.blow));
            running = self.strike(process, *strike)?;
            if self.arena.is_over() {
                break;
            }
        }
        let mut last = running.unwrap_or_else(|| self.start(Blow::Kill));
        self.arena.is_done();
        self.leave_alone(&mut last, Duration::MAX)?;
        last.kill();
        Ok(self.tally)
    }

    fn start(&mut self, for_blow: Blow) -> Facestream {
        self.starts += 1;
        let log = self.group.folder.join(format!("process-{}-{:03}.log", self.index + 1, self.starts));
        let failpoint = for_blow.failpoint();
        let environment: Vec<_> = failpoint.iter().map(|point| ("FACESTREAM_FAILPOINT", point.as_str())).collect();
        let process = Facestream::run_logged(&self.group.config(), &[], &environment, &log);
        self.note(&format!("starts, process {} {}", process.id(), failpoint.unwrap_or_default()));
        let mut addresses = self.group.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses[self.index] = Some(process.http().to_owned());
        process
    }

    fn note(&self, what: &str) {
        self.arena.note(&self.name, what);
    }

    fn count(&mut self, kind: Kind) {
        self.note(&kind.0);
        *self.tally.entry(kind).or_default() += 1;
    }

    /// One strike; the process, if it lives.
    fn strike(&mut self, mut process: Facestream, strike: Strike) -> Result<Option<Facestream>, String> {
        let Strike { wait, blow, pause } = strike;
        if blow.failpoint().is_some() {
            return self.await_failpoint(process, strike);
        }
        self.leave_alone(&mut process, wait)?;
        if self.arena.is_over() {
            return Ok(Some(process));
        }
        self.count(blow.kind());
        match blow {
            Blow::Freeze => {
                process.signal("STOP");
                Ok(Some(self.thaw(process, pause)))
            }
            Blow::Term => {
                let finished = process.terminate(STOP);
                if finished.code != Some(0) {
                    return Err(format!("after SIGTERM it ended with {:?}: {}", finished.code, last_lines(&finished.output)));
                }
                self.arena.pause(pause);
                Ok(None)
            }
            Blow::Kill | Blow::Failpoint { .. } => {
                process.kill();
                self.arena.pause(pause);
                Ok(None)
            }
        }
    }

    /// Waits until the process has struck itself. One that does not get there is killed, and counted as that.
    fn await_failpoint(&mut self, mut process: Facestream, strike: Strike) -> Result<Option<Facestream>, String> {
        let reached = self.arena.wait(PATIENCE, || match process.ended() {
            Some(status) => Some(Some(status)),
            None => is_stopped(process.id()).then_some(None),
        });
        match reached {
            Some(Some(status)) if status.signal() == Some(SIGKILL) => {
                self.count(strike.blow.kind());
                self.arena.pause(strike.pause);
                Ok(None)
            }
            Some(Some(status)) => Err(ended_by_itself(status, &process)),
            Some(None) => {
                self.count(strike.blow.kind());
                Ok(Some(self.thaw(process, strike.pause)))
            }
            None if self.arena.is_over() => Ok(Some(process)),
            None => {
                self.note(&format!("did not reach {}", strike.blow.kind().0));
                self.count(Blow::Kill.kind());
                process.kill();
                self.arena.pause(strike.pause);
                Ok(None)
            }
        }
    }

    /// Wakes a frozen process up after a while.
    fn thaw(&self, process: Facestream, pause: Duration) -> Facestream {
        self.arena.pause(pause);
        process.signal("CONT");
        self.note("wakes up");
        process
    }

    /// Waits; the process is to live.
    fn leave_alone(&self, process: &mut Facestream, wait: Duration) -> Result<(), String> {
        match self.arena.wait(wait, || process.ended()) {
            Some(status) => Err(ended_by_itself(status, process)),
            None => Ok(()),
        }
    }
}

fn ended_by_itself(status: ExitStatus, process: &Facestream) -> String {
    format!("it ended by itself with {status}{}", process.log_tail())
}

fn last_lines(output: &str) -> String {
    let lines: Vec<_> = output.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Whether the kernel says that the process is stopped: `T`, the third field, after the name in brackets.
fn is_stopped(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}
