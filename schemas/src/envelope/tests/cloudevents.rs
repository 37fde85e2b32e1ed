//! CloudEvents, in the binary mode of their Kafka binding, and in structured mode by configuration.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

const ATTRIBUTES: &Headers<'_> = &[
    ("ce_specversion", b"1.0"),
    ("ce_type", b"com.example.frame"),
    ("ce_id", b"e-1"),
    ("ce_source", b"/cameras/gate"),
    ("ce_time", b"2026-11-22T11:59:59.25Z"),
    ("ce_sequence", b"17"),
    ("content-type", b"image/jpeg"),
];

fn and<'a>(more: &Headers<'a>) -> Vec<(&'a str, &'a [u8])> {
    ATTRIBUTES.iter().chain(more).copied().collect()
}

#[test]
fn attributes_say_what_no_header_of_ours_says() {
    for format in [Format::Auto, Format::CloudEvents] {
        let (meta, picture) = open(&record(None, JPEG, ATTRIBUTES), &rules_for(format));
        assert_eq!(picture.unwrap(), Picture::Encoded(Bytes::from_static(JPEG)));
        assert_eq!((meta.source_id.as_str(), meta.frame_id.as_str(), meta.frame_seq), ("/cameras/gate", "e-1", Some(17)));
        assert_eq!((meta.capture_ts, meta.ts_origin), (Micros(NOON.0 - 750_000), TsOrigin::CloudEvent));
    }
}

#[test]
fn the_source_is_the_header_then_the_attribute_then_the_key_then_the_event_s_source() {
    let source = |key: Option<&'static [u8]>, more: &Headers<'static>| {
        open(&record(key, JPEG, &and(more)), &rules()).0.source_id.to_string()
    };
    let all: &Headers<'static> = &[("source_id", b"header"), ("ce_sourceid", b"attribute")];
    assert_eq!(source(Some(b"key"), all), "header");
    assert_eq!(source(Some(b"key"), &all[1..]), "attribute");
    assert_eq!(source(Some(b"key"), &[]), "key");
    assert_eq!(source(None, &[]), "/cameras/gate");
    assert_eq!(open(&record(None, JPEG, &ATTRIBUTES[..3]), &rules()).0.source_id.as_str(), "cams-3");
}

#[test]
fn headers_of_ours_win_over_attributes() {
    let more: &Headers<'_> = &[("frame_id", b"f"), ("frame_seq", b"2"), ("capture_ts_ns", b"1795348798000000000")];
    let meta = open(&record(None, JPEG, &and(more)), &rules()).0;
    assert_eq!((meta.frame_id.as_str(), meta.frame_seq, meta.ts_origin), ("f", Some(2), TsOrigin::Header));
}

#[test]
fn a_sequence_that_is_no_number_is_no_mistake() {
    let (meta, picture) = open(&record(None, JPEG, &and(&[("ce_sequence", b"0001a")])), &rules());
    assert!(picture.is_ok());
    assert_eq!(meta.frame_seq, None);
}

#[test]
fn attributes_count_only_where_messages_are_cloud_events() {
    for (format, headers) in
        [(Format::Raw, ATTRIBUTES), (Format::Json, ATTRIBUTES), (Format::MsgPack, ATTRIBUTES), (Format::Auto, &ATTRIBUTES[1..])]
    {
        let meta = open(&record(None, JPEG, headers), &rules_for(format)).0;
        assert_eq!((meta.source_id.as_str(), meta.frame_id.as_str()), ("cams-3", "cams/3/7"), "{format:?}");
        assert_eq!((meta.frame_seq, meta.ts_origin), (None, TsOrigin::Record), "{format:?}");
    }
}

#[test]
fn dataref_is_a_claim_check_and_may_come_with_the_data_itself() {
    let digest = "ab".repeat(32);
    let headers = and(&[("ce_dataref", b"https://h/f.jpg"), ("ce_imagesha256", digest.as_bytes())]);
    let (_, picture) = open(&record(None, b"", &headers), &rules());
    assert_eq!(picture.unwrap(), Picture::At(Reference { uri: "https://h/f.jpg".to_owned(), sha256: Some([0xAB; 32]) }));
    let (_, picture) = open(&record(None, JPEG, &headers), &rules());
    assert_eq!(picture.unwrap(), Picture::Encoded(Bytes::from_static(JPEG)));
    let headers = and(&[("ce_dataref", b"https://h/f.jpg"), ("image_uri", b"s3://b/k")]);
    let (_, picture) = open(&record(None, b"", &headers), &rules());
    assert_eq!(picture.unwrap(), Picture::At(Reference { uri: "s3://b/k".to_owned(), sha256: None }));
}

#[test]
fn an_event_s_data_may_be_a_body() {
    let body = format!(r#"{{"image":"{JPEG_BASE64}","frame_seq":3}}"#);
    let headers = and(&[("content-type", b"application/json")]);
    let (meta, picture) = open(&record(None, body.as_bytes(), &headers), &rules());
    assert_eq!(picture.unwrap(), Picture::Base64(Bytes::from_static(JPEG_BASE64.as_bytes())));
    assert_eq!((meta.frame_seq, meta.frame_id.as_str()), (Some(3), "e-1"));
}

#[test]
fn structured_mode_is_refused_with_the_configuration_that_makes_it_work() {
    let event = serde_json::json!({
        "specversion": "1.0", "type": "com.example.frame", "id": "e-9", "source": "/cameras/yard",
        "time": "2026-11-22T11:59:59.25Z", "datacontenttype": "image/jpeg", "data_base64": STANDARD.encode(JPEG),
    });
    let event = event.to_string();
    let headers: &Headers<'_> = &[("content-type", b"application/cloudevents+json; charset=UTF-8")];
    let record = record(None, event.as_bytes(), headers);
    let mentions = ["envelope.format = \"json\"", "\"/data_base64\"", "\"/id\"", "\"/source\"", "\"/time\"", "\"rfc3339\""];
    for format in [Format::Auto, Format::CloudEvents] {
        assert_refused("structured", &open(&record, &rules_for(format)), Reason::EnvelopeError, &mentions);
    }

    let mut rules = rules_for(Format::Json);
    rules.capture_ts_unit = TimeUnit::Rfc3339;
    rules.pointers = BTreeMap::from([
        (Field::Image, "/data_base64".to_owned()),
        (Field::FrameId, "/id".to_owned()),
        (Field::SourceId, "/source".to_owned()),
        (Field::CaptureTsNs, "/time".to_owned()),
    ]);
    let (meta, picture) = open(&record, &rules);
    assert_eq!(picture.unwrap(), Picture::Base64(Bytes::from_static(JPEG_BASE64.as_bytes())));
    assert_eq!((meta.source_id.as_str(), meta.frame_id.as_str()), ("/cameras/yard", "e-9"));
    assert_eq!((meta.capture_ts, meta.ts_origin), (Micros(NOON.0 - 750_000), TsOrigin::Header));
    assert_eq!(meta.content_type, Some("image/jpeg"));
}

#[test]
fn batches_and_other_encodings_are_refused_by_name() {
    for media in ["application/cloudevents-batch+json", "application/cloudevents+protobuf"] {
        let opened = open(&record(None, b"[]", &[("content-type", media.as_bytes())]), &rules());
        assert_refused(media, &opened, Reason::EnvelopeError, &[media, "binary mode", "one by one"]);
    }
}

#[test]
fn hostile_events_keep_what_is_known_and_say_what_is_wrong() {
    let long = [b'x'; 257];
    let cases: &[(&str, &[u8], &Headers<'_>, &[&str])] = &[
        ("no time", JPEG, &[("ce_time", b"yesterday")], &["ce_time", "yesterday", "RFC 3339"]),
        ("a time in digits", JPEG, &[("ce_time", b"1795348799")], &["ce_time", "RFC 3339"]),
        ("binary id", JPEG, &[("ce_id", b"\xc3\x28")], &["ce_id", "UTF-8"]),
        ("long source", JPEG, &[("ce_source", &long)], &["ce_source", "257"]),
        ("long source id", JPEG, &[("ce_sourceid", &long)], &["ce_sourceid", "257"]),
        ("no data", b"", &[], &["empty"]),
        ("reference without a scheme", b"", &[("ce_dataref", b"f.jpg")], &["ce_dataref", "scheme"]),
        ("bad digest", b"", &[("ce_dataref", b"s3://b/k"), ("ce_imagesha256", b"x")], &["ce_imagesha256", "64"]),
        ("both", JPEG, &[("image_uri", b"s3://b/k")], &["both"]),
    ];
    for (case, value, more, mentions) in cases {
        let opened = open(&record(None, value, &and(more)), &rules());
        assert_refused(case, &opened, Reason::EnvelopeError, mentions);
        assert_eq!(opened.0.frame_seq, Some(17), "{case}");
        assert!(opened.0.capture_ts <= NOON, "{case}");
    }
}
