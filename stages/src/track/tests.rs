//! Tracks in small cases worked out by hand; what holds for any frames is in `laws`, how well faces are followed in `scenes`.

use facestream_schemas::{Bbox, Detection, Micros, Offset, Reason, Rejection, ScoreKind};

use super::*;
use crate::aggregate::fixtures;

mod laws;
mod scenes;

const SETTINGS: TrackSettings = TrackSettings { max_gap: Duration::from_secs(1), min_iou: 0.3 };
/// 2026-11-22T12:00:00Z.
const NOON: i64 = 1_795_348_800_000_000;

fn tracks(state: TrackState) -> Tracks {
    Tracks::new("cams".into(), 2, SETTINGS, state)
}

fn face(x: f32, y: f32, side: f32) -> Detection {
    let bbox = Bbox { x, y, w: side, h: side };
    Detection { bbox, score: Some(0.9), score_kind: ScoreKind::Prob, landmarks: None, track: None }
}

/// A frame with these faces, so many ms after noon.
fn frame(offset: i64, ms: i64, faces: Vec<Detection>) -> FrameRow {
    let mut row = fixtures::frame("door", 0, Some(0));
    row.meta.key.offset = Offset(offset);
    row.meta.capture_ts = Micros(NOON + ms * 1_000);
    row.outcome = Ok(faces);
    row
}

/// The tracks of a frame's faces; those that began here are `new`.
fn follow(tracks: &mut Tracks, mut row: FrameRow) -> Vec<String> {
    tracks.follow(&mut row);
    let said = |track: &Track| format!("{}{}", if track.is_new { "new " } else { "" }, track.id);
    row.outcome.expect("faces").iter().map(|face| face.track.as_ref().map_or("none".to_owned(), said)).collect()
}

#[test]
fn a_face_that_moves_a_little_keeps_the_name_of_the_detection_that_it_began_with() {
    let mut tracks = tracks(TrackState::default());
    assert_eq!(
        follow(&mut tracks, frame(7, 0, vec![face(500.0, 0.0, 40.0), face(100.0, 100.0, 40.0)])),
        ["new cams/2/7/0", "new cams/2/7/1",]
    );
    // In another order, and with one more.
    let faces = vec![face(102.0, 99.0, 41.0), face(300.0, 300.0, 40.0), face(503.0, 2.0, 40.0)];
    assert_eq!(follow(&mut tracks, frame(9, 66, faces)), ["cams/2/7/1", "new cams/2/9/1", "cams/2/7/0",]);
}

#[test]
fn a_face_that_is_missed_for_a_while_goes_on_and_one_that_is_away_for_longer_begins_anew() {
    let mut tracks = tracks(TrackState::default());
    assert_eq!(follow(&mut tracks, frame(0, 0, vec![face(100.0, 100.0, 40.0)])), ["new cams/2/0/0"]);
    assert_eq!(follow(&mut tracks, frame(1, 500, vec![])), [""; 0]);
    assert_eq!(follow(&mut tracks, frame(2, 1_000, vec![face(100.0, 100.0, 40.0)])), ["cams/2/0/0"]);
    assert_eq!(follow(&mut tracks, frame(3, 2_001, vec![face(100.0, 100.0, 40.0)])), ["new cams/2/3/0"]);
    assert_eq!(follow(&mut tracks, frame(4, 3_002, vec![])), [""; 0]);
    assert!(tracks.state().is_empty(), "nothing is left to go on");
}

#[test]
fn frames_that_are_late_or_were_not_looked_at_change_nothing() {
    let mut tracks = tracks(TrackState::default());
    follow(&mut tracks, frame(0, 500, vec![face(100.0, 100.0, 40.0)]));
    let before = tracks.state().clone();
    for late in [499, 500] {
        assert_eq!(follow(&mut tracks, frame(1, late, vec![face(100.0, 100.0, 40.0)])), ["none"]);
    }
    let mut broken = frame(2, 5_000, vec![]);
    broken.outcome = Err(Rejection::new(Reason::SampledOut, "left out"));
    tracks.follow(&mut broken);
    assert_eq!(*tracks.state(), before);
    assert_eq!(follow(&mut tracks, frame(3, 600, vec![face(100.0, 100.0, 40.0)])), ["cams/2/0/0"]);
}

#[test]
fn a_late_frame_begins_tracks_once_those_of_its_source_are_over() {
    let mut tracks = tracks(TrackState::default());
    follow(&mut tracks, frame(0, 500, vec![face(100.0, 100.0, 40.0)]));
    follow(&mut tracks, frame(1, 2_000, vec![]));
    assert_eq!(follow(&mut tracks, frame(2, 400, vec![face(100.0, 100.0, 40.0)])), ["new cams/2/2/0"]);
}

/// It was switched off with a face in view: no frame of its own says that it is gone.
#[test]
fn a_source_is_forgotten_65_536_offsets_after_its_last_frame() {
    let at_gate = |offset, outcome| {
        let mut row = frame(offset, 0, vec![]);
        row.meta.source_id = SourceId::new("gate");
        row.outcome = outcome;
        row
    };
    let broken = || Err(Rejection::new(Reason::DecodeError, "cut"));
    for (outcome, again) in [(Ok(vec![]), "cams/2/5/0"), (broken(), "cams/2/5/0")] {
        let mut tracks = tracks(TrackState::default());
        follow(&mut tracks, frame(5, 0, vec![face(100.0, 100.0, 40.0)]));
        tracks.follow(&mut at_gate(65_541, outcome.clone()));
        assert!(!tracks.state().is_empty(), "it may still come");
        let mut other = self::tracks(tracks.state().clone());
        assert_eq!(follow(&mut other, frame(65_541, 500, vec![face(100.0, 100.0, 40.0)])), [again]);
        tracks.follow(&mut at_gate(65_542, outcome));
        assert!(tracks.state().is_empty());
        assert_eq!(tracks.alive, 0);
        assert_eq!(follow(&mut tracks, frame(65_543, 600, vec![face(100.0, 100.0, 40.0)])), ["new cams/2/65543/0"]);
    }
}

#[test]
fn sources_are_told_apart() {
    let mut tracks = tracks(TrackState::default());
    follow(&mut tracks, frame(0, 0, vec![face(100.0, 100.0, 40.0)]));
    let mut other = frame(1, 66, vec![face(100.0, 100.0, 40.0)]);
    other.meta.source_id = SourceId::new("gate");
    assert_eq!(follow(&mut tracks, other), ["new cams/2/1/0"]);
}

#[test]
fn a_state_is_small_and_legible() {
    let mut tracks = tracks(TrackState::default());
    follow(&mut tracks, frame(7, 0, vec![face(100.0, 50.0, 40.0)]));
    let expected = r#"{"sources":{"door":{"last":7,"at":1795348800000000,"tracks":[[7,0,1795348800000000,[120.0,70.0,40.0,40.0,0.0,0.0,0.0025,0.0,9.0]]]}}}"#;
    assert_eq!(serde_json::to_string(tracks.state()).unwrap().replace("0.0025000002", "0.0025"), expected);
}
