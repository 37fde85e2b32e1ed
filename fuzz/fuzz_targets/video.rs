//! What bytes are by their beginning: an image, a video, or neither, and never two of them.
#![no_main]

use facestream_fuzz::{check, record, rules};
use facestream_schemas::envelope::{Format, sniff, video};
use facestream_schemas::{Picture, Reason};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (image, video) = (sniff(bytes), video(bytes));
    assert!(image.is_none() || video.is_none(), "{image:?} and {video:?}");
    let (meta, picture) = check(&record(None, bytes, Vec::new()), &rules(Format::Raw));
    assert_eq!(meta.content_type, image.map(|image| image.media_type()));
    match picture {
        Ok(picture) => assert!(video.is_none() && picture == Picture::Encoded(bytes.to_vec().into())),
        Err(rejection) if bytes.is_empty() => assert_eq!(rejection.reason, Reason::EnvelopeError),
        Err(rejection) => assert!(video.is_some() && rejection.reason == Reason::Unsupported),
    }
});
