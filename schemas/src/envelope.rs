//! Kafka record → what a frame is made of: who sent it, when it was captured, and which bytes are the image.
//!
//! In: a borrowed record and the limits. Out: always the metadata (every message gets a row), and the image or the
//! reason why there is none. Invariant: header values are hostile; nothing here allocates more than the record itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::frame::{FrameMeta, MessageKey, Offset, Picture, Reason, Rejection, SourceId, TsOrigin};
use crate::time::Micros;

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
    let (meta, malformed) = meta(record, &value, rules);
    let size = record.value_bytes;
    let image = if let Some(error) = malformed {
        Err(Rejection::new(Reason::EnvelopeError, error))
    } else if size > rules.max_bytes {
        let limit = rules.max_bytes;
        Err(Rejection::new(Reason::TooLarge, format_args!("the value has {size} bytes, envelope.max_bytes is {limit}")))
    } else if value.is_empty() {
        Err(Rejection::new(Reason::EnvelopeError, "the value is empty, expected an encoded image"))
    } else {
        Ok(Picture::Encoded(value))
    };
    (meta, image)
}

/// The metadata, with a usable fallback for each malformed header, and the first malformed header's description.
fn meta(record: &Record<'_>, value: &[u8], rules: &Rules) -> (FrameMeta, Option<String>) {
    let key = MessageKey { topic: Arc::clone(&record.topic), partition: record.partition, offset: record.offset };
    let mut malformed = None;
    let mut keep = |error: String| {
        malformed.get_or_insert(error);
    };

    let source_id = text(record, "source_id").unwrap_or_else(|error| {
        keep(error);
        None
    });
    let source_id = source_id.map(str::to_owned).or_else(|| {
        let key = record.key.filter(|key| !key.is_empty())?;
        source_from_key(key).map_err(&mut keep).ok()
    });
    let frame_id = text(record, "frame_id").unwrap_or_else(|error| {
        keep(error);
        None
    });
    let frame_seq = number(record, "frame_seq").unwrap_or_else(|error| {
        keep(error);
        None
    });
    let captured = number(record, "capture_ts_ns").unwrap_or_else(|error| {
        keep(error);
        None
    });
    let (capture_ts, ts_origin) = event_time(captured, record.record_ts, rules.max_skew);

    let meta = FrameMeta {
        frame_id: frame_id.map_or_else(|| key.to_string(), str::to_owned),
        source_id: SourceId::new(&source_id.unwrap_or_else(|| format!("{}-{}", key.topic, key.partition))),
        frame_seq,
        capture_ts,
        ts_origin,
        record_ts: record.record_ts,
        content_type: sniff(value).map(ImageFormat::media_type),
        size_bytes: record.value_bytes,
        key,
    };
    (meta, malformed)
}

/// Event time: the producer's stamp unless it lies more than `max_skew` ahead of the record's time.
fn event_time(captured_ns: Option<i64>, record_ts: Micros, max_skew: Duration) -> (Micros, TsOrigin) {
    let Some(ns) = captured_ns else {
        return (record_ts, TsOrigin::Record);
    };
    let captured = Micros::saturating(ns.div_euclid(1_000));
    if captured > record_ts + max_skew { (record_ts, TsOrigin::Clamped) } else { (captured, TsOrigin::Header) }
}

/// Keys are text or, from producers that serialise numbers or the like, binary: those are named by their hex digits.
fn source_from_key(key: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(key) {
        Ok(_) => checked_text("key", key).map(str::to_owned),
        Err(_) if key.len() <= 32 => Ok(key.iter().fold("0x".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))),
        Err(_) => Err(format!("key has {} bytes that are not UTF-8 text, at most 32 are accepted", key.len())),
    }
}

fn header<'a>(record: &Record<'a>, name: &str) -> Option<&'a [u8]> {
    record.headers.iter().rev().find(|(header, _)| *header == name).map(|(_, value)| *value)
}

fn text<'a>(record: &Record<'a>, name: &str) -> Result<Option<&'a str>, String> {
    header(record, name).filter(|value| !value.is_empty()).map(|value| checked_text(name, value)).transpose()
}

fn checked_text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, String> {
    let text = std::str::from_utf8(value).map_err(|_| format!("{name} is not UTF-8 text"))?;
    let chars = text.chars().count();
    if chars > SourceId::MAX_CHARS {
        return Err(format!("{name} has {chars} characters, at most {} are accepted", SourceId::MAX_CHARS));
    }
    Ok(text)
}

fn number(record: &Record<'_>, name: &str) -> Result<Option<i64>, String> {
    let Some(value) = header(record, name) else { return Ok(None) };
    let text = String::from_utf8_lossy(&value[..value.len().min(40)]);
    text.trim().parse().map(Some).map_err(|_| format!("header {name} is {text:?}, expected a decimal 64-bit integer"))
}

/// Image formats that are recognised by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// JPEG / JFIF / EXIF.
    Jpeg,
    /// PNG.
    Png,
    /// WebP, lossy or lossless.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// GIF; the first frame counts.
    Gif,
    /// TIFF, either byte order.
    Tiff,
}

impl ImageFormat {
    /// The registered media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Bmp => "image/bmp",
            Self::Gif => "image/gif",
            Self::Tiff => "image/tiff",
        }
    }
}

/// The format by magic bytes, never by name or header.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<ImageFormat> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some(ImageFormat::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(ImageFormat::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageFormat::WebP),
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some(ImageFormat::Bmp),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(ImageFormat::Gif),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some(ImageFormat::Tiff),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            format: Format::Auto,
            pointers: BTreeMap::new(),
            headers: BTreeMap::new(),
            capture_ts_unit: TimeUnit::Ns,
            max_bytes: 100,
            max_skew: Duration::from_hours(1),
        }
    }

    const JPEG: &[u8] = &[0xFF, 0xD8, 0xFF, 0xE0, 1, 2, 3];
    const NOON: Micros = Micros(1_795_348_800_000_000);

    fn record<'a>(key: Option<&'a [u8]>, value: &'a [u8], headers: &[(&'a str, &'a [u8])]) -> Record<'a> {
        Record {
            topic: "cams".into(),
            partition: 3,
            offset: Offset(7),
            key,
            value: Some(Bytes::copy_from_slice(value)),
            value_bytes: value.len() as u64,
            headers: headers.to_vec(),
            record_ts: NOON,
            consumed_ts: NOON,
        }
    }

    fn meta_of(record: &Record<'_>) -> FrameMeta {
        let (meta, image) = open(record, &rules());
        assert_eq!(image.unwrap(), Picture::Encoded(record.value.clone().unwrap()));
        meta
    }

    #[test]
    fn a_bare_image_is_all_that_is_needed() {
        let meta = meta_of(&record(None, JPEG, &[]));
        assert_eq!(meta.source_id.as_str(), "cams-3");
        assert_eq!(meta.frame_id, "cams/3/7");
        assert_eq!((meta.capture_ts, meta.ts_origin), (NOON, TsOrigin::Record));
        assert_eq!((meta.content_type, meta.size_bytes), (Some("image/jpeg"), 7));
    }

    #[test]
    fn headers_win_over_the_key_and_the_last_of_duplicates_counts() {
        let headers: &[(&str, &[u8])] = &[
            ("source_id", b"first"),
            ("capture_ts_ns", b"1795348799123456789"),
            ("frame_seq", b"12"),
            ("frame_id", b"f-1"),
            ("source_id", b"door"),
            ("content-type", b"text/plain"),
        ];
        let meta = meta_of(&record(Some(b"key"), JPEG, headers));
        assert_eq!(meta.source_id.as_str(), "door");
        assert_eq!(meta.frame_seq, Some(12));
        assert_eq!(meta.frame_id, "f-1");
        assert_eq!((meta.capture_ts, meta.ts_origin), (Micros(1_795_348_799_123_456), TsOrigin::Header));
        assert_eq!(meta.content_type, Some("image/jpeg"), "magic bytes count, not the header");
    }

    #[test]
    fn a_stamp_from_the_future_is_clamped_and_one_from_the_past_is_kept() {
        let origin = |ns: &str| {
            let meta = open(&record(None, JPEG, &[("capture_ts_ns", ns.as_bytes())]), &rules()).0;
            (meta.capture_ts, meta.ts_origin)
        };
        assert_eq!(origin("1795352400000000000"), (Micros(NOON.0 + 3_600_000_000), TsOrigin::Header));
        assert_eq!(origin("1795352400000001000"), (NOON, TsOrigin::Clamped));
        assert_eq!(origin("9223372036854775807"), (NOON, TsOrigin::Clamped));
        assert_eq!(origin("1000"), (Micros(1), TsOrigin::Header));
        assert_eq!(origin("-5"), (Micros(0), TsOrigin::Header));
    }

    #[test]
    fn broken_envelopes_keep_what_is_known_and_say_what_is_wrong() {
        let broken = |key: Option<&[u8]>, value: &[u8], headers: &[(&str, &[u8])]| {
            let (meta, image) = open(&record(key, value, headers), &rules());
            let rejection = image.unwrap_err();
            (meta.source_id.to_string(), rejection.reason, rejection.error)
        };
        let long = [b'x'; 257];
        for (case, expected_source, reason, mentions) in [
            (broken(Some(b"cam"), b"", &[]), "cam", Reason::EnvelopeError, "empty"),
            (broken(Some(b"cam"), &[1; 101], &[]), "cam", Reason::TooLarge, "101"),
            (broken(Some(b"cam"), JPEG, &[("frame_seq", b"1.5")]), "cam", Reason::EnvelopeError, "frame_seq"),
            (broken(Some(b"cam"), JPEG, &[("capture_ts_ns", b"")]), "cam", Reason::EnvelopeError, "capture_ts_ns"),
            (broken(Some(b"cam"), JPEG, &[("source_id", b"\xff")]), "cam", Reason::EnvelopeError, "source_id"),
            (broken(Some(&long), JPEG, &[]), "cams-3", Reason::EnvelopeError, "257"),
            (broken(Some(&[0xFF; 33]), JPEG, &[]), "cams-3", Reason::EnvelopeError, "33"),
        ] {
            assert_eq!((case.0.as_str(), case.1), (expected_source, reason));
            assert!(case.2.contains(mentions), "{} does not mention {mentions}", case.2);
        }
    }

    #[test]
    fn a_binary_key_is_named_by_its_hex_digits() {
        assert_eq!(meta_of(&record(Some(&[0xFF, 0x00, 0x1A]), JPEG, &[])).source_id.as_str(), "0xff001a");
    }

    #[test]
    fn a_tombstone_is_an_empty_envelope() {
        let mut tombstone = record(Some(b"cam"), b"", &[]);
        tombstone.value = None;
        tombstone.value_bytes = 0;
        let (meta, image) = open(&tombstone, &rules());
        assert_eq!(meta.size_bytes, 0);
        assert_eq!(image.unwrap_err().reason, Reason::EnvelopeError);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(key: Vec<u8>, value: Vec<u8>, stamp: Vec<u8>, seq: Vec<u8>) {
            let headers: &[(&str, &[u8])] = &[("capture_ts_ns", &stamp), ("frame_seq", &seq), ("source_id", &key)];
            let (meta, _) = open(&record(Some(&key), &value, headers), &rules());
            proptest::prop_assert!(meta.capture_ts <= Micros::MAX && meta.capture_ts >= Micros(0));
        }
    }
}
