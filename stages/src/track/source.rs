//! The tracks of one source.
//!
//! In: the faces of its frames, each frame later than the one before. Out: with which detection the track of each face began.
//! Invariant: what is known depends on these frames and nothing else; a track that was not seen for longer than `max_gap` is gone.

use std::cmp::Reverse;

use facestream_schemas::{Detection, Micros, Offset};
use serde::{Deserialize, Serialize};

use super::TrackSettings;
use super::assign::assign;
use super::motion::{Motion, is_box};

/// Tracks of one source at most, and faces of one frame that get one.
pub(super) const MOST: usize = 64;

/// The detection that a track began with: its frame's offset and its place among the frame's faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Began {
    pub(super) offset: Offset,
    pub(super) face: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(Offset, usize, Micros, Motion)", into = "(Offset, usize, Micros, Motion)")]
struct Followed {
    began: Began,
    /// When it was last seen.
    seen: Micros,
    /// As it was then.
    motion: Motion,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SourceTracks {
    /// Offset of the last frame.
    last: Offset,
    /// Its event time.
    at: Micros,
    tracks: Vec<Followed>,
}

impl Default for SourceTracks {
    fn default() -> Self {
        Self { last: Offset(0), at: Micros(i64::MIN), tracks: Vec::new() }
    }
}

impl SourceTracks {
    pub(super) fn last(&self) -> Offset {
        self.last
    }

    pub(super) fn at(&self) -> Micros {
        self.at
    }

    pub(super) fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Follows the faces of a frame of event time `at`, which is after the last one's. The faces that have a track, by their place in
    /// the frame: what each track began with, and whether that is this very face.
    pub(super) fn follow(
        &mut self,
        faces: &[Detection],
        at: Micros,
        offset: Offset,
        settings: TrackSettings,
    ) -> Vec<(usize, Began, bool)> {
        (self.last, self.at) = (offset, at);
        self.tracks.retain(|track| track.seen + settings.max_gap >= at);
        let predicted: Vec<_> = self.tracks.iter().map(|track| track.motion.after(seconds_from(track.seen, at))).collect();
        let faces = surest(faces);
        let pairs =
            assign(predicted.len(), faces.len(), |track, face| predicted[track].fit(&faces[face].1.bbox, settings.min_iou));
        let mut track_of = vec![None; faces.len()];
        for (track, face) in pairs {
            self.tracks[track].seen = at;
            self.tracks[track].motion = predicted[track].found(&faces[face].1.bbox);
            track_of[face] = Some(self.tracks[track].began);
        }
        let mut followed = Vec::with_capacity(faces.len());
        for ((face, detection), goes_on) in faces.into_iter().zip(track_of) {
            let began = goes_on.unwrap_or(Began { offset, face });
            if goes_on.is_none() {
                self.tracks.push(Followed { began, seen: at, motion: Motion::starting(&detection.bbox) });
            }
            followed.push((face, began, goes_on.is_none()));
        }
        if self.tracks.len() > MOST {
            self.tracks.sort_by_key(|track| Reverse(track.seen));
            self.tracks.truncate(MOST);
        }
        followed
    }
}

/// The faces that can be followed, with their places in the frame; where there are too many, those with the highest scores.
fn surest(faces: &[Detection]) -> Vec<(usize, &Detection)> {
    let mut found: Vec<_> = faces.iter().enumerate().filter(|(_, face)| is_box(&face.bbox)).collect();
    if found.len() > MOST {
        let score = |face: &Detection| face.score.unwrap_or(f32::NEG_INFINITY);
        found.sort_by(|(_, a), (_, b)| score(b).total_cmp(&score(a)));
        found.truncate(MOST);
        found.sort_unstable_by_key(|(place, _)| *place);
    }
    found
}

/// How much later `at` is.
fn seconds_from(seen: Micros, at: Micros) -> f32 {
    at.0.saturating_sub(seen.0) as f32 / 1e6
}

impl From<Followed> for (Offset, usize, Micros, Motion) {
    fn from(Followed { began, seen, motion }: Followed) -> Self {
        (began.offset, began.face, seen, motion)
    }
}

impl From<(Offset, usize, Micros, Motion)> for Followed {
    fn from((offset, face, seen, motion): (Offset, usize, Micros, Motion)) -> Self {
        Self { began: Began { offset, face }, seen, motion }
    }
}
