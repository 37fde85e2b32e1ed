//! What others are told: events, windows and dead letters reach their topics before the rows that they are of reach the journal.

use std::collections::{BTreeMap, BTreeSet};

use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use rdkafka::Message as _;
use rdkafka::message::{Headers as _, OwnedMessage};
use serde_json::Value;
use toml::Table;

use crate::{LONG, assert_exactly_once, base64, file_url, pictures, quick, set, slow_down, wait_output};

/// Pictures, and among them messages that are none: every fifth.
fn some_bad(count: usize, partitions: usize) -> Vec<Record> {
    let mut records = pictures(count, partitions);
    for (n, record) in records.iter_mut().enumerate().filter(|(n, _)| n % 5 == 2) {
        record.payload = Some(format!("no picture {n}").into_bytes());
        record.headers = vec![("camera-model".to_owned(), b"X\xff1".to_vec()), ("camera-model".to_owned(), Vec::new())];
    }
    records
}

/// All three topics, made and configured.
fn outputs(kafka: &Kafka, config: &mut Table) -> [String; 3] {
    ["events", "windows", "dead_letters"].map(|section| {
        let topic = kafka.topic(section, 2);
        set(config, section, "topic", topic.as_str());
        topic
    })
}

fn header(message: &OwnedMessage, name: &str) -> String {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let value = headers.filter(|header| header.key == name).last().and_then(|header| header.value).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// Keys of the messages in `frames` that satisfy a condition, as the dead letters and events name them.
fn keys(duck: &Duck, condition: &str) -> BTreeSet<String> {
    let sql = format!(
        "SELECT concat_ws('/', kafka_topic, kafka_partition, kafka_offset) AS key FROM 'frames/**/*.parquet' WHERE {condition}"
    );
    duck.rows(&sql).iter().map(|row| row["key"].as_str().expect("a key").to_owned()).collect()
}

#[test]
fn every_frame_has_its_event_every_failure_its_dead_letter_and_every_window_its_message_though_the_process_is_killed() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("told", 2);
    let records = some_bad(60, 2);
    let offsets = kafka.produce(&topic, &records);
    let folder = scratch();
    let mut config = quick(kafka, &topic, "told", &file_url(folder.path()));
    let [events, windows, dead_letters] = outputs(kafka, &mut config);
    slow_down(&mut config);

    // Killed twice between an append and what would have followed it; then to the end.
    for failpoint in ["after-append=kill@3", "after-append=kill@4"] {
        let killed = Facestream::run_to_die(&config, &["--until-end"], failpoint).wait_exit(LONG);
        assert_eq!(killed.code, None, "{}", killed.output);
    }
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());
    let duck = Duck::in_folder(folder.path());

    // Events: at least one of each message, with the same id each time, keyed by its source.
    let told = kafka.read(&events);
    let ids: BTreeSet<_> = told.iter().map(|event| header(event, "event_id")).collect();
    assert_eq!(ids, keys(&duck, "true"));
    for event in &told {
        let body: Value = serde_json::from_slice(event.payload().expect("a body")).expect("JSON");
        assert_eq!(body["event_id"], header(event, "event_id"));
        assert_eq!(body["source_id"], text(event.key()));
        assert_eq!(
            body["detections"].as_array().map(Vec::len).unwrap_or_default(),
            body["face_count"].as_u64().unwrap_or(0) as usize
        );
    }

    // Dead letters: the message as it came, under its coordinates.
    let letters = kafka.read(&dead_letters);
    let found: BTreeSet<_> = letters.iter().map(|letter| text(letter.key())).collect();
    assert_eq!(found, keys(&duck, "status <> 'ok'"));
    assert_eq!(found.len(), 12);
    let sent: BTreeMap<String, &Record> =
        records.iter().zip(&offsets).map(|(record, offset)| (format!("{topic}/{}/{offset}", record.partition), record)).collect();
    for letter in &letters {
        let record = sent[&text(letter.key())];
        assert_eq!(letter.payload(), record.payload.as_deref(), "the bytes as they came");
        assert_eq!(header(letter, "dlq_key").as_bytes(), record.key.as_deref().expect("a key"));
        assert_eq!((header(letter, "dlq_reason"), header(letter, "dlq_attempt")), ("unsupported".to_owned(), "1".to_owned()));
        let own = letter.headers().into_iter().flat_map(|headers| headers.iter()).filter(|header| header.key == "camera-model");
        let own: Vec<_> = own.map(|header| header.value.unwrap_or_default().to_vec()).collect();
        assert_eq!(own, record.headers.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>());
    }

    // Windows: each row of the table was told.
    let emitted: BTreeSet<_> = kafka.read(&windows).iter().map(|window| header(window, "event_id")).collect();
    assert_eq!(duck.value("SELECT count(*) FROM 'windows/**/*.parquet'"), emitted.len());
}

#[test]
fn nothing_is_in_the_journal_before_its_dead_letter_is_acknowledged() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("untold", 1);
    kafka.produce(&topic, &some_bad(10, 1));
    let folder = scratch();
    let mut config = quick(kafka, &topic, "untold", &file_url(folder.path()));
    let dead_letters = format!("{topic}-dead");
    set(&mut config, "dead_letters", "topic", dead_letters.as_str());

    // The topic is not there: every row waits, and the process says for what.
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_produce_errors_total", &[("topic", "dead_letters")], LONG, |errors| errors >= 2.0);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames == 10.0);
    wait_output(&mut running, &dead_letters);
    assert_eq!(running.metric("facestream_last_append_timestamp_seconds", &[]), 0.0);

    kafka.create_topic(&dead_letters, 1, &[]);
    running.wait_metric("facestream_dead_letters_total", &[("reason", "unsupported")], LONG, |letters| letters == 2.0);
    running.wait_metric("facestream_last_append_timestamp_seconds", &[], LONG, |appended| appended > 0.0);
    let finished = running.terminate(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn a_dead_letter_that_its_topic_does_not_take_says_at_least_where_the_message_lies() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("too-large", 1);
    // Small ones around one that is none of a picture and larger than the topic of dead letters takes.
    let mut records = some_bad(15, 1);
    records[7].payload = Some(vec![b'x'; 60_000]);
    kafka.produce(&topic, &records);
    let folder = scratch();
    let mut config = quick(kafka, &topic, "too-large", &file_url(folder.path()));
    let dead_letters = format!("{topic}-dead");
    kafka.create_topic(&dead_letters, 1, &[("max.message.bytes", "20000")]);
    set(&mut config, "dead_letters", "topic", dead_letters.as_str());
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());

    let letters: BTreeMap<_, _> = kafka
        .read(&dead_letters)
        .into_iter()
        .map(|letter| (text(letter.key()), (header(&letter, "dlq_value"), letter.payload().map(<[u8]>::len))))
        .collect();
    let whole = |n: usize| (format!("{topic}/0/{n}"), ("whole".to_owned(), records[n].payload.as_ref().map(Vec::len)));
    let left_out = (format!("{topic}/0/7"), ("left_out".to_owned(), Some(0)));
    assert_eq!(letters, BTreeMap::from([whole(2), left_out, whole(12)]));
}

#[test]
fn a_frame_that_failed_for_a_reason_that_is_mended_comes_back_as_a_new_row_and_its_dead_letter_is_gone() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("mended", 1);
    let jpeg = pictures(1, 1).remove(0).payload.expect("a picture");
    // A field that nobody was told of; and a message that is larger than was allowed, whose value is left out of its letter.
    let mut odd = pictures(2, 1);
    odd[0].payload = Some(body("picture", &jpeg));
    odd[1].payload = Some(body("picture", &[jpeg, vec![0; 60_000]].concat()));
    kafka.produce(&topic, &odd);
    let folder = scratch();
    let mut config = quick(kafka, &topic, "mended", &file_url(folder.path()));
    set(&mut config, "envelope", "max_bytes", "60kB");
    let dead_letters = kafka.topic("mended-dead", 3);
    set(&mut config, "dead_letters", "topic", dead_letters.as_str());
    let until_end = |config: &Table| {
        let finished = Facestream::run(config, &["--until-end"]).wait_exit(LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
    };
    let dlq = |config: &Table, arguments: &[&str]| {
        let file = folder.path().join("facestream.toml");
        std::fs::write(&file, config.to_string()).expect("writing");
        let finished = Facestream::command(folder.path(), &[&["dlq"], arguments].concat(), LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        finished.output
    };
    until_end(&config);
    let duck = Duck::in_folder(folder.path());
    let rows = || duck.rows("SELECT kafka_offset AS o, status FROM 'frames/**/*.parquet' ORDER BY o");
    let status = |n: usize| rows()[n]["status"].as_str().expect("a status").to_owned();
    assert_eq!([status(0), status(1)], ["envelope_error", "too_large"]);
    let listed = dlq(&config, &["ls"]);
    assert!([0, 1].iter().all(|offset| listed.contains(&format!("{topic}/0/{offset}"))), "{listed}");

    // Mended, and sent again.
    set(&mut config, "envelope", "max_bytes", "16MiB");
    let mut pointers = Table::new();
    pointers.insert("image".to_owned(), "/picture".into());
    set(&mut config, "envelope", "pointers", pointers);
    dlq(&config, &["retry", "--all"]);
    until_end(&config);
    assert_exactly_once(kafka, &topic, folder.path());
    assert_eq!(rows().len(), 4, "new rows, with offsets of their own; the old ones stay");
    assert_eq!([status(2), status(3)], ["ok", "ok"]);
    let listed = dlq(&config, &["ls"]);
    assert!(!listed.contains(&format!("{topic}/0/")), "{listed}");
}

/// A JSON body with the image under this name.
fn body(name: &str, image: &[u8]) -> Vec<u8> {
    serde_json::json!({ name: base64(image) }).to_string().into_bytes()
}
