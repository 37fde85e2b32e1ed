//! Kafka no longer has what comes next: retention was faster, or the topic was made anew. Nothing of that passes unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use serde_json::Value;
use toml::Table;

use crate::{LONG, file_url, pictures, quick, set, wait_committed, wait_output};

/// How many rows each message has, by camera, partition and offset.
fn rows(folder: &Path) -> BTreeMap<(String, i64, i64), i64> {
    let sql =
        "SELECT source_id AS s, kafka_partition AS p, kafka_offset AS o, count(*) AS n FROM 'frames/**/*.parquet' GROUP BY ALL";
    let number = |value: &Value| value.as_i64().expect("a number");
    let rows = Duck::in_folder(folder).rows(sql);
    rows.iter()
        .map(|row| ((row["s"].as_str().expect("text").to_owned(), number(&row["p"]), number(&row["o"])), number(&row["n"])))
        .collect()
}

/// Every message has one row; those that are expected, as partition and offset.
fn assert_rows(folder: &Path, expected: impl IntoIterator<Item = (i64, i64)>) {
    let rows = rows(folder);
    assert!(rows.values().all(|count| *count == 1), "there is more than one row of a message: {rows:?}");
    let found: BTreeSet<_> = rows.keys().map(|(_, partition, offset)| (*partition, *offset)).collect();
    assert_eq!(found, expected.into_iter().collect());
}

/// `count` pictures of one camera in partition 0.
fn from(camera: &str, count: usize) -> Vec<Record> {
    let key = Some(camera.as_bytes().to_vec());
    pictures(count, 1).into_iter().map(|record| Record { key: key.clone(), ..record }).collect()
}

fn skipping(config: &Table) -> Table {
    let mut config = config.clone();
    set(&mut config, "kafka", "on_gap", "skip");
    config
}

/// The partition is stopped with an error that says all of `parts`; then the process is ended, and says that not all was done.
fn assert_stops(mut running: Facestream, parts: &[&str]) {
    running.wait_metric("facestream_partitions_stopped", &[], LONG, |stopped| stopped == 1.0);
    let output = running.output();
    let error = output.lines().find(|line| line.contains("the partition is stopped")).unwrap_or_else(|| panic!("{output}"));
    for part in parts.iter().chain(&["on_gap"]) {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    let finished = running.terminate(LONG);
    assert_eq!(finished.code, Some(1), "{}", finished.output);
}

#[test]
fn what_retention_took_from_a_stopped_group_stops_that_partition_or_is_skipped_and_counted() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("overtaken", 2);
    kafka.produce(&topic, &pictures(60, 2));
    let folder = scratch();
    let config = quick(kafka, &topic, "overtaken", &file_url(folder.path()));
    let mut running = Facestream::run(&config, &[]);
    wait_committed(&mut running, kafka, "overtaken", &topic, 60);
    assert_eq!(running.terminate(LONG).code, Some(0));

    kafka.produce(&topic, &pictures(60, 2));
    kafka.delete_records(&topic, 0, 47);
    // The other partition goes on.
    let mut running = Facestream::run(&config, &[]);
    wait_committed(&mut running, kafka, "overtaken", &topic, 30 + 60);
    assert_stops(
        running,
        &[&topic, "partition 0", "offset 30", "47 to 60", "17 records", "facestream journal reset --topic", "--to-offset 47"],
    );

    let mut running = Facestream::run(&skipping(&config), &[]);
    wait_committed(&mut running, kafka, "overtaken", &topic, 120);
    assert_eq!(running.metric("facestream_lost_records_total", &[]), 17.0);
    assert_eq!(running.metric("facestream_partitions_stopped", &[]), 0.0);
    assert_eq!(running.terminate(LONG).code, Some(0));
    let expected = (0..30).chain(47..60).map(|offset| (0, offset)).chain((0..60).map(|offset| (1, offset)));
    assert_rows(folder.path(), expected);
}

#[test]
fn what_retention_took_from_a_frozen_process_is_counted_and_the_rest_has_one_row_each() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("frozen", 1);
    kafka.produce(&topic, &pictures(20, 1));
    let folder = scratch();
    let mut config = skipping(&quick(kafka, &topic, "frozen", &file_url(folder.path())));
    let properties = Table::from_iter([("session.timeout.ms".to_owned(), "60000".into())]);
    set(&mut config, "kafka", "properties", properties);
    let mut running = Facestream::run(&config, &[]);
    wait_committed(&mut running, kafka, "frozen", &topic, 20);

    running.signal("STOP");
    // The first may be on their way already.
    kafka.produce(&topic, &pictures(3, 1));
    kafka.produce(&topic, &pictures(40, 1));
    kafka.delete_records(&topic, 0, 50);
    running.signal("CONT");
    wait_committed(&mut running, kafka, "frozen", &topic, 63);
    let lost = running.metric("facestream_lost_records_total", &[]) as i64;
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert!((27..=30).contains(&lost), "{lost}");
    assert_rows(folder.path(), (0..50 - lost).chain(50..63).map(|offset| (0, offset)));
}

#[test]
fn a_topic_that_was_made_anew_while_nobody_looked_stops_or_is_read_from_its_start() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("anew", 1);
    kafka.produce(&topic, &from("old", 30));
    let folder = scratch();
    let config = quick(kafka, &topic, "anew", &file_url(folder.path()));
    assert_eq!(Facestream::run(&config, &["--until-end"]).wait_exit(LONG).code, Some(0));

    // Longer than the old one: only its id tells.
    kafka.make_topic_anew(&topic, 1);
    kafka.produce(&topic, &from("new", 50));
    assert_stops(
        Facestream::run(&config, &[]),
        &[&topic, "partition 0", "offset 30", "0 to 50", "made anew", "go on at offset 0"],
    );
    let stopped = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(stopped.code, Some(1), "{}", stopped.output);

    let finished = Facestream::run(&skipping(&config), &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let of = |camera: &str, count: i64| (0..count).map(|offset| ((camera.to_owned(), 0, offset), 1)).collect::<Vec<_>>();
    assert_eq!(rows(folder.path()), of("old", 30).into_iter().chain(of("new", 50)).collect());
}

#[test]
fn a_topic_that_is_made_anew_under_a_running_process_is_read_from_its_start() {
    for protocol in ["classic", "consumer"] {
        let kafka = Kafka::shared();
        let topic = kafka.topic("anew-running", 1);
        kafka.produce(&topic, &from("old", 30));
        let folder = scratch();
        let mut config = skipping(&quick(kafka, &topic, &topic, &file_url(folder.path())));
        crate::speak(&mut config, protocol);
        let mut running = Facestream::run(&config, &[]);
        wait_committed(&mut running, kafka, &topic, &topic, 30);

        kafka.make_topic_anew(&topic, 1);
        wait_output(&mut running, "the topic was made anew");
        kafka.produce(&topic, &from("new", 50));
        wait_committed(&mut running, kafka, &topic, &topic, 50);
        let finished = running.terminate(LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        let of = |camera: &str, count: i64| (0..count).map(|offset| ((camera.to_owned(), 0, offset), 1)).collect::<Vec<_>>();
        assert_eq!(rows(folder.path()), of("old", 30).into_iter().chain(of("new", 50)).collect(), "{protocol}");
    }
}
