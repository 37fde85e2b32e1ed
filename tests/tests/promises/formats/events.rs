//! Events and windows from real topics, held against the published JSON Schemas by a validator that is not ours.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use facestream_tests::{Duck, Facestream, Kafka, python, scratch};
use rdkafka::message::{Headers as _, Message as _, OwnedMessage};
use serde_json::{Value, json};

use super::{Sent, read, two_minutes};
use crate::{LONG, file_url, set};

/// Decodes each message as its content type says, validates it, and checks that the validator does refuse what is wrong.
const VALIDATE: &str = r#"
import copy, json, sys, msgpack
from jsonschema import Draft202012Validator

given = json.load(sys.stdin)
Draft202012Validator.check_schema(given["schema"])
validator = Draft202012Validator(given["schema"])
decode = {"application/json": json.loads, "application/msgpack": msgpack.unpackb}
bodies = []
for message in given["messages"]:
    body = decode[message["content-type"]](bytes.fromhex(message["value"]))
    for error in validator.iter_errors(body):
        sys.exit(f"{body}: {error.message} at {error.json_path}")
    for name, value in body.items():
        lacking = {key: value for key, value in body.items() if key != name}
        wrong = body | {name: {"neither": "text", "nor": "a number"}}
        if validator.is_valid(lacking) or validator.is_valid(wrong):
            sys.exit(f"{name} may be missing or anything in {body['type']}")
    bodies.append(body)
json.dump(bodies, sys.stdout)
"#;

fn text(message: &OwnedMessage, name: &str) -> String {
    let headers = message.headers().expect("headers");
    let found = headers.iter().find(|header| header.key == name).unwrap_or_else(|| panic!("a header {name}"));
    String::from_utf8(found.value.expect("a value").to_vec()).expect("text")
}

/// The bodies of a topic's messages, each of which is as the schema says; keys and headers say the same as the bodies.
fn valid_bodies(topic: &str, schema: &str) -> Vec<Value> {
    let messages = Kafka::shared().read(topic);
    let described: Vec<_> = messages
        .iter()
        .map(|message| {
            let value = message.payload().expect("a body").iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("text takes text");
                hex
            });
            json!({"content-type": text(message, "content-type"), "value": value})
        })
        .collect();
    let schema: Value = serde_json::from_str(&read(schema)).expect("a schema is JSON");
    let given = json!({"schema": schema, "messages": described}).to_string();
    let bodies: Vec<Value> = serde_json::from_str(&python(VALIDATE, &[], &given, scratch().path())).expect("JSON");
    for (message, body) in messages.iter().zip(&bodies) {
        assert_eq!(json!(text(message, "event_id")), body["event_id"]);
        assert_eq!(json!(text(message, "schema_version")), body["schema_version"]);
        assert_eq!(message.key(), body["source_id"].as_str().map(str::as_bytes));
    }
    bodies
}

/// A run over two minutes of frames with events of this kind; its events, its windows, and its store.
struct Told {
    topic: String,
    sent: Vec<Sent>,
    offsets: Vec<i64>,
    events: Vec<Value>,
    windows: Vec<Value>,
    windows_stored: Value,
}

impl Told {
    fn of(format: &str, what: &str) -> Self {
        let kafka = Kafka::shared();
        let [topic, events, windows] = ["told", "told-events", "told-windows"].map(|name| kafka.topic(name, 2));
        let sent = two_minutes();
        let offsets = kafka.produce(&topic, &sent.iter().map(Sent::record).collect::<Vec<_>>());
        let folder = scratch();
        let mut config = Facestream::config(kafka, &topic, &topic, &file_url(folder.path()));
        for (section, key, value) in [
            ("events", "topic", &*events),
            ("events", "format", format),
            ("events", "what", what),
            ("windows", "topic", &windows),
        ] {
            set(&mut config, section, key, value);
        }
        let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        Self {
            topic,
            sent,
            offsets,
            events: valid_bodies(&events, "schemas/json/event.schema.json"),
            windows: valid_bodies(&windows, "schemas/json/window.schema.json"),
            windows_stored: Duck::in_folder(folder.path()).value("SELECT count(*) FROM 'windows/**/*.parquet'"),
        }
    }

    /// `topic/partition/offset` of each message, with the message.
    fn messages(&self) -> impl Iterator<Item = (String, &Sent)> {
        let ids = self.sent.iter().zip(&self.offsets);
        ids.map(|(sent, offset)| (format!("{}/{}/{offset}", self.topic, sent.partition), sent))
    }

    /// There is one event for each of these ids, and no other.
    fn assert_ids(&self, expected: impl Iterator<Item = String>) {
        let found: Vec<_> = self.events.iter().map(|event| event["event_id"].as_str().expect("text").to_owned()).collect();
        let expected: BTreeSet<_> = expected.collect();
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    fn event(&self, id: &str) -> &Value {
        self.events.iter().find(|event| event["event_id"] == id).expect("the event")
    }

    /// Every row of the table went to the topic, and what they count is what was sent.
    fn assert_windows(&self) {
        assert_eq!(self.windows_stored, self.windows.len());
        let sum = |name: &str| self.windows.iter().filter_map(|window| window[name].as_u64()).sum::<u64>() as usize;
        assert_eq!(sum("frames_ok"), self.sent.iter().filter(|sent| sent.outcome.is_ok()).count());
        assert_eq!(sum("frames_failed"), self.sent.iter().filter(|sent| sent.outcome.is_err()).count());
        assert_eq!(sum("faces_total"), self.sent.iter().filter_map(|sent| sent.outcome.ok()).sum::<usize>());
    }
}

#[test]
fn every_frame_has_its_event_in_json_as_the_schema_says() {
    let told = Told::of("json", "frames");
    told.assert_ids(told.messages().map(|(id, _)| id));
    for (id, sent) in told.messages() {
        let event = told.event(&id);
        assert_eq!((&event["type"], &event["source_id"]), (&json!("frame"), &json!(sent.source())));
        assert_eq!(event["status"], json!(sent.outcome.err().unwrap_or("ok")));
        assert_eq!(event["face_count"], json!(sent.outcome.ok()));
        assert_eq!(event["detections"].as_array().map(Vec::len), Some(sent.outcome.unwrap_or(0)));
    }
    told.assert_windows();
}

#[test]
fn every_face_has_its_event_in_message_pack_as_the_schema_says() {
    let told = Told::of("msgpack", "faces");
    let faces = told.messages().flat_map(|(id, sent)| (0..sent.outcome.unwrap_or(0)).map(move |index| format!("{id}/{index}")));
    told.assert_ids(faces);
    assert!(!told.events.is_empty() && told.events.iter().all(|event| event["type"] == "face" && event["status"] == "ok"));
    told.assert_windows();
}
