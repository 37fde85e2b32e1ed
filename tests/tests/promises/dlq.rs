//! Messages that failed are listed, shown, and sent again as they were; what cannot be sent stays and is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use facestream_schemas::dead_letter::{self, Original};
use facestream_schemas::tables::{FrameRow, Timings};
use facestream_schemas::{DetectorIdentity, FrameMeta, Hour, MessageKey, Micros, Offset, Reason, Rejection, SourceId, TsOrigin};
use facestream_tests::{Duck, Facestream, Finished, Kafka, Record, scratch};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

use crate::{LONG, file_url, pictures, quick, set};

type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A message as any client can send one.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
}

impl Sent {
    fn new(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)));
        Self { key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), headers: headers.collect() }
    }

    fn of(message: &OwnedMessage) -> Self {
        let headers = message.headers().into_iter().flat_map(rdkafka::message::Headers::iter);
        let headers = headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
        Self { key: message.key().map(<[u8]>::to_vec), value: message.payload().map(<[u8]>::to_vec), headers: headers.collect() }
    }

    /// Without what a retry adds, which is returned beside it.
    fn split(mut self) -> (Self, BTreeMap<String, String>) {
        let (ours, own): (Vec<_>, Vec<_>) = self.headers.into_iter().partition(|(name, _)| name.starts_with("dlq_"));
        self.headers = own;
        let text = |value: Option<Vec<u8>>| String::from_utf8(value.expect("a value")).expect("text");
        (self, ours.into_iter().map(|(name, value)| (name, text(value))).collect())
    }
}

/// An input topic of three partitions, a dead-letter topic of two, and a configuration that names both.
struct Line {
    kafka: &'static Kafka,
    producer: BaseProducer,
    input: String,
    letters: String,
    folder: TempDir,
}

impl Line {
    fn new(name: &str) -> Self {
        let kafka = Kafka::shared();
        let (input, letters) = (kafka.topic(name, 3), kafka.topic(&format!("{name}-dead"), 2));
        let folder = scratch();
        let text = format!(
            "[kafka]\nbrokers = '{}'\ntopics = '{input}'\n[dead_letters]\ntopic = '{letters}'\nmax_attempts = 3\n",
            kafka.brokers()
        );
        fs::write(folder.path().join("facestream.toml"), text).expect("writing the configuration");
        let producer = ClientConfig::new().set("bootstrap.servers", kafka.brokers()).set("linger.ms", "1").create();
        Self { kafka, producer: producer.expect("a producer"), input, letters, folder }
    }

    /// Sends one message, null headers and all; its offset.
    fn send(&self, topic: &str, partition: i32, message: &Sent, millis: i64) -> i64 {
        let headers = message
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (name, value)| headers.insert(Header { key: name, value: value.as_deref() }));
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).headers(headers).timestamp(millis);
        record.key = message.key.as_deref();
        record.payload = message.value.as_deref();
        self.producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        self.producer.flush(LONG).expect("an acknowledgement");
        self.kafka.ends(topic)[&partition].1 - 1
    }

    /// An original into the input topic, and its letter; the letter's key.
    fn fail(&self, partition: i32, original: &Sent, reason: Reason, max_bytes: u64) -> String {
        let millis = now_millis();
        let offset = self.send(&self.input, partition, original, millis);
        let key = MessageKey { topic: self.input.as_str().into(), partition, offset: Offset(offset) };
        self.letter(&key, original, reason, max_bytes, millis)
    }

    fn letter(&self, key: &MessageKey, original: &Sent, reason: Reason, max_bytes: u64, millis: i64) -> String {
        let row = row(key.clone(), reason, Micros::from_millis(millis));
        let original = Original {
            key: original.key.clone().map(Into::into),
            value: original.value.clone().map(Into::into),
            value_bytes: original.value.as_ref().map(|value| value.len() as u64),
            headers: original.headers.iter().map(|(name, value)| (name.clone(), value.clone().map(Into::into))).collect(),
        };
        let letter = dead_letter::of(&row, &original, Micros::from_millis(millis), max_bytes);
        let letter = Sent { key: Some(letter.key), value: letter.value, headers: letter.headers };
        self.send(&self.letters, (key.offset.0 % 2) as i32, &letter, millis);
        key.to_string()
    }

    fn dlq(&self, arguments: &[&str]) -> Finished {
        Facestream::command(self.folder.path(), &[&["dlq"], arguments].concat(), LONG)
    }

    /// What it says; panics unless it exits with `code`.
    fn says(&self, code: i32, arguments: &[&str]) -> String {
        let Finished { code: found, output } = self.dlq(arguments);
        assert_eq!(found, Some(code), "dlq {arguments:?}: {output}");
        output
    }

    /// The letters by key, as `ls --json` has them.
    fn listed(&self, arguments: &[&str]) -> BTreeMap<String, Value> {
        let said = self.says(0, &[&["ls", "--json"], arguments].concat());
        let letters = said.lines().filter(|line| line.starts_with('{'));
        let letters = letters.map(|line| serde_json::from_str::<Value>(line).expect("a JSON object a line"));
        letters.map(|letter| (letter["key"].as_str().expect("a key").to_owned(), letter)).collect()
    }

    fn keys(&self, arguments: &[&str]) -> BTreeSet<String> {
        self.listed(arguments).into_keys().collect()
    }

    /// What came into the input topic from these offsets on, by partition.
    fn since(&self, ends: &BTreeMap<i32, (i64, i64)>) -> Vec<(i32, Sent)> {
        let read = self.kafka.read(&self.input);
        let new = read.iter().filter(|message| message.offset() >= ends[&message.partition()].1);
        new.map(|message| (message.partition(), Sent::of(message))).collect()
    }
}

fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis() as i64
}

fn row(key: MessageKey, reason: Reason, at: Micros) -> FrameRow {
    let detector = DetectorIdentity { detector_id: "none".to_owned(), model_sha256: None, score_threshold: 0.5, nms_iou: 0.5 };
    FrameRow {
        meta: FrameMeta {
            frame_id: key.to_string(),
            key,
            source_id: SourceId::new("door"),
            frame_seq: None,
            capture_ts: at,
            ts_origin: TsOrigin::Record,
            record_ts: at,
            content_type: None,
            size_bytes: 0,
        },
        folder: Hour::of(at),
        image: None,
        outcome: Err(Rejection::new(reason, "what was wrong")),
        detector: Arc::new(detector),
        timings: Timings::default(),
        e2e_ms: 0.0,
        worker_id: None,
        run_id: "run".into(),
    }
}

fn set_of(keys: &[&String]) -> BTreeSet<String> {
    keys.iter().map(|key| (*key).clone()).collect()
}

#[test]
fn what_failed_is_listed_shown_and_sent_again_byte_for_byte() {
    let line = Line::new("letters");
    let plain = Sent::new(
        Some(b"door"),
        Some(b"\xff\xd8\xff\x00 cut"),
        &[("a", Some(b"1")), ("a", None), ("binary", Some(b"\xff\x00")), ("empty", Some(b""))],
    );
    let tombstone = Sent::new(None, None, &[]);
    let empty =
        Sent::new(Some(b""), Some(b""), &[("dlq_attempt", Some(b"1")), ("dlq_first_seen", Some(b"2026-01-02T03:04:05Z"))]);
    let large = Sent::new(Some(b"\x00\xff"), Some(&vec![7; 300_000]), &[("seq", Some(b"9"))]);
    let thrice = Sent::new(Some(b"yard"), Some(b"x"), &[("dlq_attempt", Some(b"2"))]);
    let keys = [
        line.fail(2, &plain, Reason::DecodeError, 1_000),
        line.fail(1, &tombstone, Reason::EnvelopeError, 1_000),
        line.fail(1, &empty, Reason::EnvelopeError, 1_000),
        line.fail(0, &large, Reason::TooLarge, 1_000),
        line.fail(0, &thrice, Reason::DecodeError, 1_000),
    ];
    let [of_plain, of_tombstone, of_empty, of_large, of_thrice] = &keys;
    line.send(&line.letters, 1, &Sent::new(Some(b"nonsense"), Some(b"?"), &[]), now_millis());
    // One that was retried before: its tombstone folds it away.
    let before = line.fail(2, &plain, Reason::FetchError, 1_000);
    let parity = before.rsplit('/').next().and_then(|offset| offset.parse::<i32>().ok()).expect("an offset") % 2;
    line.send(&line.letters, parity, &Sent::new(Some(before.as_bytes()), None, &[]), now_millis());

    let listed = line.listed(&[]);
    let nonsense = "nonsense".to_owned();
    let mut all: BTreeSet<_> = keys.iter().cloned().collect();
    all.insert(nonsense.clone());
    assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), all);
    let of = |key: &String, field: &str| listed[key][field].clone();
    assert_eq!([of(of_plain, "attempt"), of(of_empty, "attempt"), of(of_thrice, "attempt")], [json!(1), json!(2), json!(3)]);
    assert_eq!(of(of_empty, "first_seen"), json!("2026-01-02T03:04:05.000000Z"));
    assert_eq!([of(of_thrice, "exhausted"), of(of_plain, "exhausted")], [json!(true), json!(false)]);
    assert_eq!(
        [of(of_plain, "value"), of(of_tombstone, "value"), of(of_large, "value")],
        ["whole", "none", "left_out"].map(Value::from)
    );
    assert_eq!(line.keys(&["--reason", "decode_error"]), set_of(&[of_plain, of_thrice]));
    assert_eq!(line.keys(&["--since", "2026-01-03T00:00:00Z"]), all.iter().filter(|key| *key != of_empty).cloned().collect());
    assert_eq!(line.keys(&["--limit", "1"]), set_of(&[of_empty]));
    let said = line.says(0, &["ls"]);
    assert!(
        said.contains("6 dead letters") && said.contains("1 damaged, 2 decode_error, 2 envelope_error, 1 too_large"),
        "{said}"
    );

    let shown = line.says(0, &["show", of_plain, "--save", "saved.jpg"]);
    for expected in ["decode_error", "what was wrong", "1 of 3", "image/jpeg", "a = null", "empty = \"\"", "binary = 0xff00"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert_eq!(Some(fs::read(line.folder.path().join("saved.jpg")).expect("the file")), plain.value);
    assert!(line.says(1, &["show", of_plain, "--save", "saved.jpg"]).contains("saved.jpg"), "nothing is overwritten");
    line.says(0, &["show", of_large, "--save", "large"]);
    assert_eq!(Some(fs::read(line.folder.path().join("large")).expect("the file")), large.value);
    assert!(line.says(0, &["show", "nonsense"]).contains("damaged"));

    let (ends, letters) = (line.kafka.ends(&line.input), line.kafka.read(&line.letters).len());
    let dry = line.says(1, &["retry", "--all", "--dry-run"]);
    assert!(dry.contains(&format!("would retry {of_plain} to {}/2", line.input)), "{dry}");
    assert_eq!((line.kafka.ends(&line.input), line.kafka.read(&line.letters).len()), (ends.clone(), letters), "nothing was done");

    let said = line.says(1, &["retry", "--all"]);
    assert!(said.contains("4 retried, 2 not"), "{said}");
    assert!(said.contains(&format!("left {of_thrice}: exhausted")) && said.contains("left nonsense: damaged"), "{said}");
    let mut back = BTreeMap::new();
    for (partition, sent) in line.since(&ends) {
        let (sent, ours) = sent.split();
        assert_eq!(ours.keys().collect::<Vec<_>>(), ["dlq_attempt", "dlq_capture_ts", "dlq_first_seen", "dlq_origin"]);
        assert_eq!(ours["dlq_origin"].rsplit('/').nth(1), Some(partition.to_string().as_str()), "to its old partition");
        back.insert(ours["dlq_origin"].clone(), (sent, ours["dlq_attempt"].clone()));
    }
    let (empty_itself, _) = empty.clone().split();
    let expected =
        [(of_plain, &plain, "1"), (of_tombstone, &tombstone, "1"), (of_empty, &empty_itself, "2"), (of_large, &large, "1")];
    assert_eq!(back, expected.map(|(key, sent, attempt)| (key.clone(), (sent.clone(), attempt.to_owned()))).into());
    assert_eq!(line.keys(&[]), set_of(&[of_thrice, &nonsense]));
    let ended = line.kafka.read(&line.letters).len() - letters;
    assert_eq!(ended, 4, "one tombstone each");

    assert!(line.says(0, &["retry", of_thrice, "--force"]).contains("1 retried, 0 not"));
    assert_eq!(line.keys(&[]), set_of(&[&nonsense]));
}

#[test]
fn a_letter_that_cannot_be_retried_stays_and_says_why() {
    let line = Line::new("stuck");
    let small = Sent::new(Some(b"door"), Some(b"x"), &[]);
    let large = Sent::new(None, Some(&vec![1; 5_000]), &[]);
    let at = |topic: &str, partition: i32, offset: i64| MessageKey { topic: topic.into(), partition, offset: Offset(offset) };
    let other = line.send(&line.input, 1, &small, now_millis());
    let letter = |key: &MessageKey, original: &Sent| line.letter(key, original, Reason::TooLarge, 1_000, now_millis());
    let cases = [
        (letter(&at(&line.input, 0, 77), &large), "no longer has the original"),
        (letter(&at(&line.input, 1, other), &large), "another message lies at"),
        (letter(&at(&line.input, 9, 1), &large), "no longer has the original"),
        (letter(&at("somewhere-else", 0, 1), &small), "none of kafka.topics"),
        (letter(&at(&line.letters, 0, 1), &small), "which cannot be"),
    ];
    let ends = line.kafka.ends(&line.input);
    let said = line.says(1, &["retry", "--all"]);
    for (key, why) in &cases {
        let says = |line: &str| line.starts_with(&format!("left {key}: ")) && line.contains(why);
        assert!(said.lines().any(says), "{key}: {why}: {said}");
    }
    assert_eq!(line.kafka.ends(&line.input), ends);
    assert_eq!(line.keys(&[]), cases.iter().map(|(key, _)| key.clone()).collect());
    let gone = line.says(1, &["retry", "somewhere-else/0/1", "--set", "kafka.topics=somewhere-else"]);
    assert!(gone.contains("no longer exists"), "{gone}");
    // A partition that is gone gives way to that of the key.
    let moved = letter(&at(&line.input, 9, 2), &small);
    assert!(line.says(0, &["retry", &moved]).contains("1 retried"));
    let (sent, ours) = line.since(&ends).remove(0).1.split();
    assert_eq!((sent, &ours["dlq_origin"]), (small, &moved));
}

#[test]
fn what_is_asked_for_wrongly_is_refused_with_what_would_be_right() {
    let line = Line::new("asked");
    assert!(line.says(0, &["ls"]).contains("0 dead letters"));
    let key = line.fail(0, &Sent::new(None, Some(b"x"), &[]), Reason::DecodeError, 1_000);
    let mistyped = format!("{key}1");
    for (arguments, mentions) in [
        (vec!["show", &mistyped], format!("did you mean {key}")),
        (vec!["retry"], "--all".to_owned()),
        (vec!["retry", "--reason", "decode_error"], "--all".to_owned()),
        (vec!["ls", "--reason", "decode-error"], "decode_error".to_owned()),
        (vec!["ls", "--since", "yesterday"], "90m".to_owned()),
        (vec!["ls", "--topic", "no-such-topic"], "there is no topic no-such-topic".to_owned()),
        (vec!["ls", "--set", "dead_letters.topic="], "set dead_letters.topic, or name one with --topic".to_owned()),
    ] {
        let said = line.says(2, &arguments);
        assert!(said.contains(&mentions), "{mentions}: {said}");
    }
    assert!(line.says(1, &["retry", &mistyped]).contains(&format!("did you mean {key}")));
    assert!(line.says(1, &["retry", &key, "--reason", "expired"]).contains("leave it out"));
    // Nothing listens on the discard port.
    assert!(line.says(1, &["ls", "--set", "kafka.brokers=127.0.0.1:9"]).contains("no answer from 127.0.0.1:9"));
    assert_eq!(line.keys(&[]), set_of(&[&key]));
}

#[test]
fn a_frame_that_failed_for_a_mended_reason_gets_its_row_when_it_is_retried() {
    let line = Line::new("mended");
    let Record { key, payload, .. } = pictures(1, 1).remove(0);
    let picture = Sent { key, value: payload, headers: Vec::new() };
    let key = line.fail(0, &picture, Reason::TooLarge, 1 << 20);
    let store = line.folder.path().join("faces");
    let mut config = quick(line.kafka, &line.input, "mended", &file_url(&store));
    set(&mut config, "envelope", "max_bytes", "1KiB");
    let run = |config: &Table| {
        let finished = Facestream::run(config, &["--until-end"]).wait_exit(LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
    };
    run(&config);
    set(&mut config, "envelope", "max_bytes", "16MiB");
    line.says(0, &["retry", &key]);
    assert!(line.keys(&[]).is_empty());
    run(&config);
    let rows = Duck::in_folder(&store).rows("SELECT kafka_offset AS o, status AS s FROM 'frames/**/*.parquet' ORDER BY o");
    let rows: Vec<_> = rows.iter().map(|row| (row["o"].clone(), row["s"].clone())).collect();
    assert_eq!(rows, [(json!(0), json!("too_large")), (json!(1), json!("ok"))]);
}

#[test]
fn check_looks_for_the_topics_that_the_pipeline_writes_to() {
    let line = Line::new("outputs");
    let store = format!("store.url={}", file_url(&line.folder.path().join("faces")));
    let check = |more: &[&str]| {
        let arguments = [&["check", "--set", &store, "--set", "http.listen=127.0.0.1:0"], more].concat();
        Facestream::command(line.folder.path(), &arguments, Duration::from_mins(2))
    };
    let fine = check(&[]);
    assert_eq!(fine.code, Some(0), "{}", fine.output);
    assert!(fine.output.lines().any(|found| found.contains("ok") && found.contains(&line.letters)), "{}", fine.output);
    let missing = check(&["--set", "events.topic=no-events", "--set", "windows.topic=no-windows"]);
    assert_eq!(missing.code, Some(1), "{}", missing.output);
    for key in ["events.topic", "windows.topic"] {
        assert!(missing.output.lines().any(|found| found.contains("WRONG") && found.contains(key)), "{}", missing.output);
    }
    let tight = format!("{}-tight", line.letters);
    line.kafka.create_topic(&tight, 1, &[("max.message.bytes", "900000")]);
    let topic = format!("dead_letters.topic={tight}");
    let too_small = check(&["--set", &topic]);
    assert_eq!(too_small.code, Some(1), "{}", too_small.output);
    assert!(
        too_small.output.contains("max.message.bytes") && too_small.output.contains("dead_letters.max_bytes"),
        "{}",
        too_small.output
    );
    assert_eq!(check(&["--set", &topic, "--set", "dead_letters.max_bytes=800KiB"]).code, Some(0));
}
