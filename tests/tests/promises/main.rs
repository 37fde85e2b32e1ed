//! What facestream promises, held against a real Kafka broker, real stores and an independent reader, one test a promise.
#![allow(clippy::float_cmp, reason = "counters are whole numbers")]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, reason = "tests panic: that is how they fail")]

mod bench;
mod claim_check;
mod content;
mod crash;
mod demo;
mod detect;
mod dlq;
mod documents;
mod envelopes;
mod errors;
mod formats;
mod haar;
mod journal;
mod kafka_bad_days;
mod kafka_gaps;
mod lifecycle;
mod live;
mod load;
mod metrics;
mod outputs;
mod poison;
mod pressure;
mod produce;
mod scale;
mod scale_out;
mod secrets;
mod store_bad_days;
mod transport;
mod windows;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::{Duck, Facestream, Kafka, Record};
use toml::{Table, Value};

/// Longer than anything takes on a busy machine; only a hang gets there.
pub const LONG: Duration = Duration::from_mins(4);
/// A small picture, for tests that are not about faces.
pub const SMALL: Size = Size { w: 320, h: 192 };

/// `file://` address of a folder.
#[must_use]
pub fn file_url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// Sets one value of a configuration.
pub fn set(config: &mut Table, section: &str, key: &str, value: impl Into<Value>) {
    let section = config.entry(section).or_insert_with(|| Table::new().into());
    section.as_table_mut().expect("a section").insert(key.to_owned(), value.into());
}

/// Fast detection, and appends often enough for kills to fall between them.
#[must_use]
pub fn quick(kafka: &Kafka, topic: &str, group: &str, url: &str) -> Table {
    let mut config = Facestream::config(kafka, topic, group, url);
    set(&mut config, "detector", "input", "320x192");
    set(&mut config, "journal", "append_every", "200ms");
    config
}

/// Detection that takes long enough for kills to fall between its appends, whichever the model is.
pub fn slow_down(config: &mut Table) {
    set(config, "detector", "input", "1280x736");
    set(config, "journal", "append_every", "50ms");
}

/// Has the group speak `protocol`; under "consumer", sessions are the broker's to say.
pub fn speak(config: &mut Table, protocol: &str) {
    set(config, "kafka", "group_protocol", protocol);
    if protocol == "consumer" {
        set(config, "kafka", "properties", Table::new());
    }
}

/// Waits until the group's offsets of all partitions come to `total`.
pub fn wait_committed(running: &mut Facestream, kafka: &Kafka, group: &str, topic: &str, total: i64) {
    running.wait_until(&format!("{total} to be committed"), LONG, |_| {
        let committed = kafka.committed(group, topic);
        if committed.values().sum::<i64>() == total { Ok(()) } else { Err(format!("{committed:?}")) }
    });
}

/// Waits until the process has said `text`.
pub fn wait_output(running: &mut Facestream, text: &str) {
    running.wait_until(text, LONG, |own| if own.output().contains(text) { Ok(()) } else { Err(String::new()) });
}

/// `count` small pictures of two cameras over `partitions`, in turn.
#[must_use]
pub fn pictures(count: usize, partitions: usize) -> Vec<Record> {
    let scenes = [Scene::new(0, SMALL), Scene::new(1, SMALL)];
    let jpegs: Vec<_> = (0..8).map(|n| scenes[n % 2].picture(n as u64 * 10).jpeg).collect();
    (0..count)
        .map(|n| Record {
            partition: (n % partitions) as i32,
            key: Some(format!("camera-{}", n % 2).into_bytes()),
            payload: Some(jpegs[n % jpegs.len()].clone()),
            ..Record::default()
        })
        .collect()
}

/// Every offset that Kafka has is in `frames` exactly once, counted by DuckDB.
pub fn assert_exactly_once(kafka: &Kafka, topic: &str, folder: &Path) {
    let sql =
        "SELECT kafka_partition AS p, kafka_offset AS o, count(*) AS n FROM 'frames/**/*.parquet' GROUP BY ALL ORDER BY ALL";
    let mut found: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in Duck::in_folder(folder).rows(sql) {
        let number = |key: &str| row[key].as_i64().expect("a number");
        assert_eq!(number("n"), 1, "offset {} of partition {} is there more than once", number("o"), number("p"));
        found.entry(number("p")).or_default().push(number("o"));
    }
    let expected = kafka.ends(topic).into_iter().filter(|(_, (low, high))| low < high);
    let expected: BTreeMap<i64, Vec<i64>> = expected.map(|(p, (low, high))| (i64::from(p), (low..high).collect())).collect();
    assert_eq!(found, expected);
}

/// RFC 4648, section 4, as slowly as one likes.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, n| bits << 8 | u32::from(three.get(n).copied().unwrap_or(0)));
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
