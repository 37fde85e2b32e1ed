//! Whole messages under any rules: key, headers, times, pointers.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use facestream_fuzz::{check, record, rules};
use facestream_schemas::Micros;
use facestream_schemas::envelope::{Field, Format, TimeUnit};
use libfuzzer_sys::fuzz_target;

const HEADERS: [&str; 17] = [
    "source_id",
    "capture_ts_ns",
    "frame_id",
    "frame_seq",
    "image_uri",
    "image_sha256",
    "content-type",
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_sourceid",
    "ce_time",
    "ce_sequence",
    "ce_dataref",
    "ce_imagesha256",
    "x",
    "Content-Type",
];
const FORMATS: [Format; 5] = [Format::Auto, Format::Raw, Format::CloudEvents, Format::Json, Format::MsgPack];
const UNITS: [TimeUnit; 5] = [TimeUnit::Ns, TimeUnit::Us, TimeUnit::Ms, TimeUnit::S, TimeUnit::Rfc3339];

#[derive(Arbitrary, Debug)]
struct Message<'a> {
    format: u8,
    unit: u8,
    record_ts: i64,
    consumed_ts: i64,
    max_skew_ms: u32,
    max_bytes: u16,
    key: Option<&'a [u8]>,
    pointers: Vec<(u8, &'a str)>,
    renamed: Vec<(u8, &'a str)>,
    headers: Vec<(u8, &'a [u8])>,
    others: Vec<(&'a str, &'a [u8])>,
    value: Option<&'a [u8]>,
}

fn pick<T: Copy>(of: &[T], index: u8) -> T {
    of[usize::from(index) % of.len()]
}

fuzz_target!(|message: Message<'_>| {
    let mut rules = rules(pick(&FORMATS, message.format));
    rules.capture_ts_unit = pick(&UNITS, message.unit);
    rules.max_skew = Duration::from_millis(message.max_skew_ms.into());
    rules.max_bytes = message.max_bytes.into();
    rules.pointers = message.pointers.iter().map(|(field, pointer)| (pick(&Field::ALL, *field), format!("/{pointer}"))).collect();
    rules.headers = message.renamed.iter().map(|(field, name)| (pick(&Field::ALL, *field), (*name).to_owned())).collect();
    let headers = message.headers.iter().map(|(name, value)| (pick(&HEADERS, *name), *value)).chain(message.others).collect();
    let mut record = record(message.key, message.value.unwrap_or_default(), headers);
    record.record_ts = Micros::saturating(message.record_ts);
    record.consumed_ts = Micros::saturating(message.consumed_ts);
    if message.value.is_none() {
        record.value = None;
    }
    let _ = check(&record, &rules);
});
