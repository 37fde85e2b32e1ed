//! What flows through facestream, and what it stores.
//!
//! In flow order: a Kafka record becomes a [`Frame`] ([`envelope`]), a frame yields [`Detection`]s, frames add up to
//! [`WindowRow`]s, and all three end as rows of the [`tables`]. Nothing here knows Kafka, threads or clocks.
#![forbid(unsafe_code)]

pub mod detection;
pub mod envelope;
pub mod frame;
pub mod tables;
pub mod time;
pub mod window;

pub use detection::{Bbox, Detection, DetectorIdentity, ScoreKind};
pub use frame::{Frame, FrameMeta, MessageKey, Offset, Partition, Reason, Rejection, Size, SourceId, TsOrigin};
pub use time::{Hour, Micros};
pub use window::{ClosedBy, WindowRow};
