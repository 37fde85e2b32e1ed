//! The numbers on `/metrics` and `/status` are those that are worked out by hand, through a crash and a recovery.

use std::path::Path;

use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use toml::Table;

use crate::{LONG, assert_exactly_once, file_url, pictures, quick, set, wait_committed};

/// 2026-11-22T12:00:00Z in seconds.
const NOON_S: i64 = 1_795_348_800;
const TABLES: [&str; 3] = ["frames", "detections", "windows"];

/// Frames of one camera at these seconds.
fn frames(seconds: impl IntoIterator<Item = i64>) -> Vec<Record> {
    let seconds: Vec<_> = seconds.into_iter().collect();
    let mut records = pictures(seconds.len(), 1);
    for (record, second) in records.iter_mut().zip(seconds) {
        let captured_s = NOON_S + second;
        record.key = Some(b"door".to_vec());
        record.timestamp_ms = Some(captured_s * 1_000);
        record.headers = vec![("capture_ts_ns".to_owned(), format!("{captured_s}000000000").into_bytes())];
    }
    records
}

/// Ten frames in the first minute.
fn first() -> Vec<Record> {
    frames((0..10).map(|n| n * 6))
}

/// Ten in the second minute, one late for the first; one in the seventh minute, one far too late for the first; three that are broken,
/// in the seventh minute.
fn second() -> Vec<Record> {
    let mut records = frames((10..20).map(|n| n * 6).chain([30, 400, 18, 402, 404, 406]));
    for text in &mut records[13..15] {
        text.payload = Some(b"no picture".to_vec());
    }
    let half = records[15].payload.as_mut().expect("a picture");
    half.truncate(half.len() / 2);
    records
}

fn config(kafka: &Kafka, topic: &str, folder: &Path) -> Table {
    let mut config = quick(kafka, topic, topic, &file_url(folder));
    for (key, value) in [("late", "revise"), ("grace", "2m"), ("idle_timeout", "1h")] {
        set(&mut config, "windows", key, value);
    }
    config
}

/// Visible files and rows of a table, as DuckDB counts them.
fn visible(folder: &Path, table: &str) -> [f64; 2] {
    let duck = Duck::in_folder(folder);
    let count = |sql: &str| duck.value(sql).as_f64().expect("a count");
    let files = count(&format!("SELECT count(*) FROM glob('{table}/**/*.parquet')"));
    [files, if files == 0.0 { 0.0 } else { count(&format!("SELECT count(*) FROM '{table}/**/*.parquet'")) }]
}

fn published(running: &mut Facestream, table: &str, labels: &[(&str, &str)]) -> [f64; 2] {
    let labels = [labels, &[("table", table)]].concat();
    ["facestream_files_total", "facestream_rows_total"].map(|name| running.metric(name, &labels))
}

/// How many latencies were taken until there, which is as many from the event's time as from the record's.
fn latencies(running: &mut Facestream, until: &str) -> f64 {
    let [event, record] =
        ["event", "record"].map(|since| running.metric("facestream_e2e_seconds_count", &[("since", since), ("until", until)]));
    assert_eq!(event, record, "{until}");
    event
}

#[test]
fn the_numbers_are_those_worked_out_by_hand_through_a_crash_and_a_recovery() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("counted", 1);
    let folder = scratch();
    let (first, second) = (first(), second());
    let all = (first.len() + second.len()) as f64;
    kafka.produce(&topic, &first);
    let config = config(kafka, &topic, folder.path());

    // Dies with its first seal won and nothing published.
    let mut hasty = config.clone();
    set(&mut hasty, "parquet", "roll_every", "100ms");
    let killed = Facestream::run_to_die(&hasty, &[], "after-append=kill@2").wait_exit(LONG);
    assert_eq!(killed.code, None, "{}", killed.output);
    assert_eq!(visible(folder.path(), "frames"), [0.0, 0.0]);

    // Its successor publishes that seal, and nothing of its own.
    let mut running = Facestream::run(&config, &[]);
    wait_committed(&mut running, kafka, &topic, &topic, first.len() as i64);
    kafka.produce(&topic, &second);
    wait_committed(&mut running, kafka, &topic, &topic, all as i64);
    let recovered = TABLES.map(|table| visible(folder.path(), table));
    let [[_, sealed], ..] = recovered;
    assert!((1.0..=first.len() as f64).contains(&sealed), "{sealed}");
    assert_counted(&mut running, &second, all, sealed);
    for (table, visible) in TABLES.into_iter().zip(recovered) {
        assert_eq!(published(&mut running, table, &[("reason", "recovery")]), visible, "{table}");
        assert_eq!(published(&mut running, table, &[]), visible, "{table}, for whatever reason");
    }
    assert_status(&mut running, all as i64);
    running.kill();

    // The next one seals what is left, because it is old, and finds the camera silent.
    set(&mut hasty, "windows", "idle_timeout", "1s");
    let mut running = Facestream::run(&hasty, &[]);
    let aged = |table: &'static str| [("reason", "age"), ("table", table)];
    running.wait_metric("facestream_rows_total", &aged("frames"), LONG, |rows| rows == all - sealed);
    // Of the first minute a window and its revision, of the second one, of the seventh one.
    running.wait_metric("facestream_rows_total", &aged("windows"), LONG, |rows| rows == 4.0);
    assert_eq!(latencies(&mut running, "visible"), all - sealed);
    assert_eq!(latencies(&mut running, "detected"), 0.0);
    assert_eq!(running.metric("facestream_windows_total", &[("closed_by", "idle")]), 1.0);
    running.wait_metric("facestream_sources", &[("state", "silent")], LONG, |silent| silent == 1.0);
    assert_eq!(running.metric("facestream_sources", &[("state", "active")]), 0.0);
    for (table, [files, rows]) in TABLES.into_iter().zip(recovered) {
        let aged = published(&mut running, table, &[("reason", "age")]);
        assert_eq!(visible(folder.path(), table), [aged[0] + files, aged[1] + rows], "{table}");
    }
    let seals = running.metric("facestream_seals_total", &[("reason", "age")]);
    assert_eq!(running.metric("facestream_seal_bytes_count", &[]), seals);
    assert_eq!(running.metric("facestream_append_bytes_count", &[("kind", "seal")]), seals);
    assert_eq!(running.metric("facestream_publish_seconds_count", &[]), seals);
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_exactly_once(kafka, &topic, folder.path());
}

/// What the process has counted that took over with `sealed` frames done, and then got all `second`.
fn assert_counted(running: &mut Facestream, second: &[Record], all: f64, sealed: f64) {
    let mut expect = |name: &str, labels: &[(&str, &str)], value: f64| {
        assert_eq!(running.metric(&format!("facestream_{name}"), labels), value, "{name} {labels:?}");
    };
    let frames = all - sealed;
    expect("records_total", &[], frames);
    expect("frames_total", &[], frames);
    expect("frames_total", &[("status", "ok")], frames - 3.0);
    expect("frames_total", &[("status", "unsupported")], 2.0);
    expect("frames_total", &[("status", "decode_error")], 1.0);
    let broken = second[15].payload.as_ref().map_or(0, Vec::len) as f64;
    expect("frame_bytes_total", &[("status", "decode_error")], broken);
    expect("frame_bytes_total", &[("status", "unsupported")], 20.0);
    expect("late_frames_total", &[("outcome", "revised")], 1.0);
    expect("late_frames_total", &[("outcome", "dropped")], 1.0);
    expect("revised_windows_total", &[], 1.0);
    expect("windows_total", &[("closed_by", "watermark")], 2.0);
    expect("windows_total", &[("closed_by", "idle")], 0.0);
    expect("append_seconds_count", &[("kind", "takeover")], 1.0);
    expect("append_seconds_count", &[("kind", "seal")], 0.0);
    expect("seals_total", &[], 0.0);
    expect("commit_errors_total", &[], 0.0);
    expect("store_errors_total", &[], 0.0);
    expect("store_retries_total", &[], 0.0);
    expect("worker_panics_total", &[], 0.0);
    expect("queue_depth", &[], 0.0);
    expect("partitions_assigned", &[], 1.0);
    expect("partitions_paused", &[], 0.0);
    expect("rebalanced_partitions_total", &[("what", "assigned")], 1.0);
    // At the start, the store is tried: one create, and one that has to be refused.
    let appends = running.metric("facestream_append_bytes_count", &[]);
    assert_eq!(running.metric("facestream_store_seconds_count", &[("operation", "append")]), appends + 2.0);
    for until in ["detected", "appended"] {
        assert_eq!(latencies(running, until), frames, "{until}");
    }
    assert_eq!(latencies(running, "visible"), sealed);
    for more_than_none in ["commit_seconds_count", "busy_seconds_total", "stage_seconds_count", "last_append_timestamp_seconds"] {
        assert!(running.metric(&format!("facestream_{more_than_none}"), &[]) > 0.0, "{more_than_none}");
    }
    running.wait_metric("facestream_committed_offset", &[("partition", "0")], LONG, |offset| offset == all);
    running.wait_metric("facestream_lag_records", &[("partition", "0")], LONG, |lag| lag == 0.0);
    running.wait_metric("facestream_lag_seconds", &[("partition", "0")], LONG, |lag| lag == 0.0);
    running.wait_metric("facestream_sources", &[("state", "active")], LONG, |active| active == 1.0);
}

fn assert_status(running: &mut Facestream, end: i64) {
    // Two seconds before the newest frame: windows.max_out_of_orderness. Sources are looked at now and then.
    let watermark_us = (NOON_S + 404) * 1_000_000;
    running.wait_until("the newest watermark in /status", LONG, |own| {
        let page = own.get("/status")?;
        if page.contains(&watermark_us.to_string()) { Ok(()) } else { Err(page) }
    });
    let status = running.status();
    let partition = &status["partitions"][0];
    assert_eq!(partition["state"], "running", "{status}");
    assert_eq!([&partition["lag_records"], &partition["journal_end"], &partition["collected_end"]], [0, end, end]);
    assert_eq!(partition["lag_seconds"], 0.0);
    assert!(partition["watermark_delay_s"].is_f64(), "{status}");
    let sources = &status["sources"];
    assert_eq!([&sources["active"], &sources["silent"]], [1, 0], "{status}");
    assert_eq!(sources["truncated"], false);
    let door = &sources["list"][0];
    assert_eq!((&door["source_id"], &door["partition"], &door["active"]), (&"door".into(), &0.into(), &true.into()));
    assert_eq!(door["watermark_us"], watermark_us);
}

#[test]
fn sources_are_told_apart_up_to_a_limit_where_that_is_asked_for() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("sources", 1);
    let mut records = frames((0..20).map(|n| n / 5));
    for (n, record) in records.iter_mut().enumerate() {
        record.key = Some(format!("camera-{}", n % 5).into_bytes());
    }
    kafka.produce(&topic, &records);
    let folder = scratch();
    let mut config = quick(kafka, &topic, "sources", &file_url(folder.path()));
    set(&mut config, "metrics", "source_label", true);
    set(&mut config, "metrics", "source_limit", 3);
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_source_frames_total", &[], LONG, |frames| frames == 20.0);

    let page = running.get("/metrics").expect("the page");
    let series: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("facestream_source_frames_total{source_id=\"")?.split_once("\"} "))
        .collect();
    let own = series.iter().filter(|(source, frames)| source.starts_with("camera-") && *frames == "4").count();
    assert_eq!((series.len(), own), (4, 3), "three cameras and the rest: {series:?}");
    assert_eq!(running.metric("facestream_source_frames_total", &[("source_id", "_other")]), 8.0);
    let faces = running.metric("facestream_faces_total", &[]);
    assert_eq!(running.metric("facestream_source_faces_total", &[]), faces);
    // The newest frame of each is of the fourth second.
    let newest = running.metric("facestream_source_last_frame_timestamp_seconds", &[]);
    assert_eq!(newest, 4.0 * (NOON_S + 3) as f64);
}
