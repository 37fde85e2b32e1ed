//! What lanes tell the poll thread and the status page: how far each journal is, how far behind, which sources there are, and how
//! lanes ended.
//!
//! In: reports of lanes, by id; from the poll thread, which partitions are paused. Out: offsets to commit, ended lanes, progress.
//! Invariant: a lane that was replaced reports in vain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use facestream_schemas::{Micros, Offset, Partition, SourceId};

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
    /// Without a lane until their journal can be opened (again).
    waiting: BTreeSet<Partition>,
    paused: BTreeSet<Partition>,
    lags: BTreeMap<Partition, Lag>,
    sources: BTreeMap<Partition, Sources>,
}

/// Sources that are listed at most, of each partition and of all.
pub(super) const MOST_SOURCES: usize = 1_000;

/// How far a partition is behind; what is not known is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// Records beyond those with a row.
    pub records: Option<i64>,
    /// Age of the newest record with a row while there are others beyond it.
    pub seconds: Option<f64>,
    /// How far the lowest watermark trails the clock.
    pub watermark_delay_s: Option<f64>,
}

/// The sources of a partition, or of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    /// How many are heard of.
    pub active: usize,
    /// How many are not, for `windows.idle_timeout`.
    pub silent: usize,
    /// The first 1,000 by their ids.
    pub list: Vec<SourceSeen>,
}

/// A source as its partition knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSeen {
    /// Which one.
    pub source: SourceId,
    /// Where its frames come; a source whose frames spread over partitions is seen in each.
    pub partition: Partition,
    /// Whether it is heard of.
    pub active: bool,
    /// How far it is in event time.
    pub watermark: Micros,
}

/// What a partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its journal is being opened and taken over.
    Opening,
    /// Its messages are consumed.
    Running,
    /// They are not for the moment: memory, or pictures that come slowly.
    Paused,
    /// It waits for a person.
    Stopped,
}

impl Standing {
    /// As `/status` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// All that is known of a partition that is held here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overview {
    /// What it is doing.
    pub standing: Standing,
    /// How far behind it is.
    pub lag: Lag,
    /// End of the journal; `None` until the takeover is won.
    pub journal_end: Option<Offset>,
    /// One past the last offset whose row is collected; `None` without a lane.
    pub collected_end: Option<Offset>,
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

impl State {
    fn is_current(&self, lane: u64, partition: &Partition) -> bool {
        self.progress.get(partition).is_some_and(|progress| progress.lane == lane)
    }
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
        state.waiting.remove(partition);
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

    pub(super) fn lags(&self, lane: u64, partition: &Partition, lag: Lag) {
        let mut state = self.state();
        if state.is_current(lane, partition) {
            state.lags.insert(partition.clone(), lag);
        }
    }

    pub(super) fn sources_seen(&self, lane: u64, partition: &Partition, sources: Sources) {
        let mut state = self.state();
        if state.is_current(lane, partition) {
            state.sources.insert(partition.clone(), sources);
        }
    }

    /// Notes which partitions are paused, and which have no lane until their journal can be opened.
    pub fn stand(&self, paused: BTreeSet<Partition>, waiting: BTreeSet<Partition>) {
        let mut state = self.state();
        (state.paused, state.waiting) = (paused, waiting);
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
        state.waiting.remove(partition);
        state.paused.remove(partition);
        state.lags.remove(partition);
        state.sources.remove(partition);
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

    /// All that is known of each partition that is held here.
    #[must_use]
    pub fn overview(&self) -> BTreeMap<Partition, Overview> {
        let state = self.state();
        let held = state.progress.keys().chain(&state.stopped).chain(&state.waiting);
        held.map(|partition| {
            let progress = state.progress.get(partition);
            let journal_end = progress.and_then(|progress| progress.journal_end);
            let standing = match () {
                () if state.stopped.contains(partition) => Standing::Stopped,
                () if state.waiting.contains(partition) || journal_end.is_none() => Standing::Opening,
                () if state.paused.contains(partition) => Standing::Paused,
                () => Standing::Running,
            };
            let lag = state.lags.get(partition).copied().unwrap_or_default();
            let collected_end = progress.map(|progress| progress.collected_end);
            (partition.clone(), Overview { standing, lag, journal_end, collected_end })
        })
        .collect()
    }

    /// How many sources all partitions have that are held here.
    #[must_use]
    pub fn count_sources(&self) -> usize {
        self.state().sources.values().map(|sources| sources.active + sources.silent).sum()
    }

    /// The sources of all partitions that are held here.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let state = self.state();
        let of_all = state.sources.values();
        let mut first: Vec<_> = of_all.clone().flat_map(|sources| &sources.list).collect();
        first.sort_by_key(|seen| (&seen.source, &seen.partition));
        Sources {
            active: of_all.clone().map(|sources| sources.active).sum(),
            silent: of_all.map(|sources| sources.silent).sum(),
            list: first.into_iter().take(MOST_SOURCES).cloned().collect(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
