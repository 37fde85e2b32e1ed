//! DuckDB's views, as they are published, against counts of what was sent.

use std::collections::{BTreeMap, BTreeSet};

use facestream_tests::{Duck, Facestream, Kafka, scratch};
use serde_json::{Map, Value, json};

use super::{MINUTE, Sent, read, two_minutes};
use crate::{LONG, file_url};

/// What the frames of a camera in a minute come to.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    partitions: Vec<i32>,
    ok: i64,
    failed: i64,
    faces: i64,
    most: i64,
}

impl Counts {
    fn add(&mut self, sent: &Sent) {
        if !self.partitions.contains(&sent.partition) {
            self.partitions.push(sent.partition);
        }
        let Ok(faces) = sent.outcome.map(|faces| faces as i64) else {
            self.failed += 1;
            return;
        };
        self.ok += 1;
        self.faces += faces;
        self.most = self.most.max(faces);
    }
}

/// By camera and the beginning of the minute in ms since 1970.
fn counted(sent: &[Sent]) -> BTreeMap<(String, i64), Counts> {
    let mut counts: BTreeMap<_, Counts> = BTreeMap::new();
    for sent in sent {
        counts.entry((sent.source(), sent.at / MINUTE * MINUTE)).or_default().add(sent);
    }
    counts
}

/// A store in a folder, with the views over it.
struct Views {
    duck: Duck,
    sql: String,
}

impl Views {
    fn rows(&self, query: &str) -> Vec<Map<String, Value>> {
        self.duck.rows(&format!("{}\n{query}", self.sql))
    }

    fn value(&self, query: &str) -> Value {
        self.duck.value(&format!("{}\n{query}", self.sql))
    }
}

fn number(row: &Map<String, Value>, column: &str) -> i64 {
    row[column].as_i64().unwrap_or_else(|| panic!("{column} is a number in {row:?}"))
}

#[test]
fn the_views_count_what_was_sent() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("views", 2);
    let sent = two_minutes();
    let offsets = kafka.produce(&topic, &sent.iter().map(Sent::record).collect::<Vec<_>>());
    let folder = scratch();
    // The views find the store in the folder `faces` of the current one.
    let config = Facestream::config(kafka, &topic, "views", &file_url(&folder.path().join("faces")));
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let views = Views { duck: Duck::in_folder(folder.path()), sql: read("schemas/sql/duckdb.sql") };

    assert_frames(&views, &sent);
    let by_camera = counted(&sent);
    assert_minutes(&views, &by_camera);
    assert_windows(&views, &by_camera, 0);
    assert_failures(&views, &sent, &offsets);
    let per_partition = sent.iter().map(|sent| (sent.source(), sent.partition, sent.at / MINUTE));
    let windows = per_partition.collect::<BTreeSet<_>>().len();
    assert_eq!(views.value("SELECT count(*) FROM windows_latest"), windows);
    revise(&views, sent[0].at);
    assert_eq!(views.value("SELECT count(*) FROM windows"), windows + 4);
    assert_eq!(views.value("SELECT count(*) FROM windows_latest"), windows);
    assert_windows(&views, &by_camera, 7);
    let missing = views.rows(&format!(
        "SELECT frames_missing FROM windows_by_source WHERE epoch_ms(window_start) = {} ORDER BY source_id",
        sent[0].at
    ));
    // What is missing in one partition may be in another.
    assert_eq!(json!(missing), json!([{"frames_missing": 3}, {"frames_missing": null}]));

    // Somewhere else, by the variable.
    let elsewhere = Views {
        duck: Duck::in_folder(scratch().path().parent().expect("a folder")),
        sql: format!("SET VARIABLE facestream_store = '{}/faces';\n{}", folder.path().display(), views.sql),
    };
    assert_eq!(elsewhere.value("SELECT count(*) FROM frames"), sent.len());
}

/// The tables as they are, with the folders' date and hour.
fn assert_frames(views: &Views, sent: &[Sent]) {
    assert_eq!(views.value("SELECT count(*) FROM frames"), sent.len());
    let faces: usize = sent.iter().filter_map(|sent| sent.outcome.ok()).sum();
    assert_eq!(views.value("SELECT count(*) FROM detections"), faces);
    let hours = "SELECT count(*) FROM frames WHERE event_date = capture_ts::DATE AND event_hour = hour(capture_ts)";
    assert_eq!(views.value(hours), sent.len());
    assert_eq!(views.value("SELECT DISTINCT typeof(event_date) || ' ' || typeof(event_hour) FROM windows"), "DATE INTEGER");
}

fn assert_minutes(views: &Views, expected: &BTreeMap<(String, i64), Counts>) {
    let rows = views.rows("SELECT *, epoch_ms(minute) AS ms FROM faces_per_camera_and_minute");
    assert_eq!(rows.len(), expected.len());
    for row in rows {
        let counts = &expected[&(row["source_id"].as_str().expect("text").to_owned(), number(&row, "ms"))];
        let found = ["frames", "frames_ok", "faces", "faces_per_frame_max"].map(|column| number(&row, column));
        assert_eq!(found, [counts.ok + counts.failed, counts.ok, counts.faces, counts.most], "{row:?}");
    }
}

/// `more` is how many faces the last revision of camera-0's first window has more.
fn assert_windows(views: &Views, expected: &BTreeMap<(String, i64), Counts>, mut more: i64) {
    let rows = views.rows("SELECT *, epoch_ms(window_start) AS ms FROM windows_by_source ORDER BY source_id, window_start");
    assert_eq!(rows.len(), expected.len());
    for (row, ((source, ms), counts)) in rows.iter().zip(expected) {
        assert_eq!((row["source_id"].as_str(), number(row, "ms")), (Some(source.as_str()), *ms));
        let columns = ["partitions", "frames_ok", "frames_failed", "frames_skipped", "faces_total", "late_frames"];
        let faces = counts.faces + std::mem::take(&mut more);
        let partitions = counts.partitions.len() as i64;
        assert_eq!(columns.map(|column| number(row, column)), [partitions, counts.ok, counts.failed, 0, faces, 0], "{row:?}");
        let mean = row["faces_per_frame_mean"].as_f64().expect("a number");
        assert!((mean - faces as f64 / counts.ok as f64).abs() < 1e-9, "{row:?}");
    }
}

fn assert_failures(views: &Views, sent: &[Sent], offsets: &[i64]) {
    let mut found: Vec<_> = views
        .rows("SELECT kafka_partition, kafka_offset, source_id, status, length(error) AS length FROM failures")
        .iter()
        .map(|row| {
            assert!(number(row, "length") > 0, "{row:?}");
            let text = |column: &str| row[column].as_str().expect("text").to_owned();
            (number(row, "kafka_partition"), number(row, "kafka_offset"), text("source_id"), text("status"))
        })
        .collect();
    let failed = sent.iter().zip(offsets).filter_map(|(sent, offset)| Some((sent, offset, sent.outcome.err()?)));
    let mut expected: Vec<_> =
        failed.map(|(sent, offset, status)| (i64::from(sent.partition), *offset, sent.source(), status.to_owned())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

/// Adds revisions of the first minute's windows, in a file whose name comes first: neither the order of files nor the largest
/// numbers decide. Camera-0's has 100 faces more, then 7; camera-1 has a window in each partition; to all 3 frames never came.
fn revise(views: &Views, at: i64) {
    let folder = &views.rows(&format!("SELECT event_date, event_hour FROM windows WHERE epoch_ms(window_start) = {at}"))[0];
    let file = format!(
        "faces/windows/event_date={}/event_hour={}/0.parquet",
        folder["event_date"].as_str().expect("a date"),
        number(folder, "event_hour")
    );
    let rows = format!(
        "SELECT w.* EXCLUDE (event_date, event_hour) \
             REPLACE (r.revision::INTEGER AS revision, faces_total + r.faces AS faces_total, 3::BIGINT AS frames_missing) \
         FROM windows AS w \
         JOIN (VALUES ('camera-0', 1, 100), ('camera-0', 2, 7), ('camera-1', 1, 0)) AS r (source_id, revision, faces) \
             ON w.source_id = r.source_id \
         WHERE epoch_ms(window_start) = {at}"
    );
    views.rows(&format!("COPY ({rows}) TO '{file}' (FORMAT parquet)"));
}
