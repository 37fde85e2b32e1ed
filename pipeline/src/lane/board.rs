//! What lanes tell the poll thread and the status page: how far each journal is, and how lanes ended.
//!
//! In: reports of lanes, by id. Out: offsets to commit, ended lanes, progress. Invariant: a lane that was replaced reports in vain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use facestream_schemas::{Offset, Partition};

use crate::journal::JournalError;

/// Shared by lanes, poll thread and HTTP.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    lanes_so_far: u64,
    progress: BTreeMap<Partition, Progress>,
    to_commit: BTreeSet<Partition>,
    ended: Vec<Ended>,
    stopped: BTreeSet<Partition>,
}

/// How far a partition is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub(super) lane: u64,
    /// End of the journal; `None` until the takeover is won.
    pub journal_end: Option<Offset>,
    /// One past the last offset whose row is collected.
    pub collected_end: Offset,
    /// Whether this lane has appended rows.
    pub has_appended: bool,
}

/// A lane that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// Which lane.
    pub lane: u64,
    /// Which partition it had.
    pub partition: Partition,
    /// Why.
    pub error: JournalError,
}

impl Board {
    /// A new lane's id; replaces what is known of the partition.
    pub(super) fn enlist(&self, partition: &Partition, start: Offset) -> u64 {
        let mut state = self.state();
        state.lanes_so_far += 1;
        let lane = state.lanes_so_far;
        let progress = Progress { lane, journal_end: None, collected_end: start, has_appended: false };
        state.progress.insert(partition.clone(), progress);
        lane
    }

    pub(super) fn collected(&self, lane: u64, partition: &Partition, end: Offset) {
        if let Some(progress) = self.state().progress.get_mut(partition).filter(|progress| progress.lane == lane) {
            progress.collected_end = end;
        }
    }

    pub(super) fn appended(&self, lane: u64, partition: &Partition, end: Offset, rows: bool) {
        let mut state = self.state();
        let Some(progress) = state.progress.get_mut(partition).filter(|progress| progress.lane == lane) else { return };
        let news = progress.journal_end != Some(end);
        progress.journal_end = Some(end);
        progress.has_appended |= rows;
        if news {
            state.to_commit.insert(partition.clone());
        }
    }

    pub(super) fn end(&self, lane: u64, partition: Partition, error: JournalError) {
        self.state().ended.push(Ended { lane, partition, error });
    }

    /// Notes that a partition has no lane until a person has mended what is wrong.
    pub fn stop(&self, partition: &Partition) {
        self.dismiss(partition);
        self.state().stopped.insert(partition.clone());
    }

    /// Partitions that wait for a person.
    #[must_use]
    pub fn stopped(&self) -> BTreeSet<Partition> {
        self.state().stopped.clone()
    }

    /// Forgets a partition that was given up.
    pub fn dismiss(&self, partition: &Partition) {
        let mut state = self.state();
        state.progress.remove(partition);
        state.to_commit.remove(partition);
        state.stopped.remove(partition);
    }

    /// Journal ends that were won since the last call.
    #[must_use]
    pub fn take_appended(&self) -> Vec<(Partition, Offset)> {
        let mut state = self.state();
        let partitions = std::mem::take(&mut state.to_commit);
        let end = |partition: Partition| {
            let end = state.progress.get(&partition)?.journal_end?;
            Some((partition, end))
        };
        partitions.into_iter().filter_map(end).collect()
    }

    /// Notes that the end of a partition that is held here has yet to be committed.
    pub fn commit_again(&self, partition: Partition) {
        let mut state = self.state();
        if state.progress.contains_key(&partition) {
            state.to_commit.insert(partition);
        }
    }

    /// Lanes that ended by themselves since the last call.
    #[must_use]
    pub fn take_ended(&self) -> Vec<Ended> {
        std::mem::take(&mut self.state().ended)
    }

    /// How far each partition that is held here is.
    #[must_use]
    pub fn progress(&self) -> BTreeMap<Partition, Progress> {
        self.state().progress.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
