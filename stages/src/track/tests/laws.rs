//! What holds for any frames, sensible or hostile.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::track::assign::assign;
use crate::track::source::MOST;

/// The largest sum that pairs can have, by trying them all.
fn best(fits: &[Vec<Option<f32>>], taken: &mut Vec<bool>) -> i64 {
    let Some((first, rest)) = fits.split_first() else { return 0 };
    let mut highest = best(rest, taken);
    for (column, fit) in first.iter().enumerate() {
        if let Some(fit) = fit.filter(|_| !taken[column]) {
            taken[column] = true;
            highest = highest.max((fit * 1e6) as i64 + best(rest, taken));
            taken[column] = false;
        }
    }
    highest
}

fn any_fits() -> impl Strategy<Value = Vec<Vec<Option<f32>>>> {
    let fit = prop_oneof![1 => Just(None), 1 => Just(Some(0.5)), 2 => (0.001_f32..1.0).prop_map(Some)];
    (0..6_usize, 0..6_usize)
        .prop_flat_map(move |(rows, columns)| prop::collection::vec(prop::collection::vec(fit.clone(), columns), rows))
}

/// A face that is seen again and again about where it was, or anything.
fn any_face() -> impl Strategy<Value = Detection> {
    let number = || {
        prop_oneof![
            8 => -100.0_f32..2_000.0,
            1 => any::<f32>(),
            1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 0.0, -1.0, 1e6, 1.0]),
        ]
    };
    let sensible = (0..4_u8, -9.0_f32..9.0, -9.0_f32..9.0).prop_map(|(n, x, y)| face(f32::from(n) * 60.0 + x, 100.0 + y, 50.0));
    let anything = (number(), number(), number(), number(), prop::option::of(any::<f32>()))
        .prop_map(|(x, y, w, h, score)| Detection { bbox: Bbox { x, y, w, h }, score, ..face(0.0, 0.0, 1.0) });
    prop_oneof![4 => sensible, 1 => anything]
}

fn any_step() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => 1_000..500_000_i64,
        1 => Just(0),
        1 => -2_000_000..2_000_000_i64,
        1 => prop::sample::select(vec![1, i64::MIN / 4, i64::MAX / 4, 365 * 86_400 * 1_000_000]),
    ]
}

/// How far offsets are apart: in a compacted topic far enough for a source to be forgotten in between.
fn any_offset_step() -> impl Strategy<Value = i64> {
    prop_oneof![20 => Just(1), 1 => 30_000..70_000_i64]
}

/// Frames of two sources, by what their event times and offsets are apart; some were not looked at.
fn any_frames() -> impl Strategy<Value = Vec<FrameRow>> {
    let frame =
        (any::<bool>(), any_step(), any_offset_step(), prop::option::weighted(0.9, prop::collection::vec(any_face(), 0..6)));
    prop::collection::vec(frame, 0..40).prop_map(|frames| {
        let (mut at, mut offset) = (NOON, 0);
        let rows = frames.into_iter().map(|(gate, step, offset_step, faces)| {
            at = at.saturating_add(step);
            offset += offset_step;
            let mut row = super::frame(offset, 0, Vec::new());
            row.meta.source_id = SourceId::new(if gate { "gate" } else { "door" });
            row.meta.capture_ts = Micros::saturating(at);
            row.outcome = faces.ok_or(Rejection::new(Reason::DecodeError, "cut"));
            row
        });
        rows.collect()
    })
}

fn all(frames: &[FrameRow], cuts: &BTreeSet<usize>) -> Vec<FrameRow> {
    let mut tracks = super::tracks(TrackState::default());
    let mut rows = frames.to_vec();
    for (n, row) in rows.iter_mut().enumerate() {
        if cuts.contains(&n) {
            let state = serde_json::to_string(tracks.state()).unwrap();
            let read: TrackState = serde_json::from_str(&state).unwrap();
            assert_eq!(read, *tracks.state(), "{state}");
            tracks = super::tracks(read);
        }
        tracks.follow(row);
    }
    rows
}

fn ids(row: &FrameRow) -> Vec<Option<Track>> {
    row.outcome.iter().flatten().map(|face| face.track.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_other_pairs_have_a_larger_sum(fits in any_fits()) {
        let columns = fits.first().map_or(0, Vec::len);
        let pairs = assign(fits.len(), columns, |row, column| fits[row][column]);
        let distinct = |of: fn(&(usize, usize)) -> usize| pairs.iter().map(of).collect::<BTreeSet<_>>().len();
        prop_assert_eq!((distinct(|pair| pair.0), distinct(|pair| pair.1)), (pairs.len(), pairs.len()));
        let sum: i64 = pairs.iter().map(|(row, column)| (fits[*row][*column].expect("a pair that fits") * 1e6) as i64).sum();
        prop_assert_eq!(sum, best(&fits, &mut vec![false; columns]));
    }

    /// Whoever takes over, wherever, with the state as JSON, names the same tracks.
    #[test]
    fn a_successor_names_the_same_tracks(frames in any_frames(), cuts in prop::collection::btree_set(0..40_usize, 0..6)) {
        let straight: Vec<_> = all(&frames, &BTreeSet::new()).iter().map(ids).collect();
        let everywhere: Vec<_> = all(&frames, &(0..frames.len()).collect()).iter().map(ids).collect();
        prop_assert_eq!(&straight, &everywhere);
        let somewhere: Vec<_> = all(&frames, &cuts).iter().map(ids).collect();
        prop_assert_eq!(&straight, &somewhere);
    }

    /// A track begins once, with the face that it is named after, stays with its source, and has one face of a frame at most.
    #[test]
    fn tracks_begin_once_and_have_one_face_of_a_frame(frames in any_frames()) {
        let mut begun = BTreeSet::new();
        for row in all(&frames, &BTreeSet::new()) {
            let mut here = BTreeSet::new();
            for (place, track) in ids(&row).into_iter().enumerate() {
                let Some(Track { id, is_new }) = track else { continue };
                prop_assert!(here.insert(Arc::clone(&id)));
                prop_assert_eq!(is_new, *id == *format!("{}/{place}", row.meta.key).replace("t/0/", "cams/2/"));
                if is_new {
                    prop_assert!(begun.insert((row.meta.source_id.clone(), id)));
                } else {
                    prop_assert!(begun.contains(&(row.meta.source_id.clone(), id)));
                }
            }
        }
    }
}

#[test]
fn a_box_that_is_none_gets_no_track_and_its_neighbours_do() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let boxes = [
        [nan, 0.0, 9.0, 9.0],
        [0.0, inf, 9.0, 9.0],
        [0.0, 0.0, 0.0, 9.0],
        [0.0, 0.0, 9.0, -9.0],
        [0.0, 0.0, inf, 9.0],
        [0.0, 0.0, f32::MAX, 9.0],
    ];
    let none = boxes.map(|[x, y, w, h]| Detection { bbox: Bbox { x, y, w, h }, ..face(0.0, 0.0, 1.0) });
    let faces = none.into_iter().chain([face(100.0, 100.0, 40.0)]).collect();
    let followed = follow(&mut tracks(TrackState::default()), frame(0, 0, faces));
    assert_eq!(followed, ["none", "none", "none", "none", "none", "none", "new cams/2/0/6"]);
}

#[test]
fn of_too_many_faces_the_surest_are_followed() {
    let crowd = |offset, ms| {
        let faces = (0..1_000_u16).map(|n| Detection {
            score: Some(f32::from(n % 250) / 250.0),
            ..face(f32::from(n % 40) * 45.0, f32::from(n / 40) * 45.0, 40.0)
        });
        frame(offset, ms, faces.collect())
    };
    let mut tracks = tracks(TrackState::default());
    let first = follow(&mut tracks, crowd(0, 0));
    let followed = || first.iter().enumerate().filter(|(_, track)| *track != "none");
    assert_eq!(followed().count(), MOST);
    assert!(followed().all(|(n, _)| n % 250 >= 234), "those with the highest scores: sixteen of each 250");
    let second = follow(&mut tracks, crowd(1, 66));
    assert!(followed().all(|(n, track)| *track == format!("new {}", second[n])));
}

/// A random name for every frame, as a producer without keys might send it.
#[test]
fn sources_without_end_do_not_make_the_state_grow() {
    let mut tracks = tracks(TrackState::default());
    for n in 0..20_000_i64 {
        let mut row = frame(n, n, (0..3_u8).map(|n| face(f32::from(n) * 100.0, 0.0, 40.0)).collect());
        row.meta.source_id = SourceId::new(&format!("camera {n}"));
        tracks.follow(&mut row);
        assert!(tracks.state().sources.len() <= MAX_SOURCES);
        assert!(tracks.alive <= MAX_TRACKS);
        assert_eq!(row.outcome.unwrap().iter().filter(|face| face.track.is_some()).count(), 3);
    }
    let counted: usize = tracks.state().sources.values().map(SourceTracks::len).sum();
    assert_eq!(counted, tracks.alive);
    let newest = SourceId::new("camera 19999");
    assert!(tracks.state().sources.contains_key(&newest) && !tracks.state().sources.contains_key(&SourceId::new("camera 0")));
}
