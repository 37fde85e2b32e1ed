//! Human units: sizes in bytes, durations, pixel sizes, counts. In and out: the text that users write.
//!
//! Invariant: what is written out reads back as the same value.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes: `64MiB` (powers of 1024), `128MB` (powers of 1000) or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 7] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("B", 1)];

impl ByteSize {
    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &text[digits.len()..];
        let scale = match unit {
            "" => Some(1),
            _ => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, bytes)| *bytes),
        };
        let number = digits.trim_end().parse::<u64>().ok();
        scale
            .zip(number)
            .and_then(|(scale, number)| number.checked_mul(scale))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a size: write a whole number with B, KiB, MiB, GiB, kB, MB or GB"))
    }
}

/// How many worker threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// One per core.
    Auto,
    /// This many.
    Fixed(NonZeroUsize),
}

impl Count {
    /// The number of threads on this machine; a container's CPU limit counts as its number of cores.
    #[must_use]
    pub fn resolve(self) -> NonZeroUsize {
        match self {
            Self::Auto => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            Self::Fixed(count) => count,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(count) => count.fmt(f),
        }
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Fixed).map_err(|_| format!("{text:?} is neither \"auto\" nor a number from 1")),
        }
    }
}

/// Text or a whole number, as its text: what sizes and counts are read from.
struct TextOrNumber;

impl Visitor<'_> for TextOrNumber {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a whole number")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

macro_rules! serde_as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_any(TextOrNumber)?.parse().map_err(D::Error::custom)
            }
        }
    };
}
serde_as_text!(ByteSize);
serde_as_text!(Count);

/// Durations as text with units, such as `10s` or `1h 30m`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&humantime::format_duration(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(d).map_err(|error| D::Error::custom(format!("{error} with a unit, such as \"10s\"")))?;
        humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("{text:?} is not a duration such as \"500ms\", \"10s\" or \"1h 30m\": {error}"))
        })
    }
}

/// Pixel sizes as `640x384`, width first.
pub(super) mod size {
    use facestream_schemas::Size;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(size: &Size, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{}x{}", size.w, size.h))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Size, D::Error> {
        let text = String::deserialize(d)?;
        let parsed = text.split_once('x').and_then(|(w, h)| Some(Size { w: w.parse().ok()?, h: h.parse().ok()? }));
        parsed.ok_or_else(|| D::Error::custom(format!("{text:?} is not a size in pixels such as \"640x384\"")))
    }
}

/// An `f32` by its shortest decimal, so that 0.6 is not written as 0.6000000238.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) fn short_f32<S: Serializer>(number: &f32, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(number.to_string().parse().map_err(serde::ser::Error::custom)?)
}

/// A list, or one piece of text that stands for a list of one.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    match OneOrMany::deserialize(d).map_err(|_| D::Error::custom("expected text or a list of texts"))? {
        OneOrMany::One(one) => Ok(vec![one]),
        OneOrMany::Many(many) => Ok(many),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_in_powers_of_1024_and_of_1000() {
        for (text, bytes) in [("64MiB", 67_108_864), ("128MB", 128_000_000), ("12", 12), ("3 kB", 3_000), ("1gib", 1_073_741_824)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "1MiBs", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_back_as_written() {
        for bytes in [0, 1, 1000, 1024, 1025, 67_108_864, 128_000_000, u64::MAX] {
            assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
        assert_eq!(ByteSize(67_108_864).to_string(), "64MiB");
    }

    #[test]
    fn a_count_is_auto_or_at_least_one() {
        assert_eq!("auto".parse(), Ok(Count::Auto));
        assert_eq!("4".parse::<Count>().map(Count::resolve), Ok(NonZeroUsize::new(4).unwrap()));
        assert!("0".parse::<Count>().is_err());
    }
}
