//! What a lane does with each row, in order: faces are followed, then windows counted; and in its picture, faces stay hidden.
//!
//! In: rows, the memory of what came before. Out: the rows with what was found, windows, the memory after them. Invariant: the
//! memory is all that the next owner needs to do the same.

use std::sync::Arc;
use std::time::Instant;

use facestream_schemas::Partition;
use facestream_schemas::tables::FrameRow;
use facestream_stages::aggregate::{Added, WindowSettings, Windows};
use facestream_stages::annotate::Hold;
use facestream_stages::track::{TrackSettings, Tracks};

use crate::journal::memory::Memory;

#[derive(Debug)]
pub(super) struct Stages {
    tracks: Option<Tracks>,
    pub(super) windows: Windows,
    /// What stays hidden in annotated pictures.
    pub(super) hold: Hold,
}

impl Stages {
    /// Goes on from `memory`. Without `tracks` what it says of them is forgotten, and without a `hold`, in frames, what it hides.
    pub(super) fn new(
        partition: &Partition,
        tracks: Option<TrackSettings>,
        windows: WindowSettings,
        hold: Option<u32>,
        memory: Memory,
        now: Instant,
    ) -> Self {
        let topic = || Arc::clone(&partition.topic);
        Self {
            tracks: tracks.map(|settings| Tracks::new(topic(), partition.number, settings, memory.tracks)),
            windows: Windows::new(topic(), partition.number, windows, memory.windows, now).counting_tracks(tracks.is_some()),
            hold: hold.map(|further| Hold::new(further, memory.hold)).unwrap_or_default(),
        }
    }

    /// Follows the row's faces and counts it; what that did to windows.
    pub(super) fn add(&mut self, row: &mut FrameRow, now: Instant) -> Added {
        if let Some(tracks) = &mut self.tracks {
            tracks.follow(row);
        }
        self.windows.add(row, now)
    }

    pub(super) fn memory(&self) -> Memory {
        let tracks = self.tracks.as_ref().map(|tracks| tracks.state().clone()).unwrap_or_default();
        Memory { windows: self.windows.state().clone(), tracks, hold: self.hold.state().clone() }
    }
}
