//! Bytes of any kind, in any format: no panic, and always usable metadata.

use proptest::prelude::*;

use super::*;

fn formats() -> impl Strategy<Value = Format> {
    prop::sample::select(vec![Format::Auto, Format::Raw, Format::CloudEvents, Format::Json, Format::MsgPack])
}

fn units() -> impl Strategy<Value = TimeUnit> {
    prop::sample::select(vec![TimeUnit::Ns, TimeUnit::Us, TimeUnit::Ms, TimeUnit::S, TimeUnit::Rfc3339])
}

/// JSON of fields and of whatever else, cut and spoiled in places.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"image\"",
            "\"source_id\"",
            "\"frame_seq\"",
            "\"capture_ts_ns\"",
            "\"image_uri\"",
            "\"/9j/4AECAw==\"",
            "\"data:;base64,\"",
            "\"s3://b/k\"",
            "\"\\/\"",
            "\"\\u00e4\"",
            "null",
            "true",
            "-1",
            "1e5",
            " ",
        ])
        .prop_map(|token: &str| token.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

fn check(format: Format, unit: TimeUnit, key: &[u8], value: &[u8], header: &[u8]) -> Result<(), TestCaseError> {
    let names = ["capture_ts_ns", "frame_seq", "source_id", "image_uri", "image_sha256", "content-type", "ce_time"];
    for name in names {
        let record = record(Some(key), value, &[("ce_specversion", b"1.0"), (name, header)]);
        let rules = Rules { capture_ts_unit: unit, max_bytes: u64::MAX, ..rules_for(format) };
        let (meta, picture) = open(&record, &rules);
        prop_assert!(meta.capture_ts >= Micros(0) && meta.capture_ts <= NOON + rules.max_skew);
        prop_assert!(!meta.frame_id.is_empty() && meta.frame_id.chars().count() <= SourceId::MAX_CHARS);
        prop_assert!(meta.source_id.as_str().chars().count() <= SourceId::MAX_CHARS);
        match picture {
            Ok(Picture::Encoded(bytes) | Picture::Base64(bytes)) => prop_assert!(!bytes.is_empty() && bytes.len() <= value.len()),
            Ok(Picture::At(reference)) => {
                prop_assert!(reference.uri.contains(':') && reference.uri.len() <= Reference::MAX_BYTES);
            }
            Err(rejection) => prop_assert!(!rejection.error.is_empty()),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_panic(format in formats(), unit in units(), key: Vec<u8>, value: Vec<u8>, header: Vec<u8>) {
        check(format, unit, &key, &value, &header)?;
    }

    #[test]
    fn no_text_panics(format in formats(), unit in units(), value in texts(), header: String) {
        check(format, unit, b"cam", &value, header.as_bytes())?;
    }

    #[test]
    fn a_spoiled_map_does_not_panic(unit in units(), name: String, at: prop::sample::Index, byte: u8, end: prop::sample::Index) {
        let document = serde_json::json!({
            "image": JPEG_BASE64, "source_id": name, (name): [1, {"a": -1.5}], "frame_seq": 7, "capture_ts_ns": "12",
            "image_uri": null,
        });
        let mut body = rmp_serde::to_vec_named(&document).unwrap();
        let at = at.index(body.len());
        body[at] = byte;
        check(Format::MsgPack, unit, b"cam", &body, b"")?;
        check(Format::Auto, unit, b"cam", &body[..end.index(body.len())], b"")?;
    }
}
