//! What holds of every opened envelope, whatever the bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use facestream_schemas::envelope::{Field, Format, Record, Rules, TimeUnit, open};
use facestream_schemas::{FrameMeta, Micros, Offset, Picture, Reference, Rejection, SourceId};

/// 2026-11-22T12:00:00Z.
pub const NOON: Micros = Micros(1_795_348_800_000_000);

/// Rules with nothing configured but the format.
#[must_use]
pub fn rules(format: Format) -> Rules {
    Rules {
        format,
        pointers: BTreeMap::new(),
        headers: BTreeMap::new(),
        capture_ts_unit: TimeUnit::Ns,
        max_bytes: 1 << 24,
        max_skew: Duration::from_secs(3_600),
    }
}

/// Pointers into nested objects and arrays, as producers of other formats need them.
#[must_use]
pub fn nested(format: Format) -> Rules {
    let pointers = [
        (Field::SourceId, "/a/b"),
        (Field::FrameSeq, "/a/0"),
        (Field::Image, "/0/i"),
        (Field::ImageUri, "/a/b/~1"),
        (Field::CaptureTsNs, "/t"),
    ];
    let pointers = pointers.map(|(field, pointer)| (field, pointer.to_owned())).into();
    Rules { pointers, capture_ts_unit: TimeUnit::S, ..rules(format) }
}

/// A record with that value.
#[must_use]
pub fn record<'a>(key: Option<&'a [u8]>, value: &[u8], headers: Vec<(&'a str, &'a [u8])>) -> Record<'a> {
    Record {
        topic: "cams".into(),
        partition: 0,
        offset: Offset(1),
        key,
        value: Some(Bytes::copy_from_slice(value)),
        value_bytes: value.len() as u64,
        headers,
        record_ts: NOON,
        consumed_ts: NOON,
    }
}

/// Opens it and holds the result against what is promised.
pub fn check(record: &Record<'_>, rules: &Rules) -> (FrameMeta, Result<Picture, Rejection>) {
    let (meta, picture) = open(record, rules);
    let latest = record.record_ts.min(record.consumed_ts) + rules.max_skew;
    assert!(meta.capture_ts <= latest, "{meta:?}");
    assert!(meta.source_id.as_str().chars().count() <= SourceId::MAX_CHARS, "{meta:?}");
    assert!(meta.frame_id.chars().count() <= SourceId::MAX_CHARS && !meta.frame_id.is_empty(), "{meta:?}");
    match &picture {
        Ok(Picture::Encoded(bytes)) => {
            let value = record.value.as_ref().expect("there is a value");
            assert!(!bytes.is_empty() && value.as_ptr_range().contains(&bytes.as_ptr()), "not a slice of the value");
        }
        Ok(Picture::Base64(bytes)) => assert!(!bytes.is_empty() && bytes.len() as u64 <= record.value_bytes),
        Ok(Picture::At(Reference { uri, .. })) => {
            assert!(uri.len() <= Reference::MAX_BYTES && uri.contains(':') && !uri.chars().any(char::is_control), "{uri:?}");
        }
        Err(rejection) => assert!(!rejection.error.is_empty() && rejection.error.chars().count() < 500, "{rejection:?}"),
    }
    (meta, picture)
}
