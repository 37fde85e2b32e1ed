//! What flows through facestream, and what it stores.
//!
//! In flow order: a Kafka record becomes [`FrameMeta`] and a [`Picture`] ([`envelope`]), a frame yields [`Detection`]s, frames add up to
//! [`WindowRow`]s, and all three end as rows of the [`tables`]. Rows also leave as [`event`]s, what failed as a [`dead_letter`].
//! Nothing here knows Kafka, threads or clocks.
#![forbid(unsafe_code)]

pub mod dead_letter;
pub mod detection;
pub mod envelope;
pub mod event;
pub mod frame;
pub mod message;
#[cfg(test)]
mod readme;
pub mod tables;
pub mod time;
pub mod window;

pub use detection::{Bbox, Detection, DetectorIdentity, ScoreKind, Track};
pub use frame::{FrameMeta, MessageKey, Offset, Partition, Picture, Reason, Reference, Rejection, Size, SourceId, TsOrigin};
pub use message::Message;
pub use time::{Hour, Micros};
pub use window::{ClosedBy, WindowRow};
