//! The value is the picture, or empty with its URI in a header.

use super::*;

fn meta_of(record: &Record<'_>) -> FrameMeta {
    let (meta, image) = open(record, &rules());
    assert_eq!(image.unwrap(), Picture::Encoded(record.value.clone().unwrap()));
    meta
}

#[test]
fn a_bare_image_is_all_that_is_needed() {
    let meta = meta_of(&record(None, JPEG, &[]));
    assert_eq!(meta.source_id.as_str(), "cams-3");
    assert_eq!(meta.frame_id, "cams/3/7");
    assert_eq!((meta.capture_ts, meta.ts_origin), (NOON, TsOrigin::Record));
    assert_eq!((meta.content_type, meta.size_bytes), (Some("image/jpeg"), 7));
}

#[test]
fn headers_win_over_the_key_and_the_last_of_duplicates_counts() {
    let headers: &Headers<'_> = &[
        ("source_id", b"first"),
        ("capture_ts_ns", b"1795348799123456789"),
        ("frame_seq", b"12"),
        ("frame_id", b"f-1"),
        ("source_id", b"door"),
        ("content-type", b"text/plain"),
    ];
    let meta = meta_of(&record(Some(b"key"), JPEG, headers));
    assert_eq!(meta.source_id.as_str(), "door");
    assert_eq!(meta.frame_seq, Some(12));
    assert_eq!(meta.frame_id, "f-1");
    assert_eq!((meta.capture_ts, meta.ts_origin), (Micros(1_795_348_799_123_456), TsOrigin::Header));
    assert_eq!(meta.content_type, Some("image/jpeg"), "magic bytes count, not the header");
}

#[test]
fn headers_of_other_names_need_configuration_only() {
    let mut rules = rules();
    rules.headers = BTreeMap::from([
        (Field::SourceId, "x-camera".to_owned()),
        (Field::FrameSeq, "idx".to_owned()),
        (Field::CaptureTsNs, "pts".to_owned()),
    ]);
    rules.capture_ts_unit = TimeUnit::Ms;
    let headers: &Headers<'_> =
        &[("x-camera", b"gate"), ("source_id", b"not this"), ("idx", b"41"), ("frame_seq", b"junk"), ("pts", b"1795348799250")];
    let (meta, image) = open(&record(Some(b"key"), JPEG, headers), &rules);
    assert_eq!(image.unwrap(), Picture::Encoded(Bytes::from_static(JPEG)));
    assert_eq!((meta.source_id.as_str(), meta.frame_seq), ("gate", Some(41)));
    assert_eq!(meta.capture_ts, Micros(1_795_348_799_250_000));
}

#[test]
fn a_binary_key_is_named_by_its_hex_digits() {
    assert_eq!(meta_of(&record(Some(&[0xFF, 0x00, 0x1A]), JPEG, &[])).source_id.as_str(), "0xff001a");
}

#[test]
fn an_empty_value_with_a_uri_is_a_claim_check() {
    let digest = "00FFaa".to_owned() + &"1".repeat(58);
    let headers: &Headers<'_> = &[("image_uri", b"s3://bucket/a%20b.jpg"), ("image_sha256", digest.as_bytes())];
    let mut tombstone = record(Some(b"cam"), b"", headers);
    tombstone.value = None;
    for record in [record(Some(b"cam"), b"", headers), tombstone] {
        for format in [Format::Auto, Format::Raw, Format::CloudEvents, Format::Json, Format::MsgPack] {
            let (meta, picture) = open(&record, &rules_for(format));
            let Picture::At(reference) = picture.unwrap() else { panic!("{format:?} has the picture here") };
            assert_eq!(reference.uri, "s3://bucket/a%20b.jpg");
            let mut expected = [0x11; 32];
            expected[..3].copy_from_slice(&[0x00, 0xFF, 0xAA]);
            assert_eq!(reference.sha256, Some(expected));
            assert_eq!((meta.source_id.as_str(), meta.content_type), ("cam", None));
        }
    }
    let (_, picture) = open(&record(None, b"", &[("image_uri", b"file:///srv/frame.png")]), &rules());
    assert_eq!(picture.unwrap(), Picture::At(Reference { uri: "file:///srv/frame.png".to_owned(), sha256: None }));
}

/// Its name, then key, value and headers, then the expected source, reason and what the text mentions.
type Case<'a> = (&'a str, Option<&'a [u8]>, &'a [u8], &'a Headers<'a>, &'a str, Reason, &'a [&'a str]);

#[test]
fn hostile_messages_keep_what_is_known_and_say_what_is_wrong() {
    let long = [b'x'; 257];
    let uri_limit = [b"http://h/".as_slice(), &[b'x'; 2_039]].concat();
    let uri_too_long = [b"http://h/".as_slice(), &[b'x'; 2_040]].concat();
    let uri = |uri: &[u8]| open(&record(Some(b"cam"), b"", &[("image_uri", uri)]), &rules());
    assert!(uri(&uri_limit).1.is_ok(), "2,048 bytes are accepted");

    let cam: Option<&[u8]> = Some(b"cam");
    let too_large = [1; 1_001];
    let cases: &[Case<'_>] = &[
        ("empty", cam, b"", &[], "cam", Reason::EnvelopeError, &["the value is empty", "image_uri"]),
        ("too large", cam, &too_large, &[("frame_seq", b"x")], "cam", Reason::TooLarge, &["1001", "1000", "envelope.max_bytes"]),
        ("fraction", cam, JPEG, &[("frame_seq", b"1.5")], "cam", Reason::EnvelopeError, &["header frame_seq", "1.5"]),
        ("no stamp", cam, JPEG, &[("capture_ts_ns", b"")], "cam", Reason::EnvelopeError, &["header capture_ts_ns"]),
        ("not UTF-8", cam, JPEG, &[("source_id", b"\xff")], "cam", Reason::EnvelopeError, &["source_id", "not UTF-8"]),
        ("long id", cam, JPEG, &[("source_id", &long)], "cam", Reason::EnvelopeError, &["source_id", "257", "256"]),
        ("long frame id", cam, JPEG, &[("frame_id", &long)], "cam", Reason::EnvelopeError, &["frame_id", "257"]),
        ("long key", Some(&long), JPEG, &[], "cams-3", Reason::EnvelopeError, &["key", "257"]),
        ("long binary key", Some(&[0xFF; 33]), JPEG, &[], "cams-3", Reason::EnvelopeError, &["key", "33"]),
        ("both", cam, JPEG, &[("image_uri", b"s3://b/k")], "cam", Reason::EnvelopeError, &["both", "image_uri"]),
        ("no scheme", cam, b"", &[("image_uri", b"/etc/passwd")], "cam", Reason::EnvelopeError, &["image_uri", "/etc/passwd"]),
        ("only a scheme", cam, b"", &[("image_uri", b"s3:")], "cam", Reason::EnvelopeError, &["image_uri", "scheme"]),
        ("odd scheme", cam, b"", &[("image_uri", b"1s3://b/k")], "cam", Reason::EnvelopeError, &["image_uri", "scheme"]),
        ("control", cam, b"", &[("image_uri", b"s3://b/a\r\nHost: x")], "cam", Reason::EnvelopeError, &["image_uri", "control"]),
        ("binary URI", cam, b"", &[("image_uri", b"s3://\xff")], "cam", Reason::EnvelopeError, &["image_uri", "UTF-8"]),
        ("long URI", cam, b"", &[("image_uri", &uri_too_long)], "cam", Reason::EnvelopeError, &["image_uri", "2049", "2048"]),
        (
            "short digest",
            cam,
            b"",
            &[("image_uri", b"s3://b/k"), ("image_sha256", b"abc")],
            "cam",
            Reason::EnvelopeError,
            &["image_sha256", "abc", "64"],
        ),
        (
            "digest of other digits",
            cam,
            b"",
            &[("image_uri", b"s3://b/k"), ("image_sha256", "g".repeat(64).leak().as_bytes())],
            "cam",
            Reason::EnvelopeError,
            &["image_sha256", "64"],
        ),
    ];
    for (case, key, value, headers, source, reason, mentions) in cases {
        let opened = open(&record(*key, value, headers), &rules());
        assert_refused(case, &opened, *reason, mentions);
        assert_eq!((opened.0.source_id.as_str(), opened.0.key.offset), (*source, Offset(7)), "{case}");
    }
}

#[test]
fn a_missing_picture_names_the_header_that_was_configured() {
    let rules = Rules { headers: BTreeMap::from([(Field::ImageUri, "x-url".to_owned())]), ..rules() };
    assert_refused("empty", &open(&record(None, b"", &[]), &rules), Reason::EnvelopeError, &["empty", "header x-url"]);
    assert!(open(&record(None, b"", &[("x-url", b"s3://b/k")]), &rules).1.is_ok());
}

#[test]
fn what_was_too_large_to_be_copied_is_too_large_and_not_empty() {
    let mut uncopied = record(Some(b"cam"), b"", &[]);
    (uncopied.value, uncopied.value_bytes) = (None, 100_000_000);
    let opened = open(&uncopied, &rules());
    assert_refused("100 MB", &opened, Reason::TooLarge, &["100000000"]);
    assert_eq!(opened.0.size_bytes, 100_000_000);
}
