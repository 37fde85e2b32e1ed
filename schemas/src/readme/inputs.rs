//! The envelope: formats, fields, times, attributes, refusals.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::{code, first, rows};
use crate::envelope::{Field, Format, Record, Rules, TimeUnit, open};
use crate::{FrameMeta, Reference};
use crate::{Micros, Offset, Picture, Reason, Rejection, TsOrigin};

/// 2026-11-22T12:00:00Z; `date -u -d @1795348800` says so.
const NOON: Micros = Micros(1_795_348_800_000_000);
const FIELDS: [&str; 7] = ["field", "header", "attribute", "type", "unit", "where there is none", "means"];

/// The name of a variant in configuration.
fn configured(variant: impl Serialize) -> String {
    serde_json::to_value(variant).ok().and_then(|value| value.as_str().map(str::to_owned)).expect("a name")
}

fn rules(format: Format) -> Rules {
    Rules {
        format,
        pointers: BTreeMap::new(),
        headers: BTreeMap::new(),
        capture_ts_unit: TimeUnit::Ns,
        max_bytes: 1_000,
        max_skew: Duration::from_hours(1),
    }
}

fn opened(value: &[u8], headers: &[(&str, &[u8])], format: Format) -> (FrameMeta, Result<Picture, Rejection>) {
    let record = Record {
        topic: "cams".into(),
        partition: 3,
        offset: Offset(7),
        key: None,
        value: Some(Bytes::copy_from_slice(value)),
        value_bytes: value.len() as u64,
        headers: headers.to_vec(),
        record_ts: NOON,
        consumed_ts: NOON,
    };
    open(&record, &rules(format))
}

#[test]
fn the_formats_units_and_fields_are_those_of_the_code() {
    // The matches name every variant, so that a new one is not forgotten here.
    let formats = [Format::Auto, Format::Raw, Format::CloudEvents, Format::Json, Format::MsgPack].map(|format| match format {
        Format::Auto | Format::Raw | Format::CloudEvents | Format::Json | Format::MsgPack => configured(format),
    });
    let page = rows("## Messages that are read", &["`envelope.format`", "the value is", "further fields are in"]);
    assert_eq!(first(&page), formats);
    let units = [TimeUnit::Ns, TimeUnit::Us, TimeUnit::Ms, TimeUnit::S, TimeUnit::Rfc3339].map(|unit| match unit {
        TimeUnit::Ns | TimeUnit::Us | TimeUnit::Ms | TimeUnit::S | TimeUnit::Rfc3339 => configured(unit),
    });
    assert_eq!(first(&rows("### Fields", &["`envelope.capture_ts_unit`", "`capture_ts_ns` is"])), units);
    assert_eq!(first(&rows("### Fields", &FIELDS)), Field::ALL.map(Field::as_str));
    assert_eq!(Field::ALL.map(configured), Field::ALL.map(Field::as_str));
}

/// A header of the field's own name says it, unless the page says that there is none.
#[test]
fn the_headers_are_those_that_the_code_reads() {
    let digest = "ab".repeat(32);
    for row in rows("### Fields", &FIELDS) {
        let field = code(&row[0]);
        let uri: (&str, &[u8]) = ("image_uri", b"s3://b/k");
        let read = match field {
            "source_id" => opened(b"\xFF\xD8\xFF", &[(field, b"x")], Format::Raw).0.source_id.as_str() == "x",
            "capture_ts_ns" => opened(b"\xFF\xD8\xFF", &[(field, b"5000")], Format::Raw).0.capture_ts == Micros(5),
            "frame_id" => opened(b"\xFF\xD8\xFF", &[(field, b"x")], Format::Raw).0.frame_id == "x",
            "frame_seq" => opened(b"\xFF\xD8\xFF", &[(field, b"5")], Format::Raw).0.frame_seq == Some(5),
            "image" => opened(b"", &[(field, b"\xFF\xD8\xFF")], Format::Raw).1.is_ok(),
            "image_uri" => opened(b"", &[uri], Format::Raw).1 == Ok(at("s3://b/k", None)),
            _ => opened(b"", &[uri, (field, digest.as_bytes())], Format::Raw).1 == Ok(at("s3://b/k", Some([0xAB; 32]))),
        };
        assert_eq!(read, row[1] == "yes", "header {field}");
    }
}

fn at(uri: &str, sha256: Option<[u8; 32]>) -> Picture {
    Picture::At(Reference { uri: uri.to_owned(), sha256 })
}

/// The attributes that the page names, each given alone, have the effect that it says.
#[test]
fn the_attributes_are_those_that_the_code_reads() {
    let page = rows("### Fields", &FIELDS);
    let attribute = |field: Field| {
        let cell = &page[field as usize][2];
        cell.split_once('`').and_then(|(_, rest)| rest.split_once('`')).map(|(name, _)| name)
    };
    let version: &[(&str, &[u8])] = &[("ce_specversion", b"1.0")];
    let event = |headers: &[(&str, &[u8])]| opened(b"", &[version, headers].concat(), Format::Auto);
    let given = |field, value: &'static [u8]| event(&[(attribute(field).expect("an attribute"), value)]).0;
    assert_eq!(given(Field::SourceId, b"gate").source_id.as_str(), "gate");
    assert_eq!(given(Field::FrameId, b"f-1").frame_id, "f-1");
    assert_eq!(given(Field::FrameSeq, b"17").frame_seq, Some(17));
    let meta = given(Field::CaptureTsNs, b"2026-11-22T11:59:59.25Z");
    assert_eq!((meta.capture_ts, meta.ts_origin), (Micros(NOON.0 - 750_000), TsOrigin::CloudEvent));
    assert!(page[Field::SourceId as usize][5].contains("`ce_source`"));
    assert_eq!(event(&[("ce_source", b"/cameras/gate")]).0.source_id.as_str(), "/cameras/gate");

    assert_eq!(attribute(Field::Image), None);
    let digest = "ab".repeat(32);
    let uri = attribute(Field::ImageUri).expect("an attribute");
    let sha256 = attribute(Field::ImageSha256).expect("an attribute");
    assert_eq!(event(&[(uri, b"s3://b/k"), (sha256, digest.as_bytes())]).1, Ok(at("s3://b/k", Some([0xAB; 32]))));
}

#[test]
fn refusals_have_statuses_that_there_are_and_every_status_of_a_picture_has_its_refusal() {
    let mut named: Vec<_> =
        rows("### What is refused", &["what is wrong", "status"]).iter().map(|row| code(&row[1]).to_owned()).collect();
    let not_the_message = [Reason::DetectorError, Reason::InternalError, Reason::SampledOut, Reason::Stale];
    let mut expected: Vec<_> =
        Reason::ALL.iter().filter(|reason| !not_the_message.contains(reason)).map(|reason| reason.as_str().to_owned()).collect();
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
}
