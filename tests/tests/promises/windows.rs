//! Windows over event time: what becomes of late frames under each policy, and of numbers that are missing, through a crash.

use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use serde_json::Value;

use crate::{LONG, assert_exactly_once, file_url, pictures, quick, set};

/// 2026-11-22T12:00:00Z in seconds.
const NOON_S: i64 = 1_795_348_800;

/// Second and number of each frame, in the order in which they come: ten a minute and six seconds apart, of which number 13 and
/// 14 never come, number 5 comes a minute late, and number 3 once more when it is far too late.
fn frames() -> Vec<(i64, i64)> {
    let on_time = (0..50).filter(|n| ![5, 13, 14].contains(n)).map(|n| (n * 6, n));
    let mut frames: Vec<_> = on_time.collect();
    let at = |number: i64| frames.iter().position(|(_, n)| *n == number).expect("a frame");
    let (late, too_late) = (at(15), at(45));
    frames.insert(too_late, (18, 3));
    frames.insert(late, (30, 5));
    frames
}

fn records() -> Vec<Record> {
    let frames = frames();
    let mut records = pictures(frames.len(), 1);
    for (record, (second, number)) in records.iter_mut().zip(frames) {
        let captured_s = NOON_S + second;
        record.key = Some(b"door".to_vec());
        record.timestamp_ms = Some(captured_s * 1_000);
        record.headers = vec![
            ("capture_ts_ns".to_owned(), format!("{captured_s}000000000").into_bytes()),
            ("frame_seq".to_owned(), number.to_string().into_bytes()),
        ];
    }
    records
}

/// Minute, revisions, frames, missing and late ones of each window, at its highest revision.
fn windows(policy: &str) -> Vec<[i64; 5]> {
    let kafka = Kafka::shared();
    let topic = kafka.topic("windows", 1);
    kafka.produce(&topic, &records());
    let folder = scratch();
    let mut config = quick(kafka, &topic, &format!("windows-{policy}"), &file_url(folder.path()));
    set(&mut config, "windows", "late", policy);
    set(&mut config, "windows", "grace", "2m");
    let killed = Facestream::run_to_die(&config, &["--until-end"], "after-append=kill@2").wait_exit(LONG);
    assert_eq!(killed.code, None, "{}", killed.output);
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());

    let duck = Duck::in_folder(folder.path());
    let rows = duck.rows(&format!(
        "SELECT (epoch(window_start)::BIGINT - {NOON_S}) // 60 AS minute, count(*) AS revisions, max(revision) + 1 AS highest, \
         arg_max(frames_ok, revision) AS ok, arg_max(frames_missing, revision) AS missing, sum(late_frames)::BIGINT AS late \
         FROM 'windows/**/*.parquet' GROUP BY ALL ORDER BY minute"
    ));
    let number =
        |row: &serde_json::Map<String, Value>, name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name} of {row:?}"));
    for row in &rows {
        assert_eq!(number(row, "revisions"), number(row, "highest"), "revisions are dense: {row:?}");
    }
    rows.iter().map(|row| ["minute", "revisions", "ok", "missing", "late"].map(|name| number(row, name))).collect()
}

#[test]
fn late_frames_revise_their_window_within_grace() {
    let [first, rest @ ..] = &windows("revise")[..] else { panic!("no window") };
    // With the late one all ten are there. The one that is far too late is counted where it was noticed.
    let [minute, revisions, ok, missing, _] = first;
    assert_eq!([minute, ok, missing], [&0, &10, &0]);
    assert!(*revisions >= 2, "it was emitted without the late one first: {revisions}");
    let counts: Vec<_> = rest.iter().map(|[minute, _, ok, missing, _]| [*minute, *ok, *missing]).collect();
    assert_eq!(counts, [[1, 8, 2], [2, 10, 0], [3, 10, 0], [4, 10, 0]]);
}

#[test]
fn late_frames_are_counted_and_dropped_where_that_is_the_policy() {
    let windows = windows("drop");
    let counts: Vec<_> = windows.iter().map(|[minute, revisions, ok, missing, _]| [*minute, *revisions, *ok, *missing]).collect();
    assert_eq!(counts, [[0, 1, 9, 1], [1, 1, 8, 2], [2, 1, 10, 0], [3, 1, 10, 0], [4, 1, 10, 0]]);
    assert_eq!(windows.iter().map(|window| window[4]).sum::<i64>(), 2);
}
