//! One encoded picture on its way from an input to Kafka.
//!
//! In: what an input knows of it. Out: a value. Invariant: its name is one that the pipeline takes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use facestream_schemas::envelope::sniff;

/// The pipeline takes names of at most so many characters.
const MAX_NAME_CHARS: usize = facestream_schemas::SourceId::MAX_CHARS;

/// A picture, and the cameras that are to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shot {
    /// The cameras, by their place in the list of all.
    pub(super) sources: Range<usize>,
    /// The input's running number.
    pub(super) frame_seq: u64,
    /// The input's name for the picture.
    pub(super) frame_id: Arc<str>,
    /// When it was captured, in nanoseconds since the Unix epoch; `None` is the time of sending.
    pub(super) captured_ns: Option<i64>,
    /// The encoded picture.
    pub(super) image: Bytes,
}

/// `name`, or its end where it is longer than what the pipeline takes.
pub(super) fn frame_id(name: &str) -> Arc<str> {
    let surplus = name.chars().count().saturating_sub(MAX_NAME_CHARS);
    name.char_indices().nth(surplus).map_or("", |(at, _)| &name[at..]).into()
}

/// The media type of a picture, by its first bytes.
pub(in crate::commands) fn media_type(image: &[u8]) -> Option<&'static str> {
    sniff(image).map(facestream_schemas::envelope::ImageFormat::media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_id_is_no_longer_than_the_pipeline_takes() {
        assert_eq!(&*frame_id("photos/a.jpg"), "photos/a.jpg");
        assert_eq!(&*frame_id(""), "");
        let long = format!("{}/a.jpg", "ü".repeat(300));
        assert_eq!(&*frame_id(&long), format!("{}/a.jpg", "ü".repeat(250)));
    }
}
