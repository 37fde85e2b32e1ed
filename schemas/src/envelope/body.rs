//! JSON and MessagePack bodies: the fields that are wanted, in one pass.
//!
//! In: a body and the places where fields are. Out: what is there, and what is wrong with the body as a whole; what came before
//! the fault is kept. Invariant: nothing is built for what is not wanted, strings are borrowed unless they are escaped, and
//! neither memory nor stack grows with the body's structure.

use serde::de::{Deserialize, DeserializeSeed};

use super::Field;
use super::given::Given;
use super::places::{Fields, Place};
use super::visit::{AN_ARRAY, AN_OBJECT, Values, Visit};

/// How deep arrays and objects may be nested.
const MAX_DEPTH: usize = 100;
/// Why a visit ended that had gone too deep, whichever parser says so.
const TOO_DEEP: &str = "arrays and objects are nested more than 100 deep";

/// What a body holds.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    values: Values<'a>,
    /// What is wrong with the body as a whole.
    pub(super) fault: Option<String>,
}

impl<'a> Body<'a> {
    /// What it says of a field.
    pub(super) fn get(&self, field: Field) -> Option<&Given<'a>> {
        self.values[field as usize].as_ref()
    }

    /// The same, moved out.
    pub(super) fn take(&mut self, field: Field) -> Option<Given<'a>> {
        self.values[field as usize].take()
    }

    /// A JSON text (RFC 8259), with or without a byte order mark.
    pub(super) fn json(bytes: &'a [u8], wanted: &Place<'_>) -> Self {
        let mut body = Self::default();
        let text = match std::str::from_utf8(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)) {
            Ok(text) => text,
            Err(error) => {
                body.fault = Some(format!("the JSON body is not UTF-8 text ({error})"));
                return body;
            }
        };
        if nests_too_deep(text.as_bytes()) {
            body.fault = Some(format!("the JSON body is broken: {TOO_DEEP}"));
            return body;
        }
        let mut parser = serde_json::Deserializer::from_str(text);
        let mut top = "null";
        let visit = Visit { place: wanted, values: &mut body.values, top: Some(&mut top) };
        let result = visit.deserialize(&mut parser).and_then(|()| parser.end());
        body.fault = match result {
            Ok(()) => not_an_object(top, wanted).map(|fault| format!("the JSON body {fault}")),
            Err(error) => Some(format!("the JSON body is broken: {error}")),
        };
        body
    }

    /// One MessagePack value.
    pub(super) fn msgpack(bytes: &'a [u8], wanted: &Place<'_>) -> Self {
        let mut body = Self::default();
        let mut parser = rmp_serde::Deserializer::from_read_ref(bytes);
        // It counts to zero, and refuses there.
        parser.set_max_depth(MAX_DEPTH + 1);
        let mut top = "nil";
        let visit = Visit { place: wanted, values: &mut body.values, top: Some(&mut top) };
        let fault = match visit.deserialize(&mut parser) {
            Ok(()) => match u8::deserialize(&mut parser) {
                // The only thing that cannot be read at the end is the next value's first byte.
                Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => not_an_object(top, wanted),
                _ => Some("is broken: there are bytes after its end".to_owned()),
            },
            Err(rmp_serde::decode::Error::InvalidMarkerRead(_) | rmp_serde::decode::Error::InvalidDataRead(_)) => {
                Some("is broken: it ends before its last value is complete".to_owned())
            }
            Err(rmp_serde::decode::Error::DepthLimitExceeded) => Some(format!("is broken: {TOO_DEEP}")),
            Err(error) => Some(format!("is broken: {error}")),
        };
        body.fault = fault.map(|fault| format!("the MessagePack body {fault}"));
        body
    }
}

/// `top` is what the body is, in words.
fn not_an_object(top: &str, wanted: &Place<'_>) -> Option<String> {
    let fits = match top {
        AN_OBJECT => true,
        AN_ARRAY => wanted.items() > 0,
        _ => wanted.here != Fields::default(),
    };
    (!fits).then(|| format!("is {top}, expected an object with the fields"))
}

/// Whether brackets nest too deep in a text that is JSON up to there: `serde_json` would remember each one that it skips.
fn nests_too_deep(mut text: &[u8]) -> bool {
    let mut depth = 0_usize;
    while let Some((byte, rest)) = text.split_first() {
        text = match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
                rest
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                rest
            }
            b'"' => after_string(rest),
            _ => rest,
        };
    }
    false
}

/// What follows the string that `text` begins within.
fn after_string(mut text: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', text) {
        if text[at] == b'"' {
            return &text[at + 1..];
        }
        text = text.get(at + 2..).unwrap_or_default();
    }
    &[]
}
