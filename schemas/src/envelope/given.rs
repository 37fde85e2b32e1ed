//! What a producer wrote for a field, in a header or in a body, and how it is read.
//!
//! In: a value of whatever type. Out: text, a number or a digest, or what was found instead and what was expected. Invariant:
//! what is hostile is quoted by its beginning only.

use std::borrow::Cow;
use std::fmt;

use crate::frame::{Reference, SourceId};

/// Characters of a value that are quoted.
const QUOTED: usize = 40;

/// A value as the producer wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given<'a> {
    /// Text, in which a number may be written in decimal.
    Text(Cow<'a, str>),
    /// Text of so many bytes, too long for any field but the image.
    Long(usize),
    /// MessagePack's `bin`, or text that is not UTF-8.
    Bytes(&'a [u8]),
    /// An integer.
    Integer(i128),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// A value of a type that serves for nothing, in words.
    Other(&'static str),
}

impl<'a> Given<'a> {
    /// A header's value.
    pub(super) fn header(value: &'a [u8]) -> Self {
        std::str::from_utf8(value).map_or(Self::Bytes(value), |text| Self::Text(Cow::Borrowed(text)))
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            _ => false,
        }
    }

    /// What it is instead of what was expected.
    pub(super) fn instead_of(&self, expected: impl fmt::Display) -> String {
        format!("is {self}, expected {expected}")
    }
}

/// What was found, for an error.
impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => {
                let start: String = text.chars().take(QUOTED).collect();
                let rest = if start.len() < text.len() { "…" } else { "" };
                write!(f, "{start:?}{rest}")
            }
            Self::Long(bytes) => write!(f, "text of {bytes} bytes"),
            Self::Bytes(bytes) if std::str::from_utf8(bytes).is_ok() => write!(f, "{} bytes of binary data", bytes.len()),
            Self::Bytes(bytes) => write!(f, "{} bytes that are not UTF-8 text", bytes.len()),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Other(what) => what.fmt(f),
        }
    }
}

/// An id: text of at most [`SourceId::MAX_CHARS`] characters, or an integer. Empty text counts as none.
pub(super) fn id(given: &Given<'_>) -> Result<Option<String>, String> {
    match given {
        Given::Text(text) => {
            short(text)?;
            Ok(Some(text.clone().into_owned()).filter(|text| !text.is_empty()))
        }
        Given::Integer(number) => Ok(Some(number.to_string())),
        Given::Long(bytes) => Err(format!("has {bytes} bytes, at most {} characters are accepted", SourceId::MAX_CHARS)),
        other => Err(other.instead_of("text or an integer")),
    }
}

/// Whether text is no longer than an id may be.
pub(super) fn short(text: &str) -> Result<(), String> {
    let chars = text.chars().count();
    if chars > SourceId::MAX_CHARS {
        return Err(format!("has {chars} characters, at most {} are accepted", SourceId::MAX_CHARS));
    }
    Ok(())
}

/// A 64-bit integer, or text that is one in decimal.
pub(super) fn integer(given: &Given<'_>) -> Result<Option<i64>, String> {
    let number = match given {
        Given::Text(text) => text.trim().parse().ok(),
        Given::Integer(number) => i64::try_from(*number).ok(),
        _ => None,
    };
    number.map(Some).ok_or_else(|| given.instead_of("a decimal 64-bit integer"))
}

/// Text that has a scheme. Whether it may be fetched is not looked at here. Empty text counts as none.
pub(super) fn uri(given: &Given<'_>) -> Result<Option<String>, String> {
    let limit = Reference::MAX_BYTES;
    match given {
        Given::Text(text) if text.is_empty() => Ok(None),
        Given::Text(text) if text.len() > limit => Err(format!("has {} bytes, at most {limit} are accepted", text.len())),
        Given::Long(bytes) => Err(format!("has {bytes} bytes, at most {limit} are accepted")),
        Given::Text(text) if text.chars().any(char::is_control) => Err(given.instead_of("a URI: it contains control characters")),
        Given::Text(text) if scheme(text).is_some() => Ok(Some(text.clone().into_owned())),
        other => Err(other.instead_of("a URI with its scheme, as in s3://bucket/frame.jpg")),
    }
}

/// The scheme of a URI (RFC 3986, 3.1), where something follows it.
pub(super) fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(legal) && !rest.is_empty()).then_some(scheme)
}

/// 64 hexadecimal digits, either case. Empty text counts as none.
pub(super) fn sha256(given: &Given<'_>) -> Result<Option<[u8; 32]>, String> {
    let Given::Text(text) = given else { return Err(given.instead_of("64 hexadecimal digits")) };
    if text.is_empty() {
        return Ok(None);
    }
    let digits: Option<Vec<u8>> = text.chars().take(65).map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(|| given.instead_of("64 hexadecimal digits"))?;
    let (pairs, _) = digits.as_chunks::<2>();
    let mut digest = [0; 32];
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = high << 4 | low;
    }
    Ok(Some(digest))
}
