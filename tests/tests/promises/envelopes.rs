//! Every way in: each envelope brings the same picture through, and whatever is wrong with one has its row, its dead letter and
//! its counter, and the pipeline goes on.

use std::collections::BTreeMap;

use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use rdkafka::Message as _;
use serde_json::json;
use toml::{Table, toml};

use crate::{LONG, assert_exactly_once, base64, file_url, quick, set};

/// 2026-11-22T12:00:00.25Z in nanoseconds.
const CAPTURED_NS: i64 = 1_795_348_800_250_000_000;
const CAPTURED: &str = "2026-11-22T12:00:00.250000+00:00";

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn record(payload: impl Into<Vec<u8>>, headers: Vec<(String, Vec<u8>)>) -> Record {
    Record { payload: Some(payload.into()), headers, timestamp_ms: Some(CAPTURED_NS / 1_000_000), ..Record::default() }
}

/// A MessagePack map of the bin `image` and one integer, by hand from the format's description.
fn msgpack(image: &[u8], source_id: &str) -> Vec<u8> {
    let text = |text: &str| [&[0xA0 | text.len() as u8], text.as_bytes()].concat();
    let mut body = vec![0x84];
    body.extend(text("source_id"));
    body.extend(text(source_id));
    body.extend(text("capture_ts_ns"));
    body.push(0xD3);
    body.extend(CAPTURED_NS.to_be_bytes());
    body.extend(text("frame_seq"));
    body.push(7);
    body.extend(text("image"));
    body.push(0xC6);
    body.extend((image.len() as u32).to_be_bytes());
    body.extend(image);
    body
}

#[test]
fn the_same_picture_comes_through_every_envelope_with_its_metadata() {
    let kafka = Kafka::shared();
    let picture = Scene::new(0, Size { w: 640, h: 360 }).picture(7);
    let jpeg = picture.jpeg.as_slice();
    let ns = CAPTURED_NS.to_string();
    let auto = kafka.topic("auto", 1);
    let json =
        json!({"source_id": "door", "capture_ts_ns": CAPTURED_NS, "frame_seq": 7, "image": base64(jpeg), "more": [1, {"a": 2}]});
    let url_safe = base64(jpeg).replace('+', "-").replace('/', "_").replace('=', "");
    let in_lines = url_safe.as_bytes().chunks(76).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\r\n");
    let sent = [
        record(jpeg, headers(&[("source_id", "door"), ("capture_ts_ns", &ns), ("frame_seq", "7")])),
        record(
            jpeg,
            headers(&[
                ("ce_specversion", "1.0"),
                ("ce_id", "f-1"),
                ("ce_source", "/cams"),
                ("ce_type", "frame"),
                ("ce_sourceid", "door"),
                ("ce_sequence", "7"),
                ("ce_time", "2026-11-22T13:00:00.25+01:00"),
            ]),
        ),
        record(json.to_string(), Vec::new()),
        record(msgpack(jpeg, "door"), Vec::new()),
        record(json!({"source_id": "door", "capture_ts_ns": ns, "frame_seq": "7", "image": url_safe}).to_string(), Vec::new()),
        record(json!({"source_id": "door", "capture_ts_ns": ns, "frame_seq": "7", "image": in_lines}).to_string(), Vec::new()),
        record(
            json!({"source_id": "door", "capture_ts_ns": CAPTURED_NS, "frame_seq": 7, "image": format!("data:image/jpeg;base64,{}", base64(jpeg))})
                .to_string()
                .replace('/', "\\/"),
            Vec::new(),
        ),
    ];
    kafka.produce(&auto, &sent);
    // Producers that were there before, with names of their own.
    let theirs = kafka.topic("theirs", 1);
    kafka.produce(
        &theirs,
        &[record(
            json!({"cam": {"name/no": "door"}, "t": "2026-11-22T12:00:00.25Z", "n": 7, "pics": [null, base64(jpeg)]}).to_string(),
            Vec::new(),
        )],
    );
    let savant = kafka.topic("savant", 1);
    kafka.produce(
        &savant,
        &[record(jpeg, headers(&[("x-stream", "door"), ("pts-ms", &(CAPTURED_NS / 1_000_000).to_string()), ("x-seq", "7")]))],
    );

    let folder = scratch();
    let mut config = Facestream::config(kafka, &auto, "envelopes", &file_url(folder.path()));
    set(&mut config, "kafka", "topics", vec![auto.clone(), theirs.clone(), savant.clone()]);
    let json_of = toml! {
        format = "json"
        capture_ts_unit = "rfc3339"
        [pointers]
        source_id = "/cam/name~1no"
        capture_ts_ns = "/t"
        frame_seq = "/n"
        image = "/pics/1"
    };
    let headers_of = toml! {
        format = "raw"
        capture_ts_unit = "ms"
        [headers]
        source_id = "x-stream"
        capture_ts_ns = "pts-ms"
        frame_seq = "x-seq"
    };
    for (topic, envelope) in [(&theirs, json_of), (&savant, headers_of)] {
        let mut of_topic = Table::new();
        of_topic.insert("envelope".to_owned(), envelope.into());
        set(&mut config, "topics", topic, of_topic);
    }
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);

    let duck = Duck::in_folder(folder.path());
    let rows = duck.rows(
        "SELECT kafka_topic AS t, kafka_offset AS o, status, error, source_id, frame_seq, capture_ts, ts_origin, content_type, face_count \
         FROM 'frames/**/*.parquet' ORDER BY ALL",
    );
    assert_eq!(rows.len(), sent.len() + 2);
    for row in rows {
        assert_eq!(row["status"], "ok", "{row:?}");
        assert_eq!((&row["source_id"], &row["frame_seq"]), (&json!("door"), &json!(7)), "{row:?}");
        assert_eq!(row["capture_ts"], CAPTURED, "{row:?}");
        let is_event = row["t"] == *auto && row["o"] == 1;
        assert_eq!(row["ts_origin"], if is_event { "cloudevent" } else { "header" }, "{row:?}");
        assert_eq!((&row["content_type"], &row["face_count"]), (&json!("image/jpeg"), &json!(picture.faces.len())), "{row:?}");
    }
}

/// What is sent, and the status that it must get.
fn hostile(jpeg: &[u8]) -> Vec<(&'static str, Record, &'static str)> {
    let plain = |body: serde_json::Value| record(body.to_string(), Vec::new());
    let image = base64(jpeg);
    let ce = |more: &[(&str, &str)]| {
        [headers(&[("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_source", "/s"), ("ce_type", "t")]), headers(more)].concat()
    };
    let nested = [b"{\"a\":".repeat(1_000_000), b"1".to_vec()].concat();
    let deep = [vec![0x81, 0xA1, b'a', 0x91], vec![0x91; 1_000_000]].concat();
    vec![
        ("a body that is cut", record(&br#"{"image": "aGk"#[..], Vec::new()), "envelope_error"),
        ("no image", plain(json!({"source_id": "a"})), "envelope_error"),
        ("image and URI", plain(json!({"image": image, "image_uri": "https://example.com/a.jpg"})), "envelope_error"),
        ("a number for an image", plain(json!({"image": 5})), "envelope_error"),
        ("no base64", plain(json!({"image": "not base64 at all!"})), "envelope_error"),
        ("an empty image", plain(json!({"image": ""})), "envelope_error"),
        ("a list for a source", plain(json!({"source_id": [1], "image": image})), "envelope_error"),
        ("a time that is none", plain(json!({"capture_ts_ns": "yesterday", "image": image})), "envelope_error"),
        ("base64 of text", plain(json!({"image": base64(b"just text")})), "unsupported"),
        ("a bomb of braces", record(nested, Vec::new()), "envelope_error"),
        ("a bomb of lists", record(deep, Vec::new()), "envelope_error"),
        ("UTF-8 that is none", record(&b"{\"source_id\": \"\xff\xfe\", \"image\": \"aGk=\"}"[..], Vec::new()), "envelope_error"),
        ("half a MessagePack map", record(msgpack(jpeg, "door")[..200].to_vec(), Vec::new()), "envelope_error"),
        ("headers twice, the last is none", record(jpeg, headers(&[("frame_seq", "1"), ("frame_seq", "x")])), "envelope_error"),
        ("a CloudEvent whose time is none", record(jpeg, ce(&[("ce_time", "noon")])), "envelope_error"),
        ("a CloudEvent of nothing", record(Vec::new(), ce(&[])), "envelope_error"),
        ("a URI and a value", record(jpeg, headers(&[("image_uri", "https://example.com/a.jpg")])), "envelope_error"),
        (
            "a URI that is not allowed",
            record(Vec::new(), headers(&[("image_uri", "https://example.com/a.jpg")])),
            "fetch_refused",
        ),
        ("a file", record(Vec::new(), headers(&[("image_uri", "file:///etc/passwd")])), "fetch_refused"),
        (
            "a digest that is none",
            record(Vec::new(), headers(&[("image_uri", "https://a/b"), ("image_sha256", "12")])),
            "envelope_error",
        ),
        ("an H.264 packet", record(&[0, 0, 0, 1, 0x67, 0x42, 0, 0x1F, 0xE9, 0, 0, 0, 1, 0x68][..], Vec::new()), "unsupported"),
        (
            "an HEVC packet",
            record(&[0, 0, 0, 1, 0x40, 0x01, 0x0C, 0x01, 0xFF, 0xFF, 0, 0, 0, 1, 0x42, 0x01][..], Vec::new()),
            "unsupported",
        ),
        ("a VP9 key frame", record(&[0x82, 0x49, 0x83, 0x42, 0, 0x77, 0xF0, 0x32, 0x34][..], Vec::new()), "unsupported"),
        ("AV1", record(&[0x12, 0, 0x0A, 0x0B, 0, 0, 0, 0x2D, 0x4C, 0xFF, 0xB3, 0xC0, 0x21][..], Vec::new()), "unsupported"),
        ("100 MB of base64", record(vec![b'A'; 20 << 20], headers(&[("content-type", "application/json")])), "too_large"),
        ("a time long before", record(jpeg, headers(&[("capture_ts_ns", "-9223372036854775808")])), "ok"),
        ("a time long after", record(jpeg, headers(&[("capture_ts_ns", "9223372036854775807")])), "ok"),
    ]
}

#[test]
fn a_hostile_message_has_its_row_its_dead_letter_and_its_counter_and_the_pipeline_goes_on() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("hostile", 1);
    let jpeg = Scene::new(0, crate::SMALL).picture(0).jpeg;
    let mut sent = hostile(&jpeg);
    sent.push(("a good one after all that", record(jpeg, Vec::new()), "ok"));
    let records: Vec<_> = sent.iter().map(|(_, record, _)| record.clone()).collect();
    kafka.produce(&topic, &records);
    let folder = scratch();
    let mut config = quick(kafka, &topic, "hostile", &file_url(folder.path()));
    let dead_letters = kafka.topic("hostile-dead", 1);
    set(&mut config, "dead_letters", "topic", dead_letters.as_str());

    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames == sent.len() as f64);
    let mut expected: BTreeMap<&str, f64> = BTreeMap::new();
    for (_, _, status) in &sent {
        *expected.entry(status).or_default() += 1.0;
    }
    for (status, count) in &expected {
        assert_eq!(running.metric("facestream_frames_total", &[("status", status)]), *count, "{status}");
        if *status != "ok" {
            running.wait_metric("facestream_dead_letters_total", &[("reason", status)], LONG, |letters| letters == *count);
        }
    }
    assert_eq!(running.metric("facestream_worker_panics_total", &[]), 0.0);
    let finished = running.terminate(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);

    assert_exactly_once(kafka, &topic, folder.path());
    let rows =
        Duck::in_folder(folder.path()).rows("SELECT status, error, ts_origin FROM 'frames/**/*.parquet' ORDER BY kafka_offset");
    for ((what, _, status), row) in sent.iter().zip(&rows) {
        assert_eq!(row["status"], *status, "{what}: {row:?}");
        assert_eq!(row["error"].is_null(), *status == "ok", "{what}: {row:?}");
    }
    let is_clamped = |what: &str| rows[sent.iter().position(|(name, ..)| *name == what).expect("sent")]["ts_origin"] == "clamped";
    assert!(is_clamped("a time long after") && !is_clamped("a time long before"));
    let letters: Vec<_> = kafka.read(&dead_letters).iter().map(|letter| letter.key().expect("a key").to_vec()).collect();
    let failed = sent.iter().enumerate().filter(|(_, (_, _, status))| *status != "ok");
    let expected: Vec<_> = failed.map(|(offset, _)| format!("{topic}/0/{offset}").into_bytes()).collect();
    assert_eq!(letters, expected, "in the order of their offsets");
}
