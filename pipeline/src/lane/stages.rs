//! What a lane does with each row, in order: faces are followed, then windows counted; and in its picture, faces stay hidden.
//!
//! In: rows, the memory of what came before. Out: the rows with what was found, windows, the memory after them. Invariant: the
//! memory is all that the next owner needs to do the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use facestream_schemas::Partition;
use facestream_schemas::tables::FrameRow;
use facestream_stages::aggregate::{Added, WindowSettings, Windows};
use facestream_stages::annotate::{Hold, Region};
use facestream_stages::track::{TrackSettings, Tracks};

use crate::journal::memory::Memory;

#[derive(Debug)]
pub(super) struct Stages {
    tracks: Option<Tracks>,
    pub(super) windows: Windows,
    /// What stays hidden in annotated pictures.
    hold: Hold,
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

    /// The regions to hide in the picture of a row. A panic is a bug of ours, and met by hiding all of this picture and the next ones.
    pub(super) fn hide(&mut self, row: &FrameRow, found: &[Region]) -> Vec<Region> {
        let mut hide = |found: &[Region]| catch_unwind(AssertUnwindSafe(|| self.hold.hide(&row.meta.source_id, found)));
        hide(found).unwrap_or_else(|_| {
            tracing::error!(record = %row.meta.key, "all of this frame's picture is hidden: a panic, which is a bug");
            hide(&[Region::ALL]).unwrap_or_else(|_| vec![Region::ALL])
        })
    }

    /// Follows the row's faces and counts it; what that did to windows. Where following panics, a bug of ours, it has no tracks.
    pub(super) fn add(&mut self, row: &mut FrameRow, now: Instant) -> Added {
        if let Some(tracks) = &mut self.tracks
            && catch_unwind(AssertUnwindSafe(|| tracks.follow(row))).is_err()
        {
            tracing::error!(record = %row.meta.key, "this frame's faces are in no track: a panic, which is a bug");
            row.outcome.iter_mut().flatten().for_each(|face| face.track = None);
        }
        self.windows.add(row, now)
    }

    pub(super) fn memory(&self) -> Memory {
        let tracks = self.tracks.as_ref().map(|tracks| tracks.state().clone()).unwrap_or_default();
        Memory { windows: self.windows.state().clone(), tracks, hold: self.hold.state().clone() }
    }
}
