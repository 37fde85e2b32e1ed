//! Events: what was seen, for everybody who wants to know at once.

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::tables::FrameRow;
use crate::window::WindowRow;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventFormat {
    /// JSON.
    Json,
    /// MessagePack, maps with names.
    MsgPack,
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

/// What events there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSettings {
    /// How they are written.
    pub format: EventFormat,
    /// What there is one for.
    pub what: What,
}

/// The events of a frame.
#[must_use]
pub fn of_frame(_row: &FrameRow, _settings: EventSettings) -> Vec<Message> {
    Vec::new()
}

/// The event of a window.
#[must_use]
pub fn of_window(row: &WindowRow, _format: EventFormat) -> Message {
    Message { key: row.source_id.as_str().into(), value: Some(Vec::new()), headers: Vec::new() }
}
