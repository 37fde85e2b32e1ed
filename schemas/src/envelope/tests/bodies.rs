//! What JSON and MessagePack bodies have in common: the same document in both, written by encoders that are not ours.

use serde_json::{Value, json};

use super::*;

/// The document in both formats.
fn both(document: &Value) -> [(Format, Vec<u8>); 2] {
    [(Format::Json, document.to_string().into_bytes()), (Format::MsgPack, rmp_serde::to_vec_named(document).unwrap())]
}

#[test]
fn fields_are_found_by_their_names() {
    let document = json!({
        "before": [{"source_id": "not this"}, null, 1.5, true],
        "source_id": "gate", "capture_ts_ns": 1_795_348_799_250_000_000_i64, "frame_id": "f-1", "frame_seq": 5,
        "image": JPEG_BASE64, "meta": {"image": "not this"},
    });
    for (format, body) in both(&document) {
        for format in [format, Format::Auto] {
            let record = record(Some(b"key"), &body, &[]);
            let (meta, picture) = open(&record, &rules_for(format));
            assert_eq!(picture.unwrap(), Picture::Base64(Bytes::from_static(JPEG_BASE64.as_bytes())), "{format:?}");
            assert_eq!((meta.source_id.as_str(), meta.frame_id.as_str(), meta.frame_seq), ("gate", "f-1", Some(5)));
            assert_eq!((meta.capture_ts, meta.ts_origin), (Micros(NOON.0 - 750_000), TsOrigin::Header));
            assert_eq!((meta.content_type, meta.size_bytes), (Some("image/jpeg"), body.len() as u64));
        }
    }
}

#[test]
fn the_picture_is_a_slice_of_the_message() {
    for (format, body) in both(&json!({"image": format!("data:image/jpeg;base64,{JPEG_BASE64}")})) {
        let record = record(None, &body, &[]);
        let Picture::Base64(text) = open(&record, &rules_for(format)).1.unwrap() else { panic!("not base64") };
        assert_eq!(text, JPEG_BASE64);
        let value = record.value.unwrap();
        assert!(value.as_ptr_range().contains(&text.as_ptr()), "{format:?} was copied");
    }
}

#[test]
fn pointers_lead_to_fields_of_other_names() {
    let document = json!({
        "camera": {"name": "gate", "a/b": {"m~n": 9}}, "shots": [{"jpeg": "not this"}, {"jpeg": JPEG_BASE64, "url": null}],
        "source_id": "not this", "image": "not this", "": {"": "f-2"}, "digest": "00".repeat(32),
    });
    let pointers = [
        (Field::SourceId, "/camera/name"),
        (Field::FrameSeq, "/camera/a~1b/m~0n"),
        (Field::Image, "/shots/1/jpeg"),
        (Field::ImageUri, "/shots/1/url"),
        (Field::FrameId, "//"),
        (Field::ImageSha256, "/digest"),
    ];
    for (format, body) in both(&document) {
        let mut rules = rules_for(format);
        rules.pointers = pointers.map(|(field, pointer)| (field, pointer.to_owned())).into();
        let (meta, picture) = open(&record(None, &body, &[]), &rules);
        assert_eq!(picture.unwrap(), Picture::Base64(Bytes::from_static(JPEG_BASE64.as_bytes())), "{format:?}");
        assert_eq!((meta.source_id.as_str(), meta.frame_id.as_str(), meta.frame_seq), ("gate", "f-2", Some(9)), "{format:?}");
    }
}

#[test]
fn a_body_may_be_an_array_where_pointers_say_so() {
    for (format, body) in both(&json!(["gate", JPEG_BASE64])) {
        let mut rules = rules_for(format);
        rules.pointers = BTreeMap::from([(Field::SourceId, "/0".to_owned()), (Field::Image, "/1".to_owned())]);
        let (meta, picture) = open(&record(None, &body, &[]), &rules);
        assert!(matches!(picture, Ok(Picture::Base64(_))), "{format:?} {picture:?}");
        assert_eq!(meta.source_id.as_str(), "gate");
    }
}

#[test]
fn ids_may_be_integers_and_numbers_may_be_text() {
    let document = json!({
        "source_id": 12, "frame_id": -3, "frame_seq": "0042", "capture_ts_ns": "1795348799250000000", "image": JPEG_BASE64,
    });
    for (format, body) in both(&document) {
        let (meta, picture) = open(&record(None, &body, &[]), &rules_for(format));
        assert!(picture.is_ok(), "{picture:?}");
        assert_eq!((meta.source_id.as_str(), meta.frame_id.as_str(), meta.frame_seq), ("12", "-3", Some(42)));
        assert_eq!(meta.capture_ts, Micros(NOON.0 - 750_000));
    }
}

#[test]
fn times_come_in_every_unit() {
    for (unit, time) in [
        (TimeUnit::Us, json!(1_795_348_799_250_000_i64)),
        (TimeUnit::Ms, json!(1_795_348_799_250_i64)),
        (TimeUnit::S, json!(1_795_348_799.25)),
        (TimeUnit::S, json!("1795348799.25")),
        (TimeUnit::Rfc3339, json!("2026-11-22T11:59:59.25Z")),
    ] {
        for (format, body) in both(&json!({"capture_ts_ns": time, "image": JPEG_BASE64})) {
            let rules = Rules { capture_ts_unit: unit, ..rules_for(format) };
            let (meta, picture) = open(&record(None, &body, &[]), &rules);
            assert!(picture.is_ok(), "{picture:?}");
            assert_eq!((meta.capture_ts, meta.ts_origin), (Micros(NOON.0 - 750_000), TsOrigin::Header), "{unit:?}");
        }
    }
}

#[test]
fn the_body_wins_over_headers_and_headers_over_the_key() {
    let headers: &Headers<'_> = &[("source_id", b"header"), ("frame_id", b"header"), ("frame_seq", b"1")];
    for (format, body) in both(&json!({"frame_id": "body", "frame_seq": null, "source_id": "", "image": JPEG_BASE64})) {
        let (meta, picture) = open(&record(Some(b"key"), &body, headers), &rules_for(format));
        assert!(picture.is_ok(), "{picture:?}");
        assert_eq!((meta.source_id.as_str(), meta.frame_id.as_str(), meta.frame_seq), ("header", "body", Some(1)));
        let (meta, _) = open(&record(Some(b"key"), &body, &[]), &rules_for(format));
        assert_eq!((meta.source_id.as_str(), meta.frame_seq), ("key", None), "null and empty are absent");
    }
}

#[test]
fn a_body_may_be_a_claim_check() {
    let reference = Reference { uri: "s3://bucket/f.jpg".to_owned(), sha256: Some([0xCD; 32]) };
    let digest = "Cd".repeat(32);
    for document in [
        json!({"image_uri": "s3://bucket/f.jpg", "image_sha256": digest, "image": null}),
        json!({"image_uri": "s3://bucket/f.jpg", "image_sha256": digest, "image": ""}),
        json!({"image": "s3://bucket/f.jpg", "image_sha256": digest}),
    ] {
        for (format, body) in both(&document) {
            let (meta, picture) = open(&record(None, &body, &[]), &rules_for(format));
            assert_eq!(picture, Ok(Picture::At(reference.clone())), "{document}");
            assert_eq!(meta.content_type, None);
        }
    }
    for (format, body) in both(&json!({"image_sha256": digest})) {
        let (_, picture) = open(&record(None, &body, &[("image_uri", b"s3://bucket/f.jpg")]), &rules_for(format));
        assert_eq!(picture, Ok(Picture::At(reference.clone())));
    }
}

#[test]
fn hostile_bodies_keep_what_is_known_and_say_what_is_wrong() {
    let long = "x".repeat(300);
    let uri = format!("s3://b/{long}{long}{long}{long}{long}{long}{long}");
    let cases = [
        ("an array", json!(["image"]), ["an array", "expected an object"]),
        ("text", json!("image"), ["is text", "expected an object"]),
        ("a number", json!(5), ["a number", "expected an object"]),
        ("nothing", json!(null), ["is n", "expected an object"]),
        ("no image", json!({"source_id": "gate"}), ["image is missing", "image_uri"]),
        ("null image", json!({"image": null}), ["image is missing", "image_uri"]),
        ("both", json!({"image": JPEG_BASE64, "image_uri": "s3://b/k"}), ["both", "image_uri"]),
        ("both in one", json!({"image": "s3://b/j", "image_uri": "s3://b/k"}), ["both", "image_uri"]),
        ("integer image", json!({"image": 5}), ["image is 5", "base64"]),
        ("image of parts", json!({"image": [255, 216, 255]}), ["image is an array", "base64"]),
        ("image object", json!({"image": {"data": JPEG_BASE64}}), ["image is an object", "base64"]),
        ("true image", json!({"image": true}), ["image is true", "base64"]),
        ("data URL of text", json!({"image": "data:image/jpeg,abc"}), ["data:image/jpeg,abc", "base64"]),
        ("endless data URL", json!({"image": format!("data:{long},")}), ["data:xxx", "base64"]),
        ("empty data URL", json!({"image": "data:image/png;base64,"}), ["data:image/png", "after the comma"]),
        ("source object", json!({"source_id": {}, "image": JPEG_BASE64}), ["source_id is an object", "text or an integer"]),
        ("true source", json!({"source_id": true, "image": JPEG_BASE64}), ["source_id is true", "text or an integer"]),
        ("long source", json!({"source_id": long, "image": JPEG_BASE64}), ["source_id has 300", "256"]),
        ("very long source", json!({"source_id": uri, "image": JPEG_BASE64}), ["source_id has 2107 bytes", "256"]),
        ("fractional seq", json!({"frame_seq": 1.5, "image": JPEG_BASE64}), ["frame_seq is 1.5", "64-bit integer"]),
        ("wordy seq", json!({"frame_seq": "five", "image": JPEG_BASE64}), ["frame_seq is \"five\"", "64-bit integer"]),
        ("long seq", json!({"frame_seq": uri, "image": JPEG_BASE64}), ["frame_seq is text of 2107 bytes", "64-bit integer"]),
        ("large seq", json!({"frame_seq": u64::MAX, "image": JPEG_BASE64}), ["frame_seq is 18446744073709551615", "64-bit"]),
        ("float stamp", json!({"capture_ts_ns": 1.5, "image": JPEG_BASE64}), ["capture_ts_ns is 1.5", "64-bit integer"]),
        ("array stamp", json!({"capture_ts_ns": [1], "image": JPEG_BASE64}), ["capture_ts_ns is an array", "64-bit integer"]),
        ("integer URI", json!({"image_uri": 7}), ["image_uri is 7", "scheme"]),
        ("path URI", json!({"image_uri": "/etc/passwd"}), ["image_uri is \"/etc/passwd\"", "scheme"]),
        ("long URI", json!({"image_uri": uri}), ["image_uri has 2107 bytes", "2048"]),
        ("lines in URI", json!({"image_uri": "s3://b/a\nb"}), ["image_uri is \"s3://b/a\\nb\"", "control"]),
        ("short digest", json!({"image_uri": "s3://b/k", "image_sha256": "ab"}), ["image_sha256 is \"ab\"", "64"]),
        ("integer digest", json!({"image_uri": "s3://b/k", "image_sha256": 1}), ["image_sha256 is 1", "64"]),
    ];
    for (case, document, mentions) in cases {
        for (format, body) in both(&document) {
            let rules = Rules { max_bytes: 100_000, ..rules_for(format) };
            let opened = open(&record(Some(b"cam"), &body, &[("frame_seq", b"8")]), &rules);
            assert_refused(&format!("{case} in {format:?}"), &opened, Reason::EnvelopeError, &mentions);
            let expected = if document["source_id"] == "gate" { "gate" } else { "cam" };
            assert_eq!((opened.0.source_id.as_str(), opened.0.frame_seq), (expected, Some(8)), "{case} in {format:?}");
        }
    }
}

#[test]
fn a_mistake_names_the_place_that_was_configured() {
    for (format, body) in both(&json!({"meta": {"n": "x"}})) {
        let mut rules = rules_for(format);
        rules.pointers = BTreeMap::from([(Field::FrameSeq, "/meta/n".to_owned()), (Field::Image, "/pic".to_owned())]);
        let opened = open(&record(None, &body, &[]), &rules);
        assert_refused("seq", &opened, Reason::EnvelopeError, &["frame_seq (/meta/n) is \"x\""]);
        rules.pointers.remove(&Field::FrameSeq);
        assert_refused("image", &open(&record(None, &body, &[]), &rules), Reason::EnvelopeError, &["image (/pic) is missing"]);
    }
}
