//! What a journal record says of its partition: everything that a successor must know.
//!
//! In and out: [`Header`] ⇄ JSON, which `record.rs` puts before the rows. Invariant: it carries the whole state of its partition; a
//! successor needs no other record to go on.

use std::collections::{BTreeMap, BTreeSet};

use facestream_schemas::tables::Table;
use facestream_schemas::{Hour, Micros, Offset};
use facestream_stages::aggregate::WindowState;
use facestream_stages::annotate::HoldState;
use facestream_stages::track::TrackState;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Position of a record in its partition's log, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Everything that a successor must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Of the record's layout.
    pub format_version: u32,
    /// Position in the log.
    pub seq: Seq,
    /// Random per record: tells our own write from another's.
    pub nonce: Uuid,
    /// Kafka cluster and consumer group.
    pub pipeline_id: String,
    /// Host, process and run that wrote it; for people.
    pub owner: String,
    /// First offset that the record's rows cover.
    pub start_offset: Offset,
    /// One past the last: where to go on.
    pub end_offset: Offset,
    /// Windows after the frames below `end_offset`.
    pub window_state: WindowState,
    /// Since the last seal, this record included.
    pub unsealed: Unsealed,
    /// Takeovers in a row, up to this record, without a frame in between.
    pub barren_takeovers: u32,
    /// The weights in use.
    pub model_sha256: Option<String>,
    /// Empty, or the data files that this record seals.
    pub files: Vec<DataFile>,
    /// When it was made, by the writer's clock.
    pub created_us: Micros,
    /// Kafka's id of the topic that the offsets belong to, where the brokers tell one.
    #[serde(default)]
    pub topic_id: Option<String>,
    /// Why the offsets do not follow on the record before; such a record has no rows.
    #[serde(default)]
    pub jump: Option<Jump>,
    /// The frame that is worked on alone, because earlier owners died without progress.
    #[serde(default)]
    pub suspect: Option<Suspect>,
    /// Tracks after the frames below `end_offset`.
    #[serde(default, skip_serializing_if = "TrackState::is_empty")]
    pub track_state: TrackState,
    /// Faces that stay hidden after the frames below `end_offset`. A program that does not know of it carries it along: then they stay
    /// hidden longer.
    #[serde(default, skip_serializing_if = "HoldState::is_empty")]
    pub hold_state: HoldState,
    /// Fields of a newer program with the same format version, carried along.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

impl Header {
    /// Whether this record seals data files.
    #[must_use]
    pub fn is_seal(&self) -> bool {
        !self.files.is_empty()
    }

    /// The format that a record with this state is of. 2: closed windows are kept in it for late frames, which a program that does
    /// not know of them would emit again. 3: it has tracks, or windows that have counted some: a program that does not know of them
    /// would carry the former along as they are, while frames go by, and forget the latter; or such windows are among the rows that
    /// its owner has to publish.
    pub(super) fn format(&self) -> u32 {
        let tracks = [!self.track_state.is_empty(), self.window_state.counts_tracks(), self.unsealed.counts_tracks];
        match () {
            () if tracks.contains(&true) => 3,
            () if self.window_state.keeps_windows() => 2,
            () => 1,
        }
    }
}

/// Consuming went on elsewhere than where the record before had ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// What made it necessary.
    pub why: Why,
    /// Where the record before had ended.
    pub from: Offset,
    /// Where consuming goes on: this record's `start_offset` and `end_offset`.
    pub to: Offset,
}

/// What made a jump necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Kafka no longer has the records in between.
    Gap,
    /// The topic was deleted and made anew: the offsets count anew, too.
    NewTopic,
    /// Somebody moved the journal by `facestream journal reset`.
    Reset,
}

/// A frame that was named before it was worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Which one.
    pub offset: Offset,
    /// How many owners were taken over from while they worked on it.
    pub deaths: u32,
    /// Whether the owner of this record works on it, or has only heard of it from the one before.
    pub working: bool,
}

/// What a seal must know before its PUT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unsealed {
    /// First record since the last seal.
    pub first_seq: Seq,
    /// First offset since the last seal.
    pub first_offset: Offset,
    /// When the first rows were appended, by the writer's clock, for people; `None` without rows.
    pub since: Option<Micros>,
    /// How long the rows had waited when this record was made, in ms: time as it passes, whatever the clock says.
    #[serde(default)]
    pub age_ms: u64,
    /// Size of the records in bytes.
    pub bytes: u64,
    /// Hour of the lowest watermark when the first rows were appended.
    pub watermark_hour: Option<Hour>,
    /// Rows by table and hour folder.
    pub rows: BTreeMap<Table, BTreeMap<Hour, u64>>,
    /// Whether windows among them say how many tracks began in them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counts_tracks: bool,
}

impl Unsealed {
    /// Nothing yet, from this record and offset on.
    #[must_use]
    pub fn starting(first_seq: Seq, first_offset: Offset) -> Self {
        Self {
            first_seq,
            first_offset,
            since: None,
            age_ms: 0,
            bytes: 0,
            watermark_hour: None,
            rows: BTreeMap::new(),
            counts_tracks: false,
        }
    }

    /// How many hour folders have rows.
    #[must_use]
    pub fn hours(&self) -> usize {
        self.rows.values().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>().len()
    }
}

/// A data file that a seal names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Which table.
    pub table: Table,
    /// Which hour folder.
    pub hour: Hour,
    /// Path in the store.
    pub path: String,
    /// Number of rows.
    pub rows: u64,
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use facestream_schemas::tables::FrameRow;
    use facestream_stages::aggregate::{Late, WindowSettings, Windows};
    use facestream_stages::track::{TrackSettings, Tracks};

    use super::*;
    use crate::journal::memory::Memory;
    use crate::journal::samples;

    #[test]
    fn only_a_state_that_an_older_program_would_get_wrong_is_of_a_newer_format() {
        let (minute, now) = (Duration::from_mins(1), Instant::now());
        let format_after = |late, rows: &mut [FrameRow], tracked: bool| {
            let settings = WindowSettings { length: minute, max_out_of_orderness: minute, idle_timeout: minute, late };
            let following = TrackSettings { max_gap: minute, min_iou: 0.3 };
            let mut header = samples::header(Seq(1));
            let mut windows = Windows::new("cams".into(), 0, settings, WindowState::default(), now);
            let mut tracks = Tracks::new("cams".into(), 0, following, TrackState::default());
            for row in rows {
                if tracked {
                    tracks.follow(row);
                }
                windows.add(row, now);
            }
            header.remember(Memory { windows: windows.state().clone(), tracks: tracks.state().clone(), ..Memory::default() });
            (header.format(), header.track_state.is_empty())
        };
        // Six minutes apart: the second closes the first one's window. The first has a face, the second none.
        let rows = || [0, 1].map(samples::frame);
        let revise = Late::Revise { grace: Duration::from_hours(1) };
        assert_eq!(format_after(Late::Drop, &mut [], false), (1, true));
        assert_eq!(format_after(Late::Drop, &mut rows(), false), (1, true));
        assert_eq!(format_after(revise, &mut rows(), false), (2, true));
        assert_eq!(format_after(Late::Drop, &mut rows()[..1], true), (3, false));
        assert_eq!(format_after(Late::Drop, &mut rows(), true), (1, true), "the window and the track are gone");
        assert_eq!(format_after(revise, &mut rows(), true), (3, true), "the kept window has counted the track");
    }
}
