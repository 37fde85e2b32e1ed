//! Kafka record → what a frame is made of: who sent it, when it was captured, and which bytes are the image.
//!
//! In: a borrowed record and its topic's rules. Out: always the metadata (every message gets a row), and the picture or the
//! reason why there is none. What counts, per field: the body's (JSON, MessagePack), else the header's, else the CloudEvents
//! attribute, else, of the source, the key. Invariant: all of it is hostile; nothing here allocates more than the record itself,
//! or decodes an image.

mod body;
mod event_time;
mod given;
mod picture;
mod places;
mod shape;
mod sniff;
mod told;
mod video;
mod visit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::frame::{FrameMeta, MessageKey, Offset, Picture, Reason, Rejection, SourceId, TsOrigin};
use crate::time::Micros;

use body::Body;
use given::Given;
use shape::Shape;
pub use sniff::{ImageFormat, sniff};
use told::{Faults, Told};
pub use video::{Video, video};

/// A consumed Kafka record, borrowed from the client.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: Offset,
    /// Message key: by default the source id.
    pub key: Option<&'a [u8]>,
    /// Message value; `None` also where it is larger than [`Rules::max_bytes`] and was therefore not copied.
    pub value: Option<Bytes>,
    /// Size of the value in bytes, whether it was copied or not.
    pub value_bytes: u64,
    /// Headers in order; of duplicates the last counts.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The record's timestamp; the time of consumption where the record has none.
    pub record_ts: Micros,
    /// The time of consumption.
    pub consumed_ts: Micros,
}

/// What a message may be, and where in it things are; of one topic.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What messages look like.
    pub format: Format,
    /// Where a JSON or MessagePack body holds a [`Field`], as JSON pointers (RFC 6901); the others are at `/` and their name.
    pub pointers: BTreeMap<Field, String>,
    /// Which header holds a [`Field`]; the others are in the header of their name.
    pub headers: BTreeMap<Field, String>,
    /// How producers write `capture_ts_ns`.
    pub capture_ts_unit: TimeUnit,
    /// Largest Kafka value in bytes.
    pub max_bytes: u64,
    /// A capture time further ahead than this, of the record's time or of the time of consumption, is not believed.
    pub max_skew: Duration,
}

/// What messages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Each message is looked at.
    Auto,
    /// The value is the encoded image.
    Raw,
    /// CloudEvents in binary mode: the value is the encoded image, the attributes are headers `ce_…`.
    CloudEvents,
    /// The value is a JSON object.
    Json,
    /// The value is a MessagePack map.
    MsgPack,
}

/// What a producer can tell of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The camera.
    SourceId,
    /// Event time, in [`Rules::capture_ts_unit`].
    CaptureTsNs,
    /// The producer's name for the frame.
    FrameId,
    /// The producer's running number.
    FrameSeq,
    /// The encoded image: base64, or MessagePack's `bin`. Never in a header.
    Image,
    /// Where the image lies.
    ImageUri,
    /// SHA-256 of the encoded image in hex.
    ImageSha256,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 7] =
        [Self::SourceId, Self::CaptureTsNs, Self::FrameId, Self::FrameSeq, Self::Image, Self::ImageUri, Self::ImageSha256];

    /// The name in headers, bodies and configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceId => "source_id",
            Self::CaptureTsNs => "capture_ts_ns",
            Self::FrameId => "frame_id",
            Self::FrameSeq => "frame_seq",
            Self::Image => "image",
            Self::ImageUri => "image_uri",
            Self::ImageSha256 => "image_sha256",
        }
    }
}

/// How a capture time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Nanoseconds since the Unix epoch.
    Ns,
    /// Microseconds since the Unix epoch.
    Us,
    /// Milliseconds since the Unix epoch.
    Ms,
    /// Seconds since the Unix epoch, with a fraction or without.
    S,
    /// A date and time with its offset from UTC, `2026-11-22T07:59:59.25Z`.
    Rfc3339,
}

/// Opens the envelope: the metadata always, then the frame's image or what is wrong with the message.
pub fn open(record: &Record<'_>, rules: &Rules) -> (FrameMeta, Result<Picture, Rejection>) {
    let value = record.value.clone().unwrap_or_default();
    let wanted = places::Place::body(rules);
    let (shape, mut body) = read(record, rules, &value, &wanted);
    let mut faults = Faults(body.fault.take());
    let mut told = Told { record, rules, body, is_cloud_event: shape::is_cloud_event(record, rules.format) };
    let mut meta = meta(&told, &mut faults);
    let (format, picture) = picture::picture(&mut told, shape, &value, &mut faults);
    meta.content_type = format.map(ImageFormat::media_type);

    let (size, limit) = (record.value_bytes, rules.max_bytes);
    let picture = if size > limit {
        Err(Rejection::new(Reason::TooLarge, format_args!("the value has {size} bytes, envelope.max_bytes is {limit}")))
    } else if let Some(fault) = faults.0 {
        Err(Rejection::new(Reason::EnvelopeError, fault))
    } else {
        picture
    };
    (meta, picture)
}

/// How the value is to be read, and its fields where it is a body. What is too large is not looked into.
fn read<'a>(record: &Record<'_>, rules: &Rules, value: &'a [u8], wanted: &places::Place<'_>) -> (Shape, Body<'a>) {
    if record.value_bytes > rules.max_bytes {
        return (Shape::Image, Body::default());
    }
    let shape = shape::shape(record, rules, value);
    let body = match shape {
        Shape::Image | Shape::StructuredEvent => Body::default(),
        Shape::Json => Body::json(value, wanted),
        Shape::MsgPack => Body::msgpack(value, wanted),
    };
    // VP9 begins as a MessagePack map does. What is a map is no video.
    let is_guess = rules.format == Format::Auto && shape == Shape::MsgPack;
    if is_guess && body.fault.is_some() && video(value).is_some() { (Shape::Image, Body::default()) } else { (shape, body) }
}

/// The metadata, with a usable fallback for each mistake.
fn meta(told: &Told<'_>, faults: &mut Faults) -> FrameMeta {
    let Told { record, rules, .. } = told;
    let key = MessageKey { topic: Arc::clone(&record.topic), partition: record.partition, offset: record.offset };

    let [body, header] = told.claims(Field::SourceId);
    let source_id = faults.first([body, header, told.attribute("ce_sourceid")], given::id);
    let source_id = source_id.or_else(|| source_from_key(record.key?, faults));
    let source_id = source_id.or_else(|| faults.first([told.attribute("ce_source")], given::id));

    let [body, header] = told.claims(Field::FrameId);
    let frame_id = faults.first([body, header, told.attribute("ce_id")], given::id);
    let frame_seq = faults.first(told.claims(Field::FrameSeq), given::integer);
    // In CloudEvents any text may be a sequence.
    let sequence = |given: &Given<'_>| Ok(given::integer(given).unwrap_or_default());
    let frame_seq = frame_seq.or_else(|| faults.first([told.attribute("ce_sequence")], sequence));

    let unit = rules.capture_ts_unit;
    let stamp = faults.first(told.claims(Field::CaptureTsNs), |given| event_time::stamp(given, unit));
    let stamp = stamp.map(|at| (at, TsOrigin::Header)).or_else(|| {
        let at = faults.first([told.attribute("ce_time")], |given| event_time::rfc3339(given).map(Some));
        at.map(|at| (at, TsOrigin::CloudEvent))
    });
    // What `facestream dlq retry` has sent again keeps its event time.
    let stamp = stamp.or_else(|| Some((told.retried()?, TsOrigin::Record)));
    let (capture_ts, ts_origin) = event_time::event_time(stamp, record.record_ts, record.consumed_ts, rules.max_skew);

    FrameMeta {
        frame_id: frame_id.unwrap_or_else(|| key.to_string()),
        source_id: SourceId::new(&source_id.unwrap_or_else(|| format!("{}-{}", key.topic, key.partition))),
        frame_seq,
        capture_ts,
        ts_origin,
        record_ts: record.record_ts,
        content_type: None,
        size_bytes: record.value_bytes,
        key,
    }
}

/// Keys are text or, from producers that serialise numbers or the like, binary: those are named by their hex digits.
fn source_from_key(key: &[u8], faults: &mut Faults) -> Option<String> {
    let fault = match std::str::from_utf8(key) {
        Ok("") => return None,
        Ok(text) => match given::short(text) {
            Ok(()) => return Some(text.to_owned()),
            Err(fault) => format!("key {fault}"),
        },
        Err(_) if key.len() <= 32 => return Some(key.iter().fold("0x".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))),
        Err(_) => format!("key has {} bytes that are not UTF-8 text, at most 32 are accepted", key.len()),
    };
    faults.note(fault);
    None
}

#[cfg(test)]
mod tests;
