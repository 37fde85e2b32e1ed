//! Messages as producers send them and as they should not, per kind of envelope, each held against what was worked out by hand.

use super::*;
use crate::frame::Reference;

mod bodies;
mod bombs;
mod cloudevents;
mod detection;
mod hostile_bodies;
mod json;
mod msgpack;
mod raw;
mod times;
mod videos;

const JPEG: &[u8] = &[0xFF, 0xD8, 0xFF, 0xE0, 1, 2, 3];
/// `JPEG` in base64; Python's `base64.b64encode(bytes([255, 216, 255, 224, 1, 2, 3]))` says so.
const JPEG_BASE64: &str = "/9j/4AECAw==";
/// 2026-11-22T12:00:00Z; `date -u -d @1795348800` says so.
const NOON: Micros = Micros(1_795_348_800_000_000);

fn rules() -> Rules {
    Rules {
        format: Format::Auto,
        pointers: BTreeMap::new(),
        headers: BTreeMap::new(),
        capture_ts_unit: TimeUnit::Ns,
        max_bytes: 1_000,
        max_skew: Duration::from_hours(1),
    }
}

fn rules_for(format: Format) -> Rules {
    Rules { format, ..rules() }
}

type Headers<'a> = [(&'a str, &'a [u8])];

fn record<'a>(key: Option<&'a [u8]>, value: &[u8], headers: &Headers<'a>) -> Record<'a> {
    Record {
        topic: "cams".into(),
        partition: 3,
        offset: Offset(7),
        key,
        value: Some(Bytes::copy_from_slice(value)),
        value_bytes: value.len() as u64,
        headers: headers.to_vec(),
        record_ts: NOON,
        consumed_ts: NOON,
    }
}

/// Holds a rejection against its expected reason and what its text has to mention.
fn assert_refused(case: &str, opened: &(FrameMeta, Result<Picture, Rejection>), reason: Reason, mentions: &[&str]) {
    let Err(rejection) = &opened.1 else { panic!("{case} was taken: {:?}", opened.1) };
    assert_eq!(rejection.reason, reason, "{case}: {}", rejection.error);
    for part in mentions {
        assert!(rejection.error.contains(part), "{case}: {:?} does not mention {part:?}", rejection.error);
    }
    assert!(rejection.error.len() < 500, "{case} is quoted at length: {}", rejection.error);
}
