//! The picture of a message: in its value, in a field of its body, or somewhere else.
//!
//! In: the opened message. Out: the picture, not yet decoded, or why there is none. Invariant: bytes are slices of the record's
//! value; only base64 that a JSON body escapes is a copy, and no larger than the body.

use std::borrow::Cow;

use bytes::Bytes;

use super::given::{Given, scheme, sha256, uri};
use super::shape::{Shape, content_type};
use super::sniff::{beginning, sniff};
use super::told::{Faults, Told};
use super::video::{refusal, video};
use super::{Field, ImageFormat};
use crate::frame::{Picture, Reason, Reference, Rejection};

/// Bytes in which the comma of a `data:` URL has to come.
const DATA_PREFIX: usize = 256;

/// What `image` holds.
enum Image {
    Here(Picture),
    At(String),
}

/// The picture, and the media type that its first bytes tell.
pub(super) fn picture(
    told: &mut Told<'_>,
    shape: Shape,
    value: &Bytes,
    faults: &mut Faults,
) -> (Option<ImageFormat>, Result<Picture, Rejection>) {
    let sha256 = {
        let [body, header] = told.claims(Field::ImageSha256);
        faults.first([body, header, told.attribute("ce_imagesha256")], sha256)
    };
    let elsewhere = faults.first(told.claims(Field::ImageUri), uri);
    let inside = match shape {
        Shape::Image => Ok((!value.is_empty()).then(|| Image::Here(Picture::Encoded(value.clone())))),
        Shape::Json | Shape::MsgPack => in_field(told, shape, value),
        Shape::StructuredEvent => Err(structured(told)),
    };
    let found = match (inside, elsewhere) {
        (Err(error), _) => Err(error),
        (Ok(Some(_)), Some(_)) => Err("the message has both an image and an image_uri, expected one of them".to_owned()),
        (Ok(None), Some(uri)) => Ok(Image::At(uri)),
        (Ok(Some(image)), None) => Ok(image),
        // CloudEvents allows both data and a reference to the same.
        (Ok(None), None) => match faults.first([told.attribute("ce_dataref")], uri) {
            Some(uri) => Ok(Image::At(uri)),
            None => Err(missing(told, shape)),
        },
    };
    match found {
        Err(error) => (None, Err(Rejection::new(Reason::EnvelopeError, error))),
        Ok(Image::At(uri)) => (None, Ok(Picture::At(Reference { uri, sha256 }))),
        Ok(Image::Here(picture)) => here(told, shape, picture),
    }
}

/// The configuration under which such messages are ordinary JSON bodies.
const STRUCTURED: &str = concat!(
    r#"a CloudEvent in structured mode: set envelope.format = "json", envelope.capture_ts_unit = "rfc3339" and, under "#,
    r#"envelope.pointers, image = "/data_base64", frame_id = "/id", source_id = "/source", capture_ts_ns = "/time""#
);

/// How messages of that content type are made ordinary JSON bodies, where they can be.
fn structured(told: &Told<'_>) -> String {
    let media = content_type(told.record).unwrap_or_default();
    if media.eq_ignore_ascii_case("application/cloudevents+json") || media.eq_ignore_ascii_case("application/cloudevents") {
        return STRUCTURED.to_owned();
    }
    let media = Given::Text(media.into());
    format!("content-type is {media}: CloudEvents are taken in binary mode, or one by one as JSON")
}

/// Refuses video by its name.
fn here(told: &Told<'_>, shape: Shape, picture: Picture) -> (Option<ImageFormat>, Result<Picture, Rejection>) {
    let start = match &picture {
        Picture::Base64(text) => Cow::Owned(beginning(text)),
        Picture::Encoded(bytes) => Cow::Borrowed(&**bytes),
        Picture::At(_) => Cow::Borrowed(&[][..]),
    };
    if let Some(format) = sniff(&start) {
        return (Some(format), Ok(picture));
    }
    let recognised = video(&start).map(super::Video::refusal);
    let declared = || {
        let media = content_type(told.record).filter(|_| shape == Shape::Image)?;
        let is_video = media.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("video/"));
        is_video.then(|| refusal(&format!("content-type {}", Given::Text(media.into()))))
    };
    match recognised.or_else(declared) {
        Some(text) => (None, Err(Rejection::new(Reason::Unsupported, text))),
        None => (None, Ok(picture)),
    }
}

fn missing(told: &Told<'_>, shape: Shape) -> String {
    match shape {
        Shape::Image => format!("the value is empty, and there is no header {}", told.header_name(Field::ImageUri)),
        _ => format!("{} is missing, and so is {}", told.place(Field::Image), told.place(Field::ImageUri)),
    }
}

/// The image of a body, or what is wrong with it.
fn in_field(told: &mut Told<'_>, shape: Shape, value: &Bytes) -> Result<Option<Image>, String> {
    let Some(given) = told.body.take(Field::Image).filter(|given| !given.is_empty()) else { return Ok(None) };
    let place = told.place(Field::Image);
    match given {
        // Old MessagePack has no `bin`: text that is not UTF-8 is bytes.
        Given::Bytes(bytes) => Ok(Some(Image::Here(Picture::Encoded(value.slice_ref(bytes))))),
        Given::Text(text) => in_text(text, value).map(Some).map_err(|fault| format!("{place} {fault}")),
        other => {
            let expected = if shape == Shape::Json { "base64 text" } else { "binary data or base64 text" };
            Err(format!("{place} {}", other.instead_of(expected)))
        }
    }
}

/// Base64, with the prefix of a `data:` URL or without, or a URI.
fn in_text(text: Cow<'_, str>, value: &Bytes) -> Result<Image, String> {
    let given = Given::Text(Cow::Borrowed(&text));
    let start = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:"));
    let skipped = if start {
        let comma = text.bytes().take(DATA_PREFIX).position(|byte| byte == b',');
        let comma = comma.filter(|comma| text[..*comma].to_ascii_lowercase().ends_with(";base64"));
        comma.ok_or_else(|| given.instead_of("base64 text or data:image/…;base64,…"))? + 1
    } else if text.as_bytes().iter().take(16).any(|byte| *byte == b':') && scheme(&text).is_some() {
        // Base64 has no colon.
        return uri(&given)?.map(Image::At).ok_or_else(|| given.instead_of("base64 text"));
    } else {
        0
    };
    if text.len() == skipped {
        return Err(given.instead_of("base64 text after the comma"));
    }
    let bytes = match text {
        Cow::Borrowed(text) => value.slice_ref(&text.as_bytes()[skipped..]),
        Cow::Owned(text) => Bytes::from(text.into_bytes()).slice(skipped..),
    };
    Ok(Image::Here(Picture::Base64(bytes)))
}
