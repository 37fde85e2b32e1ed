//! A frame: one consumed message with its encoded image, and the reasons why a frame can be rejected.
//!
//! Invariant: [`MessageKey`] identifies a message everywhere; `frame_id` is the producer's and may repeat.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::time::Micros;

/// A Kafka offset: the position of a message in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset after this one: where a consumer that has taken this message goes on.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The camera, or whatever made the picture. Hostile text: at most [`SourceId::MAX_CHARS`] characters, otherwise unrestricted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(Arc<str>);

impl SourceId {
    /// The longest source id that is accepted, in characters.
    pub const MAX_CHARS: usize = 256;

    /// Takes the id as it is; the envelope has checked it.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Kafka partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Number within the topic.
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// Where a message lies in Kafka: the key of a row in every table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: Offset,
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// Which clock the event time came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TsOrigin {
    /// The producer's `capture_ts_ns`, in a header or in the body.
    Header,
    /// CloudEvents' `ce_time`.
    CloudEvent,
    /// The Kafka record's timestamp.
    Record,
    /// The producer's stamp lay too far ahead and was not believed.
    Clamped,
}

impl TsOrigin {
    /// The name in the `ts_origin` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::CloudEvent => "cloudevent",
            Self::Record => "record",
            Self::Clamped => "clamped",
        }
    }
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width in pixels.
    pub w: u32,
    /// Height in pixels.
    pub h: u32,
}

impl Size {
    /// Larger than any picture.
    pub const MAX: Self = Self { w: u32::MAX, h: u32::MAX };
}

/// What is known of a message without looking at its pixels. Every message has one, broken envelopes too.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameMeta {
    /// Where the message lies in Kafka.
    pub key: MessageKey,
    /// The producer's name for the frame, else `topic/partition/offset`.
    pub frame_id: String,
    /// The camera.
    pub source_id: SourceId,
    /// The producer's running number, where it sends one.
    pub frame_seq: Option<i64>,
    /// Event time.
    pub capture_ts: Micros,
    /// Which clock `capture_ts` came from.
    pub ts_origin: TsOrigin,
    /// The Kafka record's timestamp.
    pub record_ts: Micros,
    /// Format found by magic bytes, as a media type; `None` where no known format was found.
    pub content_type: Option<&'static str>,
    /// Size of the Kafka value in bytes.
    pub size_bytes: u64,
}

/// A message's picture, as far as its envelope tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// The encoded image.
    Encoded(Bytes),
    /// The encoded image in base64, not yet looked at: standard or URL-safe alphabet, padded or not.
    Base64(Bytes),
    /// It lies elsewhere: the message is its claim check.
    At(Reference),
}

impl Picture {
    /// The bytes that it holds in memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Self::Encoded(bytes) | Self::Base64(bytes) => bytes.len(),
            Self::At(reference) => reference.uri.len(),
        }
    }
}

/// Where a picture lies, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The URI as the producer wrote it: hostile text of at most [`Reference::MAX_BYTES`] bytes.
    pub uri: String,
    /// SHA-256 of the encoded image, where the producer tells it.
    pub sha256: Option<[u8; 32]>,
}

impl Reference {
    /// The longest URI that is accepted, in bytes.
    pub const MAX_BYTES: usize = 2_048;
}

/// Why a message has no detections: the `status` of its row, other than `ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The image is of a known format but broken.
    DecodeError,
    /// The message is not what an envelope has to be (empty value, malformed header).
    EnvelopeError,
    /// The value is not an image of a known format.
    Unsupported,
    /// More bytes or pixels than configured.
    TooLarge,
    /// The picture's URI could not be read, also when it was tried again, or did not hold what the message says.
    FetchError,
    /// The picture's URI is none that may be read (`fetch.allow`).
    FetchRefused,
    /// Nothing lies at the picture's URI any more (404, 410).
    Expired,
    /// The detector failed on this frame.
    DetectorError,
    /// A bug: a worker panicked on this frame.
    InternalError,
    /// Left out by the load policy `sample`.
    SampledOut,
    /// Left out by the load policy `skip_stale`: too old when its turn came.
    Stale,
}

impl Reason {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 11] = [
        Self::DecodeError,
        Self::EnvelopeError,
        Self::Unsupported,
        Self::TooLarge,
        Self::FetchError,
        Self::FetchRefused,
        Self::Expired,
        Self::DetectorError,
        Self::InternalError,
        Self::SampledOut,
        Self::Stale,
    ];

    /// Whether a load policy left the frame out: it is not at fault, and no dead letter.
    #[must_use]
    pub fn is_skip(self) -> bool {
        matches!(self, Self::SampledOut | Self::Stale)
    }

    /// The name in the `status` column and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DecodeError => "decode_error",
            Self::EnvelopeError => "envelope_error",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::FetchError => "fetch_error",
            Self::FetchRefused => "fetch_refused",
            Self::Expired => "expired",
            Self::DetectorError => "detector_error",
            Self::InternalError => "internal_error",
            Self::SampledOut => "sampled_out",
            Self::Stale => "stale",
        }
    }
}

/// A message that is at fault itself: it gets a row with this status, and the pipeline goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {error}", reason.as_str())]
pub struct Rejection {
    /// The `status` column.
    pub reason: Reason,
    /// The `error` column: what is wrong, with the values that matter.
    pub error: String,
}

impl Rejection {
    /// A rejection with its explanation, cut at 500 characters (it may quote hostile input).
    #[must_use]
    pub fn new(reason: Reason, error: impl fmt::Display) -> Self {
        Self { reason, error: error.to_string().chars().take(500).collect() }
    }
}
