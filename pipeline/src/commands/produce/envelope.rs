//! What a frame looks like as a Kafka message: the envelopes that the pipeline opens.
//!
//! In: what is known of a frame, and its image or where that lies. Out: the value and the headers of a message. Invariant: every
//! envelope carries the same fields; the key is the sender's to set.

use std::borrow::Cow;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use url::Url;

/// How frames are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::commands) enum Envelope {
    /// The value is the image, all else is in headers
    Raw,
    /// CloudEvents in binary mode: the value is the image, the attributes are headers `ce_…`
    #[value(name = "cloudevents")]
    CloudEvents,
    /// A JSON object with the image as base64
    Json,
    /// A MessagePack map with the image as bin
    #[value(name = "msgpack")]
    MsgPack,
}

/// What is known of a frame.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Facts<'a> {
    pub(in crate::commands) source_id: &'a str,
    /// Nanoseconds since the Unix epoch.
    pub(in crate::commands) capture_ts_ns: i64,
    pub(in crate::commands) frame_id: &'a str,
    pub(in crate::commands) frame_seq: u64,
    /// Of the image, wherever it is; `None` where it is not known.
    pub(in crate::commands) media_type: Option<&'static str>,
    pub(in crate::commands) content: Content<'a>,
}

/// The image itself, or where it lies.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) enum Content<'a> {
    Image(&'a [u8]),
    Claim { uri: &'a str, sha256: &'a str },
}

/// A message but for its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Sealed<'a> {
    pub(in crate::commands) value: Cow<'a, [u8]>,
    pub(in crate::commands) headers: Vec<(&'static str, Cow<'a, str>)>,
}

impl Envelope {
    /// Puts a frame into the envelope.
    pub(in crate::commands) fn seal<'a>(self, facts: &Facts<'a>) -> Sealed<'a> {
        match self {
            Self::Raw => Sealed { value: value(facts.content), headers: raw(facts) },
            Self::CloudEvents => Sealed { value: value(facts.content), headers: cloudevent(facts) },
            Self::Json => {
                let json = serde_json::to_vec(&Body::of(facts)).expect("text, numbers and base64 are JSON");
                Sealed { value: json.into(), headers: vec![("content-type", "application/json".into())] }
            }
            Self::MsgPack => {
                let map = rmp_serde::to_vec_named(&Body::of(facts)).expect("text, numbers and bytes are MessagePack");
                Sealed { value: map.into(), headers: vec![("content-type", "application/msgpack".into())] }
            }
        }
    }

    /// How many bytes the value of an image of `bytes` bytes may take.
    pub(in crate::commands) fn most_bytes(self, bytes: u64) -> u64 {
        const FIELDS: u64 = 1 << 20;
        FIELDS + if self == Self::Json { bytes.div_ceil(3) * 4 } else { bytes }
    }
}

/// Empty, not absent, where the image lies elsewhere: a message without a value is a tombstone.
fn value(content: Content<'_>) -> Cow<'_, [u8]> {
    match content {
        Content::Image(image) => image.into(),
        Content::Claim { .. } => Cow::Borrowed(b""),
    }
}

fn raw<'a>(facts: &Facts<'a>) -> Vec<(&'static str, Cow<'a, str>)> {
    let mut headers = vec![
        ("capture_ts_ns", facts.capture_ts_ns.to_string().into()),
        ("frame_seq", facts.frame_seq.to_string().into()),
        ("frame_id", facts.frame_id.into()),
    ];
    headers.extend(facts.media_type.map(|media_type| ("content-type", media_type.into())));
    if let Content::Claim { uri, sha256 } = facts.content {
        headers.extend([("image_uri", uri.into()), ("image_sha256", sha256.into())]);
    }
    headers
}

/// CloudEvents 1.0 in the Kafka binding's binary mode; `dataref` is its claim check extension, `sequence` its sequence
/// extension, `sourceid` and `imagesha256` are ours (attribute names are lower-case letters and digits).
fn cloudevent<'a>(facts: &Facts<'a>) -> Vec<(&'static str, Cow<'a, str>)> {
    let mut headers = vec![
        ("ce_specversion", "1.0".into()),
        ("ce_id", facts.frame_id.into()),
        ("ce_source", source_uri(facts.source_id).into()),
        ("ce_type", "org.facestream.frame".into()),
        ("ce_time", rfc3339(facts.capture_ts_ns).into()),
        ("ce_sourceid", facts.source_id.into()),
        ("ce_sequence", facts.frame_seq.to_string().into()),
    ];
    headers.extend(facts.media_type.map(|media_type| ("content-type", media_type.into())));
    if let Content::Claim { uri, sha256 } = facts.content {
        headers.extend([("ce_dataref", uri.into()), ("ce_imagesha256", sha256.into())]);
    }
    headers
}

/// A URI reference, as `source` has to be: `/cameras/` and the camera's name.
fn source_uri(source_id: &str) -> String {
    let mut uri = Url::parse("camera:///cameras").expect("a URL");
    uri.path_segments_mut().expect("a URL with a path").push(source_id);
    uri.path().to_owned()
}

fn rfc3339(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// The value in JSON and MessagePack.
#[derive(Serialize)]
struct Body<'a> {
    source_id: &'a str,
    capture_ts_ns: i64,
    frame_id: &'a str,
    frame_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Encoded<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_sha256: Option<&'a str>,
}

impl<'a> Body<'a> {
    fn of(facts: &Facts<'a>) -> Self {
        let (image, image_uri, image_sha256) = match facts.content {
            Content::Image(image) => (Some(Encoded(image)), None, None),
            Content::Claim { uri, sha256 } => (None, Some(uri), Some(sha256)),
        };
        let Facts { source_id, capture_ts_ns, frame_id, frame_seq, .. } = *facts;
        Self { source_id, capture_ts_ns, frame_id, frame_seq, image, image_uri, image_sha256 }
    }
}

/// Base64 in a format for people, `bin` in one for machines.
struct Encoded<'a>(&'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use serde::de::{Deserialize, Deserializer, Visitor};

    use super::*;

    /// `date -u -d @1795348799` says Sun Nov 22 11:59:59 UTC 2026.
    const STAMP: i64 = 1_795_348_799_000_000_042;
    const IMAGE: &[u8] = &[0xFF, 0xD8, 0xFF, 0, 1, 2, 254, 255];
    const CLAIM: Content<'static> = Content::Claim { uri: "s3://pictures/a/ff.jpg", sha256: "ff" };

    fn facts(content: Content<'_>) -> Facts<'_> {
        let (frame_id, media_type) = ("photos/\"1\".jpg", Some("image/jpeg"));
        Facts { source_id: "back door", capture_ts_ns: STAMP, frame_id, frame_seq: 7, media_type, content }
    }

    fn headers<'a>(sealed: &'a Sealed<'_>) -> BTreeMap<&'a str, &'a str> {
        let headers: BTreeMap<_, _> = sealed.headers.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(headers.len(), sealed.headers.len(), "no header twice");
        headers
    }

    #[test]
    fn raw_is_the_image_itself_with_its_facts_in_headers() {
        let sealed = Envelope::Raw.seal(&facts(Content::Image(IMAGE)));
        assert_eq!(&*sealed.value, IMAGE);
        assert!(matches!(sealed.value, Cow::Borrowed(_)), "a large image is not copied");
        let expected = [
            ("capture_ts_ns", "1795348799000000042"),
            ("frame_seq", "7"),
            ("frame_id", "photos/\"1\".jpg"),
            ("content-type", "image/jpeg"),
        ];
        assert_eq!(headers(&sealed), BTreeMap::from(expected));
        let claim = Envelope::Raw.seal(&facts(CLAIM));
        assert!(claim.value.is_empty());
        assert_eq!((headers(&claim)["image_uri"], headers(&claim)["image_sha256"]), ("s3://pictures/a/ff.jpg", "ff"));
    }

    #[test]
    fn a_cloudevent_has_its_required_attributes_and_ours() {
        let sealed = Envelope::CloudEvents.seal(&facts(Content::Image(IMAGE)));
        assert_eq!(&*sealed.value, IMAGE);
        let expected = [
            ("ce_specversion", "1.0"),
            ("ce_id", "photos/\"1\".jpg"),
            ("ce_source", "/cameras/back%20door"),
            ("ce_type", "org.facestream.frame"),
            ("ce_time", "2026-11-22T11:59:59.000000042Z"),
            ("ce_sourceid", "back door"),
            ("ce_sequence", "7"),
            ("content-type", "image/jpeg"),
        ];
        assert_eq!(headers(&sealed), BTreeMap::from(expected));
        let claim = Envelope::CloudEvents.seal(&facts(CLAIM));
        assert!(claim.value.is_empty());
        assert_eq!((headers(&claim)["ce_dataref"], headers(&claim)["ce_imagesha256"]), ("s3://pictures/a/ff.jpg", "ff"));
    }

    #[test]
    fn json_reads_back_with_the_image_as_base64_or_where_it_lies() {
        let sealed = Envelope::Json.seal(&facts(Content::Image(IMAGE)));
        assert_eq!(headers(&sealed), BTreeMap::from([("content-type", "application/json")]));
        let body: serde_json::Value = serde_json::from_slice(&sealed.value).unwrap();
        let expected = serde_json::json!({
            "source_id": "back door", "capture_ts_ns": STAMP, "frame_id": "photos/\"1\".jpg", "frame_seq": 7,
            "image": "/9j/AAEC/v8=", // printf '\xff\xd8\xff\x00\x01\x02\xfe\xff' | base64
        });
        assert_eq!(body, expected);
        assert_eq!(STANDARD.decode(body["image"].as_str().unwrap()).unwrap(), IMAGE);
        let claim: serde_json::Value = serde_json::from_slice(&Envelope::Json.seal(&facts(CLAIM)).value).unwrap();
        assert_eq!((&claim["image_uri"], &claim["image_sha256"]), (&"s3://pictures/a/ff.jpg".into(), &"ff".into()));
        assert_eq!(claim.get("image"), None);
    }

    /// What a MessagePack value is, as far as it matters here.
    #[derive(Debug, PartialEq)]
    enum Any {
        Text(String),
        Number(i64),
        Bin(Vec<u8>),
    }

    impl<'de> Deserialize<'de> for Any {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Look;
            impl Visitor<'_> for Look {
                type Value = Any;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("text, a number or bin")
                }
                fn visit_str<E>(self, text: &str) -> Result<Any, E> {
                    Ok(Any::Text(text.to_owned()))
                }
                fn visit_u64<E>(self, number: u64) -> Result<Any, E> {
                    Ok(Any::Number(number as i64))
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Any, E> {
                    Ok(Any::Bin(bytes.to_vec()))
                }
            }
            deserializer.deserialize_any(Look)
        }
    }

    #[test]
    fn msgpack_reads_back_with_the_image_as_bin_or_where_it_lies() {
        let text = |text: &str| Any::Text(text.to_owned());
        let sealed = Envelope::MsgPack.seal(&facts(Content::Image(IMAGE)));
        let body: BTreeMap<String, Any> = rmp_serde::from_slice(&sealed.value).unwrap();
        let mut expected = BTreeMap::from([
            ("source_id".to_owned(), text("back door")),
            ("capture_ts_ns".to_owned(), Any::Number(STAMP)),
            ("frame_id".to_owned(), text("photos/\"1\".jpg")),
            ("frame_seq".to_owned(), Any::Number(7)),
            ("image".to_owned(), Any::Bin(IMAGE.to_vec())),
        ]);
        assert_eq!(body, expected);
        let claim = Envelope::MsgPack.seal(&facts(CLAIM));
        let body: BTreeMap<String, Any> = rmp_serde::from_slice(&claim.value).unwrap();
        expected.remove("image");
        expected.insert("image_uri".to_owned(), text("s3://pictures/a/ff.jpg"));
        expected.insert("image_sha256".to_owned(), text("ff"));
        assert_eq!(body, expected);
    }

    #[test]
    fn a_value_takes_no_more_than_is_said() {
        let image = vec![0xAB; 1_000_000];
        for envelope in [Envelope::Raw, Envelope::CloudEvents, Envelope::Json, Envelope::MsgPack] {
            let sealed = envelope.seal(&facts(Content::Image(&image)));
            assert!(sealed.value.len() as u64 <= envelope.most_bytes(1_000_000), "{envelope:?}");
        }
    }
}
