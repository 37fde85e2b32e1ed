//! When more comes than can be looked at: what each load policy leaves out, and that it still has its row.

use std::collections::BTreeSet;

use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};

use crate::{LONG, assert_exactly_once, file_url, pictures, quick, set, slow_down};

/// 2026-11-22T12:00:00Z; `date -u -d @1795348800` says so.
const NOON_MS: i64 = 1_795_348_800_000;

/// Pictures of two cameras in turn, captured `interval_ms` apart.
fn captured(count: usize, first_ms: i64, interval_ms: i64) -> Vec<Record> {
    let mut records = pictures(count, 1);
    for (n, record) in records.iter_mut().enumerate() {
        let captured_ms = first_ms + n as i64 * interval_ms;
        record.headers = vec![("capture_ts_ns".to_owned(), format!("{captured_ms}000000").into_bytes())];
        record.timestamp_ms = Some(captured_ms);
    }
    records
}

#[test]
fn sampling_looks_at_so_many_frames_a_second_of_each_source_and_at_the_same_ones_after_a_crash() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("sampled", 1);
    // 20 s of two cameras with 10 frames a second each.
    let records = captured(400, NOON_MS, 50);
    kafka.produce(&topic, &records);
    let folder = scratch();
    let mut config = quick(kafka, &topic, "sampled", &file_url(folder.path()));
    let mut load = toml::Table::new();
    load.insert("policy".to_owned(), "sample".into());
    load.insert("fps".to_owned(), 2.0.into());
    let mut of_topic = toml::Table::new();
    of_topic.insert("load".to_owned(), load.into());
    set(&mut config, "topics", &topic, of_topic);
    slow_down(&mut config);
    for failpoint in ["after-append=kill@2", "after-append=kill@3"] {
        let killed = Facestream::run_to_die(&config, &["--until-end"], failpoint).wait_exit(LONG);
        assert_eq!(killed.code, None, "{}", killed.output);
    }
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());

    // The first of each camera in each half second.
    let mut slots = BTreeSet::new();
    let expected: Vec<_> = (0..400_i64).filter(|n| slots.insert((n % 2, n * 50 / 500))).collect();
    let duck = Duck::in_folder(folder.path());
    let offsets = |status: &str| -> Vec<i64> {
        let sql = format!("SELECT kafka_offset AS o FROM 'frames/**/*.parquet' WHERE status = '{status}' ORDER BY o");
        duck.rows(&sql).iter().map(|row| row["o"].as_i64().expect("an offset")).collect()
    };
    assert_eq!(offsets("ok"), expected);
    assert_eq!(offsets("sampled_out").len(), 400 - expected.len());
    let counts = &duck.rows(
        "SELECT sum(frames_ok)::BIGINT AS ok, sum(frames_skipped)::BIGINT AS skipped, sum(frames_failed)::BIGINT AS failed FROM 'windows/**/*.parquet'",
    )[0];
    assert_eq!((counts["ok"].as_i64(), counts["skipped"].as_i64(), counts["failed"].as_i64()), (Some(80), Some(320), Some(0)));
}

#[test]
fn stale_frames_are_not_looked_at_and_have_their_rows() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("stale", 1);
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis() as i64;
    let old = captured(10, now_ms - 3_600_000, 100);
    let fresh = captured(10, now_ms, 1);
    kafka.produce(&topic, &[old, fresh].concat());
    let folder = scratch();
    let mut config = quick(kafka, &topic, "stale", &file_url(folder.path()));
    set(&mut config, "load", "policy", "skip_stale");
    // Longer than anything takes, and well under the age of the old ones.
    set(&mut config, "load", "max_age", "30m");
    let dead_letters = kafka.topic("stale-dead", 1);
    set(&mut config, "dead_letters", "topic", dead_letters.as_str());
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());
    let duck = Duck::in_folder(folder.path());
    let rows = duck.rows("SELECT kafka_offset AS o, status, error, decode_ms FROM 'frames/**/*.parquet' ORDER BY o");
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row["status"], if n < 10 { "stale" } else { "ok" }, "{row:?}");
        assert_eq!(row["decode_ms"].is_null(), n < 10, "{row:?}");
    }
    assert!(kafka.read(&dead_letters).is_empty(), "what was left out on purpose is no dead letter");
}
