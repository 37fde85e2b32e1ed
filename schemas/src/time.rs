//! Points in time: microseconds since the Unix epoch, and the hour folders that tables are partitioned by.
//!
//! Invariant: every [`Micros`] that enters through [`Micros::saturating`] lies in the years 1970 to 9999, so that every
//! one has a calendar date and fits the engines that read the tables.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use chrono::DateTime;
use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// 9999-12-31T23:59:59.999999Z, the last point that every reader can print.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The nearest point from 1970 to 9999.
    #[must_use]
    pub fn saturating(micros: i64) -> Self {
        Self(micros.clamp(0, Self::MAX.0))
    }

    /// The nearest point from 1970 to 9999 for a stamp in milliseconds, Kafka's unit.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self::saturating(millis.saturating_mul(1_000))
    }

    /// Milliseconds from `earlier` to this point; negative where it lies before.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1e3
    }
}

impl Add<Duration> for Micros {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self::saturating(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for Micros {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self::saturating(self.0.saturating_sub(micros(duration)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Hours since the Unix epoch: which folder a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hour(pub i64);

impl Hour {
    const MICROS: i64 = 3_600_000_000;

    /// The hour that `at` lies in.
    #[must_use]
    pub fn of(at: Micros) -> Self {
        Self(at.0.div_euclid(Self::MICROS))
    }
}

/// The Hive folder, `event_date=2026-11-22/event_hour=7`: hour unpadded, so that engines type it as a number.
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = DateTime::from_timestamp(self.0.saturating_mul(3_600), 0).unwrap_or_default();
        write!(f, "event_date={}/event_hour={}", start.format("%Y-%m-%d"), self.0.rem_euclid(24))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hour_folders_are_hive_paths_with_unpadded_hours() {
        // 2026-11-22T07:59:59.999999Z; `date -u -d @1795334399` says so.
        assert_eq!(Hour::of(Micros(1_795_334_399_999_999)).to_string(), "event_date=2026-11-22/event_hour=7");
        assert_eq!(Hour::of(Micros(0)).to_string(), "event_date=1970-01-01/event_hour=0");
        assert_eq!(Hour::of(Micros::MAX).to_string(), "event_date=9999-12-31/event_hour=23");
    }

    #[test]
    fn absurd_times_stay_in_the_calendar() {
        assert_eq!(Micros::from_millis(i64::MAX), Micros::MAX);
        assert_eq!(Micros::from_millis(-1), Micros(0));
        assert_eq!(Micros::MAX + Duration::MAX, Micros::MAX);
        assert_eq!(Micros(5) - Duration::from_secs(1), Micros(0));
    }
}
