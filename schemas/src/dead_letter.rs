//! Dead letters: a message that failed, as it came, with the reason.
//!
//! A dead letter is a Kafka message. Its key is `topic/partition/offset` of the original; its value is the original's, byte for
//! byte; its headers are the original's in their order, and after them ours, whose names begin with `dlq_` (an original's own
//! headers of such names are left out). A tombstone under the same key says that it is done with.
//!
//! | header | says |
//! |---|---|
//! | `dlq_schema_version` | version of this format |
//! | `dlq_reason` | the `status` of the row in `frames` |
//! | `dlq_stage` | where it failed: `envelope`, `fetch`, `decode`, `detect`, `internal` |
//! | `dlq_error` | what is wrong, at most 500 characters |
//! | `dlq_source_id` | the camera, as far as it was told |
//! | `dlq_topic`, `dlq_partition`, `dlq_offset` | where the original lies |
//! | `dlq_key` | the original's key; absent where it had none |
//! | `dlq_record_ts` | the original's timestamp, RFC 3339 |
//! | `dlq_capture_ts` | the event time of the row in `frames`, RFC 3339 |
//! | `dlq_first_seen` | when it was first consumed, over all attempts, RFC 3339 |
//! | `dlq_attempt` | how often it has failed, from 1 |
//! | `dlq_value` | `whole`; or the letter's is empty: `none` (null), as the original's was, or `left_out`, too large |
//! | `dlq_value_bytes` | size of the original's value; absent where it had none |
//! | `dlq_run_id` | the run of the process in which it failed |
//!
//! Invariant: what [`of`] makes [`DeadLetter::parse`] reads, and [`DeadLetter::retry`] gives the original back, for any bytes.

mod parse;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::frame::{MessageKey, Reason};
use crate::message::{Message, from_rfc3339, rfc3339};
use crate::tables::FrameRow;
use crate::time::Micros;

pub use parse::{DeadLetter, Facts, Headers, Held, Sent, Why};

/// Version of this format, in the header `dlq_schema_version`.
pub const SCHEMA_VERSION: &str = "1";
/// What the names of our headers begin with.
pub const PREFIX: &str = "dlq_";
/// The highest count of attempts that is believed of a header, and written.
pub const MAX_ATTEMPT: u32 = 1_000_000;
/// What our own headers, key and framing add to an original at most, in bytes: the topic's `max.message.bytes` has to exceed
/// `max_bytes` by as much.
pub const OVERHEAD_BYTES: u64 = 8_192;
/// What each header costs besides its name and value, in bytes, at most: two lengths.
const HEADER_FRAMING: usize = 10;

/// A consumed message as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` also where it was too large to be copied.
    pub value: Option<Bytes>,
    /// Size of the value in bytes; `None` where there is none at all.
    pub value_bytes: Option<u64>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl Original {
    /// The bytes that it holds besides the value, which it shares.
    #[must_use]
    pub fn memory(&self) -> usize {
        let header = |(name, value): &(String, Option<Bytes>)| {
            size_of::<(String, Option<Bytes>)>() + name.len() + value.as_ref().map_or(0, Bytes::len)
        };
        let headers = self.headers.iter().map(header);
        self.key.as_ref().map_or(0, Bytes::len) + headers.sum::<usize>()
    }

    /// Its headers without those that only a dead letter has.
    fn own_headers(&self) -> impl Iterator<Item = &(String, Option<Bytes>)> {
        self.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX))
    }

    /// The last header of that name, as text.
    fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rev().find(|(header, _)| header == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// Bytes of key and headers.
    fn label_bytes(&self) -> u64 {
        let header = |(name, value): &(String, Option<Bytes>)| HEADER_FRAMING + name.len() + value.as_ref().map_or(0, Bytes::len);
        (self.key.as_ref().map_or(0, Bytes::len) + self.own_headers().map(header).sum::<usize>()) as u64
    }

    /// How often it has failed before, by its own word: 0 for anything that is no count from 1 up.
    fn attempts(&self) -> u32 {
        self.text("dlq_attempt").and_then(|text| text.parse().ok()).unwrap_or(0).min(MAX_ATTEMPT)
    }
}

/// The dead letter of a rejected frame that was consumed at `seen`. Where key, headers and value have more than `max_bytes` bytes
/// together, the value is left out, and where key and headers alone have more, these are, too: the letter then says only where the
/// original lies.
///
/// A row without a rejection has no business here; it is filed as our mistake, an `internal_error`.
#[must_use]
pub fn of(row: &FrameRow, original: &Original, seen: Micros, max_bytes: u64) -> Message {
    let fits_label = original.label_bytes() <= max_bytes;
    let fits = original.label_bytes().saturating_add(original.value_bytes.unwrap_or(0)) <= max_bytes;
    let held = match (original.value_bytes, &original.value) {
        (None, _) if fits => Held::None,
        (Some(_), Some(_)) if fits => Held::Whole,
        _ => Held::LeftOut,
    };
    let attempts = original.attempts();
    let first_seen = original.text("dlq_first_seen").and_then(from_rfc3339).filter(|_| attempts > 0);
    let key = &row.meta.key;
    let (reason, error) = match &row.outcome {
        Err(rejection) => (rejection.reason, rejection.error.as_str()),
        Ok(_) => (Reason::InternalError, "a dead letter was made of a frame with which nothing is wrong"),
    };
    let mut headers: Vec<_> = original
        .own_headers()
        .filter(|_| fits_label)
        .map(|(name, value)| (name.clone(), value.as_ref().map(|value| value.to_vec())))
        .collect();
    let mut ours = |name: &str, value: &[u8]| headers.push((format!("{PREFIX}{name}"), Some(value.to_vec())));
    ours("schema_version", SCHEMA_VERSION.as_bytes());
    ours("reason", reason.as_str().as_bytes());
    ours("stage", stage(reason, row).as_bytes());
    ours("error", error.as_bytes());
    ours("source_id", row.meta.source_id.as_str().as_bytes());
    ours("topic", key.topic.as_bytes());
    ours("partition", key.partition.to_string().as_bytes());
    ours("offset", key.offset.to_string().as_bytes());
    if let Some(key) = original.key.as_ref().filter(|_| fits_label) {
        ours("key", key);
    }
    ours("record_ts", rfc3339(row.meta.record_ts).as_bytes());
    ours("capture_ts", rfc3339(row.meta.capture_ts).as_bytes());
    ours("first_seen", rfc3339(first_seen.map_or(seen, |first| first.min(seen))).as_bytes());
    ours("attempt", (attempts + 1).min(MAX_ATTEMPT).to_string().as_bytes());
    ours("value", held.as_str().as_bytes());
    if let Some(bytes) = original.value_bytes {
        ours("value_bytes", bytes.to_string().as_bytes());
    }
    ours("run_id", row.run_id.as_bytes());
    let value = original.value.as_ref().filter(|_| held == Held::Whole);
    Message { key: key_of(key), value: Some(value.map_or_else(Vec::new, |value| value.to_vec())), headers }
}

/// Leaves key, headers and value of the original out of a dead letter that its topic does not take, so that only the reference is
/// left; false where that is all that there is.
pub fn leave_out(letter: &mut Message) -> bool {
    let count = letter.headers.len();
    letter.headers.retain(|(name, _)| name.starts_with(PREFIX) && name != "dlq_key");
    let has_value = letter.value.replace(Vec::new()).is_some_and(|value| !value.is_empty());
    let has_left = has_value || letter.headers.len() < count;
    if let Some((_, held)) = letter.headers.iter_mut().rfind(|(name, _)| name == "dlq_value").filter(|_| has_left) {
        *held = Some(Held::LeftOut.as_str().into());
    }
    has_left
}

/// The key of the dead letter of the message at `original`, and of the tombstone that ends it.
#[must_use]
pub fn key_of(original: &MessageKey) -> Vec<u8> {
    original.to_string().into_bytes()
}

/// Where a frame failed. Too many bytes are seen before, too many pixels while decoding; what the row has timings of was reached.
fn stage(reason: Reason, row: &FrameRow) -> &'static str {
    match reason {
        Reason::FetchError | Reason::FetchRefused | Reason::Expired => "fetch",
        Reason::Unsupported | Reason::DecodeError => "decode",
        Reason::TooLarge if row.timings.decode_ms.is_some() => "decode",
        Reason::TooLarge if row.timings.fetch_ms.is_some() => "fetch",
        Reason::EnvelopeError | Reason::TooLarge => "envelope",
        Reason::DetectorError => "detect",
        Reason::InternalError | Reason::SampledOut | Reason::Stale => "internal",
    }
}
