//! Windows against a naive reference, and the cases that the reference does not know.

use std::collections::{BTreeMap, BTreeSet};

use facestream_schemas::tables::Timings;
use facestream_schemas::{
    Bbox, Detection, DetectorIdentity, FrameMeta, Hour, MessageKey, Offset, Reason, Rejection, ScoreKind, TsOrigin,
};
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const SETTINGS: WindowSettings = WindowSettings {
    length: Duration::from_secs(10),
    max_out_of_orderness: Duration::from_secs(2),
    idle_timeout: Duration::from_secs(30),
    late: Late::Drop,
};

fn frame(source: &str, second: i64, faces: Option<usize>) -> FrameRow {
    let face = Detection {
        bbox: Bbox { x: 0.0, y: 0.0, w: 1.0, h: 1.0 },
        score: Some(0.5),
        score_kind: ScoreKind::Prob,
        landmarks: None,
    };
    FrameRow {
        meta: FrameMeta {
            key: MessageKey { topic: "t".into(), partition: 0, offset: Offset(0) },
            frame_id: String::new(),
            source_id: SourceId::new(source),
            frame_seq: None,
            capture_ts: Micros(second * SECOND),
            ts_origin: TsOrigin::Header,
            record_ts: Micros(0),
            content_type: None,
            size_bytes: 0,
        },
        folder: Hour(0),
        image: None,
        outcome: faces.map(|n| vec![face; n]).ok_or_else(|| Rejection::new(Reason::DecodeError, "")),
        detector: Arc::new(DetectorIdentity {
            detector_id: String::new(),
            model_sha256: None,
            score_threshold: 0.0,
            nms_iou: 0.0,
        }),
        timings: Timings::default(),
        e2e_ms: 100.0,
        worker_id: None,
        run_id: "".into(),
    }
}

fn windows(state: WindowState, now: Instant) -> Windows {
    Windows::new("t".into(), 0, SETTINGS, state, now)
}

/// (source, start in s) → (ok, failed, faces, closed by) as the definition has it, frame after frame, with nothing clever.
type Emitted = BTreeMap<(String, i64), (i64, i64, i64, ClosedBy)>;

fn reference(frames: &[(&str, i64, Option<usize>)]) -> (Emitted, i64) {
    let (mut emitted, mut late) = (Emitted::new(), 0);
    for source in frames.iter().map(|f| f.0).collect::<BTreeSet<_>>() {
        let mut highest = i64::MIN;
        let mut closed: BTreeSet<i64> = BTreeSet::new();
        let mut content: BTreeMap<i64, Vec<Option<usize>>> = BTreeMap::new();
        for (_, second, faces) in frames.iter().filter(|f| f.0 == source) {
            let start = second - second % 10;
            if highest != i64::MIN && start + 10 <= (highest - 2).max(0) {
                late += 1;
            } else {
                content.entry(start).or_default().push(*faces);
            }
            highest = highest.max(*second);
            closed.extend(content.keys().filter(|start| *start + 10 <= highest - 2).copied());
        }
        for (start, faces) in content {
            let by = if closed.contains(&start) { ClosedBy::Watermark } else { ClosedBy::Idle };
            let ok = faces.iter().flatten().count() as i64;
            let sum = faces.iter().flatten().sum::<usize>() as i64;
            emitted.insert((source.to_owned(), start), (ok, faces.len() as i64 - ok, sum, by));
        }
    }
    (emitted, late)
}

proptest! {
    /// Whatever the order of frames and wherever a successor takes over, the windows are the reference's.
    #[test]
    fn windows_are_those_of_the_reference(
        frames in prop::collection::vec((prop::sample::select(vec!["a", "b"]), 0..200_i64, prop::option::of(0..3_usize)), 0..80),
        crash in 0..80_usize,
    ) {
        let now = Instant::now();
        let mut tested = windows(WindowState::default(), now);
        let mut rows = Vec::new();
        let mut late = 0;
        for (n, (source, second, faces)) in frames.iter().enumerate() {
            if n == crash {
                let state = serde_json::to_string(tested.state()).unwrap();
                tested = windows(serde_json::from_str(&state).unwrap(), now);
            }
            let added = tested.add(&frame(source, *second, *faces), now);
            late += i64::from(added.late);
            rows.extend(added.closed);
        }
        rows.extend(tested.close_all());
        prop_assert_eq!(tested.close_all(), [], "nothing is left open");

        let count = rows.len();
        let emitted: Emitted = rows
            .into_iter()
            .map(|r| ((r.source_id.to_string(), r.window_start.0 / SECOND), (r.frames_ok, r.frames_failed, r.faces_total, r.closed_by)))
            .collect();
        prop_assert_eq!(emitted.len(), count, "a window is emitted once");
        prop_assert_eq!((emitted, late), reference(&frames));
    }
}

#[test]
fn a_silent_source_is_closed_and_a_lively_one_is_not() {
    let start = Instant::now();
    let mut tested = windows(WindowState::default(), start);
    tested.add(&frame("silent", 1, Some(2)), start);
    tested.add(&frame("lively", 1, Some(0)), start + Duration::from_secs(20));
    assert_eq!(tested.close_idle(start + Duration::from_secs(29)), []);

    let closed = tested.close_idle(start + Duration::from_secs(30));
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].source_id.as_str(), closed[0].closed_by, closed[0].faces_total), ("silent", ClosedBy::Idle, 2));
    assert_eq!((closed[0].window_start, closed[0].window_end), (Micros(0), Micros(10 * SECOND)));

    // A frame for the window that was closed is late, and the source's next window says so.
    assert!(tested.add(&frame("silent", 5, Some(1)), start).late);
    tested.add(&frame("silent", 11, None), start);
    let closed = tested.close_all();
    let silent = closed.iter().find(|row| row.source_id.as_str() == "silent").unwrap();
    assert_eq!((silent.late_frames, silent.frames_failed, silent.faces_per_frame_mean), (1, 1, None));
}

#[test]
fn the_low_watermark_is_that_of_the_slowest_open_source() {
    let now = Instant::now();
    let mut tested = windows(WindowState::default(), now);
    assert_eq!(tested.low_watermark(), None);
    tested.add(&frame("fast", 100, Some(0)), now);
    tested.add(&frame("slow", 50, Some(0)), now);
    assert_eq!(tested.low_watermark(), Some(Micros(48 * SECOND)));
    tested.close_all();
    assert_eq!(tested.low_watermark(), Some(Micros(98 * SECOND)));
}

#[test]
fn a_changed_length_cuts_windows_that_do_not_overlap() {
    let now = Instant::now();
    let mut tested = windows(WindowState::default(), now);
    tested.add(&frame("a", 15, Some(0)), now);
    let settings = WindowSettings { length: Duration::from_secs(15), ..SETTINGS };
    let mut tested = Windows::new("t".into(), 0, settings, tested.state().clone(), now);
    let mut closed = Vec::new();
    for second in [14, 16, 22, 31] {
        closed.extend(tested.add(&frame("a", second, Some(0)), now).closed);
    }
    closed.extend(tested.close_all());
    let spans: Vec<_> = closed.iter().map(|row| (row.window_start.0 / SECOND, row.window_end.0 / SECOND)).collect();
    // 10..20 was open; 14 lies in it, 16 too; 22 opens what is left of 15..30; 31 the next whole one.
    assert_eq!(spans, [(10, 20), (20, 30), (30, 45)]);
}

#[test]
fn a_key_per_message_does_not_grow_the_state_without_bound() {
    let now = Instant::now();
    let mut tested = windows(WindowState::default(), now);
    let mut emitted = 0;
    for n in 0..10_000 {
        emitted += tested.add(&frame(&format!("key-{n}"), n, Some(0)), now).closed.len();
    }
    assert!(tested.state.sources.len() <= MAX_SOURCES && tested.heard.len() <= MAX_SOURCES);
    emitted += tested.close_all().len();
    assert_eq!(emitted, 10_000, "forgotten sources' windows are emitted too");
}
