//! One pass over a body of either format, which keeps what is wanted and skips the rest.
//!
//! In: a parser, and the places that are wanted. Out: the values there. Invariant: it goes as deep as the pointers do; what lies
//! deeper or beside is skipped by the parser, and nothing is built for it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Field;
use super::given::Given;
use super::places::Place;
use crate::frame::Reference;

pub(super) const AN_OBJECT: &str = "an object";
pub(super) const AN_ARRAY: &str = "an array";

/// What was found, by field.
pub(super) type Values<'a> = [Option<Given<'a>>; Field::ALL.len()];

/// A visit to one place in a body.
pub(super) struct Visit<'v, 'r, 'a> {
    pub(super) place: &'v Place<'r>,
    pub(super) values: &'v mut Values<'a>,
    /// Is told what the body is; only at its top.
    pub(super) top: Option<&'v mut &'static str>,
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

    /// A MessagePack extension.
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

/// Looks a member's name up among those that are wanted. MessagePack's names may be of any type; only text is ever wanted.
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
