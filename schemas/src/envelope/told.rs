//! All that a message tells of its frame, wherever it tells it, and which of it counts.
//!
//! In: the record, the rules, the body's fields. Out: per field the first that can be read: the body's, the header's, the
//! CloudEvents attribute. Invariant: the first mistake is kept and makes the message an `envelope_error`, but the next place's
//! value is used in its stead, so that every message has usable metadata.

use std::fmt;

use super::body::Body;
use super::given::Given;
use super::{Field, Record, Rules};
use crate::message::from_rfc3339;
use crate::time::Micros;

/// The header that says that the others are CloudEvents attributes.
pub(super) const SPEC_VERSION: &str = "ce_specversion";

/// A message, opened.
pub(super) struct Told<'a> {
    pub(super) record: &'a Record<'a>,
    pub(super) rules: &'a Rules,
    pub(super) body: Body<'a>,
    /// Whether headers `ce_…` are CloudEvents attributes.
    pub(super) is_cloud_event: bool,
}

/// A value and where it is.
pub(super) struct Claim<'a> {
    place: Place<'a>,
    given: Given<'a>,
}

impl<'a> Told<'a> {
    /// What the body says, then what the header says.
    pub(super) fn claims(&self, field: Field) -> [Option<Claim<'a>>; 2] {
        [self.in_body(field), self.header(self.header_name(field))]
    }

    /// The header that holds a field.
    pub(super) fn header_name(&self, field: Field) -> &'a str {
        self.rules.headers.get(&field).map_or(field.as_str(), String::as_str)
    }

    fn in_body(&self, field: Field) -> Option<Claim<'a>> {
        Some(Claim { place: self.place(field), given: self.body.get(field)?.clone() })
    }

    /// Where the body has a field.
    pub(super) fn place(&self, field: Field) -> Place<'a> {
        Place::Body(field, self.rules.pointers.get(&field).map(String::as_str))
    }

    fn header(&self, name: &'a str) -> Option<Claim<'a>> {
        let given = Given::header(header(self.record, name)?);
        Some(Claim { place: Place::Header(name), given })
    }

    /// The event time of a retried message's original; nothing that is no time counts.
    pub(super) fn retried(&self) -> Option<Micros> {
        header(self.record, "dlq_attempt")?;
        from_rfc3339(std::str::from_utf8(header(self.record, "dlq_capture_ts")?).ok()?)
    }

    /// A CloudEvents attribute, by the name of its header.
    pub(super) fn attribute(&self, name: &'static str) -> Option<Claim<'a>> {
        if self.is_cloud_event { self.header(name).filter(|claim| !claim.given.is_empty()) } else { None }
    }
}

/// The last header of that name.
pub(super) fn header<'a>(record: &Record<'a>, name: &str) -> Option<&'a [u8]> {
    record.headers.iter().rev().find(|(header, _)| *header == name).map(|(_, value)| *value)
}

/// Where a value is.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// In the body, perhaps not under its own name.
    Body(Field, Option<&'a str>),
    /// In a header.
    Header(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(field, None) => f.write_str(field.as_str()),
            Self::Body(field, Some(pointer)) => write!(f, "{} ({pointer})", field.as_str()),
            Self::Header(name) => write!(f, "header {name}"),
        }
    }
}

/// The first mistake that was found in a message.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Option<String>);

impl Faults {
    /// Takes a mistake down.
    pub(super) fn note(&mut self, fault: String) {
        self.0.get_or_insert(fault);
    }

    /// The first claim that can be read; those before it that cannot are mistakes.
    pub(super) fn first<'a, T>(
        &mut self,
        claims: impl IntoIterator<Item = Option<Claim<'a>>>,
        read: impl Fn(&Given<'_>) -> Result<Option<T>, String>,
    ) -> Option<T> {
        claims.into_iter().flatten().find_map(|Claim { place, given }| {
            read(&given).unwrap_or_else(|fault| {
                self.note(format!("{place} {fault}"));
                None
            })
        })
    }
}
