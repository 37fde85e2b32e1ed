//! What a message looks like: whether its value is the picture, or a body with the picture in a field.
//!
//! In: the record and its topic's format. Out: how the value is to be read. Invariant: with the format given, nothing is guessed.

use super::sniff::sniff;
use super::told::header;
use super::{Format, Record, Rules};

/// How a value is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// It is the encoded image, or empty.
    Image,
    /// It is a JSON text.
    Json,
    /// It is a MessagePack value.
    MsgPack,
    /// It is one of CloudEvents' structured mode, whose pointers have to be configured.
    StructuredEvent,
}

/// Detects what is not configured: a known image before all, then what the header `content-type` says, then how it begins.
pub(super) fn shape(record: &Record<'_>, rules: &Rules, value: &[u8]) -> Shape {
    if value.is_empty() {
        return Shape::Image;
    }
    match rules.format {
        Format::Json => Shape::Json,
        Format::MsgPack => Shape::MsgPack,
        Format::CloudEvents if sniff(value).is_none() && is_structured(record) => Shape::StructuredEvent,
        Format::Raw | Format::CloudEvents => Shape::Image,
        Format::Auto if sniff(value).is_some() => Shape::Image,
        Format::Auto if is_structured(record) => Shape::StructuredEvent,
        Format::Auto => by_content_type(record).unwrap_or_else(|| by_beginning(value)),
    }
}

fn is_structured(record: &Record<'_>) -> bool {
    content_type(record).is_some_and(|media| media.get(..23).is_some_and(|start| is(start, "application/cloudevents")))
}

fn by_content_type(record: &Record<'_>) -> Option<Shape> {
    let media = content_type(record)?;
    if is(media, "application/json") {
        return Some(Shape::Json);
    }
    let msgpack = ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"];
    msgpack.into_iter().any(|name| is(media, name)).then_some(Shape::MsgPack)
}

fn by_beginning(value: &[u8]) -> Shape {
    let text = value.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(value);
    match value.first() {
        _ if text.iter().find(|byte| !b" \t\r\n".contains(byte)) == Some(&b'{') => Shape::Json,
        Some(0x80..=0x8F | 0xDE | 0xDF) => Shape::MsgPack,
        _ => Shape::Image,
    }
}

/// The media type that the header `content-type` names, without parameters; header names of HTTP know no case.
pub(super) fn content_type<'a>(record: &Record<'a>) -> Option<&'a str> {
    let (_, value) = record.headers.iter().rev().find(|(name, _)| is(name, "content-type"))?;
    let text = std::str::from_utf8(value).ok()?;
    text.split(';').next().map(str::trim)
}

fn is(text: &str, name: &str) -> bool {
    text.eq_ignore_ascii_case(name)
}

/// Whether headers `ce_…` are CloudEvents attributes.
pub(super) fn is_cloud_event(record: &Record<'_>, format: Format) -> bool {
    match format {
        Format::CloudEvents => true,
        Format::Auto => header(record, super::told::SPEC_VERSION).is_some(),
        Format::Raw | Format::Json | Format::MsgPack => false,
    }
}
