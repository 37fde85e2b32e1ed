//! Tracks: which faces of a source's frames are one face, followed from frame to frame. A track is no person: who leaves the picture
//! and comes back, or is hidden for longer than `max_gap`, begins another.
//!
//! In: frame rows in offset order. Out: the same rows, each face with its [`Track`]. Invariants: no two faces of a frame have one
//! track, and no face has two; [`TrackState`] after the frames up to an offset is all there is to know, and goes through JSON to the
//! last bit, so that a successor that starts with it names the same tracks.
//!
//! The method is SORT's (Bewley et al. 2016): where each track should be by now is predicted, the overlaps of these boxes with the
//! frame's are compared, and the pairs with the largest sum are chosen. Frames may come slowly and faces be small, so that both boxes
//! are grown before they are compared (C-BIoU, Yang et al. 2023), here by as much as the prediction is unsure. `ByteTrack`'s second
//! pass over weak detections has nothing to work on: rows hold none.

mod assign;
mod motion;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use facestream_schemas::tables::FrameRow;
use facestream_schemas::{Offset, SourceId, Track};
use serde::{Deserialize, Serialize};

use crate::aggregate::MAX_SOURCES;
use source::{Began, SourceTracks};

/// Tracks that a partition remembers at most: with more the stalest sources are forgotten.
const MAX_TRACKS: usize = 8_192;
/// So many offsets after its last frame a source is forgotten, with faces in view or not: a camera that was switched off sends no
/// frame that could end its tracks. At one frame a minute, the longest `max_gap`, that is a thousand messages/s in its partition.
const SILENT: i64 = 65_536;

/// How faces are followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackSettings {
    /// How long a face may be unseen, in event time, and still be the same track.
    pub max_gap: Duration,
    /// The least overlap (intersection over union, both boxes grown by how unsure the prediction is) of a face with where its track
    /// should be.
    pub min_iou: f32,
}

/// Everything that tracks know of one partition; travels in every journal record.
///
/// At most 4,096 sources, 64 tracks of each and 8,192 in all: about 1 MB as JSON. A source is in it while it has a track that may go
/// on, as far as its own frames tell, and for 65,536 offsets after the last of those at most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrackState {
    sources: BTreeMap<SourceId, SourceTracks>,
}

impl TrackState {
    /// Whether no track may go on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

/// The tracks of one partition.
#[derive(Debug)]
pub struct Tracks {
    topic: Arc<str>,
    partition: i32,
    settings: TrackSettings,
    state: TrackState,
    /// How many tracks are in the state.
    alive: usize,
}

impl Tracks {
    /// Tracks that go on from `state`.
    #[must_use]
    pub fn new(topic: Arc<str>, partition: i32, settings: TrackSettings, state: TrackState) -> Self {
        let alive = state.sources.values().map(SourceTracks::len).sum();
        Self { topic, partition, settings, state, alive }
    }

    /// What a successor needs to go on.
    #[must_use]
    pub fn state(&self) -> &TrackState {
        &self.state
    }

    /// Gives each face of a frame its track. While a source has tracks, the faces of a frame that is no later (in event time) than one
    /// before get none; once they are over, such a frame begins others. Boxes that are none get none either, nor, in a frame of more
    /// than 64 faces, those with the lowest scores. A frame that was not looked at changes nothing but that time passes.
    pub fn follow(&mut self, row: &mut FrameRow) {
        self.forget_silent(row.meta.key.offset);
        let Ok(faces) = &mut row.outcome else { return };
        let (id, at) = (&row.meta.source_id, row.meta.capture_ts);
        let known = self.state.sources.get(id);
        if known.is_some_and(|source| at <= source.at()) || (known.is_none() && faces.is_empty()) {
            return;
        }
        let source = self.state.sources.entry(id.clone()).or_default();
        let before = source.len();
        let followed = source.follow(faces, at, row.meta.key.offset, self.settings);
        self.alive = self.alive + source.len() - before;
        if source.len() == 0 {
            self.state.sources.remove(id);
        }
        for (face, began, is_new) in followed {
            faces[face].track = Some(Track { id: self.id(began), is_new });
        }
        self.forget_stalest();
    }

    /// The detection that a track began with.
    fn id(&self, Began { offset, face }: Began) -> Arc<str> {
        format!("{}/{}/{offset}/{face}", self.topic, self.partition).into()
    }

    /// Forgets sources without a frame for long. That is counted in offsets, and with every row, so that it depends on the rows alone:
    /// neither on a clock nor on where records end.
    fn forget_silent(&mut self, now: Offset) {
        let alive = &mut self.alive;
        self.state.sources.retain(|_, source| {
            let stays = now.0.saturating_sub(source.last().0) <= SILENT;
            *alive = alive.saturating_sub(if stays { 0 } else { source.len() });
            stays
        });
    }

    /// Keeps the state bounded, whatever the sources are: an eighth of them goes at a time, lowest event time first.
    fn forget_stalest(&mut self) {
        let sources = &mut self.state.sources;
        while sources.len() > MAX_SOURCES || (self.alive > MAX_TRACKS && !sources.is_empty()) {
            let mut by_age: Vec<_> = sources.iter().map(|(id, source)| (source.at(), id.clone())).collect();
            by_age.sort();
            for (_, id) in by_age.iter().take(sources.len().div_ceil(8)) {
                self.alive = self.alive.saturating_sub(sources.remove(id).map_or(0, |source| source.len()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
