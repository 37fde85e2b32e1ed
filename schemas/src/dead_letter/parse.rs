//! A dead letter read back: the facts that its headers tell, and the original that it holds.
//!
//! Invariant: whatever a message of the topic holds, reading it ends in a letter or in a description of what is wrong with it.

use bytes::Bytes;

use super::{MAX_ATTEMPT, PREFIX, key_of};
use crate::frame::{MessageKey, Offset};
use crate::message::{from_rfc3339, rfc3339};
use crate::time::Micros;

/// Headers in order, with null and empty values kept apart.
pub type Headers = Vec<(String, Option<Bytes>)>;

/// What a letter holds of the original's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All of it.
    Whole,
    /// The original had none.
    None,
    /// It was too large: the original has to be read from where it lies.
    LeftOut,
}

impl Held {
    /// The name in the header `dlq_value`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::None => "none",
            Self::LeftOut => "left_out",
        }
    }
}

/// What our headers say of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where the original lies; as text, the letter's key.
    pub original: MessageKey,
    /// The `status` of its row in `frames`.
    pub reason: String,
    /// Where it failed.
    pub stage: String,
    /// What is wrong, at most [`Facts::MAX_CHARS`] characters.
    pub error: String,
    /// The camera.
    pub source_id: String,
    /// The original's timestamp.
    pub record_ts: Micros,
    /// Its event time.
    pub capture_ts: Micros,
    /// When it was first consumed.
    pub first_seen: Micros,
    /// How often it has failed, from 1.
    pub attempt: u32,
    /// What the letter holds of the value.
    pub held: Held,
    /// Size of the original's value in bytes; `None` where it had none.
    pub value_bytes: Option<u64>,
    /// The run in which it failed.
    pub run_id: String,
}

impl Facts {
    /// The longest text that is kept of a header.
    pub const MAX_CHARS: usize = 500;

    /// Reads a letter's key and headers; an error says what is missing or contradictory.
    pub fn parse(key: Option<&[u8]>, headers: &Headers) -> Result<Self, String> {
        let ours = Ours(headers);
        let original = MessageKey {
            topic: ours.text("topic")?.into(),
            partition: ours.number("partition")?,
            offset: Offset(ours.number("offset")?),
        };
        let key = key.ok_or("it has no key")?;
        if key != key_of(&original) {
            return Err(format!(
                "its key is {:?}, its headers say {original}",
                String::from_utf8_lossy(&key[..key.len().min(400)])
            ));
        }
        let value_bytes = ours.find("value_bytes").map(|_| ours.number("value_bytes")).transpose()?;
        let held = match ours.text("value")?.as_str() {
            "whole" => Held::Whole,
            "none" => Held::None,
            "left_out" => Held::LeftOut,
            other => return Err(format!("{PREFIX}value is {other:?}, expected whole, none or left_out")),
        };
        if held == Held::Whole && value_bytes.is_none() {
            return Err(format!("{PREFIX}value_bytes is missing"));
        }
        let attempt: u32 = ours.number("attempt")?;
        Ok(Self {
            original,
            reason: ours.text("reason")?,
            stage: ours.text("stage")?,
            error: ours.text("error")?,
            source_id: ours.text("source_id")?,
            record_ts: ours.time("record_ts")?,
            capture_ts: ours.time("capture_ts")?,
            first_seen: ours.time("first_seen")?,
            attempt: attempt.clamp(1, MAX_ATTEMPT),
            held,
            value_bytes,
            run_id: ours.text("run_id")?,
        })
    }
}

/// Our headers among a letter's: of duplicates the last counts, since ours come after the original's.
struct Ours<'a>(&'a Headers);

impl Ours<'_> {
    fn find(&self, name: &str) -> Option<&Option<Bytes>> {
        let is_it = |header: &str| header.strip_prefix(PREFIX) == Some(name);
        self.0.iter().rev().find(|(header, _)| is_it(header)).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Result<String, String> {
        let value = self.find(name).and_then(Option::as_deref).ok_or_else(|| format!("{PREFIX}{name} is missing"))?;
        let text = std::str::from_utf8(value).map_err(|_| format!("{PREFIX}{name} is not UTF-8 text"))?;
        Ok(text.chars().take(Facts::MAX_CHARS).collect())
    }

    fn number<N: std::str::FromStr + PartialOrd + Default>(&self, name: &str) -> Result<N, String> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| *number >= N::default());
        number.ok_or_else(|| format!("{PREFIX}{name} is {text:?}, expected a whole number from 0 up"))
    }

    fn time(&self, name: &str) -> Result<Micros, String> {
        let text = self.text(name)?;
        from_rfc3339(&text).ok_or_else(|| format!("{PREFIX}{name} is {text:?}, expected a time as RFC 3339 has it"))
    }
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What it says of the original.
    pub facts: Facts,
    /// The original's key, unless that was left out.
    pub key: Option<Bytes>,
    /// The original's headers in order, unless they were left out.
    pub headers: Headers,
    /// The original's value, where the letter holds it.
    pub value: Option<Bytes>,
}

/// The original as it is to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers, and after them `dlq_attempt`, `dlq_first_seen`, `dlq_capture_ts` and `dlq_origin`.
    pub headers: Headers,
}

/// Why a letter does not give its original back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The original has to be read from where it lies, and be given to [`DeadLetter::retry_with`].
    #[error("its value was too large for a dead letter: the original has to be read from {0}")]
    LeftOut(MessageKey),
}

impl DeadLetter {
    /// Reads a message of the topic; an error says what is wrong with it. A tombstone is none.
    pub fn parse(key: Option<&[u8]>, value: Option<Bytes>, headers: Headers) -> Result<Self, String> {
        let facts = Facts::parse(key, &headers)?;
        let value = value.ok_or("it is a tombstone")?;
        let expected = facts.value_bytes.filter(|_| facts.held == Held::Whole).unwrap_or(0);
        if value.len() as u64 != expected {
            return Err(format!("its value has {} bytes, its headers say {expected}", value.len()));
        }
        let key = Ours(&headers).find("key").cloned().flatten();
        let headers = headers.into_iter().filter(|(name, _)| !name.starts_with(PREFIX)).collect();
        let value = Some(value).filter(|_| facts.held == Held::Whole);
        Ok(Self { facts, key, headers, value })
    }

    /// The original, to be sent again.
    pub fn retry(&self) -> Result<Sent, Why> {
        if self.facts.held == Held::LeftOut {
            return Err(Why::LeftOut(self.facts.original.clone()));
        }
        Ok(self.sent(self.key.clone(), self.value.clone(), &self.headers))
    }

    /// The original as it was read from where it lies, to be sent again.
    #[must_use]
    pub fn retry_with(&self, key: Option<Bytes>, value: Option<Bytes>, headers: &Headers) -> Sent {
        self.sent(key, value, headers)
    }

    fn sent(&self, key: Option<Bytes>, value: Option<Bytes>, headers: &Headers) -> Sent {
        let own = headers.iter().filter(|(name, _)| !name.starts_with(PREFIX)).cloned();
        let ours = [
            ("attempt", self.facts.attempt.to_string()),
            ("first_seen", rfc3339(self.facts.first_seen)),
            ("capture_ts", rfc3339(self.facts.capture_ts)),
            ("origin", self.facts.original.to_string()),
        ];
        let ours = ours.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), Some(Bytes::from(value))));
        Sent { key, value, headers: own.chain(ours).collect() }
    }
}
