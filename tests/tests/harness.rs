//! The harness itself: its parts are real, keep what they are given, and say what they missed.
#![allow(clippy::float_cmp, reason = "counters are whole numbers")]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use facestream_tests::{Duck, Facestream, Kafka, Record, S3, scratch, wait_for};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;

#[test]
fn kafka_keeps_every_acknowledged_record_where_it_was_sent() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("harness", 3);
    let record = |index: i64| Record {
        partition: (index % 3) as i32,
        key: Some(format!("camera-{index}").into_bytes()),
        payload: (index != 4).then(|| index.to_be_bytes().to_vec()),
        headers: vec![("frame_seq".to_owned(), index.to_string().into_bytes())],
        timestamp_ms: Some(1_700_000_000_000 + index),
    };
    let records: Vec<Record> = (0..300).map(record).collect();

    let offsets = kafka.produce(&topic, &records);

    assert_eq!(offsets, (0..300).map(|index| index / 3).collect::<Vec<i64>>());
    assert_eq!(kafka.ends(&topic), BTreeMap::from([(0, (0, 100)), (1, (0, 100)), (2, (0, 100))]));
    let read = kafka.read(&topic);
    assert_eq!(read.len(), 300);
    for message in read {
        let sent = &records[message.offset() as usize * 3 + message.partition() as usize];
        assert_eq!(message.key(), sent.key.as_deref());
        assert_eq!(message.payload(), sent.payload.as_deref());
        assert_eq!(message.timestamp().to_millis(), sent.timestamp_ms);
        let header = message.headers().expect("headers").get(0);
        assert_eq!((header.key, header.value), (sent.headers[0].0.as_str(), Some(sent.headers[0].1.as_slice())));
    }
}

#[test]
fn kafka_takes_a_message_of_twenty_megabytes() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("harness-large", 1);
    let payload = vec![7; 20 << 20];
    kafka.produce(&topic, &[Record { payload: Some(payload.clone()), ..Record::default() }]);
    assert_eq!(kafka.read(&topic)[0].payload(), Some(payload.as_slice()));
}

#[test]
fn the_offsets_of_a_group_can_be_read_and_deleted() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("harness-group", 2);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("group.id", "harness-group")
        .create()
        .expect("a consumer");
    let mut committed = TopicPartitionList::new();
    committed.add_partition_offset(&topic, 1, Offset::Offset(17)).expect("an offset");
    consumer.commit(&committed, CommitMode::Sync).expect("a commit");
    drop(consumer);

    assert_eq!(kafka.committed("harness-group", &topic), BTreeMap::from([(1, 17)]));
    kafka.delete_group("harness-group");
    assert_eq!(kafka.committed("harness-group", &topic), BTreeMap::new());
}

#[test]
fn duckdb_reads_parquet_in_a_folder() {
    let folder = scratch();
    let duck = Duck::in_folder(folder.path());
    let count = duck.value("COPY (SELECT 7 AS a, TIMESTAMPTZ '2026-01-02 03:04:05.25+00' AS t, [1.5, NULL] AS l) TO 'x.parquet'");
    assert_eq!(count, json!(1));
    assert_eq!(fs::read(folder.path().join("x.parquet")).expect("a file")[..4], *b"PAR1");
    let row = json!({"a": 7, "t": "2026-01-02T03:04:05.250000+00:00", "l": [1.5, null]});
    assert_eq!(json!(duck.rows("SELECT * FROM '*.parquet'")), json!([row]));
    assert_eq!(duck.value("SELECT sum(a) FROM 'x.parquet'"), json!(7));
}

#[test]
fn the_s3_server_gives_back_what_was_put() {
    let server = S3::start();
    assert_eq!(server.keys(""), Vec::<String>::new());
    let endpoint = server.options()["endpoint"].as_str().expect("an endpoint").to_owned();
    for key in ["out/frames/a.parquet", "out/b.parquet", "elsewhere/c.parquet"] {
        ureq::put(format!("{endpoint}/facestream/{key}")).send(key).expect("a PUT");
    }
    assert_eq!(server.url("out"), "s3://facestream/out");
    assert_eq!(server.keys("out"), ["out/b.parquet", "out/frames/a.parquet"]);
    let folder = scratch();
    server.download("out", folder.path());
    assert_eq!(fs::read_to_string(folder.path().join("frames/a.parquet")).expect("a file"), "out/frames/a.parquet");
    assert!(!folder.path().join("c.parquet").exists());
}

#[test]
fn the_binary_is_watched_and_stopped() {
    let (kafka, server) = (Kafka::shared(), S3::start());
    let topic = kafka.topic("harness-binary", 2);
    let text = |partition| Record { partition, payload: Some(b"no picture".to_vec()), ..Record::default() };
    kafka.produce(&topic, &[text(0), text(1), text(1)]);
    let mut config = Facestream::config(kafka, &topic, "harness-binary", &server.url("out"));
    config["store"].as_table_mut().expect("a section").insert("options".to_owned(), server.options().into());

    let mut facestream = Facestream::run(&config, &[]);
    facestream.wait_ready();
    let limit = Duration::from_mins(1);
    facestream.wait_metric("facestream_frames_total", &[("status", "unsupported")], limit, |frames| frames >= 3.0);
    assert_eq!(facestream.metric("facestream_frames_total", &[]), 3.0);
    assert!(facestream.status().is_object());
    let finished = facestream.terminate(limit);
    assert_eq!(finished.code, Some(0), "{}", finished.output);

    assert_eq!(kafka.committed("harness-binary", &topic), BTreeMap::from([(0, 1), (1, 2)]));
    let folder = scratch();
    server.download("out", folder.path());
    let rows = Duck::in_folder(folder.path())
        .rows("SELECT kafka_partition AS p, kafka_offset AS o, status FROM 'frames/**/*.parquet' ORDER BY ALL");
    let row = |partition, offset| json!({"p": partition, "o": offset, "status": "unsupported"});
    assert_eq!(json!(rows), json!([row(0, 0), row(1, 0), row(1, 1)]));
}

#[test]
fn a_command_that_ends_leaves_its_code_and_its_output() {
    let folder = scratch();
    let finished = Facestream::command(folder.path(), &["run", "--no-such-flag"], Duration::from_secs(20));
    assert_eq!(finished.code, Some(2));
    assert!(finished.output.contains("--no-such-flag"), "{}", finished.output);
}

#[test]
#[should_panic(expected = "waited 50ms for the moon; last seen: a cloud")]
fn a_missed_deadline_says_what_was_awaited_and_what_was_seen() {
    wait_for("the moon", Duration::from_millis(50), || Err::<(), _>("a cloud".to_owned()));
}
