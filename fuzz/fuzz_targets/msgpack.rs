//! `MessagePack` bodies.
#![no_main]

use facestream_fuzz::{check, nested, record, rules};
use facestream_schemas::envelope::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let record = record(Some(b"cam"), body, Vec::new());
    let _ = check(&record, &rules(Format::MsgPack));
    let _ = check(&record, &nested(Format::MsgPack));
    let _ = check(&record, &rules(Format::Auto));
});
