//! The check finds what it is there for: on stores that DuckDB wrote, good ones and ones that were tampered with.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::scratch;

const HOUR: &str = "event_date=2026-01-02/event_hour=3";
const FIRST: &str = "topic-0-2-0-10.parquet";
const SECOND: &str = "topic-0-5-10-20.parquet";

/// A store with twenty frames of one partition in two files, every other one with a face, all of one track, and its truth beside it.
struct Store(TempDir);

impl Store {
    fn good() -> Store {
        let store = Store(scratch());
        for table in ["frames", "detections", "windows"] {
            fs::create_dir_all(store.folder().join(table).join(HOUR)).unwrap();
        }
        fs::create_dir_all(store.folder().join("_journal/topic/0")).unwrap();
        fs::write(store.folder().join("_journal/topic/0/18446744073709551613.arrow"), "").unwrap();
        let truth: Vec<_> = (0..20).map(|n| format!("0,{n},{n},{n},camera-1,{}", n % 2)).collect();
        fs::write(store.truth(), format!("p,o,frame_id,frame_seq,source_id,faces\n{}\n", truth.join("\n"))).unwrap();
        for (file, from, to) in [(FIRST, 0, 10), (SECOND, 10, 20)] {
            store.frames(file, "", from, to);
            let faces = format!(
                "SELECT 'topic' AS kafka_topic, 0 AS kafka_partition, range AS kafka_offset, 0 AS detection_idx, 10.0 AS bbox_x_px,
                 20.0 AS bbox_y_px, 60.0 AS bbox_w_px, 70.0 AS bbox_h_px, 0.9 AS score, 'topic/0/1/0' AS track_id
                 FROM range({from}, {to}) WHERE range % 2 = 1"
            );
            store.copy(&faces, &format!("detections/{HOUR}/{file}"));
        }
        store.windows(&format!("windows/{HOUR}/{FIRST}"), 0, 20);
        store
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn truth(&self) -> PathBuf {
        self.0.path().join("truth.csv")
    }

    /// The frames of these offsets into a file, with some columns replaced.
    fn frames(&self, file: &str, replace: &str, from: i64, to: i64) {
        let sql = format!(
            "SELECT * {replace} FROM (SELECT 'topic' AS kafka_topic, 0 AS kafka_partition, range AS kafka_offset, range::VARCHAR AS frame_id,
             range AS frame_seq, 'camera-1' AS source_id, 'ok' AS status, range % 2 AS face_count,
             TIMESTAMPTZ '2026-01-02 03:00:00+00' + range * INTERVAL '100 milliseconds' AS capture_ts FROM range({from}, {to}))"
        );
        self.copy(&sql, &format!("frames/{HOUR}/{file}"));
    }

    /// The one window that all frames are in.
    fn windows(&self, path: &str, revision: i64, frames: i64) {
        self.copy(
            &format!(
                "SELECT 'camera-1' AS source_id, TIMESTAMPTZ '2026-01-02 03:00:00+00' AS window_start, 0 AS kafka_partition,
                 {revision} AS revision, {frames} AS frames_ok, 10 AS faces_total, 1 AS tracks_started"
            ),
            path,
        );
    }

    fn copy(&self, sql: &str, path: &str) {
        let _ = Duck::in_folder(&self.folder()).value(&format!("COPY ({sql}) TO '{path}'"));
    }

    fn verdict(&self) -> Verdict {
        Verdict::of(&self.folder(), "topic", &self.truth())
    }
}

const GOOD: Verdict = Verdict {
    frames: 20,
    faces: 10,
    lost: 0,
    doubled: 0,
    invented: 0,
    wrong: 0,
    miscounted: 0,
    doubled_faces: 0,
    windows: 1,
    doubled_windows: 0,
    wrong_windows: 0,
    wrong_tracks: 0,
    stray: Vec::new(),
    verify: Vec::new(),
};

#[test]
fn a_store_with_every_frame_once_is_clean() {
    let verdict = Store::good().verdict();
    assert_eq!(verdict, GOOD);
    assert!(verdict.is_clean());
}

#[test]
fn a_file_that_is_gone_is_ten_lost_frames_and_their_faces_belong_to_nothing() {
    let store = Store::good();
    fs::remove_file(store.folder().join(format!("frames/{HOUR}/{SECOND}"))).unwrap();
    let verdict = store.verdict();
    assert_eq!(verdict, Verdict { frames: 10, lost: 10, doubled_faces: 5, wrong_windows: 1, ..GOOD });
    assert!(!verdict.is_clean());
}

#[test]
fn files_that_are_there_twice_are_doubled_frames_faces_and_windows() {
    let store = Store::good();
    for (table, copy) in [("frames", "topic-0-7-10-20.parquet"), ("detections", "topic-0-7-10-20.parquet")] {
        let from = store.folder().join(table).join(HOUR);
        fs::copy(from.join(SECOND), from.join(copy)).unwrap();
    }
    store.windows(&format!("windows/{HOUR}/{SECOND}"), 0, 20);
    let expected = Verdict {
        frames: 30,
        faces: 15,
        doubled: 10,
        miscounted: 10,
        doubled_faces: 5,
        windows: 2,
        doubled_windows: 1,
        // Each of the two rows differs from what the doubled frames come to.
        wrong_windows: 2,
        ..GOOD
    };
    assert_eq!(store.verdict(), expected);
}

#[test]
fn a_revision_counts_alone_and_must_have_those_before_it() {
    let store = Store::good();
    store.windows(&format!("windows/{HOUR}/{FIRST}"), 0, 19);
    store.windows(&format!("windows/{HOUR}/{SECOND}"), 1, 20);
    assert_eq!(store.verdict(), Verdict { windows: 2, ..GOOD });

    store.windows(&format!("windows/{HOUR}/{SECOND}"), 2, 20);
    assert_eq!(store.verdict(), Verdict { windows: 2, wrong_windows: 1, ..GOOD });

    fs::remove_file(store.folder().join(format!("windows/{HOUR}/{FIRST}"))).unwrap();
    fs::remove_file(store.folder().join(format!("windows/{HOUR}/{SECOND}"))).unwrap();
    store.windows(&format!("windows/{HOUR}/{FIRST}"), 0, 19);
    assert_eq!(store.verdict(), Verdict { wrong_windows: 1, ..GOOD });
}

#[test]
fn a_track_that_breaks_off_is_found_by_its_faces_and_by_its_window() {
    let store = Store::good();
    let path = format!("detections/{HOUR}/{SECOND}");
    store.copy(&format!("SELECT * REPLACE ('topic/0/11/0' AS track_id) FROM '{path}'"), "second.parquet");
    fs::rename(store.folder().join("second.parquet"), store.folder().join(path)).unwrap();
    assert_eq!(store.verdict(), Verdict { wrong_windows: 1, wrong_tracks: 5, ..GOOD });
}

#[test]
fn faces_that_are_missing_are_miscounted_and_so_is_the_track_that_began_there() {
    let store = Store::good();
    fs::remove_file(store.folder().join(format!("detections/{HOUR}/{FIRST}"))).unwrap();
    assert_eq!(store.verdict(), Verdict { faces: 5, miscounted: 5, wrong_windows: 1, wrong_tracks: 5, ..GOOD });
}

#[test]
fn rows_that_nobody_produced_and_rows_with_other_contents_are_found() {
    let store = Store::good();
    store.frames("topic-0-9-20-22.parquet", "", 20, 22);
    store.frames(SECOND, "REPLACE (CASE kafka_offset WHEN 11 THEN 'stale' ELSE status END AS status)", 10, 20);
    store.frames(FIRST, "REPLACE (CASE kafka_offset WHEN 4 THEN '5' ELSE frame_id END AS frame_id)", 0, 10);
    assert_eq!(store.verdict(), Verdict { frames: 22, invented: 2, wrong: 2, wrong_windows: 1, ..GOOD });
}

#[test]
fn files_that_do_not_belong_there_are_listed() {
    let store = Store::good();
    let stray = [
        "_journal/probe/ab",
        "_journal/staging/topic/0/5-frames-1",
        "_journal/topic/0/18446744073709551612.arrow#1",
        "detections/event_date=2026-01-02/event_hour=3/topic-0-2-0-10.parquet#1",
    ];
    for path in stray {
        let path = store.folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    assert_eq!(store.verdict().stray, stray);
}
