//! JSON bodies. What `serde_json` takes whole is not broken to the streaming reader either, and it finds the same image.
#![no_main]

use facestream_fuzz::{check, nested, record, rules};
use facestream_schemas::Picture;
use facestream_schemas::envelope::Format;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let record = record(Some(b"cam"), body, Vec::new());
    let _ = check(&record, &nested(Format::Json));
    let _ = check(&record, &rules(Format::Auto));
    let (_, picture) = check(&record, &rules(Format::Json));
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return };
    if let Err(rejection) = &picture {
        assert!(!rejection.error.contains("broken") || rejection.error.contains("nested"), "{rejection:?}");
    }
    if let Ok(Picture::Base64(text)) = &picture {
        let image = members.get("image").and_then(Value::as_str).expect("there is an image");
        assert!(image.as_bytes().ends_with(text), "{image:?} became {text:?}");
    }
});
