//! JSON and `MessagePack` bodies: the fields that are wanted, in one pass.
//!
//! In: a body and the places where fields are. Out: what is there, and what is wrong with the body as a whole; what came before
//! the fault is kept. Invariant: nothing is built for what is not wanted, strings are borrowed unless they are escaped, and
//! neither memory nor stack grows with the body's structure.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Field;
use super::given::Given;
use super::places::Place;
use crate::frame::Reference;

/// How deep arrays and objects may be nested.
pub(super) const MAX_DEPTH: usize = 100;
/// Why a visit ended that had gone too deep, whichever parser says so.
const TOO_DEEP: &str = "arrays and objects are nested more than 100 deep";

/// What a body holds.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    values: [Option<Given<'a>>; Field::ALL.len()],
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

    /// One `MessagePack` value.
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
        _ => wanted.here != super::places::Fields::default(),
    };
    (!fits).then(|| format!("is {top}, expected an object with the fields"))
}

const AN_OBJECT: &str = "an object";
const AN_ARRAY: &str = "an array";

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

/// A visit to one place in a body.
struct Visit<'v, 'r, 'a> {
    place: &'v Place<'r>,
    values: &'v mut [Option<Given<'a>>; Field::ALL.len()],
    /// Says what the body is; only at its top.
    top: Option<&'v mut &'static str>,
}

impl<'a> Visit<'_, '_, 'a> {
    fn put(&mut self, given: &Given<'a>) {
        for field in self.place.here.iter() {
            let long = match given {
                Given::Text(text) if text.len() > Reference::MAX_BYTES && field != Field::Image => Some(text.len()),
                _ => None,
            };
            self.values[field as usize] = Some(long.map_or_else(|| given.clone(), Given::Long));
        }
    }

    fn put_last(mut self, given: Given<'a>, what: &'static str) {
        if let Some(top) = self.top.take() {
            *top = what;
        }
        let mut fields = self.place.here.iter();
        if let (Some(Field::Image), None) = (fields.next(), fields.next()) {
            // The one that may be large: moved, not copied.
            self.values[Field::Image as usize] = Some(given);
        } else {
            self.put(&given);
        }
    }
}

impl<'a> DeserializeSeed<'a> for Visit<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        // Of duplicates the last counts, and all of it.
        for field in self.place.within.iter() {
            self.values[field as usize] = None;
        }
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Visit<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.put_last(Given::Other(if value { "true" } else { "false" }), "a truth value");
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put_last(Given::Integer(value.into()), "a number");
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put_last(Given::Integer(value.into()), "a number");
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.put_last(Given::Float(value), "a number");
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, value: &'a str) -> Result<(), E> {
        self.put_last(Given::Text(Cow::Borrowed(value)), "text");
        Ok(())
    }

    /// An escaped string.
    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let image = self.place.here.iter().any(|field| field == Field::Image);
        let given = if image || value.len() <= Reference::MAX_BYTES {
            Given::Text(Cow::Owned(value.to_owned()))
        } else {
            Given::Long(value.len())
        };
        self.put_last(given, "text");
        Ok(())
    }

    fn visit_borrowed_bytes<E: Error>(self, value: &'a [u8]) -> Result<(), E> {
        self.put_last(Given::Bytes(value), "binary data");
        Ok(())
    }

    /// A `MessagePack` extension.
    fn visit_newtype_struct<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        self.put_last(Given::Other("an extension type"), "an extension type");
        IgnoredAny::deserialize(deserializer).map(drop)
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.put(&Given::Other(AN_ARRAY));
        if let Some(top) = self.top.take() {
            *top = AN_ARRAY;
        }
        for index in 0..self.place.items() {
            let more = match self.place.item(index) {
                Some(place) => items.next_element_seed(Visit { place, values: self.values, top: None })?,
                None => items.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                return Ok(());
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.put(&Given::Other(AN_OBJECT));
        if let Some(top) = self.top.take() {
            *top = AN_OBJECT;
        }
        if self.place.is_leaf() {
            return IgnoredAny.visit_map(members).map(drop);
        }
        while let Some(place) = members.next_key_seed(Name(self.place))? {
            match place {
                Some(place) => members.next_value_seed(Visit { place, values: self.values, top: None })?,
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Looks a member's name up among those that are wanted. `MessagePack`'s names may be of any type; only text is ever wanted.
struct Name<'v, 'r>(&'v Place<'r>);

impl<'a, 'v, 'r> DeserializeSeed<'a> for Name<'v, 'r> {
    type Value = Option<&'v Place<'r>>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, 'v, 'r> Visitor<'a> for Name<'v, 'r> {
    type Value = Option<&'v Place<'r>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.member(name.as_bytes()))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.member(name))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_newtype_struct<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| None)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, items: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(items).map(|_| None)
    }

    fn visit_map<A: MapAccess<'a>>(self, members: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(members).map(|_| None)
    }
}
