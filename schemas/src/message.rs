//! A Kafka message that the pipeline sends: an event, a window or a dead letter; and how times are written in them.

use chrono::{DateTime, SecondsFormat};

use crate::time::Micros;

/// What is produced; the topic is the sender's to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The key; messages of one key keep their order.
    pub key: Vec<u8>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Message {
    /// Roughly how much memory it holds, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
        size_of::<Self>() + self.key.len() + self.value.as_ref().map_or(0, Vec::len) + headers.sum::<usize>()
    }
}

/// RFC 3339 in UTC with microseconds, `2026-11-22T07:59:59.250000Z`: always 27 characters, so that text sorts as time does.
#[must_use]
pub fn rfc3339(at: Micros) -> String {
    let at = DateTime::from_timestamp_micros(Micros::saturating(at.0).0).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The point in time that RFC 3339 text means, in any offset from UTC.
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<Micros> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| Micros::saturating(at.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_text_in_utc_with_microseconds() {
        // `date -u -d @1795334399` says so.
        assert_eq!(rfc3339(Micros(1_795_334_399_250_000)), "2026-11-22T07:59:59.250000Z");
        assert_eq!(rfc3339(Micros(-1)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(Micros(i64::MAX)), "9999-12-31T23:59:59.999999Z");
        assert_eq!(from_rfc3339("2026-11-22T08:59:59.25+01:00"), Some(Micros(1_795_334_399_250_000)));
        for text in ["", "now", "2026-11-22", "2026-11-22T07:59:59", "2026-13-01T00:00:00Z", "1795334399250000"] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
    }
}
