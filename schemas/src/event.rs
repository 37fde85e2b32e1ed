//! Events: a row of the tables as a Kafka message, for everybody who wants to know at once what was seen.
//!
//! In: a row and how it is wanted. Out: messages keyed by the source id, so that one camera's keep their order. Fields have the
//! names of the tables' columns, with their units; times are RFC 3339 in UTC with microseconds; a number that is none (NaN,
//! infinity) is null, as JSON has no word for it. Invariant: the same row makes the same event ids; and the published schemas
//! (`schemas/json`) describe every field and no other (tested).

mod body;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::message::{Message, rfc3339};
use crate::tables::FrameRow;
use crate::window::WindowRow;
pub use body::Face;
use body::{FaceEvent, FrameEvent, WindowEvent};

/// Version of the event formats, in the header and the field `schema_version`. Fields are only ever added.
pub const SCHEMA_VERSION: &str = "1";

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventFormat {
    /// JSON.
    Json,
    /// MessagePack, maps with names.
    MsgPack,
}

impl EventFormat {
    /// The media type, in the header `content-type`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MsgPack => "application/msgpack",
        }
    }

    fn encode(self, body: &impl Serialize) -> Vec<u8> {
        let encoded = match self {
            Self::Json => serde_json::to_vec(body).map_err(|error| error.to_string()),
            Self::MsgPack => rmp_serde::to_vec_named(body).map_err(|error| error.to_string()),
        };
        encoded.expect("a body is text, numbers, lists and maps with text keys, which both formats can hold")
    }
}

/// What there is an event for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Every frame, with its faces.
    Frames,
    /// Every face.
    Faces,
    /// Every frame that has a face.
    FramesWithFaces,
}

/// Which events are wanted, and how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSettings {
    /// How they are written.
    pub format: EventFormat,
    /// What there is one for.
    pub what: What,
}

/// The events of one frame: one, one for each face, or none. A frame's id is `topic/partition/offset` of its message; a face's has
/// its `detection_idx` after that.
#[must_use]
pub fn of_frame(row: &FrameRow, settings: EventSettings) -> Vec<Message> {
    let faces = row.outcome.as_deref().unwrap_or_default();
    let id = row.meta.key.to_string();
    let source_id = row.meta.source_id.as_str();
    match settings.what {
        What::FramesWithFaces if faces.is_empty() => Vec::new(),
        What::Frames | What::FramesWithFaces => {
            let body = settings.format.encode(&FrameEvent::new(&id, row));
            vec![message(source_id, &id, settings.format, body)]
        }
        What::Faces => {
            let event = |(index, face)| {
                let id = format!("{id}/{index}");
                let body = settings.format.encode(&FaceEvent::new(&id, row, index as i32, face));
                message(source_id, &id, settings.format, body)
            };
            faces.iter().enumerate().map(event).collect()
        }
    }
}

/// The event of a window. Its id is `topic/partition/source_id/window_start/revision`, the source id percent-encoded: every byte but
/// ASCII letters, digits, `-`, `.`, `_` and `~` as `%` and two hex digits, so that the id is printable and its parts are told apart
/// whatever the source is called.
#[must_use]
pub fn of_window(row: &WindowRow, format: EventFormat) -> Message {
    let source_id = row.source_id.as_str();
    let (start, source) = (rfc3339(row.window_start), percent_encoded(source_id));
    let id = format!("{}/{}/{source}/{start}/{}", row.topic, row.partition, row.revision);
    message(source_id, &id, format, format.encode(&WindowEvent::new(&id, row)))
}

fn message(source_id: &str, id: &str, format: EventFormat, body: Vec<u8>) -> Message {
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    let headers =
        vec![header("event_id", id), header("schema_version", SCHEMA_VERSION), header("content-type", format.media_type())];
    Message { key: source_id.as_bytes().to_vec(), value: Some(body), headers }
}

/// RFC 3986: what is not unreserved becomes `%` and two hex digits.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("text takes text"),
        }
    }
    encoded
}
