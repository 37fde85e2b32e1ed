//! What following faces costs a frame: some faces that move and jitter, at 15 frames/s; and a crowd in which every face may be any
//! other, the worst case of as many as are followed at most.
//!
//! In: nothing. Out: criterion's figures, and the CPU time a frame by number of faces.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use facestream_schemas::tables::{FrameRow, Timings};
use facestream_schemas::{
    Bbox, Detection, DetectorIdentity, FrameMeta, Hour, MessageKey, Micros, Offset, ScoreKind, SourceId, TsOrigin,
};
use facestream_stages::track::{TrackSettings, TrackState, Tracks};

const SETTINGS: TrackSettings = TrackSettings { max_gap: Duration::from_secs(1), min_iou: 0.3 };
const FRAMES: i64 = 600;

pub(crate) fn measure(criterion: &mut Criterion, cpu_ms: impl Fn(&mut dyn FnMut()) -> f64) {
    eprintln!("tracks, ms of CPU time a frame (target 0.2):");
    for (faces, apart, scene) in [(1, 90, ""), (5, 90, ""), (20, 90, ""), (50, 90, ""), (64, 90, ""), (64, 1, " in one place")] {
        criterion.bench_function(&format!("tracks of {FRAMES} frames with {faces} faces{scene}"), |bencher| {
            bencher.iter_batched(|| frames(faces, apart), follow, criterion::BatchSize::LargeInput);
        });
        let mut rows = Some(frames(faces, apart));
        let took = cpu_ms(&mut || drop(black_box(rows.take().map(follow))));
        eprintln!("  {faces} faces{scene}: {:.4}", took / FRAMES as f64);
    }
}

fn follow(mut rows: Vec<FrameRow>) -> Vec<FrameRow> {
    let mut tracks = Tracks::new("cams".into(), 0, SETTINGS, TrackState::default());
    for row in &mut rows {
        tracks.follow(row);
    }
    rows
}

/// Rows of faces of 60 px on circles that are so many px `apart`: at 90 neighbours are candidates, too, at 1 all are.
fn frames(faces: usize, apart: usize) -> Vec<FrameRow> {
    let detector =
        Arc::new(DetectorIdentity { detector_id: "none".to_owned(), model_sha256: None, score_threshold: 0.0, nms_iou: 1.0 });
    let face = |n: usize, offset: i64| {
        let (turn, jitter) = (offset as f32 / 15.0 + n as f32, ((offset * 7 + n as i64 * 13) % 5) as f32);
        let (column, row) = ((n % 10 * apart) as f32, (n / 10 * apart) as f32);
        let (x, y) = (column + 60.0 * turn.sin() + jitter, row + 60.0 * turn.cos() - jitter);
        let bbox = Bbox { x, y, w: 60.0, h: 60.0 };
        Detection { bbox, score: Some(0.9), score_kind: ScoreKind::Prob, landmarks: None, track: None }
    };
    let row = |offset| {
        let at = Micros(offset * 66_667);
        FrameRow {
            meta: FrameMeta {
                key: MessageKey { topic: "cams".into(), partition: 0, offset: Offset(offset) },
                frame_id: String::new(),
                source_id: SourceId::new("door"),
                frame_seq: None,
                capture_ts: at,
                ts_origin: TsOrigin::Header,
                record_ts: at,
                content_type: None,
                size_bytes: 0,
            },
            folder: Hour::of(at),
            image: None,
            outcome: Ok((0..faces).map(|n| face(n, offset)).collect()),
            detector: Arc::clone(&detector),
            timings: Timings::default(),
            e2e_ms: 0.0,
            worker_id: None,
            run_id: "".into(),
        }
    };
    (0..FRAMES).map(row).collect()
}
